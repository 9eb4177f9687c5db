// The trainer: files byte for byte those of the official library, merges equal to the obvious algorithm's, round trips,
// and texts and options that want to break it.
#include "text/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <set>

#include "formats/tokenizer_writer.h"
#include "tests/text/fixtures.h"
#include "text/byte_level.h"
#include "text/chatml.h"
#include "text/cut_text.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

using formats::TokenizerData;

BpeTrainerOptions options_of(int64_t vocab_size, int64_t pair_count_min = 1) {
  BpeTrainerOptions options;
  options.vocab_size = vocab_size;
  options.pair_count_min = pair_count_min;
  return options;
}

Result<TokenizerData> train(BpeTrainerOptions options, const std::vector<std::string>& texts) {
  NARU_ASSIGN(BpeTrainer trainer, BpeTrainer::create(std::move(options)));
  for (const std::string& text : texts) NARU_TRY(trainer.add_text(text));
  return trainer.train();
}

std::string error_of(BpeTrainerOptions options, const std::vector<std::string>& texts = {}) {
  const auto data = train(std::move(options), texts);
  EXPECT_FALSE(data.ok());
  if (data.ok()) return "";
  EXPECT_NE(data.error().message.find("; "), std::string::npos) << data.error().message;
  return data.error().message;
}

std::vector<std::string> corpus() {
  std::vector<std::string> texts;
  const Value fixture = read_json_fixture("trained/corpus.json");
  for (const Value& text : *fixture.as_list()) texts.push_back(*text.as_string());
  return texts;
}

TokenizerData train_fixture(const std::string& family) {
  BpeTrainerOptions options = options_of(400, 2);
  options.pre_tokenizer = family;
  options.added_tokens = chatml_tokens();
  return train(std::move(options), corpus()).value();
}

// --- truth from outside ---------------------------------------------------------------------------------------------

class TrainedFamily : public testing::TestWithParam<std::string_view> {};

TEST_P(TrainedFamily, FileIsTheOfficialLibrarysByteForByte) {
  const std::string family(GetParam());
  const TokenizerData data = train_fixture(family);
  EXPECT_EQ(data.n_ids(), 400);
  EXPECT_EQ(formats::tokenizer_texts(data).value().tokenizer_json, read_fixture("trained/" + family + ".json"));
}

TEST_P(TrainedFamily, IdsEqualTheOfficialOnesAfterReadingTheFilesBack) {
  const std::string family(GetParam());
  TokenizerData data = train_fixture(family);
  set_chatml(data);
  const formats::TokenizerTexts texts = formats::tokenizer_texts(data).value();
  formats::TokenizerSources sources;
  sources.tokenizer_json = as_bytes(texts.tokenizer_json);
  sources.tokenizer_config_json = as_bytes(texts.tokenizer_config_json);
  const Tokenizer tokenizer = Tokenizer::create(formats::parse_tokenizer(sources, family).value()).value();
  int n_cases = 0;
  const Value cases = read_json_fixture("trained/cases.json");
  for (const Value& test : *cases.as_list()) {
    if (*test.find("name")->as_string() != family) continue;
    EXPECT_EQ(tokenizer.encode(*test.find("text")->as_string()), ids_of(*test.find("ids")))
        << *test.find("text")->as_string();
    ++n_cases;
  }
  EXPECT_EQ(n_cases, 30);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_TRUE(tokenizer.prefix_ids().empty());
}

INSTANTIATE_TEST_SUITE_P(All, TrainedFamily, testing::ValuesIn(pre_tokenizer_names()), [](const auto& family) {
  std::string name(family.param);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// --- the obvious algorithm ------------------------------------------------------------------------------------------

struct Word {
  std::vector<std::string> tokens;
  int64_t count;
};

// Counts all pairs anew before each merge. Returns the merges as pairs of bytes.
std::vector<std::pair<std::string, std::string>> obvious_merges(std::vector<Word> words,
                                                                const MergeLearnerOptions& options) {
  std::map<std::string, int32_t> ids;
  for (const uint8_t byte : bytes_by_char()) ids.emplace(std::string(1, static_cast<char>(byte)), ids.size());
  std::vector<std::pair<std::string, std::string>> merges;
  while (options.first_id + static_cast<int64_t>(ids.size()) < options.vocab_size) {
    std::map<std::pair<int32_t, int32_t>, std::pair<int64_t, std::pair<std::string, std::string>>> counts;
    for (const Word& word : words) {
      for (size_t i = 0; i + 1 < word.tokens.size(); ++i) {
        const std::string &left = word.tokens[i], &right = word.tokens[i + 1];
        if (static_cast<int64_t>(left.size() + right.size()) > options.token_bytes_max) continue;
        if (options.forbidden.contains(left + right)) continue;
        auto& count = counts[{ids.at(left), ids.at(right)}];
        count.first += word.count;
        count.second = {left, right};
      }
    }
    const auto best = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
      return a.second.first != b.second.first ? a.second.first < b.second.first : a.first > b.first;
    });
    if (best == counts.end() || best->second.first < options.pair_count_min) break;
    const auto [left, right] = best->second.second;
    EXPECT_TRUE(ids.emplace(left + right, ids.size()).second) << "two ways to " << left + right;
    merges.emplace_back(left, right);
    for (Word& word : words) {
      std::vector<std::string> merged;
      for (size_t i = 0; i < word.tokens.size(); ++i) {
        const bool is_here = i + 1 < word.tokens.size() && word.tokens[i] == left && word.tokens[i + 1] == right;
        merged.push_back(is_here ? left + right : word.tokens[i]);
        i += is_here;
      }
      word.tokens = std::move(merged);
    }
  }
  return merges;
}

