#include "train/reverse_kl.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/double_math.h"
#include "engine/exp_row.h"

namespace naru::train {
namespace {

double as_double(float x) {
  return static_cast<double>(x);
}

}  // namespace

Result<ReverseKl::Peak> ReverseKl::exponentials(std::span<const float> logits) {
  NARU_CHECK(!logits.empty());
  const auto bad = std::find_if(logits.begin(), logits.end(), [](float x) { return !std::isfinite(x); });
  if (bad != logits.end()) {
    return Error{Code::kOutOfRange, fmt::format("comparing rows of logits: that of token {} is {}, a finite number was "
                                                "wanted: the weights or a layer overflowed",
                                                bad - logits.begin(), *bad)};
  }
  Peak peak{.max = *std::max_element(logits.begin(), logits.end())};
  e_.resize(logits.size());
  engine::exp_row(logits.data(), std::ssize(logits), peak.max, 1.0f, e_.data());
  for (const float e : e_) peak.sum += as_double(e);
  return peak;
}

Result<double> ReverseKl::log_sum(std::span<const float> logits) {
  NARU_ASSIGN(const Peak peak, exponentials(logits));
  return as_double(peak.max) + log_double(peak.sum);
}

Result<ReverseKl::Row> ReverseKl::set(std::span<const float> x, std::span<const float> y, double w, double c) {
  NARU_CHECK(x.size() == y.size(), x.size(), y.size());
  NARU_ASSIGN(const Peak peak, exponentials(x));
  double gaps = 0, below = 0;  // sums of e g, and of e (x - max)
  for (size_t v = 0; v < x.size(); ++v) {
    const double e = as_double(e_[v]);
    gaps += e * (w * as_double(x[v]) - as_double(y[v]));
    below += e * (as_double(x[v]) - as_double(peak.max));
  }
  if (!std::isfinite(gaps)) {
    return Error{Code::kOutOfRange,
                 "comparing rows of logits: a teacher's are not finite, finite numbers were wanted: "
                 "its weights or a layer overflowed"};
  }
  w_ = w, sum_ = peak.sum, mean_ = gaps / peak.sum;
  const double log_sum = log_double(peak.sum);
  return Row{.loss = mean_ - w * (as_double(peak.max) + log_sum) + c, .entropy = log_sum - below / peak.sum};
}

void ReverseKl::gradient(float weight, std::span<const float> x, std::span<const float> y, std::span<float> out) const {
  const double times = as_double(weight) / sum_;
  for (size_t v = 0; v < out.size(); ++v) {
    const double gap = w_ * as_double(x[v]) - as_double(y[v]);
    out[v] = static_cast<float>(times * as_double(e_[v]) * (gap - mean_));
  }
}

}  // namespace naru::train
