// The errors that row kernels report. Kept out of the kernels so that text is not compiled for every level.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace naru::cpu {

// The least index that was reported, whichever thread found it first.
class FirstIndex {
 public:
  void report(int64_t index) {
    int64_t seen = index_.load(std::memory_order_relaxed);
    while (index < seen && !index_.compare_exchange_weak(seen, index, std::memory_order_relaxed)) {
    }
  }
  bool found() const { return index() != kNone; }
  int64_t index() const { return index_.load(std::memory_order_relaxed); }

 private:
  static constexpr int64_t kNone = INT64_MAX;
  std::atomic<int64_t> index_{kNone};
};

// `what` names the value that was not finite, as "sum of squares".
Error non_finite_row(std::string_view op, int64_t row, std::string_view what, float found);
Error non_finite_element(std::string_view op, int64_t row, int64_t column, float found);

// Stops the program where an index that the host made lies outside of [0, n).
void check_index(std::string_view op, int64_t index, int64_t n);

}  // namespace naru::cpu
