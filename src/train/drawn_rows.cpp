#include "train/drawn_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "train/chip_values.h"

namespace naru::train {

template <typename Visit>
Status DrawnRows::by_rows(View logits, int64_t begin, bool is_changed, const Visit& visit) {
  if (chip_.info().is_planner) return {};
  const int64_t n_each = std::max<int64_t>(1, kPieceFloats / logits.cols);
  const auto vocab = static_cast<size_t>(logits.cols);
  NARU_TRY(chip_.wait());
  for (int64_t first = 0; first < logits.rows; first += n_each) {
    const View part = logits.slice_rows(first, std::min(n_each, logits.rows - first));
    piece_.resize(static_cast<size_t>(part.rows) * vocab);
    NARU_TRY(chip_.copy_out(piece_.data(), part.address, std::ssize(piece_) * 4));
    for (int64_t i = 0; i < part.rows; ++i) {
      NARU_TRY(visit(static_cast<size_t>(begin + first + i),
                     std::span<float>(piece_).subspan(static_cast<size_t>(i) * vocab, vocab)));
    }
    if (is_changed) NARU_TRY(chip_.copy_in(part.address, piece_.data(), std::ssize(piece_) * 4));
  }
  return {};
}

Result<size_t> DrawnRows::weigh(size_t row, std::span<const float> logits) {
  ids_.clear();
  if (batch_.kept.rows() > 0 && batch_.kept.has(row)) ids_ = batch_.kept.ids(row, std::ssize(logits));
  x_.assign(logits.begin(), logits.end());
  if (!ids_.empty()) {
    x_.resize(ids_.size());
    for (size_t i = 0; i < ids_.size(); ++i) x_[i] = logits[static_cast<size_t>(ids_[i])];
  }
  const auto bad = std::find_if(x_.begin(), x_.end(), [](float x) { return !std::isfinite(x); });
  if (bad != x_.end()) {
    return Error{Code::kOutOfRange,
                 fmt::format("weighing row {} of a micro-batch: a logit is {}, a finite number was wanted: the weights "
                             "or a layer overflowed",
                             row, *bad)};
  }
  softmax_.set(x_, temperature_);
  const int32_t target = batch_.targets[row];
  if (ids_.empty()) return static_cast<size_t>(target);
  const auto found = std::lower_bound(ids_.begin(), ids_.end(), target);
  NARU_CHECK(found != ids_.end() && *found == target, "a target that its rollout did not keep", row, target);
  return static_cast<size_t>(found - ids_.begin());
}

Status DrawnRows::log_probs(View logits, int64_t begin, std::span<const float> weights, std::span<float> out) {
  return by_rows(logits, begin, false, [&](size_t row, std::span<const float> x) -> Status {
    if (weights[row] == 0) return {};
    NARU_ASSIGN(out[row], log_prob(row, x));
    return {};
  });
}

Result<float> DrawnRows::log_prob(size_t row, std::span<const float> logits) {
  NARU_ASSIGN(const size_t target, weigh(row, logits));
  return softmax_.log_prob(target);
}

Status DrawnRows::gradient(View logits, int64_t begin, std::span<const float> weights) {
  return by_rows(logits, begin, true, [&](size_t row, std::span<float> x) -> Status {
    if (weights[row] == 0) {
      std::fill(x.begin(), x.end(), 0.0f);
      return {};
    }
    NARU_ASSIGN(const size_t target, weigh(row, x));
    std::fill(x.begin(), x.end(), 0.0f);
    for (size_t i = 0; i < x_.size(); ++i) {
      const size_t at = ids_.empty() ? i : static_cast<size_t>(ids_[i]);
      x[at] = static_cast<float>(-static_cast<double>(weights[row]) * softmax_.slope(i, target));
    }
    return {};
  });
}

}  // namespace naru::train
