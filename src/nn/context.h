// Context: what the layers of one forward pass share: the chip, the workspace, the rows of the batch and their
// rotation angles. Layers are structs of parameters with a forward function made of ops; they name no chip.
#pragma once

#include <span>

#include "contract/chip.h"
#include "nn/workspace.h"

namespace naru::nn {

struct Context {
  contract::Chip& chip;
  Workspace& workspace;
  std::span<const contract::SequenceRows> sequences;
  int64_t n_rows = 0;  // T, tokens of the batch
  View cos;            // [T, pairs]
  View sin;            // [T, pairs]
};

// The streams of one layer. Latent attention keeps one stream, in `key`, which is also the value.
struct LayerCache {
  contract::CacheStream key;
  contract::CacheStream value;
};

// A parameter vector on the chip, f32 [1, n]; empty where the model has none.
struct Vector {
  std::unique_ptr<contract::Buffer> buffer;
  View view;
};

// A matrix with an optional bias.
struct Linear {
  std::unique_ptr<contract::PackedMatrix> weight;
  Vector bias;

  int64_t outputs() const { return weight->outputs; }
  contract::MatmulTarget target(View out) const { return {weight.get(), bias.view, out}; }
};

}  // namespace naru::nn
