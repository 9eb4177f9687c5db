// The matrix of a chip: every op by every kind, each cell graded by the cases of its suite (judge.h), with its speed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "check/judge.h"
#include "check/speed.h"

namespace naru::check {

// A case that went wrong, as it was found and as small as it could be made.
struct Failure {
  Case first;
  Case smallest;
  Finding finding;      // of the smallest
  int64_t n_cases = 0;  // of the cell that failed; 0: what hangs is the case that was timed
};

struct Cell {
  std::string op = {};
  std::string kind = {};  // the word by which its arithmetic differs: "q8_0_as_q8_0", "bf16"; "f32" where there is none
  Verdict verdict = Verdict::kExact;  // the worst of its cases
  int64_t n_cases = 0;                // that ran
  int64_t n_absent = 0;               // of those
  std::string cases = {};             // SHA-256 of the lines of those that were to run, with their seeds
  std::string outputs = {};           // SHA-256 of the outputs of its cases: alike on two chips with the same bits
  std::string absent_because = {};    // as the chip said first
  Finding worst_bounded = {};         // the one with the largest part of its bound
  std::optional<Failure> failure = {};
  std::optional<Speed> speed = {};
};

struct ChipMatrix {
  std::vector<Cell> cells;  // in the order of the suites
  int64_t n_cases = 0;      // that ran
  std::string cases;        // SHA-256 of the lines of those that were to run, with their seeds
  double seconds = 0;
  bool is_whole = true;     // false: those behind a case that hung, or at which it was stopped, did not run
  bool is_stopped = false;  // by go_on

  const Cell* first_fault() const;
  Verdict worst() const;
};

struct MatrixOptions {
  bool is_sample = false;        // a few small cases of every cell
  std::vector<std::string> ops;  // these alone; empty: all
  double patience_s = 60;        // of one run of a case
  int n_references = 1;          // threads on which the reference chip works ahead
  double speed_seconds = 0.05;   // of each cell; 0: none is measured
  // Told how many cases are done; false: stop, with what was found so far.
  std::function<bool(int64_t done, int64_t total)> go_on;
};

// The word of a case's kind by which cells differ.
std::string cell_kind(const Case& c);
// The cases of the matrix, cell by cell.
std::vector<std::vector<Case>> matrix_cases(const MatrixOptions& options);

using MakeChip = std::function<std::unique_ptr<contract::Chip>()>;

// The errors of a reference chip: those of the chip under test are findings.
Result<ChipMatrix> check_chip(const ChipUnderTest& chip, const MakeChip& make_reference, const MatrixOptions& options);

// Judges the case, and makes it smaller where it fails. A chip that fails now and then is asked several times.
Result<Failure> smallest_failure(const Case& failing, const Finding& finding, Judge& judge);

}  // namespace naru::check
