#include "chips/cpu/row_errors.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "contract/op_table.h"

namespace naru::cpu {

BadIndices::BadIndices() = default;
BadIndices::~BadIndices() = default;

void BadIndices::report(int64_t index) {
  const std::lock_guard lock(mutex_);
  indices_.push_back(index);
}

bool BadIndices::found() const {
  return !indices_.empty();
}

int64_t BadIndices::first() const {
  return *std::min_element(indices_.begin(), indices_.end());
}

std::vector<int64_t> BadIndices::ascending() const {
  std::vector<int64_t> indices = indices_;
  std::sort(indices.begin(), indices.end());
  return indices;
}

Error non_finite_rows(std::string_view op, int64_t n_rows, const BadIndices& rows, std::string_view what, float found) {
  return contract::row_error(op, n_rows, rows.ascending(),
                             fmt::format("{}: row {}: the {} is {}, a finite number was wanted; the weights or an "
                                         "earlier layer overflowed",
                                         op, rows.first(), what, found));
}

int64_t cache_write_row(const contract::CacheWrite& op, int64_t index) {
  const int64_t heads_in_x = op.x.rows / op.sequences.end_row();
  int64_t token = index / op.x.cols / heads_in_x;
  size_t s = 0;
  for (; token >= op.sequences[s].n_rows; ++s) token -= op.sequences[s].n_rows;
  return (op.sequences[s].row_begin + token) * heads_in_x + index / op.x.cols % heads_in_x;
}

Error non_finite_elements(const contract::CacheWrite& op, const BadIndices& bad, float found) {
  std::vector<int64_t> rows;
  for (const int64_t index : bad.ascending()) rows.push_back(cache_write_row(op, index));
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  const int64_t first = bad.first();
  return contract::row_error("cache_write", op.x.rows, std::move(rows),
                             fmt::format("cache_write: row {}, column {}: the value is {}, a finite number was wanted; "
                                         "the weights or an earlier layer overflowed",
                                         cache_write_row(op, first), first % op.x.cols, found));
}

void check_index(std::string_view op, int64_t index, int64_t n) {
  NARU_CHECK(index >= 0 && index < n, op, index, n);
}

}  // namespace naru::cpu
