// Tokenizer files: a folder of the official library, a GGUF file of gguf-py, and what is wrong with all others.
#include "formats/tokenizer_files.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/gguf.h"
#include "tests/formats/helpers.h"

namespace naru::formats {
namespace {

using Json = nlohmann::json;

Result<TokenizerData> parse_text(std::string_view text) {
  TokenizerSources sources;
  sources.tokenizer_json = as_bytes(text);
  return parse_tokenizer(sources, "m");
}
Result<TokenizerData> parse_document(const Json& tokenizer) {
  return parse_text(tokenizer.dump());
}

Result<TokenizerData> parse_with_config(const Json& tokenizer, const Json& config,
                                        std::optional<std::string> jinja = {}) {
  const std::string text = tokenizer.dump(), config_text = config.dump();
  TokenizerSources sources;
  sources.tokenizer_json = as_bytes(text);
  sources.tokenizer_config_json = as_bytes(config_text);
  if (jinja) sources.chat_template_jinja = as_bytes(*jinja);
  return parse_tokenizer(sources, "m");
}

Json small_document() {
  return Json::parse(R"({"added_tokens": [{"id": 5, "content": "<s>", "special": true}],
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4}, "merges": ["a b", "ab c"]}})");
}

TEST(TokenizerFiles, ReadsAFolderOfTheOfficialLibrary) {
  const auto data = read_tokenizer_folder(fixture_path("tokenizer"));
  ASSERT_TRUE(data.ok()) << message_of(data);
  const Json official = Json::parse(fixture("tokenizer/tokenizer.json"));
  const auto n_listed = official["added_tokens"].back()["id"].get<int32_t>() + 1;
  EXPECT_EQ(data->n_ids(), n_listed + 1);
  EXPECT_EQ(data->n_named_only, 1);
  EXPECT_EQ(data->unk_id, n_listed);  // "<nowhere>", which tokenizer_config.json alone names
  for (const auto& [text, id] : official["model"]["vocab"].items()) EXPECT_EQ(data->vocab[id.get<size_t>()], text);
  ASSERT_EQ(data->merges.size(), official["model"]["merges"].size());
  for (size_t i = 0; i < data->merges.size(); ++i) {
    const auto text = [&](int32_t id) { return data->vocab[static_cast<size_t>(id)]; };
    const Merge& merge = data->merges[i];
    EXPECT_EQ(text(merge.left), official["model"]["merges"][i][0]);
    EXPECT_EQ(text(merge.right), official["model"]["merges"][i][1]);
    EXPECT_EQ(text(merge.result), text(merge.left) + text(merge.right));
  }
  EXPECT_EQ(data->normalizer, NormalizerKind::kNfc);
  EXPECT_EQ(data->decoder, "ByteLevel");
  ASSERT_EQ(data->pre_tokenizer.size(), 4u);
  EXPECT_EQ(data->pre_tokenizer[0].kind, PreTokenizerKind::kSplitRegex);
  EXPECT_EQ(data->pre_tokenizer[0].pattern, "\\p{N}{1,3}");
  EXPECT_EQ(data->pre_tokenizer[0].behavior, SplitBehavior::kIsolated);
  EXPECT_EQ(data->pre_tokenizer[1].kind, PreTokenizerKind::kSplitLiteral);
  EXPECT_EQ(data->pre_tokenizer[1].pattern, "\n");
  EXPECT_EQ(data->pre_tokenizer[1].behavior, SplitBehavior::kMergedWithPrevious);
  EXPECT_TRUE(data->pre_tokenizer[1].invert);
  EXPECT_EQ(data->pre_tokenizer[2].kind, PreTokenizerKind::kDigits);
  EXPECT_TRUE(data->pre_tokenizer[2].individual_digits);
  EXPECT_EQ(data->pre_tokenizer[3].kind, PreTokenizerKind::kByteLevel);
  EXPECT_FALSE(data->pre_tokenizer[3].add_prefix_space || data->pre_tokenizer[3].use_regex);

  ASSERT_EQ(data->added_tokens.size(), 5u);
  EXPECT_EQ(data->added_tokens[0].text, "<s>");
  const AddedToken& think = data->added_tokens[2];
  EXPECT_EQ(think.text, "<think>");
  EXPECT_TRUE(think.special && think.lstrip);  // tokenizer_config.json's flags win
  const AddedToken& spaces = data->added_tokens[3];
  EXPECT_EQ(spaces.text, "  ");
  EXPECT_TRUE(!spaces.special && spaces.lstrip && spaces.rstrip && spaces.single_word && spaces.normalized);
  EXPECT_EQ(data->prefix_ids, std::vector<int32_t>{0});
  EXPECT_EQ(data->suffix_ids, std::vector<int32_t>{1});
  EXPECT_EQ(data->bos_id, 0);
  EXPECT_EQ(data->eos_id, 1);
  EXPECT_EQ(data->pad_id, 1);  // from special_tokens_map.json
  EXPECT_EQ(data->add_bos, true);
  EXPECT_EQ(data->add_eos, false);
  EXPECT_FALSE(data->model_max_length.has_value());  // 10^30
  EXPECT_EQ(data->chat_template, "{{ bos_token }}");
  ASSERT_EQ(data->named_chat_templates.size(), 1u);
  EXPECT_EQ(data->named_chat_templates[0].name, "tool_use");
  EXPECT_EQ(data->tokenizer_class, "PreTrainedTokenizerFast");
}

