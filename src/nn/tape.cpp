#include "nn/tape.h"

#include "nn/backward.h"

namespace naru::nn {

void Bindings::bind(MatrixBinding binding) {
  NARU_CHECK(binding.weight != nullptr);
  matrices_[binding.weight] = std::move(binding);
}

void Bindings::bind_vector(View vector, View grad) {
  vectors_[vector.address] = grad;
}

const MatrixBinding& Bindings::matrix(const contract::PackedMatrix* weight) const {
  const auto found = matrices_.find(weight);
  NARU_CHECK(found != matrices_.end(), "a matrix that no parameter is bound to", weight->outputs, weight->inputs);
  return found->second;
}

View Bindings::vector_grad(View vector) const {
  const auto found = vectors_.find(vector.address);
  NARU_CHECK(found != vectors_.end(), "a vector that no parameter is bound to", vector.cols);
  return found->second;
}

void Tape::begin(const Workspace& workspace) {
  ops_.clear();
  outside_.clear();
  begin_ = workspace.address() + workspace.mark();
  bytes_ = 0;
}

void Tape::end(const Workspace& workspace) {
  bytes_ = workspace.address() + workspace.mark() - begin_;
}

void Tape::record(const contract::Op& op) {
  ops_.push_back(op);
}

void Tape::outside(View value, View grad, bool is_given) {
  NARU_CHECK(value.rows == grad.rows && value.cols == grad.cols && value.row_stride == grad.row_stride);
  outside_.push_back({value, grad, is_given});
}

Status Tape::backward(Workspace& shadow) {
  const WorkspaceScope scope(shadow);
  Backward run(*this, shadow);
  return run.run();
}

}  // namespace naru::nn
