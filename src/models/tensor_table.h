// The table of a family's tensors: what each is, its name in Hugging Face folders and in GGUF files, its shape by the
// config, and how files may hold it. "{l}" stands for the layer, "{e}" for the expert. A model is built from roles;
// nothing else knows a name.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/model_config.h"

namespace naru::models {

enum class Role : uint8_t {
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
  kAbsorbK,  // its keys: heads x [latent, nope], transposed
  kExpandV,  // its values: heads x [v, latent]
  kGate,
  kUp,
  kDown,
  kRouter,
  kRouterBias,
  kExpertGate,  // of one expert
  kExpertUp,
  kExpertDown,
  kExpertsGateUp,  // stacked: experts x [2F, C], gate rows first
  kExpertsDown,    // stacked: experts x [C, F]
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

enum class ParameterUse : uint8_t {
  kNone,       // no parameter: a copy of one, a part of one, several in one
  kMatrix,     // [outputs, inputs] of a product inside a layer
  kResidual,   // such a matrix whose product is added to the residual stream
  kEmbedding,  // the table; also the head where they are tied
  kHead,
  kRouter,       // [experts, width]
  kNorm,         // [n]
  kBias,         // [n], of a product
  kRoutingBias,  // [experts]: moved by its own rule, never by a gradient
};

// How a file may hold a parameter; stored_rows.h says where each of its rows is then.
enum class Layout : uint8_t {
  kPlain,    // as it is
  kTable,    // as it is; a tied head's tensor is as good
  kRotated,  // as it is; or, in GGUF files of some families, with the rows of each head interleaved
  kLatent,   // whole; or keys (transposed) and values apart
  kExpert,   // alone; or all experts of a layer stacked, gate and up fused too
};

// A dimension as a function of the config.
enum class Dim : uint8_t {
  kNone,
  kVocab,
  kHidden,
  kTwoHidden,
  kHeadDim,
  kHalfRotated,  // half of the channels of a head that are rotated
  kQueries,      // heads x head width
  kKeys,         // kv heads x head width
  kValues,       // heads x value width: what attention gives
  kQueryRank,
  kLatent,
  kLatentRotary,  // latent + rotary key
  kKeysValues,    // heads x (nope + v): what the latent gives
  kFfn,
  kExperts,
  kExpertFfn,
  kSharedFfn,
};
int64_t dim_of(const formats::ModelConfig& config, Dim dim);

struct TensorRow {
  Role role;
  std::string_view hugging_face;  // empty: has none
  std::string_view gguf;          // of an expert: of all experts of a layer, stacked
  ParameterUse use = ParameterUse::kNone;
  std::array<Dim, 2> dims{};  // [outputs, inputs]; [n], kNone; nothing where other layouts of it say it
  Layout layout = Layout::kPlain;

  std::vector<int64_t> shape(const formats::ModelConfig& config) const;
};

// The table of a family.
std::span<const TensorRow> tensors_of(formats::Family family);

// The row of a role, which the family has.
const TensorRow& row_of(formats::Family family, Role role);

// The name of a role, or "" where the family has none in this container.
std::string tensor_name(formats::Family family, Role role, bool is_gguf, int64_t layer = 0, int64_t expert = 0);

// What a Hugging Face name means in a family's table: the inverse of tensor_name. Nothing for a name it has not.
struct NamedPlace {
  Role role;
  int64_t layer = 0;
  int64_t expert = 0;
};
std::optional<NamedPlace> place_of(formats::Family family, std::string_view hugging_face_name);

}  // namespace naru::models