TEST(TokenizerFiles, ReadsGguf) {
  const std::string file = fixture("tiny.gguf");
  const auto index = parse_gguf(as_bytes(file), "tiny.gguf");
  ASSERT_TRUE(index.ok());
  const auto data = tokenizer_from_gguf(*index);
  ASSERT_TRUE(data.ok()) << message_of(data);
  EXPECT_EQ(data->vocab, (std::vector<std::string>{"", "a", "b", "c", "ab", "abc", "", "", "Ġ"}));
  ASSERT_EQ(data->merges.size(), 2u);
  EXPECT_EQ(data->merges[1].result, 5);
  ASSERT_EQ(data->added_tokens.size(), 2u);
  EXPECT_TRUE(data->added_tokens[0].special);
  EXPECT_EQ(data->added_tokens[1].text, "<x>");
  EXPECT_FALSE(data->added_tokens[1].special);
  EXPECT_EQ(data->gguf_pre, "smollm");
  EXPECT_EQ(data->bos_id, 0);
  EXPECT_EQ(data->add_bos, false);
  EXPECT_EQ(data->chat_template, "{{ messages }}");
}

TEST(TokenizerFiles, BothFormsOfMergesAndOldFiles) {
  Json pairs = small_document();
  pairs["model"]["merges"] = Json::array({Json::array({"a", "b"}), Json::array({"ab", "c"})});
  EXPECT_EQ(parse_document(pairs)->merges[1].result, 4);
  EXPECT_EQ(parse_document(small_document())->merges[1].result, 4);
  Json old = small_document();
  old["model"].erase("type");
  EXPECT_TRUE(parse_document(old).ok());
  Json again = small_document();
  again["model"]["merges"] = {"a b", "ab c", "a b"};
  EXPECT_EQ(parse_document(again)->merges.size(), 3u);  // kept in order: the later one counts
}

Result<TokenizerData> with_vocab(const Json& vocab, const std::vector<Json>& merges = {},
                                 const std::vector<Json>& added = {}) {
  return parse_document({{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}, {"added_tokens", added}});
}

TEST(TokenizerFiles, VocabulariesThatLie) {
  expect_error(with_vocab(Json::object()), Code::kCorrupt, {"m/tokenizer.json", "vocabulary is empty"});
  expect_error(with_vocab({{"a", 0}, {"b", 0}}), Code::kCorrupt, {"'a' and 'b' both have the id 0"});
  expect_error(with_vocab({{"a", -1}}), Code::kCorrupt, {"id -1"});
  expect_error(with_vocab({{"a", int64_t{1} << 40}}), Code::kCorrupt, {"id 1099511627776"});
  expect_error(with_vocab({{"a", 4000000}}), Code::kCorrupt, {"ids up to 4000000"});
  expect_error(with_vocab({{"a", 1.0}}), Code::kCorrupt, {"model.vocab", "'a'", "an integer"});
  expect_error(with_vocab({{"a", "0"}}), Code::kCorrupt, {"model.vocab", "'a'", "an integer"});
  expect_error(with_vocab(Json::array({"a"})), Code::kCorrupt, {"model.vocab"});
  expect_error(with_vocab({{std::string(70000, 'a'), 0}}), Code::kCorrupt, {"70000 bytes"});
  expect_error(parse_text(R"({"model":{"type":"BPE","vocab":{"a":0,"a":1},"merges":[]}})"), Code::kCorrupt,
               {"'a'", "twice"});
  expect_error(parse_text("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xff\":0},\"merges\":[]}}"), Code::kCorrupt,
               {"UTF-8"});
  expect_error(parse_text(R"({"model":{"type":"BPE","vocab":{"\ud800":0},"merges":[]}})"), Code::kCorrupt, {});
  const auto gap = with_vocab({{"a", 0}, {"b", 5}});
  ASSERT_TRUE(gap.ok());
  EXPECT_EQ(gap->vocab, (std::vector<std::string>{"a", "", "", "", "", "b"}));
}

