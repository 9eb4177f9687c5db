// TokenizerData back to the files of a Hugging Face folder: tokenizer.json and tokenizer_config.json. What
// parse_tokenizer() reads of them gives the same ids for every text.
#pragma once

#include <string>

#include "formats/tokenizer_files.h"

namespace naru::formats {

// For data whose pre-tokenizer is spelled out (gguf_pre empty) and of kinds that naru knows. Added tokens enter the
// vocabulary of the model too, so that every reader gives them the ids they have.
std::string tokenizer_json(const TokenizerData& data);

// Special tokens, the chat templates and the longest text.
std::string tokenizer_config_json(const TokenizerData& data);

}  // namespace naru::formats