TEST(MergeLearner, MergesAreTheObviousAlgorithms) {
  std::mt19937_64 random(20261125);
  constexpr std::string_view kAlphabets[] = {"a", "ab", "abc", "aab-", "abcdefghij\xff\x80"};
  int n_merges = 0;
  for (int round = 0; round < 400; ++round) {
    const std::string_view alphabet = kAlphabets[random() % std::size(kAlphabets)];
    MergeLearnerOptions options;
    options.first_id = static_cast<int32_t>(random() % 3);
    options.vocab_size = options.first_id + 256 + static_cast<int64_t>(random() % 60);
    options.pair_count_min = 1 + static_cast<int64_t>(random() % 3);
    options.token_bytes_max = random() % 4 == 0 ? 2 + static_cast<int64_t>(random() % 5) : 1000;
    if (random() % 4 == 0) options.forbidden = {"ab", "aa", "abab"};
    MemoryBudget budget(1 << 30);
    WordCounts counts(&budget);
    std::vector<Word> words;
    const size_t n_words = 1 + random() % 12;
    for (size_t i = 0; i < n_words; ++i) {
      std::string text;
      for (size_t n = 1 + random() % 40; n > 0; --n) {
        text.append(random() % 8 == 0 ? 1 + random() % 6 : 1, alphabet[random() % alphabet.size()]);
      }
      Word word;
      word.count = 1 + static_cast<int64_t>(random() % (random() % 5 == 0 ? uint64_t{1} << 40 : 4));
      for (const char c : text) word.tokens.emplace_back(1, c);
      ASSERT_TRUE(counts.add(text, word.count).ok());
      words.push_back(std::move(word));
    }
    MergeLearner learner(options, &budget);
    ASSERT_TRUE(learner.learn(counts, {}).ok());
    std::vector<std::pair<std::string, std::string>> merges;
    const auto bytes_of = [&](int32_t id) { return learner.tokens()[static_cast<size_t>(id - options.first_id)]; };
    for (const formats::Merge& merge : learner.merges()) {
      merges.emplace_back(bytes_of(merge.left), bytes_of(merge.right));
      EXPECT_EQ(bytes_of(merge.result), merges.back().first + merges.back().second);
    }
    ASSERT_EQ(merges, obvious_merges(words, options)) << "round " << round;
    n_merges += static_cast<int>(merges.size());
  }
  EXPECT_GT(n_merges, 5000);
}

// --- the parts ------------------------------------------------------------------------------------------------------

TEST(ByteLevel, TokenOfBytesIsTheInverse) {
  std::string all;
  for (const uint8_t byte : bytes_by_char()) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(bytes_of_token(token_of_bytes(all)), all);
  EXPECT_EQ(count_code_points(token_of_bytes(all)), 256);
  EXPECT_EQ(token_of_bytes(" a\n"), "\u0120a\u010a");
  EXPECT_EQ(all.substr(0, 2), "!\"");
  EXPECT_EQ(std::set<char>(all.begin(), all.end()).size(), 256u);
}

TEST(WordCounts, CountsInOrderOfAppearance) {
  MemoryBudget budget(1 << 24);
  WordCounts counts(&budget);
  std::map<std::string, int64_t> wanted;
  std::mt19937_64 random(1);
  for (int i = 0; i < 50000; ++i) {
    const std::string word = std::to_string(random() % 20000 * (random() % 2 ? 1 : 1000000007));
    ++wanted[word];
    ASSERT_TRUE(counts.add(word).ok());
  }
  ASSERT_TRUE(counts.add("last", 7).ok());
  EXPECT_EQ(counts.n_words(), 50007);
  ASSERT_EQ(counts.size(), static_cast<int64_t>(wanted.size()) + 1);
  for (int64_t i = 0; i + 1 < counts.size(); ++i) EXPECT_EQ(counts.count(i), wanted.at(std::string(counts.word(i))));
  EXPECT_EQ(counts.word(counts.size() - 1), "last");
  EXPECT_EQ(counts.count(counts.size() - 1), 7);
}