TEST(TokenizerFiles, MergesThatLie) {
  const Json vocab = {{"a", 0}, {"b", 1}, {"ab", 2}};
  expect_error(with_vocab(vocab, {"a x"}), Code::kCorrupt, {"merge 0 ('a' and 'x')", "right side"});
  expect_error(with_vocab(vocab, {"x a"}), Code::kCorrupt, {"left side"});
  expect_error(with_vocab(vocab, {"a b", "b a"}), Code::kCorrupt, {"merge 1", "its result"});
  for (const Json& merge :
       std::vector<Json>{"ab", "a b ", " a", "a  b", "", Json::array({"a"}), Json::array({"a", "b", "c"}),
                         Json::array({"a", 1}), Json::array({"", "a"}), 5, nullptr, Json::object()}) {
    expect_error(with_vocab(vocab, {merge}), Code::kCorrupt, {"merge"});
  }
}

TEST(TokenizerFiles, AddedTokensThatLie) {
  const Json vocab = {{"a", 0}, {"b", 1}};
  const auto added = [&](const std::vector<Json>& tokens) { return with_vocab(vocab, {}, tokens); };
  const auto token = [](int64_t id, std::string_view text) {
    return Json{{"id", id}, {"content", text}, {"special", true}};
  };
  EXPECT_TRUE(added({token(0, "a")}).ok());  // a special token may be a letter
  EXPECT_EQ(added({token(2, "x"), token(2, "x")})->added_tokens.size(), 1u);
  EXPECT_TRUE(added({token(2, "")})->added_tokens.empty());
  expect_error(added({token(2, "x"), token(3, "x")}), Code::kCorrupt, {"'x' is there twice", "2 and 3"});
  expect_error(added({token(2, "x"), token(2, "y")}), Code::kCorrupt, {"'x' and 'y' both have the id 2"});
  expect_error(added({token(1, "x")}), Code::kCorrupt, {"'b' and 'x' both have the id 1"});
  expect_error(added({token(7, "a")}), Code::kCorrupt, {"'a' has the id 7 and the model's vocabulary says 0"});
  expect_error(added({token(-1, "x")}), Code::kCorrupt, {"added_tokens[0].id is -1"});
  expect_error(added({token(4000000, "x")}), Code::kCorrupt, {"id 4000000", "gaps"});
  expect_error(added({Json{{"id", 2}}}), Code::kCorrupt, {"added_tokens[0].content is missing"});
  expect_error(added(Json::array({5})), Code::kCorrupt, {"added_tokens[0]"});
  expect_error(added({token(2, std::string(70000, 'x'))}), Code::kCorrupt, {"70000 bytes"});
}

// n added tokens, each of the first thousands a prefix of the next.
std::string many_added_tokens(int n) {
  std::string text = R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"added_tokens":[)";
  for (int i = 1; i <= n; ++i) {
    text += (i == 1 ? "{\"id\":" : ",{\"id\":") + std::to_string(i) + ",\"content\":\"" +
            (i < 1000 ? std::string(static_cast<size_t>(i), 'x') : std::to_string(i)) + "\"}";
  }
  return text + "]}";
}

