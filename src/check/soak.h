// Soak: the ops of a chip again and again under changing load, and every bit that does not come out as before. What a
// case gives is what two of its runs gave alike; whether that is right is the matrix's to say (chip_matrix.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "check/agreement.h"
#include "check/judge.h"

namespace naru::check {

// How the runs of a stretch follow each other.
enum class Load : uint8_t {
  kSteady,   // a short pause behind each
  kBurst,    // none
  kIdle,     // long ones
  kThreads,  // with another number of threads, where the chip has any
};
std::string_view load_name(Load load);

// A run that came out otherwise.
struct SoakFinding {
  double seconds = 0;  // since the soak began
  Load load = Load::kSteady;
  Case c;
  std::string what = {};  // an error, or a write to memory that is no output; empty: values differ
  struct Value {
    ChangedValue changed;
    int64_t address = 0;  // on the chip
  };
  std::vector<Value> values = {};  // the first ones of n_values
  int64_t n_values = 0, n_bits = 0;

  std::string text() const;  // what differs, in a line
};

struct SoakReport {
  double seconds = 0;
  int64_t n_cases = 0;                // that were to run, again and again
  int64_t n_absent = 0;               // of them: the chip does not have them
  int64_t n_runs = 0, n_op_runs = 0;  // of cases; of ops
  int64_t n_found = 0, n_bits = 0;    // runs that came out otherwise; their bits
  std::vector<SoakFinding> findings;  // the first kSoakFindingsMax of them
  std::string hangs;                  // the op that gave no answer, in words; empty: none. The soak ended with it,
                                      // also where somebody stopped it and the op went on
  bool is_stopped = false;            // go_on said so

  double rate_at_most() const { return check::rate_at_most(n_found, n_op_runs); }  // of an op's runs, 95 %
};
inline constexpr size_t kSoakFindingsMax = 10000;

struct SoakProgress {
  double seconds = 0;
  int64_t n_op_runs = 0, n_found = 0;
};

struct SoakOptions {
  double seconds = 60;
  std::vector<std::string> ops;  // these alone; empty: all
  double patience_s = 60;        // of one run of a case
  double pause_s = 1;            // between two cases under the load kIdle, at the most
  uint64_t seed = 1;             // of the order and the pauses
  std::function<bool(const SoakProgress&)> go_on =
      {};  // asked again and again, also while an op is at work; false: stop
};

// Small cases of every cell of the matrix, and shapes as models have them. An error is one of a system that gives no
// more memory, or kInvalidArgument where no case is left.
Result<SoakReport> soak_chip(const ChipUnderTest& chip, const SoakOptions& options);

}  // namespace naru::check
