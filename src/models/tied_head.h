// A head that the config ties to the embedding, and a file that has both: transformers' rule. Equal values are tied; a
// head of other values is the model's head, whatever the config says, and the user is told; where only the head is
// there, it is the table too.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"

namespace naru::models {

// Clears config.tie_embeddings where the file's head is another than its embedding. Notes for the user. Reads the
// values of both tensors, up to their first difference, only where a tied config's file has both.
Result<std::vector<std::string>> settle_tied_head(const formats::TensorFiles& files, formats::ModelConfig& config);

}  // namespace naru::models