TEST(TokenizerFiles, AddedTokensAtTheLimitAndBeyond) {
  const auto full = parse_text(many_added_tokens(static_cast<int>(kAddedTokensMax)));
  ASSERT_TRUE(full.ok()) << message_of(full);
  EXPECT_EQ(static_cast<int64_t>(full->added_tokens.size()), kAddedTokensMax);
  expect_error(parse_text(many_added_tokens(static_cast<int>(kAddedTokensMax) + 1)), Code::kCorrupt,
               {"131072 added tokens"});
}

TEST(TokenizerFiles, AMillionAddedTokensAreRefusedInBoundedMemory) {
  const std::string text = many_added_tokens(1000000);
  const int64_t growth = peak_growth_of([&] {
    const auto data = parse_text(text);
    if (data.ok() || data.error().code != Code::kCorrupt) ::_exit(1);
  });
  EXPECT_GE(growth, 0);
  if (kMemoryIsMeasured) {
    EXPECT_LT(growth, 12 * static_cast<int64_t>(text.size()));
  }
  RecordProperty("bytes_a_byte", static_cast<int>(growth / static_cast<int64_t>(text.size())));
}

TEST(TokenizerFiles, ManyPrefixTokensAreFine) {
  std::vector<Json> added;
  for (int i = 1; i <= 3000; ++i) added.push_back({{"id", i}, {"content", std::string(static_cast<size_t>(i), 'x')}});
  EXPECT_EQ(with_vocab({{"a", 0}}, {}, added)->added_tokens.size(), 3000u);
}

TEST(TokenizerFiles, ModelsThatAreNotDone) {
  Json model = small_document();
  model["model"]["type"] = "Unigram";
  expect_error(parse_document(model), Code::kUnsupported, {"model.type is \"Unigram\"", "\"BPE\""});
  model = small_document();
  model["model"]["dropout"] = 0.1;
  expect_error(parse_document(model), Code::kUnsupported, {"dropout"});
  model = small_document();
  model["model"]["end_of_word_suffix"] = "</w>";
  expect_error(parse_document(model), Code::kUnsupported, {"end_of_word_suffix", "</w>"});
  model = small_document();
  model["post_processor"] = {{"type", "Odd"}};
  expect_error(parse_document(model), Code::kUnsupported, {"post_processor.type is \"Odd\""});
  expect_error(parse_document(Json::object()), Code::kCorrupt, {"model is missing"});
}

TEST(TokenizerFiles, StepsOfOtherKindsKeepTheirNames) {
  Json other = small_document();
  other.update(Json::parse(R"({
      "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"},
                     {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}]},
      "pre_tokenizer": {"type": "Whitespace"},
      "decoder": {"type": "Sequence", "decoders": [{"type": "Replace"}, {"type": "Fuse"}]}})"));
  const auto data = parse_document(other);
  ASSERT_TRUE(data.ok()) << message_of(data);
  EXPECT_EQ(data->normalizer, NormalizerKind::kOther);
  EXPECT_EQ(data->normalizer_name, "NFKC, Lowercase");
  EXPECT_EQ(data->pre_tokenizer.at(0).kind, PreTokenizerKind::kOther);
  EXPECT_EQ(data->pre_tokenizer.at(0).name, "Whitespace");
  EXPECT_EQ(data->decoder, "Replace, Fuse");
  other["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array()}};
  EXPECT_EQ(parse_document(other)->normalizer, NormalizerKind::kNone);
}

TEST(TokenizerFiles, StepsThatLie) {
  const auto pre = [](const Json& step) {
    Json tokenizer = small_document();
    tokenizer["pre_tokenizer"] = step;
    return parse_document(tokenizer);
  };
  const Json split = {{"type", "Split"}, {"pattern", {{"Regex", "x"}}}, {"behavior", "Isolated"}};
  EXPECT_TRUE(pre(split).ok());
  Json bad = split;
  bad["behavior"] = "Sideways";
  expect_error(pre(bad), Code::kCorrupt, {"pre_tokenizer.behavior", "Sideways"});
  bad = split;
  bad["pattern"] = "x";
  expect_error(pre(bad), Code::kCorrupt, {"pre_tokenizer.pattern"});
  bad["pattern"] = Json::object();
  expect_error(pre(bad), Code::kCorrupt, {"pattern.String is missing"});
  expect_error(pre(5), Code::kCorrupt, {"pre_tokenizer"});
  expect_error(pre({{"kind", "Split"}}), Code::kCorrupt, {"type is missing"});
  Json deep = split;
  for (int i = 0; i < 25; ++i) deep = {{"type", "Sequence"}, {"pretokenizers", Json::array({deep})}};
  EXPECT_TRUE(pre(deep).ok());
  for (int i = 0; i < 100; ++i) deep = {{"type", "Sequence"}, {"pretokenizers", Json::array({deep})}};
  expect_error(pre(deep), Code::kCorrupt, {"deep"});
  Json wide = Json::array();
  for (int i = 0; i < 65; ++i) wide.push_back(split);
  expect_error(pre({{"type", "Sequence"}, {"pretokenizers", wide}}), Code::kUnsupported, {"64 steps"});
}

