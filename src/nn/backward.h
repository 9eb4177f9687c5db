// Backward: one run of a tape's stretch in reverse. Keeps where gradients lie and which of them are there already:
// the first consumer's part is written, later ones are added.
#pragma once

#include <unordered_map>
#include <vector>

#include "nn/tape.h"

namespace naru::nn {

class Backward {
 public:
  Backward(Tape& tape, Workspace& shadow);

  Status run();

 private:
  // Where an op's gradient writes: the gradient itself, or memory that close() adds to it.
  struct Target {
    View grad, written;
    bool is_added = false;
  };
  Target open(View value);
  Status close(const Target& target);
  // produce(View) writes the part of one consumer.
  template <typename Produce>
  Status contribute(View value, const Produce& produce) {
    const Target target = open(value);
    NARU_TRY(produce(target.written));
    return close(target);
  }

  View gradient_of(View value) const;  // its place, written or not
  bool has_gradient(View value) const;
  Status run(const contract::Op& op) {
    NARU_TRY(shadow_.within_bounds());
    return chip_.run(op);
  }
  Status copy(View from, View to);

  // The gradient rules, one an op (gradients.cpp).
  Status gradient(const contract::Matmul& op);
  Status gradient(const contract::GroupedMatmul& op);
  Status gradient(const contract::RmsNorm& op);
  Status gradient(const contract::Rope& op);
  Status gradient(const contract::RoundBF16& op);
  Status gradient(const contract::CacheWrite& op);
  Status gradient(const contract::Attention& op);
  Status gradient(const contract::SiluMul& op);
  Status gradient(const contract::Add& op);
  Status gradient(const contract::Route& op);
  Status gradient(const contract::Combine& op);
  Status gradient(const contract::Axpby& op);
  Status gradient(const contract::Embed& op);
  template <typename Other>
  Status gradient(const Other&);  // an op that no forward has: a mistake of ours

  Status add_weight_grad(const MatrixBinding& binding, View dy, View x, View groups, int64_t rows_share);
  Status gradient_of_target(const contract::GroupedMatmul& op, const contract::GroupedTarget& target);
  Result<View> add_prefixes(View grad, int64_t heads);
  Result<View> balance_scores(const contract::Route& op);
  const MatrixBinding& binding_of(const contract::PackedMatrix* weight) const { return tape_.bindings_.matrix(weight); }

  Tape& tape_;
  contract::Chip& chip_;
  Workspace& shadow_;
  ChipAddress shadow_begin_;
  std::vector<View> written_;                           // gradients that are there
  std::unordered_map<ChipAddress, View> stream_grads_;  // by the stream's address: [T * heads, width]
};

}  // namespace naru::nn
