#include "data/packing.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/check.h"
#include "base/philox.h"

namespace naru::data {
namespace {

__extension__ using Wide = unsigned __int128;

// floor(rows * part / whole)
int64_t share_of(int64_t rows, int64_t part, int64_t whole) {
  return static_cast<int64_t>(static_cast<Wide>(rows) * static_cast<Wide>(part) / static_cast<Wide>(whole));
}

}  // namespace

std::vector<int32_t> shuffled(uint64_t seed, uint32_t stream, int64_t epoch, int64_t n) {
  NARU_CHECK(n >= 0 && n < int64_t{1} << 31, n);
  NARU_CHECK(epoch >= 0 && epoch < int64_t{1} << 32, epoch);
  std::vector<int32_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) {
    const PhiloxBlock block =
        draw(seed, DrawPurpose::kShuffle, stream, static_cast<uint64_t>(epoch) << 32 | static_cast<uint64_t>(i));
    const uint64_t bits = static_cast<uint64_t>(block[0]) << 32 | block[1];
    const auto j = static_cast<size_t>(static_cast<Wide>(bits) * static_cast<Wide>(i + 1) >> 64);
    std::swap(order[static_cast<size_t>(i)], order[j]);
  }
  return order;
}

RowPlan plan_rows(std::span<const int32_t> lengths, int64_t context) {
  std::vector<int32_t> row_of(lengths.size());
  std::map<int64_t, std::vector<int32_t>> rows_with_room;  // by room left
  int32_t n_rows = 0;
  for (size_t rank = 0; rank < lengths.size(); ++rank) {
    const int64_t length = lengths[rank];
    NARU_CHECK(length >= 1 && length <= context && (rank == 0 || length <= lengths[rank - 1]), length, context);
    const auto fit = rows_with_room.lower_bound(length);
    int64_t room = context;
    if (fit == rows_with_room.end()) {
      row_of[rank] = n_rows++;
    } else {
      room = fit->first;
      row_of[rank] = fit->second.back();
      fit->second.pop_back();
      if (fit->second.empty()) rows_with_room.erase(fit);
    }
    if (room > length) rows_with_room[room - length].push_back(row_of[rank]);
  }
  RowPlan plan;
  plan.offsets.assign(static_cast<size_t>(n_rows) + 1, 0);
  for (const int32_t row : row_of) ++plan.offsets[static_cast<size_t>(row) + 1];
  std::partial_sum(plan.offsets.begin(), plan.offsets.end(), plan.offsets.begin());
  plan.ranks.resize(lengths.size());
  std::vector<int64_t> next(plan.offsets.begin(), plan.offsets.end() - 1);
  for (size_t rank = 0; rank < lengths.size(); ++rank) {
    plan.ranks[static_cast<size_t>(next[static_cast<size_t>(row_of[rank])]++)] = static_cast<int32_t>(rank);
  }
  return plan;
}

Mixture::Mixture(std::vector<int64_t> parts) : parts_(std::move(parts)), from_here_(parts_) {
  NARU_CHECK(!parts_.empty());
  for (const int64_t part : parts_) NARU_CHECK(part >= 1 && part < int64_t{1} << 60, part);
  for (size_t i = parts_.size() - 1; i-- > 0;) from_here_[i] += from_here_[i + 1];
  NARU_CHECK(from_here_[0] >= 1 && from_here_[0] < int64_t{1} << 60, from_here_[0]);
}

// Source 0 takes its share of the rows, evenly; what it leaves is dealt in the same way to the others.
Mixture::Place Mixture::place(int64_t row) const {
  for (size_t i = 0; i + 1 < parts_.size(); ++i) {
    const int64_t before = share_of(row, parts_[i], from_here_[i]);
    if (share_of(row + 1, parts_[i], from_here_[i]) > before) return {static_cast<int64_t>(i), before};
    row -= before;
  }
  return {static_cast<int64_t>(parts_.size()) - 1, row};
}

int64_t Mixture::count(int64_t source, int64_t rows) const {
  for (size_t i = 0; i + 1 < parts_.size(); ++i) {
    const int64_t taken = share_of(rows, parts_[i], from_here_[i]);
    if (static_cast<int64_t>(i) == source) return taken;
    rows -= taken;
  }
  return rows;
}

int64_t Mixture::rows_until(int64_t source, int64_t wanted) const {
  int64_t high = 1;
  while (count(source, high) < wanted && high < int64_t{1} << 61) high *= 2;
  int64_t low = 0;  // count(low) < wanted <= count(high), where wanted > 0
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (count(source, middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::vector<int64_t> mixture_parts(std::span<const double> weights) {
  const double greatest = *std::max_element(weights.begin(), weights.end());
  std::vector<int64_t> parts;
  for (const double weight : weights) {
    NARU_CHECK(weight > 0);
    parts.push_back(std::max<int64_t>(1, std::llround(weight / greatest * 0x1p40)));
  }
  return parts;
}

}  // namespace naru::data
