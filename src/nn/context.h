// Context: what the layers of one forward pass share: the chip, the workspace, the rows of the batch, their rotation
// angles, and in training the tape. Layers are structs of parameters with a forward function made of ops; they name no
// chip, and issue every op through run(), so that the tape sees it.
#pragma once

#include <memory>

#include "contract/chip.h"
#include "nn/layer_cache.h"
#include "nn/tape.h"
#include "nn/workspace.h"

namespace naru::nn {

struct Context {
  contract::Chip& chip;
  Workspace& workspace;
  std::shared_ptr<const contract::Sequences> sequences;
  std::shared_ptr<const contract::Sequences> writes = {};  // by which rows are written to the cache
  int64_t n_rows = 0;                                      // T, tokens of the batch
  View cos;                                                // [T, pairs]
  View sin;                                                // [T, pairs]
  Tape* tape = nullptr;
  // Where the layer at work puts the experts that its tokens chose, i32 [T, n_chosen], for who reads them once the pass
  // is over; empty: in the workspace, like all else.
  View chosen = {};
  bool is_chosen_given = false;  // they stand there already, and the router weighs them (kept routing)

  Status run(const contract::Op& op) {
    NARU_TRY(workspace.within_bounds());
    NARU_TRY(chip.run(op));
    if (tape != nullptr) tape->record(op);
    return {};
  }
  // Where the result of an op goes that may overwrite its operand x: x itself, or fresh memory where the tape will need
  // the old values.
  View in_place_of(View x) const { return tape != nullptr ? workspace.take(x.rows, x.cols) : x; }
  // Memory for what only a gradient reads; empty while nothing is recorded.
  View for_gradient(int64_t rows, int64_t cols) const { return tape != nullptr ? workspace.take(rows, cols) : View{}; }
};

// Ops of its life stand there.
class PlaceScope {
 public:
  PlaceScope(contract::Chip& chip, const contract::Place& place) : chip_(chip) { chip.set_place(place); }
  ~PlaceScope() { chip_.set_place({}); }
  PlaceScope(const PlaceScope&) = delete;
  PlaceScope& operator=(const PlaceScope&) = delete;

 private:
  contract::Chip& chip_;
};

// A parameter vector on the chip, f32 [1, n]; empty where the model has none.
struct Vector {
  std::unique_ptr<contract::Buffer> buffer;
  View view;
};

// A low-rank part beside a matrix (LoRA): scale * B (A x).
struct Adapter {
  std::unique_ptr<contract::PackedMatrix> a;  // [rank, inputs]
  std::unique_ptr<contract::PackedMatrix> b;  // [outputs, rank]
  float scale = 1;
};

// A matrix with an optional bias and an optional adapter.
struct Linear {
  std::unique_ptr<contract::PackedMatrix> weight;
  Vector bias;
  std::unique_ptr<Adapter> adapter;

  int64_t outputs() const { return weight->outputs; }
  contract::MatmulTarget target(View out) const { return {weight.get(), bias.view, out}; }
};

}  // namespace naru::nn
