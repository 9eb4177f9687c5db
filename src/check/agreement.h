// Agreement: the same work done again from the same state, until two of its results are alike, and the bits in which
// two of them differ. A chip that is wrong now and then is not wrong twice in the same way; one that always is, is.
// Training's guard and the soak of a chip judge by it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace naru::check {

// A value that came out with other bits.
struct ChangedValue {
  std::string name;  // of the array that it is in
  int64_t row = 0, column = 0;
  uint32_t now = 0, before = 0;

  int n_bits() const;
  std::string text() const;  // "weight [3, 17]: 1.5 (3fc00000), and 1.25 (3fa00000) before"
};

// What differs between two results, array by array.
class BitDifference {
 public:
  // Values [begin, begin + size) of the array `name`, whose rows have `cols` columns.
  void compare(std::string_view name, int64_t cols, int64_t begin, std::span<const float> now,
               std::span<const float> before);

  int64_t n_values() const { return n_values_; }
  int64_t n_bits() const { return n_bits_; }
  const std::vector<ChangedValue>& first() const { return first_; }  // kFirstMax at the most
  std::string text() const;                                          // how many, and the first; "" where none

  static constexpr size_t kFirstMax = 64;

 private:
  int64_t n_values_ = 0, n_bits_ = 0;
  std::vector<ChangedValue> first_;
};

// The results of several tries at one thing, each as a text that two results share where they are alike.
class Tries {
 public:
  // Notes one; true where an earlier one was the same.
  bool agrees(std::string result);
  int64_t count() const { return static_cast<int64_t>(results_.size()); }

 private:
  std::vector<std::string> results_;
};

// Of `n_events` that came in `n_tries`: the rate that is hardly exceeded, with a confidence of 95 %. 1 at the most.
double rate_at_most(int64_t n_events, int64_t n_tries);

}  // namespace naru::check
