// A micro-batch of one document whose tokens are given: each predicts the next one, and all count alike.
#pragma once

#include <span>

#include "data/batches.h"
#include "formats/model_config.h"

namespace naru::train {

// kInvalidArgument for less than two ids, kOutOfRange for more than the model has positions.
Result<data::MicroBatch> one_document(std::span<const int32_t> ids, const formats::ModelConfig& config);

}  // namespace naru::train
