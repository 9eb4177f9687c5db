// Writes a tokenizer as the files that readers of Hugging Face folders expect: tokenizer.json (in the very layout of
// the `tokenizers` library, byte for byte), tokenizer_config.json, and special_tokens_map.json where asked for.
// parse_tokenizer() gives the same data back. What cannot be said in these files is refused by name: an unknown
// normaliser, pre-tokenizer or decoder, the bare pre-tokenizer name of a GGUF file, added tokens at ids that readers
// would give to others.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "formats/tokenizer_files.h"

namespace naru::formats {

struct TokenizerTexts {
  std::string tokenizer_json;
  std::string tokenizer_config_json;
  std::string special_tokens_map_json;
};

Result<TokenizerTexts> tokenizer_texts(const TokenizerData& data);

struct TokenizerWriteOptions {
  bool special_tokens_map = false;  // older readers look for it; newer ones have all in tokenizer_config.json
};

// Into a folder that exists; each file appears whole.
Status write_tokenizer_folder(const TokenizerData& data, const std::filesystem::path& folder,
                              const TokenizerWriteOptions& options = {});

}  // namespace naru::formats
