// The count of each pair of neighbouring tokens: an open-addressing table by pair, in memory from a budget.
#pragma once

#include <cstdint>
#include <vector>

#include "text/hash.h"
#include "text/memory_budget.h"

namespace naru::text {

inline uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

struct PairCount {
  uint64_t pair = UINT64_MAX;  // pair_of(left, right); UINT64_MAX: free
  int64_t count = 0;
};

class PairTable {
 public:
  explicit PairTable(MemoryBudget* budget) : budget_(budget) {}

  // Room for n more pairs; false where the budget has none.
  bool reserve_more(size_t n) {
    const size_t wanted = size_ + n;
    if (!table_.empty() && 3 * wanted <= 2 * table_.size()) return true;
    size_t slots = std::max<size_t>(table_.size(), 1 << 12);
    while (2 * slots < 3 * wanted) slots *= 2;
    const auto bytes_of = [](size_t count) { return static_cast<int64_t>(count * sizeof(PairCount)); };
    if (!budget_->take(bytes_of(slots), bytes_of(table_.size()))) return false;
    std::vector<PairCount> old(slots);
    old.swap(table_);
    for (const PairCount& entry : old) {
      if (entry.pair != UINT64_MAX) table_[place_of(entry.pair)] = entry;
    }
    return true;
  }

  PairCount* find(uint64_t pair) {
    PairCount& entry = table_[place_of(pair)];
    return entry.pair == pair ? &entry : nullptr;
  }
  // Room must have been reserved. The pointer is good until the next reserve_more().
  PairCount* find_or_add(uint64_t pair) {
    PairCount& entry = table_[place_of(pair)];
    if (entry.pair != pair) {
      entry.pair = pair;
      ++size_;
    }
    return &entry;
  }

 private:
  size_t place_of(uint64_t pair) const {
    const size_t mask = table_.size() - 1;
    size_t place = mix(pair) & mask;
    while (table_[place].pair != pair && table_[place].pair != UINT64_MAX) place = (place + 1) & mask;
    return place;
  }

  MemoryBudget* budget_;
  std::vector<PairCount> table_;  // the size is a power of two
  size_t size_ = 0;
};

}  // namespace naru::text