std::vector<std::string> pieces_of(const Splitter& splitter, std::string_view text) {
  std::vector<size_t> ends, spare;
  splitter.split(text, ends, spare);
  std::vector<std::string> pieces;
  size_t begin = 0;
  for (const size_t end : ends) {
    pieces.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

TEST(CutText, PiecesOfThePartsAreThePiecesOfTheWhole) {
  const std::vector<std::string> bits = {"a",      "Zb",     "12345",      " ",      "  ",     "\n",     "\r\n",
                                         "\n\n",   "\t",     ".",          "#inc",   "'s",     "'S",     "\u4e2d\u6587",
                                         "\u3042", "\ud55c", "\u0301",     "\u00a0", "\u2003", "\u0085", "\x01",
                                         "\u0378", "!?",     "\U0001f600", "_x",     "-"};
  std::mt19937_64 random(7);
  int n_cuts = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    for (size_t n = random() % 40; n > 0; --n) text += bits[random() % bits.size()];
    for (const std::string_view name : pre_tokenizer_names()) {
      TokenizerData data;
      data.gguf_pre = name;
      const Splitter splitter = Splitter::create(data).value();
      std::vector<std::string> parts;
      for (std::string_view rest = text; !rest.empty();) {
        const size_t n = place_to_cut(rest, 1 + random() % 20);
        ASSERT_GT(n, 0u);
        ASSERT_LE(n, rest.size());
        for (std::string& piece : pieces_of(splitter, rest.substr(0, n))) parts.push_back(std::move(piece));
        rest.remove_prefix(n);
        n_cuts += !rest.empty();
      }
      ASSERT_EQ(parts, pieces_of(splitter, text)) << name << ": " << text;
    }
  }
  EXPECT_GT(n_cuts, 1000);
}

TEST(CutText, WithoutAPlaceItBreaksNoCharacter) {
  EXPECT_EQ(place_to_cut("abc", 3), 3u);
  EXPECT_EQ(place_to_cut("abc def", 3), 3u);   // before the space
  EXPECT_EQ(place_to_cut("abc\ndef", 6), 4u);  // behind the line feed
  EXPECT_EQ(place_to_cut("abc def", 1), 3u);   // the first behind
  EXPECT_EQ(place_to_cut("abc  def", 3), 8u);  // none
  std::string text = "a";
  while (text.size() <= kUncutBytesMax) text += "\u4e2d";
  const size_t place = place_to_cut(text, 1000);
  EXPECT_LE(place, kUncutBytesMax);
  EXPECT_TRUE(is_valid_utf8(std::string_view(text).substr(0, place)));
  EXPECT_EQ(place_to_cut(std::string(kUncutBytesMax + 1, '\x80'), 1000), kUncutBytesMax - 3);
}

// --- what comes out -------------------------------------------------------------------------------------------------

TEST(BpeTrainer, SameTextsSameFileHoweverTheyAreHandedOver) {
  std::string whole;
  for (int i = 0; i < 30000; ++i) whole += "word" + std::to_string(i * 7919 % 10007) + (i % 10 ? " and" : ".\nThe");
  ASSERT_GT(whole.size(), size_t{300} << 10);
  const auto file_of = [](const std::vector<std::string>& texts) {
    return formats::tokenizer_texts(train(options_of(2000), texts).value()).value().tokenizer_json;
  };
  const std::string wanted = file_of({whole});
  std::vector<std::string> parts;
  for (std::string_view rest = whole; !rest.empty();) {
    const size_t n = place_to_cut(rest, 1000);
    parts.emplace_back(rest.substr(0, n));
    rest.remove_prefix(n);
  }
  ASSERT_GT(parts.size(), 100u);
  EXPECT_EQ(file_of(parts), wanted);
  std::shuffle(parts.begin(), parts.end(), std::mt19937_64(3));
  EXPECT_EQ(file_of(parts), wanted);
}

TEST(BpeTrainer, AnyBytesComeBack) {
  const Tokenizer tokenizer = Tokenizer::create(train(options_of(700), corpus()).value()).value();
  std::mt19937_64 random(11);
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (size_t n = random() % 200; n > 0; --n) {
      if (random() % 2) append_utf8(static_cast<uint32_t>(random() % 3 ? random() % 128 : random() % 0xD800), text);
      if (random() % 20 == 0) text.push_back(static_cast<char>(random()));
    }
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), repair_utf8(text));
  }
}

