#include "check/agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace naru::check {
namespace {

constexpr double kDoubt = 0.05;  // 1 - confidence

std::string changed_text(uint32_t bits) {
  return fmt::format("{} ({:08x})", std::bit_cast<float>(bits), bits);
}

// Of a Poisson variable of this mean: that it is at most n.
double probability_at_most(int64_t n, double mean) {
  double sum = 0;
  for (int64_t k = 0; k <= n; ++k) {
    const auto events = static_cast<double>(k);
    sum += std::exp(events * std::log(mean) - mean - std::lgamma(events + 1));
  }
  return sum;
}

}  // namespace

int ChangedValue::n_bits() const {
  return std::popcount(now ^ before);
}

std::string ChangedValue::text() const {
  return fmt::format("{} [{}, {}]: {}, and {} before", name, row, column, changed_text(now), changed_text(before));
}

void BitDifference::compare(std::string_view name, int64_t cols, int64_t begin, std::span<const float> now,
                            std::span<const float> before) {
  for (size_t i = 0; i < now.size(); ++i) {
    const auto a = std::bit_cast<uint32_t>(now[i]), b = std::bit_cast<uint32_t>(before[i]);
    if (a == b) continue;
    ++n_values_;
    n_bits_ += std::popcount(a ^ b);
    const int64_t at = begin + static_cast<int64_t>(i);
    if (first_.size() < kFirstMax) first_.push_back({std::string(name), at / cols, at % cols, a, b});
  }
}

std::string BitDifference::text() const {
  if (n_values_ == 0) return {};
  return fmt::format("{} value{} with other bits ({} bit{}), first {}", n_values_, n_values_ == 1 ? "" : "s", n_bits_,
                     n_bits_ == 1 ? "" : "s", first_.front().text());
}

bool Tries::agrees(std::string result) {
  const bool is_known = std::find(results_.begin(), results_.end(), result) != results_.end();
  results_.push_back(std::move(result));
  return is_known;
}

double rate_at_most(int64_t n_events, int64_t n_tries) {
  if (n_tries <= 0) return 1;
  // Far from zero the variable is as good as normal, and its sum too long.
  constexpr int64_t kFew = 1000;
  const auto events = static_cast<double>(n_events);
  double low = events, high = events + 3 * std::sqrt(events + 1) + 4;
  if (n_events > kFew) {
    low = events + 1.6449 * std::sqrt(events + 1) + 2;
  } else {
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      (probability_at_most(n_events, std::max(middle, 1e-300)) > kDoubt ? low : high) = middle;
    }
  }
  return std::min(1.0, low / static_cast<double>(n_tries));
}

}  // namespace naru::check
