// The last step of reading a model's configuration, whatever file it came from: every number inside its limits and
// consistent with the others.
#pragma once

#include <string_view>

#include "base/result.h"
#include "formats/model_config.h"

namespace naru::formats {

// Limits of single numbers, far above every published model; their products fit an int64 with room to spare.
inline constexpr int64_t kLayersMax = 1000;
inline constexpr int64_t kHeadsMax = 1 << 16;
inline constexpr int64_t kWidthMax = 1 << 20;  // hidden, head and latent widths
inline constexpr int64_t kFfnMax = 1 << 24;
inline constexpr int64_t kVocabMax = 1 << 24;
inline constexpr int64_t kPositionsMax = 1 << 30;
inline constexpr int64_t kExpertsMax = 1 << 16;
inline constexpr int64_t kMtpLayersMax = 16;
inline constexpr double kRopeFactorMax = 1e6;

// What to do about a wrong configuration, for messages.
inline constexpr std::string_view kCorrectConfig = "correct the file or get it again";
inline constexpr std::string_view kOtherModel = "use a model without it";

// "llama, qwen2, ...": for messages that refuse another one.
std::string supported_families();

// Drops token ids outside the vocabulary (the model can never choose them) and checks everything else.
Status check_model_config(ModelConfig* config, std::string_view name);

}  // namespace naru::formats
