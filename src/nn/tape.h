// Tape: the ops of a stretch of the forward pass (one layer) in the order they ran, and their gradients in the reverse
// order. Each op's gradient is made of contract ops (gradients.cpp); values that meet are added in the order in which
// the tape meets them, last consumer first (docs/arithmetic.md section 7).
//
// A value's gradient lies in the shadow of the workspace: as far from the shadow's begin as the value from the
// stretch's. So views of one value (heads, slices of columns) have views of one gradient. Values from before the
// stretch that carry a gradient (the residual stream) are named with outside().
//
// Parameters are bound once, for all tapes. Their gradients are added to what their views hold.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "contract/chip.h"
#include "nn/workspace.h"

namespace naru::nn {

// A matrix of the forward and what its gradient needs.
struct MatrixBinding {
  const contract::PackedMatrix* weight = nullptr;
  contract::PackedMatrix* transposed = nullptr;  // for dx; null: this matrix is never multiplied (a lookup table)
  // The gradient of each group, as the parameter lies: [outputs, inputs], or [inputs, outputs] where the forward's
  // matrix is the parameter transposed. Empty: frozen.
  std::vector<View> grads;
  bool is_transposed = false;
};

// What every tape of a model shares.
class Bindings {
 public:
  void bind(MatrixBinding binding);
  void bind_vector(View vector, View grad);  // an empty grad: frozen
  const MatrixBinding& matrix(const contract::PackedMatrix* weight) const;
  View vector_grad(View vector) const;

 private:
  std::unordered_map<const contract::PackedMatrix*, MatrixBinding> matrices_;
  std::unordered_map<ChipAddress, View> vectors_;
};

class Tape {
 public:
  Tape(contract::Chip& chip, const Bindings& bindings) : chip_(chip), bindings_(bindings) {}

  // V3's balance loss of the stretch's one Route over these documents: weight = alpha / documents of the step. The
  // losses go to `losses` [documents, 1].
  void set_balance(float weight, contract::SequencesRef sequences, View losses) {
    balance_weight_ = weight;
    sequences_ = sequences;
    balance_losses_ = losses;
  }

  // What an AttentionGrad gives rows behind those of the batch is that of these, i32 [E, 1]
  // (SequenceRows::prefix_begin).
  void set_prefix_rows(View rows) { prefix_rows_ = rows; }

  // A stretch lies between two marks of the workspace; its values live there until it has run backwards.
  void begin(const Workspace& workspace);
  void end(const Workspace& workspace);
  void record(const contract::Op& op);
  // Says where the gradient of a value lies that other stretches read or write. `is_given`: it holds one already.
  void outside(View value, View grad, bool is_given);

  // Runs the stretch backwards. `shadow` holds the gradients; it is given back as it was.
  Status backward(Workspace& shadow);

 private:
  friend class Backward;

  struct Outside {
    View value, grad;
    bool is_given;
  };

  contract::Chip& chip_;
  const Bindings& bindings_;
  std::vector<contract::Op> ops_;
  std::vector<Outside> outside_;
  ChipAddress begin_;  // of the stretch's values
  int64_t bytes_ = 0;
  float balance_weight_ = 0;
  contract::SequencesRef sequences_;
  View balance_losses_;  // empty: none, or written
  View prefix_rows_;
};

}  // namespace naru::nn
