// A tokenizer as the tokenizer.ggml.* keys of a GGUF file.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "formats/gguf_writer.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"
#include "formats/tokenizer_files.h"

namespace naru::exports {

// The tokenizer that lies beside or in the files of a model, with the ids that the config names; without one the ids
// alone. kUnsupported, by name, for what the keys cannot say.
Status add_gguf_tokenizer(const formats::TensorFiles& files, const formats::ModelConfig& config,
                          formats::GgufWriter& writer);

// The same of a tokenizer that is at hand; ids up to `config.vocab` without a token become unused ones.
Status add_gguf_tokenizer(const formats::TokenizerData& data, const formats::ModelConfig& config,
                          formats::GgufWriter& writer);

}  // namespace naru::exports
