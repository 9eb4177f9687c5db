// The tokenizer's files of a model, as an engine reads them: beside the weights, or in a .gguf file.
#pragma once

#include "base/result.h"
#include "formats/tokenizer_files.h"
#include "models/model.h"

namespace naru::engine {

Result<formats::TokenizerData> read_tokenizer(const models::ModelFiles& files);

}  // namespace naru::engine
