#include "nn/tape.h"

#include "nn/backward.h"

namespace naru::nn {

void Tape::bind(MatrixBinding binding) {
  NARU_CHECK(binding.weight != nullptr);
  matrices_[binding.weight] = std::move(binding);
}

void Tape::bind_vector(View vector, View grad) {
  vectors_[vector.data] = grad;
}

void Tape::begin(const Workspace& workspace) {
  ops_.clear();
  outside_.clear();
  workspace_ = &workspace;
  begin_ = workspace.mark();
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
