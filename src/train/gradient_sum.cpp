#include "train/gradient_sum.h"

#include <algorithm>
#include <bit>

namespace naru::train {

Result<GradientSum::Copy> GradientSum::take() {
  if (!free_.empty()) {
    Copy copy = std::move(free_.back());
    free_.pop_back();
    return copy;
  }
  NARU_ASSIGN(ParameterBuffer made, ParameterBuffer::create(model_->chip(), model_->parameters(), model_->trained()));
  return std::make_unique<ParameterBuffer>(std::move(made));
}

Result<GradientSum::Copy> GradientSum::sum(int64_t begin, int64_t size, int64_t n, int64_t groups,
                                           const Accumulate& accumulate) {
  if (begin >= groups) return Copy{};
  if (size == 1) {
    const int64_t first = n * begin / groups, end = n * (begin + 1) / groups;
    if (first == end) return Copy{};
    NARU_ASSIGN(Copy copy, take());
    NARU_TRY(model_->chip().run(contract::Fill{.out = copy->all(), .value = 0}));
    for (int64_t i = first; i < end; ++i) NARU_TRY(accumulate(i, *copy));
    return copy;
  }
  NARU_ASSIGN(Copy left, sum(begin, size / 2, n, groups, accumulate));
  NARU_ASSIGN(Copy right, sum(begin + size / 2, size / 2, n, groups, accumulate));
  if (left == nullptr || right == nullptr) return left == nullptr ? std::move(right) : std::move(left);
  NARU_TRY(model_->chip().run(contract::Add{.a = left->all(), .b = right->all(), .out = left->all()}));
  free_.push_back(std::move(right));
  return left;
}

Result<const ParameterBuffer*> GradientSum::run(int64_t n_micro_batches, int64_t groups, const Accumulate& accumulate) {
  NARU_CHECK(n_micro_batches > 0 && groups > 0, n_micro_batches, groups);
  if (result_ != nullptr) free_.push_back(std::move(result_));
  const auto size = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(groups)));
  NARU_ASSIGN(result_, sum(0, size, n_micro_batches, groups, accumulate));
  return static_cast<const ParameterBuffer*>(result_.get());
}

int64_t GradientSum::copies(int64_t n_micro_batches, int64_t groups) {
  const int64_t runs = std::min(n_micro_batches, groups);
  return runs <= 1 ? 1 : static_cast<int64_t>(std::bit_width(static_cast<uint64_t>(runs - 1))) + 1;
}

}  // namespace naru::train
