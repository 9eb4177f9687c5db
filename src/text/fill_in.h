// Filling in: a text with a gap, as models are given it that were trained to write what stands between a beginning and
// an end. Which tokens say so is found in the vocabulary; all families here take the order prefix, suffix, middle.
//
// Sources: the model cards and reference code of DeepSeek-Coder, Qwen2.5-Coder, StarCoder and StarCoder2, SantaCoder,
// and Code Llama.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace naru::text {

// Control tokens, each before its part; the answer follows `middle`.
struct FillInTokens {
  int32_t prefix = 0;
  int32_t suffix = 0;
  int32_t middle = 0;
};

// Nothing where the vocabulary has no such three as control tokens.
std::optional<FillInTokens> fill_in_tokens(const Tokenizer& tokenizer);

// The prompt whose answer stands between the two texts, with what the tokenizer's files ask for before any text.
// Neither text can forge a control token.
std::vector<int32_t> encode_fill_in(const Tokenizer& tokenizer, const FillInTokens& tokens, std::string_view prefix,
                                    std::string_view suffix);

}  // namespace naru::text
