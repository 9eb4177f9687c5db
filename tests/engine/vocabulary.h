// Small vocabularies for tests of what becomes of an answer's tokens.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace naru::engine {

// The byte-to-unicode alphabet of byte-level vocabularies.
inline std::string alphabet_text(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<uint32_t>(static_cast<unsigned char>(c));
    const auto is_plain = [](uint32_t b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
    uint32_t code = byte;
    if (!is_plain(byte)) {
      code = 256;
      for (uint32_t b = 0; b < byte; ++b) code += is_plain(b) ? 0 : 1;
    }
    text::append_utf8(code, out);
  }
  return out;
}

// A vocabulary of all bytes and all given pieces, and three special tokens, of which two are the tags of reasoning; and
// further control tokens, which are special where they begin with "<|".
class Vocabulary {
 public:
  explicit Vocabulary(const std::set<std::string>& pieces = {}, bool has_tags = true,
                      const std::vector<std::string>& markers = {}) {
    formats::TokenizerData data;
    for (int byte = 0; byte < 256; ++byte) data.vocab.push_back(alphabet_text(std::string(1, static_cast<char>(byte))));
    for (const std::string& piece : pieces) {
      if (piece.size() > 1) data.vocab.push_back(alphabet_text(piece));
    }
    const auto add = [&](const std::string& text, bool is_special) {
      formats::AddedToken token;
      token.id = static_cast<int32_t>(data.vocab.size());
      token.text = text;
      token.special = is_special;
      data.vocab.emplace_back();
      data.added_tokens.push_back(token);
    };
    for (const char* text : {"<|end|>", "<think>", "</think>"}) {
      if (has_tags || text[1] == '|') add(text, true);
    }
    for (const std::string& marker : markers) add(marker, marker.starts_with("<|"));
    data.pre_tokenizer.push_back({.kind = formats::PreTokenizerKind::kByteLevel,
                                  .name = "ByteLevel",
                                  .pattern = {},
                                  .behavior = formats::SplitBehavior::kIsolated,
                                  .invert = false,
                                  .add_prefix_space = false,
                                  .use_regex = true,
                                  .individual_digits = false});
    data.decoder = "ByteLevel";
    auto tokenizer = text::Tokenizer::create(std::move(data));
    EXPECT_TRUE(tokenizer.ok()) << (tokenizer.ok() ? "" : tokenizer.error().message);
    tokenizer_ = std::make_unique<text::Tokenizer>(std::move(tokenizer).value());
  }
  const text::Tokenizer& operator*() const { return *tokenizer_; }
  int32_t id(std::string_view piece) const {
    const auto found = tokenizer_->find(piece);
    EXPECT_TRUE(found.has_value()) << piece;
    return found.value_or(0);
  }

 private:
  std::unique_ptr<text::Tokenizer> tokenizer_;
};

}  // namespace naru::engine
