// The errors that row kernels report. Kept out of the kernels so that text is not compiled for every level.
#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "contract/ops.h"

namespace naru::cpu {

// The indices that were reported, whichever thread found them.
class BadIndices {
 public:
  BadIndices();
  ~BadIndices();
  void report(int64_t index);
  // Of one thread, when all others are done.
  bool found() const;
  int64_t first() const;
  std::vector<int64_t> ascending() const;

 private:
  std::mutex mutex_;
  std::vector<int64_t> indices_;
};

// Of rows of an operand with n_rows. `what` names the value of the first of them that was not finite, as "sum of
// squares".
Error non_finite_rows(std::string_view op, int64_t n_rows, const BadIndices& rows, std::string_view what, float found);

// Of elements of the x of a cache_write, as indices of (token in the order of the sequences, head of x, column).
int64_t cache_write_row(const contract::CacheWrite& op, int64_t index);  // of x
Error non_finite_elements(const contract::CacheWrite& op, const BadIndices& bad, float found);

// Stops the program where an index that the host made lies outside of [0, n).
void check_index(std::string_view op, int64_t index, int64_t n);

}  // namespace naru::cpu
