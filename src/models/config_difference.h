// Whether two configs, maybe read from different containers, mean the same arithmetic. Writers use it on what they
// wrote: a container that cannot say something must not say something else.
#pragma once

#include <string>

#include "formats/model_config.h"

namespace naru::models {

// The first thing that differs ("rope scaling", "routed_scaling"), or "". Numbers count as equal where they are the
// same f32, rotation frequencies where they agree to 1e-6 (containers keep them in different forms).
std::string config_difference(const formats::ModelConfig& a, const formats::ModelConfig& b);

}  // namespace naru::models
