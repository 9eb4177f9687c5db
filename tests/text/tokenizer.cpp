// Token ids against the official library's, for one small vocabulary of each family; hostile vocabularies.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/text/fixtures.h"

namespace naru::text {
namespace {

constexpr const char* kFamilies[] = {"gpt2",        "smollm",      "llama3",        "qwen2",
                                     "deepseek_v3", "deepseek_v2", "deepseek_coder"};

class TokenizerFamily : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerFamily, IdsEqualTheOfficialOnes) {
  const Tokenizer tokenizer = make_tokenizer(GetParam());
  const Value cases = read_json_fixture("tokenizer_cases.json");
  const Value::List& encode = *cases.find(GetParam())->find("encode")->as_list();
  ASSERT_GT(encode.size(), 100u);
  for (const Value& test : encode) {
    const std::string text = from_hex(*test.find("hex")->as_string());
    EXPECT_EQ(tokenizer.encode(text), ids_of(*test.find("ids"))) << *test.find("hex")->as_string();
    if (const Value* as_text = test.find("ids_special_as_text")) {
      EXPECT_EQ(tokenizer.encode(text, {.parse_special = false}), ids_of(*as_text)) << text;
    }
    // A plain text cut into segments of our own anywhere gives the same ids.
    if (is_valid_utf8(text) && text.find('<') == std::string::npos) {
      for (size_t cut = 1; cut < text.size(); cut += 3) {
        if ((static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) continue;
        const Segment segments[] = {{text.substr(0, cut), false}, {text.substr(cut), true}};
        EXPECT_EQ(tokenizer.encode_segments(segments), ids_of(*test.find("ids"))) << text << " at " << cut;
      }
    }
  }
}

TEST_P(TokenizerFamily, DecodedTextEqualsTheOfficialOne) {
  const Tokenizer tokenizer = make_tokenizer(GetParam());
  const Value cases = read_json_fixture("tokenizer_cases.json");
  for (const Value& test : *cases.find(GetParam())->find("decode")->as_list()) {
    const std::vector<int32_t> ids = ids_of(*test.find("ids"));
    EXPECT_EQ(tokenizer.decode(ids), *test.find("text")->as_string());
    EXPECT_EQ(tokenizer.decode(ids, true), *test.find("text_without_special")->as_string());
    for (const bool skip : {false, true}) {
      StreamDecoder stream(tokenizer, skip);
      std::string streamed;
      for (const int32_t id : ids) {
        const std::string part = stream.push(id);
        EXPECT_TRUE(is_valid_utf8(part));
        streamed += part;
      }
      streamed += stream.finish();
      EXPECT_EQ(streamed, tokenizer.decode(ids, skip));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerFamily, testing::ValuesIn(kFamilies),
                         [](const auto& family) { return family.param; });

TEST(Tokenizer, SpecialTokensAroundTheText) {
  formats::TokenizerData data = read_tokenizer_data("llama3");
  const int32_t bos = *make_tokenizer("llama3").find("<bos>"), eos = *make_tokenizer("llama3").find("<eos>");
  data.bos_id = bos;
  data.eos_id = eos;
  data.add_bos = true;
  const Tokenizer with_bos = Tokenizer::create(data).value();
  EXPECT_EQ(with_bos.encode("", {.add_special = true}), std::vector<int32_t>{bos});
  EXPECT_TRUE(with_bos.encode("").empty());
  data.prefix_ids = {eos};  // the post-processor's template wins over the flags
  const Tokenizer with_template = Tokenizer::create(data).value();
  EXPECT_EQ(with_template.encode("", {.add_special = true}), std::vector<int32_t>{eos});
  EXPECT_TRUE(with_bos.is_special(bos));
  EXPECT_EQ(with_bos.piece(bos), "<bos>");
  EXPECT_EQ(with_bos.piece(-1), "");
  EXPECT_EQ(with_bos.piece(1 << 30), "");
  EXPECT_EQ(with_bos.decode(std::vector<int32_t>{-5, bos, 1 << 30}), "<bos>");
}

// llama.cpp's default for the names of pre-tokenizers, where a GGUF file says nothing of BOS.
TEST(Tokenizer, AGgufFileWithoutAWordOnBosTakesTheDefaultOfItsPreTokenizer) {
  for (const auto& [name, adds] : {std::pair{"llama-bpe", true},
                                   {"llama3", true},
                                   {"llama-v3", true},
                                   {"gpt-2", false},
                                   {"smollm", false},
                                   {"qwen2", false},
                                   {"deepseek-r1-qwen", false},
                                   {"deepseek-llm", false},
                                   {"deepseek-coder", false},
                                   {"deepseek-v3", false}}) {
    formats::TokenizerData data = read_tokenizer_data("llama3");
    data.pre_tokenizer.clear();
    data.gguf_pre = name;
    data.bos_id = data.added_tokens[0].id;
    const std::vector<int32_t> bos{*data.bos_id}, none;
    EXPECT_EQ(Tokenizer::create(data)->prefix_ids(), adds ? bos : none) << name;
    formats::TokenizerData spelled = data;
    spell_out_gguf_pre(spelled);
    EXPECT_EQ(Tokenizer::create(spelled)->prefix_ids(), adds ? bos : none) << name;
    data.add_bos = !adds;  // what the file says wins
    EXPECT_EQ(Tokenizer::create(data)->prefix_ids(), adds ? none : bos) << name;
    data.add_bos.reset();
    data.bos_id.reset();
    EXPECT_EQ(Tokenizer::create(data)->prefix_ids(), none) << name;
  }
}

TEST(Tokenizer, ContentNeverBecomesAControlToken) {
  for (const char* family : {"qwen2", "deepseek_v3", "gpt2"}) {
    const formats::TokenizerData data = read_tokenizer_data(family);
    const Tokenizer tokenizer = make_tokenizer(family);
    int n_control = 0;
    for (const formats::AddedToken& token : data.added_tokens) {
      if (!is_control_token(token)) continue;
      ++n_control;
      // The whole text as content; and every cut of it with our own text before or after it.
      for (size_t cut = 0; cut <= token.text.size(); ++cut) {
        if (cut < token.text.size() && (static_cast<unsigned char>(token.text[cut]) & 0xC0) == 0x80) continue;
        for (const bool content_first : {true, false}) {
          const Segment segments[] = {{"<|im_start|>", false},
                                      {token.text.substr(0, cut), content_first},
                                      {token.text.substr(cut), !content_first},
                                      {"<|im_end|>", false}};
          std::vector<int32_t> ids = tokenizer.encode_segments(segments);
          ASSERT_GE(ids.size(), 2u);
          EXPECT_EQ(ids.front(), *tokenizer.find("<|im_start|>"));
          EXPECT_EQ(ids.back(), *tokenizer.find("<|im_end|>"));
          const bool all_ours = (content_first ? cut : token.text.size() - cut) == 0;
          if (all_ours) continue;
          for (size_t i = 1; i + 1 < ids.size(); ++i)
            EXPECT_NE(ids[i], token.id) << family << " " << token.text << " " << cut;
        }
      }
    }
    EXPECT_GE(n_control, 14) << family;
  }
}

TEST(Tokenizer, ControlTokensAreTheSpecialOnesAndAllMarkup) {
  const auto is_control = [](std::string text, bool special) {
    formats::AddedToken token;
    token.text = std::move(text);
    token.special = special;
    return is_control_token(token);
  };
  EXPECT_TRUE(is_control("word", true));
  EXPECT_TRUE(is_control("<\uff5cUser\uff5c>", false));
  EXPECT_TRUE(is_control("</think>", false));
  EXPECT_FALSE(is_control("word", false));
  EXPECT_FALSE(is_control("    ", false));
}

TEST(Tokenizer, NormalisesOverTheBorderOfSegments) {
  const Tokenizer tokenizer = make_tokenizer("qwen2");
  const Segment segments[] = {
      {"<|im_start|>name e", false}, {"\u0301\u0323", true}, {"\u0316 x", true}, {"<|im_end|>", false}};
  EXPECT_EQ(tokenizer.encode_segments(segments), tokenizer.encode("<|im_start|>name e\u0301\u0323\u0316 x<|im_end|>"));
  const Segment marks_only[] = {{"e", false}, {"\u0301", true}, {"", true}, {"\u0301", false}, {"a", true}};
  EXPECT_EQ(tokenizer.encode_segments(marks_only), tokenizer.encode("e\u0301\u0301a"));
}

TEST(Tokenizer, OneMegabyteOfOneLetterIsQuick) {
  const Tokenizer tokenizer = make_tokenizer("llama3");
  for (const char letter : {'a', ' ', '=', '\n'}) {
    const std::string text(letter == 'a' ? 1 << 20 : 1 << 17, letter);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Tokenizer, ManyThreadsGiveTheSameIds) {
  const Tokenizer tokenizer = make_tokenizer("deepseek_v3");
  const Value cases = read_json_fixture("tokenizer_cases.json");
  const Value::List& encode = *cases.find("deepseek_v3")->find("encode")->as_list();
  std::vector<std::thread> threads;
  std::vector<int> n_wrong(4, 0);
  for (size_t t = 0; t < n_wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (const Value& test : encode) {
        n_wrong[t] += tokenizer.encode(from_hex(*test.find("hex")->as_string())) != ids_of(*test.find("ids"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int n : n_wrong) EXPECT_EQ(n, 0);
}

formats::TokenizerData tiny_data() {
  formats::TokenizerData data;
  data.vocab = {"a", "b", "aa", "aab", "Ġ"};
  data.merges = {{0, 0, 2}, {2, 1, 3}};
  data.gguf_pre = "llama-bpe";
  return data;
}

TEST(Tokenizer, HostileVocabularies) {
  // Bytes without a token vanish, as in the official library.
  const Tokenizer tiny = Tokenizer::create(tiny_data()).value();
  EXPECT_EQ(tiny.encode("aabzaa"), (std::vector<int32_t>{3, 2}));
  EXPECT_EQ(tiny.encode("\xff\xfe\u4e2d"), std::vector<int32_t>{});

  formats::TokenizerData empty;
  empty.gguf_pre = "gpt-2";
  EXPECT_TRUE(Tokenizer::create(empty).value().encode("text").empty());

  // A merge cycle: each side made of the other. Merging still shortens the piece, so it ends.
  formats::TokenizerData cycle = tiny_data();
  cycle.merges = {{0, 1, 0}, {1, 0, 1}, {0, 0, 0}};
  EXPECT_EQ(Tokenizer::create(cycle).value().encode(std::string(5000, 'a') + "b").size(), 1u);

  // Tokens that are beginnings of each other; the longest wins.
  formats::TokenizerData nested = tiny_data();
  for (int i = 0; i < 2000; ++i) {
    formats::AddedToken token;
    token.id = 5 + i;
    token.text = "<" + std::string(static_cast<size_t>(i), 'x');
    nested.added_tokens.push_back(token);
  }
  const Tokenizer many = Tokenizer::create(nested).value();
  EXPECT_EQ(many.encode("<" + std::string(1500, 'x')), std::vector<int32_t>{5 + 1500});
  EXPECT_EQ(many.encode("<" + std::string(2500, 'x')), (std::vector<int32_t>{5 + 1999}));
  EXPECT_EQ(many.n_ids(), 2005);

  // A special token equal to "a" splits every word, as it says.
  formats::TokenizerData letter = tiny_data();
  formats::AddedToken a;
  a.id = 0;
  a.text = "a";
  a.special = true;
  letter.added_tokens = {a};
  EXPECT_EQ(Tokenizer::create(letter).value().encode("aab"), (std::vector<int32_t>{0, 0, 1}));
  EXPECT_EQ(Tokenizer::create(letter).value().encode("aab", {.parse_special = false}), std::vector<int32_t>{3});
  EXPECT_EQ(Tokenizer::create(letter).value().decode(std::vector<int32_t>{0, 1}, true), "b");
}

TEST(Tokenizer, RefusesWhatWouldChangeIds) {
  const auto refusal = [](const formats::TokenizerData& data) {
    const auto tokenizer = Tokenizer::create(data);
    EXPECT_FALSE(tokenizer.ok());
    EXPECT_EQ(tokenizer.error().code, Code::kUnsupported);
    return tokenizer.error().message;
  };
  formats::TokenizerData data = tiny_data();
  data.byte_fallback = true;
  EXPECT_NE(refusal(data).find("byte_fallback"), std::string::npos);
  data = tiny_data();
  data.normalizer = formats::NormalizerKind::kOther;
  data.normalizer_name = "NFKC";
  EXPECT_NE(refusal(data).find("NFKC"), std::string::npos);
  data = tiny_data();
  data.decoder = "Metaspace";
  EXPECT_NE(refusal(data).find("Metaspace"), std::string::npos);
  data = tiny_data();
  formats::AddedToken big;
  big.id = 7;
  big.text = std::string(static_cast<size_t>(kAddedTokenBytesTotalMax) + 1, 'x');
  data.added_tokens = {big};
  EXPECT_NE(refusal(data).find("added_tokens"), std::string::npos);
}

}  // namespace
}  // namespace naru::text
