// Kept routing (DeepSeek-V3.2, arXiv 2512.02556): where a rollout is learnt from in several updates, the weights of the
// later ones are not those that sampled, and routers may choose other experts. With it every token keeps the experts of
// its rollout, prompts too, and routers weigh them as they are now.
//
// They are those of one forward pass of the trainer over the later updates' micro-batches while the rollout's weights
// are there: the engine chose the same, to the bit. The first update needs none.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/batches.h"
#include "formats/model_config.h"

namespace naru::train {

struct RoutingShape {
  int64_t layers = 0;  // with experts; prediction layers are not kept
  int64_t experts = 0;
  int64_t chosen = 0;  // of a token

  static RoutingShape of(const formats::ModelConfig& config);
};

// kInvalidArgument where no layer has experts.
Status check_keeps_routing(const RoutingShape& shape);

// The bytes of batches (answer_batch.h) with the experts of all but the first for a checkpoint: how many bytes those
// are (u64), they themselves, then i32 [layers][rows][chosen] of each micro-batch.
std::string with_routing(std::string_view batch_bytes, std::span<const data::StepBatch> batches);

// Back: the bytes of the batches, and behind them those of the experts. kCorrupt where they are cut off.
struct RoutedBytes {
  std::string_view batches;
  std::string_view experts;
};
Result<RoutedBytes> split_routing(std::string_view bytes);
// Gives the batches behind the first their experts. kCorrupt where these are too few or too many, not ascending, or not
// of the model.
Status take_routing(std::string_view experts, const RoutingShape& shape, std::span<data::StepBatch> batches);

}  // namespace naru::train
