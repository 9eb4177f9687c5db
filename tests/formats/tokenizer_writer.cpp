// Tokenizer files written here: what the reader gave, the reader gives again; the library's fixtures come out with the
// library's values; what cannot be said is refused.
#include "formats/tokenizer_writer.h"

#include <nlohmann/json.hpp>

#include "tests/formats/helpers.h"

namespace naru::formats {
namespace {

TokenizerData read_document(std::string_view json) {
  TokenizerSources sources;
  sources.tokenizer_json = as_bytes(json);
  return parse_tokenizer(sources, "fixture").value();
}

TokenizerData read_document(const TokenizerTexts& texts) {
  TokenizerSources sources;
  sources.tokenizer_json = as_bytes(texts.tokenizer_json);
  sources.tokenizer_config_json = as_bytes(texts.tokenizer_config_json);
  sources.special_tokens_map_json = as_bytes(texts.special_tokens_map_json);
  return parse_tokenizer(sources, "written").value();
}

void expect_equal(const TokenizerData& a, const TokenizerData& b) {
  EXPECT_EQ(a.vocab, b.vocab);
  ASSERT_EQ(a.merges.size(), b.merges.size());
  for (size_t i = 0; i < a.merges.size(); ++i) {
    EXPECT_EQ(a.merges[i].left, b.merges[i].left);
    EXPECT_EQ(a.merges[i].right, b.merges[i].right);
    EXPECT_EQ(a.merges[i].result, b.merges[i].result);
  }
  ASSERT_EQ(a.added_tokens.size(), b.added_tokens.size());
  for (size_t i = 0; i < a.added_tokens.size(); ++i) {
    const AddedToken &x = a.added_tokens[i], &y = b.added_tokens[i];
    EXPECT_EQ(std::tie(x.id, x.text, x.special, x.lstrip, x.rstrip, x.normalized, x.single_word),
              std::tie(y.id, y.text, y.special, y.lstrip, y.rstrip, y.normalized, y.single_word));
  }
  ASSERT_EQ(a.pre_tokenizer.size(), b.pre_tokenizer.size());
  for (size_t i = 0; i < a.pre_tokenizer.size(); ++i) {
    const PreTokenizerStep &x = a.pre_tokenizer[i], &y = b.pre_tokenizer[i];
    EXPECT_EQ(
        std::tie(x.kind, x.name, x.pattern, x.behavior, x.invert, x.add_prefix_space, x.use_regex, x.individual_digits),
        std::tie(y.kind, y.name, y.pattern, y.behavior, y.invert, y.add_prefix_space, y.use_regex,
                 y.individual_digits));
  }
  EXPECT_EQ(a.normalizer, b.normalizer);
  EXPECT_EQ(a.decoder, b.decoder);
  EXPECT_EQ(std::tie(a.ignore_merges, a.byte_fallback, a.fuse_unk),
            std::tie(b.ignore_merges, b.byte_fallback, b.fuse_unk));
  EXPECT_EQ(std::tie(a.unk_id, a.bos_id, a.eos_id, a.pad_id), std::tie(b.unk_id, b.bos_id, b.eos_id, b.pad_id));
  EXPECT_EQ(std::tie(a.add_bos, a.add_eos, a.prefix_ids, a.suffix_ids, a.chat_template, a.model_max_length),
            std::tie(b.add_bos, b.add_eos, b.prefix_ids, b.suffix_ids, b.chat_template, b.model_max_length));
  ASSERT_EQ(a.named_chat_templates.size(), b.named_chat_templates.size());
  for (size_t i = 0; i < a.named_chat_templates.size(); ++i) {
    EXPECT_EQ(a.named_chat_templates[i].name, b.named_chat_templates[i].name);
    EXPECT_EQ(a.named_chat_templates[i].text, b.named_chat_templates[i].text);
  }
}

// Two bytes, one merge, two added tokens: one in the vocabulary, one behind it.
TokenizerData small() {
  TokenizerData data;
  data.vocab = {"<s>", "a", "b", "ab", ""};
  data.merges = {{1, 2, 3}};
  data.added_tokens = {{0, "<s>", true}, {4, "<e>", true}};
  PreTokenizerStep bytes;
  bytes.kind = PreTokenizerKind::kByteLevel;
  bytes.name = "ByteLevel";
  bytes.use_regex = true;
  data.pre_tokenizer = {bytes};
  data.decoder = "ByteLevel";
  return data;
}

TEST(TokenizerWriter, LibraryFilesComeOutWithTheLibrarysValues) {
  for (const char* name : {"gpt2", "smollm", "llama3", "qwen2", "deepseek_v3", "deepseek_v2", "deepseek_coder"}) {
    const std::string json =
        read_file(std::string(NARU_TEST_DATA) + "/text/tokenizers/" + name + ".json", 1 << 24).value();
    const TokenizerData data = read_document(json);
    const auto texts = tokenizer_texts(data);
    ASSERT_TRUE(texts.ok()) << name << ": " << texts.error().message;
    nlohmann::json wanted = nlohmann::json::parse(json);
    auto& steps = wanted["pre_tokenizer"]["pretokenizers"];
    if (steps.size() == 1) wanted["pre_tokenizer"] = nlohmann::json(steps[0]);  // one step needs no sequence
    EXPECT_TRUE(nlohmann::json::parse(texts->tokenizer_json) == wanted) << name;
    expect_equal(read_document(*texts), data);
  }
}

TEST(TokenizerWriter, EverythingComesBack) {
  TokenizerData data = small();
  data.bos_id = 0;
  data.eos_id = 4;
  data.pad_id = 4;
  data.unk_id = 4;  // a role makes its token an added one
  data.add_bos = true;
  data.add_eos = false;
  data.prefix_ids = {0, 1};
  data.suffix_ids = {4};
  data.normalizer = NormalizerKind::kNfc;
  data.ignore_merges = true;
  data.fuse_unk = true;
  data.chat_template = "{{ '\"\\\n\t\u0001\u007f\u4e2d' }}";
  data.named_chat_templates = {{"tool_use", "{{ 1 }}"}};
  data.model_max_length = 4096;
  data.tokenizer_class = "PreTrainedTokenizerFast";
  data.vocab[1] = "\"";
  data.vocab[2] = "\\\u0120\u4e2d";
  data.vocab[3] = "\"\\\u0120\u4e2d";
  PreTokenizerStep split;
  split.kind = PreTokenizerKind::kSplitLiteral;
  split.name = "Split";
  split.pattern = "\"\n";
  split.behavior = SplitBehavior::kMergedWithNext;
  split.invert = true;
  PreTokenizerStep digits;
  digits.kind = PreTokenizerKind::kDigits;
  digits.name = "Digits";
  digits.individual_digits = true;
  data.pre_tokenizer.insert(data.pre_tokenizer.begin(), {split, digits});
  const TokenizerTexts texts = tokenizer_texts(data).value();
  expect_equal(read_document(texts), data);
  EXPECT_EQ(read_document(texts).tokenizer_class, "PreTrainedTokenizerFast");
  const auto config = nlohmann::json::parse(texts.tokenizer_config_json);
  EXPECT_EQ(config["clean_up_tokenization_spaces"], false);
  EXPECT_EQ(config["eos_token"], "<e>");
  EXPECT_EQ(nlohmann::json::parse(texts.special_tokens_map_json).size(), 4u);
}

TEST(TokenizerWriter, Folder) {
  const TempFolder folder;
  ASSERT_TRUE(write_tokenizer_folder(small(), folder.path()).ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "special_tokens_map.json"));
  expect_equal(read_tokenizer_folder(folder.path()).value(), small());
  ASSERT_TRUE(write_tokenizer_folder(small(), folder.path(), {.special_tokens_map = true}).ok());
  EXPECT_TRUE(std::filesystem::exists(folder / "special_tokens_map.json"));
  expect_error(write_tokenizer_folder(small(), folder / "absent"), Code::kNotFound, {"absent", "tokenizer.json"});
}

TEST(TokenizerWriter, WhatCannotBeSaidIsRefused) {
  const auto refuse = [](const std::function<void(TokenizerData&)>& change, Code code, std::string_view word) {
    TokenizerData data = small();
    change(data);
    expect_error(tokenizer_texts(data), code, {"writing a tokenizer", word});
  };
  refuse([](TokenizerData& d) { d = {}; }, Code::kInvalidArgument, "no token");
  refuse([](TokenizerData& d) { d.gguf_pre = "llama-bpe"; }, Code::kUnsupported, "llama-bpe");
  refuse([](TokenizerData& d) { d.normalizer = NormalizerKind::kOther, d.normalizer_name = "NFKC"; },
         Code::kUnsupported, "NFKC");
  refuse([](TokenizerData& d) { d.decoder = "WordPiece"; }, Code::kUnsupported, "WordPiece");
  refuse([](TokenizerData& d) { d.pre_tokenizer[0].kind = PreTokenizerKind::kOther, d.pre_tokenizer[0].name = "Bert"; },
         Code::kUnsupported, "Bert");
  refuse([](TokenizerData& d) { d.vocab[1] = "\xff"; }, Code::kInvalidArgument, "\\xff");
  refuse([](TokenizerData& d) { d.vocab[1] = std::string(kTokenBytesMax + 1, 'a'); }, Code::kInvalidArgument, "65537");
  refuse([](TokenizerData& d) { d.vocab[1] = "b"; }, Code::kInvalidArgument, "twice");
  refuse([](TokenizerData& d) { d.merges[0].left = 5; }, Code::kInvalidArgument, "5 and 2");
  refuse([](TokenizerData& d) { d.merges[0].right = 4; }, Code::kInvalidArgument, "1 and 4");
  refuse([](TokenizerData& d) { d.added_tokens[1].id = 5; }, Code::kUnsupported, "would give it 4");
  refuse([](TokenizerData& d) { d.added_tokens[0].text = "<x>"; }, Code::kUnsupported, "'<x>' has id 0");
  refuse([](TokenizerData& d) { std::swap(d.added_tokens[0], d.added_tokens[1]); }, Code::kInvalidArgument,
         "ascending");
  refuse([](TokenizerData& d) { d.added_tokens[1].text = ""; }, Code::kInvalidArgument, "id 4");
  refuse([](TokenizerData& d) { d.eos_id = 5; }, Code::kInvalidArgument, "eos_token has id 5");
  refuse([](TokenizerData& d) { d.bos_id = -1; }, Code::kInvalidArgument, "bos_token has id -1");
  refuse([](TokenizerData& d) { d.prefix_ids = {9}; }, Code::kInvalidArgument, "id 9");
  refuse([](TokenizerData& d) { d.chat_template = "\xc3"; }, Code::kInvalidArgument, "chat template");
  refuse([](TokenizerData& d) { d.chat_template = std::string(kChatTemplateBytesMax + 1, 'x'); },
         Code::kInvalidArgument, "4194305");
  refuse(
      [](TokenizerData& d) {  // each token held by name and twice by merges: past what is read
        d = {};
        for (int i = 0; i < 2100; ++i) d.vocab.push_back(std::to_string(i) + std::string(kTokenBytesMax - 8, 'x'));
      },
      Code::kResourceExhausted, "134217728");
}

}  // namespace
}  // namespace naru::formats