TEST(TokenizerFiles, PostProcessors) {
  const auto post = [](const Json& processor) {
    Json tokenizer = small_document();
    tokenizer["post_processor"] = processor;
    return parse_document(tokenizer);
  };
  const Json special = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
             text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const auto tmpl = [&](const Json& single, const Json& ids) {
    return Json{{"type", "TemplateProcessing"},
                {"single", single},
                {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", ids}}}}}};
  };
  EXPECT_EQ(post(tmpl(Json::array({special, text}), Json::array({5})))->prefix_ids, std::vector<int32_t>{5});
  EXPECT_EQ(post(tmpl(Json::array({text, special}), Json::array({5, 0})))->suffix_ids, (std::vector<int32_t>{5, 0}));
  expect_error(post(tmpl(Json::array({special, text}), Json::array({77}))), Code::kCorrupt, {"ids is 77"});
  expect_error(post(tmpl(Json::array({text, text}), Json::array({5}))), Code::kCorrupt, {"\"A\" once"});
  expect_error(post(tmpl(Json::array({Json::object()}), Json::array({5}))), Code::kCorrupt,
               {"single[0].Sequence is missing"});
  expect_error(post({{"type", "TemplateProcessing"}, {"single", Json::array({special})}}), Code::kCorrupt,
               {"special_tokens is missing"});
  EXPECT_EQ(post({{"type", "RobertaProcessing"}, {"cls", Json::array({"<s>", 5})}, {"sep", Json::array({"a", 0})}})
                ->prefix_ids,
            std::vector<int32_t>{5});
  expect_error(post({{"type", "BertProcessing"}, {"cls", Json::array({"<s>", 99})}, {"sep", Json::array({"a", 0})}}),
               Code::kCorrupt, {"cls"});
  const Json two = {{"type", "Sequence"},
                    {"processors", Json::array({tmpl(Json::array({text}), Json::array({5})),
                                                tmpl(Json::array({text}), Json::array({5}))})}};
  expect_error(post(two), Code::kUnsupported, {"post_processor"});
}

TEST(TokenizerFiles, Companions) {
  EXPECT_EQ(parse_with_config(small_document(), {{"bos_token", "<s>"}, {"model_max_length", 4096}})->bos_id, 5);
  EXPECT_EQ(parse_with_config(small_document(), {{"model_max_length", 4096}})->model_max_length, 4096);
  EXPECT_EQ(parse_with_config(small_document(), {{"chat_template", "one"}})->chat_template, "one");
  EXPECT_EQ(parse_with_config(small_document(), {{"chat_template", "one"}}, "two")->chat_template,
            "two");  // the file wins
  EXPECT_FALSE(parse_with_config(small_document(), {{"chat_template", nullptr}})->chat_template.has_value());
  const Json decoder = {{"added_tokens_decoder", {{"6", {{"content", "<new>"}, {"special", true}}}}}};
  EXPECT_EQ(parse_with_config(small_document(), decoder)->added_tokens.at(1).text, "<new>");
  expect_error(parse_with_config(small_document(), {{"added_tokens_decoder", {{"x", {{"content", "y"}}}}}}),
               Code::kCorrupt, {"m/tokenizer_config.json"});
  expect_error(parse_with_config(small_document(), {{"added_tokens_decoder", {{"0", {{"content", "y"}}}}}}),
               Code::kCorrupt, {"both have the id 0"});
  expect_error(parse_with_config(small_document(), {{"bos_token", 5}}), Code::kCorrupt, {"bos_token is 5"});
  expect_error(parse_with_config(small_document(), {{"add_bos_token", "yes"}}), Code::kCorrupt, {"add_bos_token"});
  expect_error(parse_with_config(small_document(), {{"chat_template", 5}}), Code::kCorrupt, {"chat_template"});
  expect_error(parse_with_config(small_document(), {{"chat_template", std::string(5 << 20, 'x')}}), Code::kCorrupt,
               {"chat template 'default'"});
  expect_error(parse_with_config(small_document(), Json::object(), "\xff"), Code::kCorrupt,
               {"chat_template.jinja", "UTF-8"});
  const TempFolder folder;
  EXPECT_FALSE(has_tokenizer(folder.path()));
  EXPECT_EQ(read_tokenizer_folder(folder.path()).error().code, Code::kNotFound);
  folder.write("tokenizer.json", small_document().dump());
  EXPECT_TRUE(has_tokenizer(folder.path()) && read_tokenizer_folder(folder.path()).ok());
}

TEST(TokenizerFiles, EveryPrefixIsRefusedAndEveryFlippedBitIsTakenOrRefused) {
  std::string text = fixture("tokenizer/tokenizer.json");
  const std::string cut = small_document().dump();
  for (size_t n = 0; n < cut.size(); ++n) ASSERT_FALSE(parse_text(cut.substr(0, n)).ok()) << n;
  for (size_t n = 0; n < text.size(); n += 97) ASSERT_FALSE(parse_text(std::string_view(text).substr(0, n)).ok()) << n;
  int n_good = 0;
  for (size_t bit = 0; bit < cut.size() * 8; ++bit) {
    std::string flipped = cut;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    n_good += parse_text(flipped).ok() ? 1 : 0;
  }
  EXPECT_GT(n_good, 0);
}

// --- GGUF ---------------------------------------------------------------------------------------------------------

struct GgufTokenizer {
  std::vector<std::string> tokens = {"a", "b", "ab", "<s>"};
  std::vector<int32_t> types = {1, 1, 1, 3};
  std::vector<std::string> merges = {"a b"};
  std::string model = "gpt2";
  uint32_t eos = 3;
  std::vector<std::pair<std::string, std::string>> texts = {};
  std::vector<std::pair<std::string, uint32_t>> ids = {};
  std::vector<int32_t> all_ends = {};

  Result<TokenizerData> parse() const {
    GgufBytes file(0, 5 + texts.size() + ids.size() + (all_ends.empty() ? 0 : 1));
    const auto strings = [&](std::string_view key, const std::vector<std::string>& values) {
      file.key(key, 9).number<uint32_t>(8).number<uint64_t>(values.size());
      for (const std::string& value : values) file.string(value);
    };
    file.str("tokenizer.ggml.model", model);
    strings("tokenizer.ggml.tokens", tokens);
    file.key("tokenizer.ggml.token_type", 9).number<uint32_t>(5).number<uint64_t>(types.size());
    for (const int32_t type : types) file.number(type);
    strings("tokenizer.ggml.merges", merges);
    file.u32("tokenizer.ggml.eos_token_id", eos);
    for (const auto& [key, value] : texts) file.str(key, value);
    for (const auto& [key, value] : ids) file.u32(key, value);
    if (!all_ends.empty()) file.key("naru.eos_token_ids", 9).number<uint32_t>(5).number<uint64_t>(all_ends.size());
    for (const int32_t id : all_ends) file.number(id);
    const auto index = parse_gguf(as_bytes(file.text), "x.gguf");
    if (!index.ok()) return index.error();
    return tokenizer_from_gguf(*index);
  }
};

// Which tokens end an answer: by the keys, by their texts as llama.cpp does it, or by the list of naru's own files.
TEST(TokenizerGguf, EndsOfAnswers) {
  const auto ends = [](std::vector<std::string> more, std::vector<std::pair<std::string, uint32_t>> ids = {},
                       std::vector<int32_t> all = {}) {
    GgufTokenizer file;
    file.tokens.insert(file.tokens.end(), more.begin(), more.end());
    file.types.resize(file.tokens.size(), 1);
    file.ids = std::move(ids);
    file.all_ends = std::move(all);
    TokenizerData data = file.parse().value();
    std::sort(data.end_ids.begin(), data.end_ids.end());
    return data.end_ids;
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(ends({}), (Ids{3}));  // <s>: eos_token_id says so
  EXPECT_EQ(ends({"<|im_start|>", "<|im_end|>"}), (Ids{3, 5}));
  EXPECT_EQ(ends({"<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|file_sep|>", "<|fim_middle|>"}),
            (Ids{3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(ends({"x", "y", "z"}, {{"tokenizer.ggml.eot_token_id", 4}, {"tokenizer.ggml.eom_token_id", 6}}),
            (Ids{3, 4, 6}));
  EXPECT_EQ(ends({"<|return|>", "<|call|>", "<|end|>"}), (Ids{3, 4, 5}));  // there it ends a message only
  EXPECT_EQ(ends({"<|return|>", "<|end|>"}), (Ids{3, 4, 5}));
  EXPECT_EQ(ends({"</s>", "<|tool_response>"}), (Ids{3, 5}));
  EXPECT_EQ(ends({"<|im_end|>", "x"}, {}, {3, 5}), (Ids{3, 5}));  // the list is all
  GgufTokenizer file;
  file.tokens.push_back("<|im_end|>");
  file.types.push_back(1);
  const TokenizerData data = file.parse().value();
  ASSERT_EQ(data.added_tokens.size(), 2u);
  EXPECT_TRUE(data.added_tokens[1].special);  // whatever type the file gives it
  file.all_ends = {5};
  expect_error(file.parse(), Code::kCorrupt, {"naru.eos_token_ids"});
}

TEST(TokenizerGguf, GoodAndBad) {
  const auto data = GgufTokenizer{}.parse();
  ASSERT_TRUE(data.ok()) << message_of(data);
  EXPECT_EQ(data->eos_id, 3);
  EXPECT_EQ(data->gguf_pre, "default");
  EXPECT_FALSE((GgufTokenizer{.eos = ~0u}.parse()->eos_id.has_value()));
  expect_error((GgufTokenizer{.eos = 4}.parse()), Code::kCorrupt, {"eos_token_id", "is 4"});
  expect_error((GgufTokenizer{.model = "llama"}.parse()), Code::kUnsupported, {"\"llama\"", "gpt2"});
  expect_error((GgufTokenizer{.types = {1, 1, 1}}.parse()), Code::kCorrupt, {"token_type", "array of 3", "4"});
  expect_error((GgufTokenizer{.tokens = {}, .types = {}}.parse()), Code::kCorrupt, {"tokens"});
  expect_error((GgufTokenizer{.tokens = {"a", "b", "ab", "a"}, .types = {1, 1, 1, 1}}.parse()), Code::kCorrupt,
               {"'a' is there twice"});
  expect_error((GgufTokenizer{.tokens = {"a", "b", "ab", "\xff"}}.parse()), Code::kCorrupt, {"tokens[3]", "UTF-8"});
  expect_error((GgufTokenizer{.merges = {"b a"}}.parse()), Code::kCorrupt, {"merge 0"});
  expect_error((GgufTokenizer{.merges = {"ba"}}.parse()), Code::kCorrupt, {"merge 0"});
  expect_error((GgufTokenizer{.tokens = {"", ""}, .types = {1, 1}, .merges = {}}.parse()), Code::kCorrupt, {"empty"});
  // The text of an added token that a merge makes is a model token too.
  const auto both = GgufTokenizer{.types = {1, 1, 4, 3}}.parse();
  ASSERT_TRUE(both.ok()) << message_of(both);
  EXPECT_EQ(both->vocab[2], "ab");
  EXPECT_EQ(both->added_tokens.at(0).id, 2);
  const auto no_tokens = parse_gguf(as_bytes(GgufBytes(0, 0).text), "x.gguf");
  ASSERT_TRUE(no_tokens.ok());
  expect_error(tokenizer_from_gguf(*no_tokens), Code::kNotFound, {"holds no tokenizer"});
  EXPECT_EQ(
      (GgufTokenizer{.texts = {{"tokenizer.chat_template", "t"}, {"tokenizer.ggml.pre", "qwen2"}}}.parse()->gguf_pre),
      "qwen2");
}

}  // namespace
}  // namespace naru::formats