TEST(BpeTrainer, CountsTheTokensOfItsTexts) {
  BpeTrainer trainer = BpeTrainer::create(options_of(500)).value();
  for (const std::string& text : corpus()) ASSERT_TRUE(trainer.add_text(text).ok());
  const TokenizerData data = trainer.train().value();
  const Tokenizer tokenizer = Tokenizer::create(data).value();
  int64_t wanted = 0;
  for (const std::string& text : corpus()) wanted += static_cast<int64_t>(tokenizer.encode(text).size());
  EXPECT_EQ(trainer.count_tokens(data).value(), wanted);
  EXPECT_EQ(trainer.n_texts(), static_cast<int64_t>(corpus().size()));
  EXPECT_FALSE(trainer.has_repaired());
}

TEST(BpeTrainer, AddedTokensComeFirstAndAreNeverMadeByMerging) {
  BpeTrainerOptions options = options_of(400);
  options.pre_tokenizer = "gpt-2";
  options.added_tokens = {{"<|a|>", true}, {"<\u00e9>", false}, {"+-x", true}};
  const TokenizerData data = train(options, {"+-x+-x+-x <|a|><|a|><|a|> +-+-+-"}).value();
  EXPECT_EQ(data.vocab[0], "<|a|>");
  EXPECT_EQ(data.vocab[3], "!");
  EXPECT_EQ(data.vocab[2], "+-x");
  EXPECT_FALSE(data.added_tokens[1].special);
  for (const formats::Merge& merge : data.merges) EXPECT_GE(merge.result, 3 + 256);
  // This one's text is how the vocabulary writes " <", a piece of plain text: the two must not meet under one name.
  options.added_tokens = {{"\u0120<", true}};
  const TokenizerData other = train(options, {"x < < <y <y <y"}).value();
  EXPECT_EQ(std::count(other.vocab.begin(), other.vocab.end(), "\u0120<"), 1);
  EXPECT_EQ(other.n_ids(), 1 + 256);
}

// --- what wants to break it -----------------------------------------------------------------------------------------

TEST(BpeTrainer, LittleTextGivesASmallerVocabulary) {
  EXPECT_EQ(train(options_of(300), {}).value().n_ids(), 256);
  EXPECT_EQ(train(options_of(300), {""}).value().n_ids(), 256);
  EXPECT_EQ(train(options_of(300), {"x"}).value().n_ids(), 256);
  EXPECT_EQ(train(options_of(300), {"xyz"}).value().n_ids(), 258);
  EXPECT_EQ(train(options_of(300, 2), {"xyz"}).value().n_ids(), 256);
  EXPECT_EQ(train(options_of(257), {"xyz"}).value().n_ids(), 257);
  EXPECT_EQ(train(options_of(256), {"xyz"}).value().n_ids(), 256);
}

TEST(BpeTrainer, InvalidUtf8IsReplacedAsInEncoding) {
  BpeTrainer trainer = BpeTrainer::create(options_of(400)).value();
  ASSERT_TRUE(trainer.add_text("\xff\xfe\xc3(abc abc\xe4\xb8").ok());
  EXPECT_TRUE(trainer.has_repaired());
  const TokenizerData data = trainer.train().value();
  EXPECT_NE(std::find(data.vocab.begin(), data.vocab.end(), token_of_bytes("\ufffd\ufffd")), data.vocab.end());
}

