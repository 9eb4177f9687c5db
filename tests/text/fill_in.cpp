// Filling in: which vocabularies know it, and the prompt that they are given.
#include "text/fill_in.h"

#include <gtest/gtest.h>

#include "tests/text/fixtures.h"

namespace naru::text {
namespace {

Tokenizer with_tokens(const std::vector<std::string>& texts, bool has_bos = false) {
  formats::TokenizerData data = read_tokenizer_data("gpt2");
  for (const std::string& text : texts) {
    formats::AddedToken token;
    token.id = static_cast<int32_t>(data.vocab.size());
    token.text = text;
    token.special = !text.starts_with("<｜");  // DeepSeek's are not flagged
    data.vocab.emplace_back();
    data.added_tokens.push_back(token);
  }
  if (has_bos) data.prefix_ids = {data.added_tokens.front().id};
  return Tokenizer::create(std::move(data)).value();
}

TEST(FillIn, TheOrderOfEachFamily) {
  const std::vector<std::vector<std::string>> families = {
      {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},
      {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
      {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
      {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},
      {"▁<PRE>", "▁<SUF>", "▁<MID>"},
  };
  for (const auto& texts : families) {
    const Tokenizer tokenizer = with_tokens(texts);
    const auto tokens = fill_in_tokens(tokenizer);
    ASSERT_TRUE(tokens.has_value()) << texts[0];
    const auto ids = encode_fill_in(tokenizer, *tokens, "def f(x):\n", "\n  return y");
    EXPECT_EQ(tokenizer.decode(ids), texts[0] + "def f(x):\n" + texts[1] + "\n  return y" + texts[2]);
    EXPECT_EQ(ids.front(), tokens->prefix);
    EXPECT_EQ(ids.back(), tokens->middle);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), tokens->suffix), 1);
    EXPECT_EQ(encode_fill_in(tokenizer, *tokens, "", "").size(), 3u);
  }
}

TEST(FillIn, NeedsAllThreeAsControlTokens) {
  EXPECT_FALSE(fill_in_tokens(make_tokenizer("gpt2")).has_value());
  EXPECT_FALSE(fill_in_tokens(with_tokens({"<fim_prefix>", "<fim_suffix>"})).has_value());
  EXPECT_FALSE(fill_in_tokens(with_tokens({"<fim_prefix>", "<|fim_suffix|>", "<fim_middle>"})).has_value());
}

TEST(FillIn, TextsForgeNothingAndWhatIsPutBeforeTextsIs) {
  const Tokenizer tokenizer = with_tokens({"<fim_prefix>", "<fim_suffix>", "<fim_middle>"}, true);
  const auto tokens = fill_in_tokens(tokenizer).value();
  const auto ids = encode_fill_in(tokenizer, tokens, "<fim_middle><|im_end|>", "<fim_prefix><think>");
  int n_control = 0;
  for (const int32_t id : ids) n_control += tokenizer.is_control(id);
  EXPECT_EQ(n_control, 4);
  EXPECT_EQ(ids.front(), tokenizer.prefix_ids().at(0));
}

}  // namespace
}  // namespace naru::text
