// See fill_in.h.
#include "text/fill_in.h"

namespace naru::text {
namespace {

struct FillInTexts {
  std::string_view prefix, suffix, middle;
};
constexpr FillInTexts kFillInTexts[] = {
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},  // DeepSeek
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},  // Qwen
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},        // StarCoder, SmolLM
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},        // SantaCoder
    {"▁<PRE>", "▁<SUF>", "▁<MID>"},                          // Code Llama
};

}  // namespace

std::optional<FillInTokens> fill_in_tokens(const Tokenizer& tokenizer) {
  const auto find = [&](std::string_view text) {
    const std::optional<int32_t> id = tokenizer.find(text);
    return id && tokenizer.is_control(*id) ? id : std::nullopt;
  };
  for (const FillInTexts& texts : kFillInTexts) {
    const auto prefix = find(texts.prefix), suffix = find(texts.suffix), middle = find(texts.middle);
    if (prefix && suffix && middle) return FillInTokens{*prefix, *suffix, *middle};
  }
  return std::nullopt;
}

std::vector<int32_t> encode_fill_in(const Tokenizer& tokenizer, const FillInTokens& tokens, std::string_view prefix,
                                    std::string_view suffix) {
  std::vector<Segment> segments;
  const auto put = [&](int32_t before, std::string_view text) {
    segments.push_back({std::string(tokenizer.piece(before)), false});
    if (!text.empty()) segments.push_back({std::string(text), true});
  };
  put(tokens.prefix, prefix);
  put(tokens.suffix, suffix);
  put(tokens.middle, "");
  std::vector<int32_t> ids = tokenizer.prefix_ids();
  const std::vector<int32_t> made = tokenizer.encode_segments(segments);
  ids.insert(ids.end(), made.begin(), made.end());
  return ids;
}

}  // namespace naru::text
