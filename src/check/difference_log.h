// DifferenceLog: the ops of a run whose values are not what they should be, as they are found. The thread that runs the
// ops writes it; whoever waits for that thread reads it, sees whether it still moves, and may ask it to stop.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "check/op_place.h"
#include "check/op_values.h"

namespace naru::check {

// One op that differs: the first of its outputs that does, or the error that it alone had.
struct OpDifference {
  OpPlace place;
  std::string operands;       // their shapes
  std::string output;         // its name; empty where the op ended with an error
  DType dtype = DType::kF32;  // of the output
  int64_t rows = 0, cols = 0;
  ValueDifference values;
  int64_t n_outputs = 0;   // of the op that differ
  std::string error;       // of the checked chip alone
  bool is_absent = false;  // that it does not have the op
  std::string also;        // what the op reads and nobody can compare: it may be at fault in the op's place
};

// What an op reads in a form of the chip's own: "the rows of the cache that it reads"; empty: nothing.
std::string unseen_operands(const contract::Op& op);
// In one line: "pass 1, layer 0, matmul: 'out' [32, 64], row 3, column 5 is ... on distant and ... on reference; ..."
std::string difference_text(const OpDifference& difference, std::string_view checked, std::string_view against);

class DifferenceLog {
 public:
  // ---- of the thread that runs

  // An op begins; kCancelled where somebody asked to stop.
  Status begin(const OpPlace& place);
  // Something else was done.
  void tick() { ++pulse_; }
  // Whose call comes next: the other chip's, or the checked one's.
  void turn_to_other(bool is_other) { is_other_at_work_ = is_other, tick(); }
  void add(OpDifference difference);

  // ---- of any

  void stop() { is_stopped_ = true; }
  // Moves as long as the run does.
  const std::atomic<int64_t>& pulse() const { return pulse_; }
  int64_t n_ops() const { return n_ops_; }  // begun
  struct Found {
    std::vector<OpDifference> differences;  // in the order of the ops
    int64_t n_ops = 0;
    std::optional<OpPlace> last;  // that began
    bool is_other_at_work = false;
  };
  Found found() const;

 private:
  std::atomic<int64_t> pulse_ = 0, n_ops_ = 0;
  std::atomic<bool> is_stopped_ = false, is_other_at_work_ = false;
  mutable std::mutex mutex_;
  std::vector<OpDifference> differences_;
  std::optional<OpPlace> last_;
};

}  // namespace naru::check
