// Tensor names: one table a family, with the name in Hugging Face folders and in GGUF files. "{l}" stands for the
// layer, "{e}" for the expert. A model is built from roles; nothing else knows a name.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace naru::models {

enum class Role {
  kEmbed,
  kHead,
  kFinalNorm,
  kRopeDivisors,
  kAttentionNorm,
  kFeedForwardNorm,
  kQ,
  kK,
  kV,
  kO,
  kQBias,
  kKBias,
  kVBias,
  kOBias,
  kQNorm,
  kKNorm,
  kQA,
  kQANorm,
  kQB,
  kKvA,
  kKvANorm,
  kKvB,      // heads x [nope + v, latent]
  kAbsorbK,  // GGUF: heads x [latent, nope], already transposed
  kExpandV,  // GGUF: heads x [v, latent]
  kGate,
  kUp,
  kDown,
  kRouter,
  kRouterBias,
  kExpertGate,  // one tensor an expert
  kExpertUp,
  kExpertDown,
  kExpertsGate,  // stacked: experts x [F, C]
  kExpertsUp,
  kExpertsDown,
  kExpertsGateUp,  // stacked: experts x [2F, C], gate rows first
  kSharedGate,
  kSharedUp,
  kSharedDown,
  // V3's prediction layers (MTP), counted behind the last layer.
  kPredictionEmbedNorm,
  kPredictionHiddenNorm,
  kPredictionJoin,      // [C, 2C]
  kPredictionHeadNorm,  // before the shared head
  kPredictionEmbed,     // files hold copies of the embedding and of the head
  kPredictionHead,
};

struct NameRow {
  Role role;
  std::string_view hugging_face;  // empty: has none
  std::string_view gguf;
};

// The name of a role, or "" where the family has none in this container.
std::string tensor_name(std::span<const NameRow> names, Role role, bool is_gguf, int64_t layer = 0, int64_t expert = 0);

// What a Hugging Face name means in a family's table: the inverse of tensor_name. Nothing for a name it has not.
struct NamedPlace {
  Role role;
  int64_t layer = 0;
  int64_t expert = 0;
};
std::optional<NamedPlace> place_of(std::span<const NameRow> names, std::string_view hugging_face_name);

}  // namespace naru::models
