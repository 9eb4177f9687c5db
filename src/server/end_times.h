// EndTimes: when answers came to their end lately, and from that how soon the next one may.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>

namespace naru::server {

class EndTimes {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr int kSecondsMax = 60;

  void add(Time now) {
    times_[n_ % times_.size()] = now;
    ++n_;
  }
  // The mean time between two ends, up to now: whole seconds of 1 to kSecondsMax; 1 where nothing has ended.
  int seconds_to_next(Time now) const {
    const size_t n = std::min(n_, times_.size());
    if (n == 0) return 1;
    const double passed = std::chrono::duration<double>(now - times_[(n_ - n) % times_.size()]).count();
    const double each = std::clamp(passed / static_cast<double>(n), 0.0, static_cast<double>(kSecondsMax));
    return std::max(1, static_cast<int>(std::ceil(each)));
  }

 private:
  std::array<Time, 32> times_{};  // the last ones, in turn
  size_t n_ = 0;                  // that were added
};

}  // namespace naru::server
