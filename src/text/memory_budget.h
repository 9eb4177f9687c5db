// A budget of bytes that growing tables take from. A table that may grow asks first; where the budget does not hold the
// growth, it stays as it is and the owner says so with the numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace naru::text {

class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t bytes_max) : bytes_max_(bytes_max) {}

  int64_t bytes_max() const { return bytes_max_; }
  int64_t used() const { return used_; }
  int64_t peak() const { return peak_; }
  int64_t wanted() const { return wanted_; }  // what the last refusal would have taken in all

  // Takes `bytes`, of which `bytes_freed` are given back at once: the new and the old block of a table that moves.
  bool take(int64_t bytes, int64_t bytes_freed = 0) {
    if (bytes > bytes_max_ - used_) {
      wanted_ = used_ + bytes;
      return false;
    }
    peak_ = std::max(peak_, used_ + bytes);
    used_ += bytes - bytes_freed;
    return true;
  }

  // Room for n more elements without another allocation; at least doubles, where that fits.
  template <typename T>
  bool reserve_more(std::vector<T>& table, size_t n) {
    if (table.capacity() - table.size() >= n) return true;
    const auto bytes_of = [](size_t count) { return static_cast<int64_t>(count * sizeof(T)); };
    const size_t least = table.size() + n;
    for (const size_t capacity : {std::max(least, 2 * table.capacity()), least}) {
      if (!take(bytes_of(capacity), bytes_of(table.capacity()))) continue;
      table.reserve(capacity);
      return true;
    }
    return false;
  }

  template <typename T>
  void free(std::vector<T>& table) {
    used_ -= static_cast<int64_t>(table.capacity() * sizeof(T));
    std::vector<T>().swap(table);
  }

 private:
  int64_t bytes_max_;
  int64_t used_ = 0;
  int64_t peak_ = 0;
  int64_t wanted_ = 0;
};

}  // namespace naru::text