TEST(BpeTrainer, FiftyMegabytesOfOneLetter) {
  const std::string text(50'000'000, 'a');
  const TokenizerData data = train(options_of(300, 2), {text}).value();
  EXPECT_EQ(data.n_ids(), 256 + 15);  // 2, 4, ... 32768 letters: the longest that files may hold
  EXPECT_TRUE(data.vocab.back() == std::string(kLearntTokenBytesMax, 'a')) << data.vocab.back().size();
  const formats::TokenizerTexts texts = formats::tokenizer_texts(data).value();
  formats::TokenizerSources sources;
  sources.tokenizer_json = as_bytes(texts.tokenizer_json);
  const Tokenizer tokenizer = Tokenizer::create(formats::parse_tokenizer(sources, "letters").value()).value();
  EXPECT_EQ(tokenizer.encode(std::string(100'000, 'a')).size(), 3u + 4u);  // 3 * 32768 + 1024 + 512 + 128 + 32
}

// A merge must cost what it changes, not what the word is long: 20000 merges in one word of 2 MB.
TEST(BpeTrainer, OneLongWordOfManyLetters) {
  std::mt19937_64 random(5);
  std::string text;
  while (text.size() < 2'000'000) text.push_back(static_cast<char>('a' + random() % 26));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(train(options_of(20256), {text}).value().n_ids(), 20256);
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 60);
}

TEST(BpeTrainer, BadOptionsAreRefusedWithTheNumbers) {
  EXPECT_NE(error_of(options_of(255)).find("255 was asked for, 256 to 4194304"), std::string::npos);
  BpeTrainerOptions options = options_of(258);
  options.added_tokens = {{"<a>"}, {"<b>"}, {"<c>"}};
  EXPECT_NE(error_of(options).find("258 was asked for, 259 to"), std::string::npos);
  options.vocab_size = 259;
  EXPECT_EQ(train(options, {"aa aa"}).value().n_ids(), 259);
  EXPECT_NE(error_of(options_of(formats::kTokenIdsMax + 1)).find("4194305 was asked for"), std::string::npos);
  EXPECT_NE(error_of(options_of(300, 0)).find("0 times or more"), std::string::npos);
  options = options_of(300);
  options.pre_tokenizer = "gpt-9";
  EXPECT_NE(error_of(options).find("'gpt-9', one of deepseek-v3, llama-bpe"), std::string::npos);
  for (const int64_t wrong : {int64_t{1}, kLearntTokenBytesMax + 1}) {
    options = options_of(300);
    options.token_bytes_max = wrong;
    EXPECT_NE(error_of(options).find("2 to 32768"), std::string::npos);
  }
}

TEST(BpeTrainer, BadAddedTokensAreRefused) {
  const auto error_with = [](std::vector<NewToken> tokens) {
    BpeTrainerOptions options = options_of(1000);
    options.added_tokens = std::move(tokens);
    return error_of(std::move(options));
  };
  EXPECT_NE(error_with({{""}}).find("0 bytes"), std::string::npos);
  EXPECT_NE(error_with({{"<\xff>"}}).find("\\xff"), std::string::npos);
  EXPECT_NE(error_with({{"<a>"}, {"<a>"}}).find("twice"), std::string::npos);
  for (const char* word : {"PAD", "!", "\u00e9", "\u0120", "###", " the"}) {
    EXPECT_NE(error_with({{word}}).find("word of plain text"), std::string::npos) << word;
  }
  EXPECT_NE(error_with({{"<" + std::string(formats::kTokenBytesMax, 'a')}}).find("1 to 65536"), std::string::npos);
}

TEST(BpeTrainer, MemoryIsBoundedWithTheNumbers) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += " w" + std::to_string(i * 7919) + "x";
  BpeTrainer trainer = BpeTrainer::create(options_of(5000)).value();
  ASSERT_TRUE(trainer.add_text(text).ok());
  ASSERT_TRUE(trainer.train().ok());
  const int64_t needed = trainer.peak_bytes();
  // From next to nothing to just too little: each table refuses once, and what is enough is enough.
  int n_counting = 0, n_learning = 0;
  for (int64_t budget = 1; budget < needed; budget += needed / 200) {
    BpeTrainerOptions options = options_of(5000);
    options.memory_bytes_max = budget;
    const auto data = train(options, {text});
    if (data.ok()) continue;
    EXPECT_EQ(code_name(data.error().code), code_name(Code::kResourceExhausted));
    EXPECT_NE(data.error().message.find("the budget is "), std::string::npos) << data.error().message;
    n_counting += data.error().message.find("counting words") != std::string::npos;
    n_learning += data.error().message.find("learning token") != std::string::npos;
  }
  EXPECT_GT(n_counting, 5);
  EXPECT_GT(n_learning, 5);
  BpeTrainerOptions enough = options_of(5000);
  enough.memory_bytes_max = needed;
  EXPECT_TRUE(train(enough, {text}).ok());
}

TEST(BpeTrainer, ProgressCanStopIt) {
  BpeTrainer trainer = BpeTrainer::create(options_of(1000)).value();
  for (const std::string& text : corpus()) ASSERT_TRUE(trainer.add_text(text).ok());
  int64_t last = 256;
  const auto data = trainer.train([&last](int64_t done, int64_t total) -> Status {
    EXPECT_EQ(done, ++last);
    EXPECT_EQ(total, 1000);
    if (done == 300) return Error{Code::kCancelled, "stopped"};
    return {};
  });
  ASSERT_FALSE(data.ok());
  EXPECT_EQ(data.error().message, "stopped");
}

}  // namespace
}  // namespace naru::text
