#include "engine/kept_softmax.h"

#include <algorithm>

#include "base/check.h"
#include "base/double_math.h"
#include "contract/scalar.h"
#include "engine/exp_row.h"

namespace naru::engine {

float drawn_log_prob(float x, float m, float temperature, uint64_t total) {
  const double distance = static_cast<double>(x) - static_cast<double>(m);
  const double sum = static_cast<double>(total) / kTokenWeightOne;
  return static_cast<float>(distance / static_cast<double>(temperature) - log_double(sum));
}

void KeptSoftmax::set(std::span<const float> x, float temperature) {
  NARU_CHECK(!x.empty() && temperature > 0, x.size(), temperature);
  x_ = x;
  m_ = contract::add(*std::max_element(x.begin(), x.end()), 0.0f);
  temperature_ = temperature;
  e_.resize(x.size());
  weights_.resize(x.size());
  exp_row(x.data(), std::ssize(x), m_, temperature, e_.data());
  total_ = 0;
  for (size_t i = 0; i < x.size(); ++i) total_ += weights_[i] = token_weight(e_[i]);
}

// Of the token itself by what is left of the sum, which keeps its digits where p is near 1.
double KeptSoftmax::slope(size_t i, size_t of) const {
  const uint64_t part = i == of ? total_ - weights_[i] : weights_[i];
  const double share = static_cast<double>(part) / static_cast<double>(total_);
  return (i == of ? share : -share) / static_cast<double>(temperature_);
}

}  // namespace naru::engine
