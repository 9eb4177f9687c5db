// One step of training on given tokens, by the trainer's own parts: forward, backward, the norm of the gradient, the
// optimizer, and the matrices made again. For whoever watches what a chip makes of it; nothing is kept.
#pragma once

#include <functional>
#include <span>

#include "contract/chip.h"
#include "models/model.h"
#include "recipes/recipe.h"
#include "train/trainable_model.h"

namespace naru::train {

struct OneStep {
  contract::ComputeMode compute = contract::ComputeMode::kF32;  // kF32 or kBF16
  std::optional<bool> is_latent;  // of latent attention; default: as the model says, else latent
};

// "naru2/f32/cache-f32/grouped/train": of the arithmetic of that step.
std::string numerics_id(contract::ComputeMode compute, const formats::ModelConfig& config, bool is_latent_form);
std::string numerics_id(const models::ModelFiles& files, const OneStep& step);

// One document of the ids, by the optimizer of recipes' defaults, balance loss and prediction layers where the model
// has them. On a planner it computes nothing. kResourceExhausted where the chip's memory does not suffice.
Status run_one_step(const models::ModelFiles& files, std::span<const int32_t> ids, const OneStep& step,
                    contract::Chip& chip);

}  // namespace naru::train
