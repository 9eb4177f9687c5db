#include "check/chip_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/sha256.h"
#include "base/stopwatch.h"
#include "check/outcomes_ahead.h"
#include "check/shrink.h"
#include "check/suite.h"

namespace naru::check {
namespace {

constexpr size_t kSampleCases = 10;   // of a cell
constexpr int64_t kShrinkRuns = 150;  // of a case
constexpr int kTries = 3;             // of a case on a chip that fails now and then

using Clock = std::chrono::steady_clock;

// Small ones: two with values of each kind, the rest with those that most have; every so many of each.
std::vector<Case> sample_of(const std::vector<Case>& cases) {
  std::vector<std::vector<Case>> by_values;
  for (const Values values : kEveryValues) {
    std::vector<Case>& alike = by_values.emplace_back();
    std::copy_if(cases.begin(), cases.end(), std::back_inserter(alike),
                 [&](const Case& c) { return c.values == values && !c.is_large; });
    if (alike.empty()) by_values.pop_back();
  }
  std::sort(by_values.begin(), by_values.end(),
            [](const std::vector<Case>& a, const std::vector<Case>& b) { return a.size() < b.size(); });
  std::vector<Case> sample;
  for (const std::vector<Case>& alike : by_values) {
    const bool is_last = &alike == &by_values.back();
    const size_t n = std::min(alike.size(), is_last ? kSampleCases - std::min(sample.size(), kSampleCases - 2) : 2);
    for (size_t i = 0; i < n; ++i) sample.push_back(alike[n == 1 ? 0 : i * (alike.size() - 1) / (n - 1)]);
  }
  return sample;
}

// What a finding changes in its cell.
void add_finding(Cell& cell, const Case& c, Finding finding) {
  ++cell.n_cases;
  cell.verdict = std::max(cell.verdict, finding.verdict);
  if (finding.verdict == Verdict::kAbsent && cell.n_absent++ == 0) cell.absent_because = finding.what;
  if (finding.verdict == Verdict::kBounded) {
    const auto part = [](const Finding& each) { return each.bound > 0 ? each.error / each.bound : 0; };
    if (cell.worst_bounded.what.empty() || part(finding) > part(cell.worst_bounded)) {
      cell.worst_bounded = std::move(finding);
    }
    return;
  }
  if (!is_fault(finding.verdict)) return;
  const int64_t n_before = cell.failure ? cell.failure->n_cases : 0;
  if (!cell.failure || finding.verdict > cell.failure->finding.verdict) {  // the one that made the grade
    cell.failure = Failure{c, c, std::move(finding), 0};
  }
  cell.failure->n_cases = n_before + 1;
}

// The work of check_chip, with what it goes through.
class Checking {
 public:
  Checking(const ChipUnderTest& chip, const MakeChip& make_reference, const MatrixOptions& options)
      : make_reference_(make_reference), options_(options), judge_(chip, make_reference(), options.patience_s) {}

  Result<ChipMatrix> run() {
    const auto begin = Clock::now();
    NARU_TRY(judge_cases());
    for (Cell& cell : matrix_.cells) {
      if (judge_.is_lost() || !may_go_on()) break;
      if (!cell.failure) continue;
      const int64_t n_cases = cell.failure->n_cases;
      NARU_ASSIGN(cell.failure, smallest_failure(cell.failure->first, cell.failure->finding, judge_));
      cell.failure->n_cases = n_cases;
    }
    measure_cells();
    matrix_.seconds = seconds_since(begin);
    return std::move(matrix_);
  }

 private:
  Status judge_cases() {
    const std::vector<std::vector<Case>> cells = matrix_cases(options_);
    std::vector<Case> wanted;
    Sha256 lines;
    for (const std::vector<Case>& cases : cells) {
      Cell& cell = matrix_.cells.emplace_back(Cell{.op = cases[0].op, .kind = cell_kind(cases[0])});
      Sha256 of_cell;
      for (const Case& c : cases) {
        wanted.push_back(wanted_by(c));
        const std::string line = case_line(c) + "\n";
        lines.update(as_bytes(line));
        of_cell.update(as_bytes(line));
      }
      cell.cases = of_cell.finish_hex();
    }
    matrix_.cases = lines.finish_hex();
    n_total_ = static_cast<int64_t>(wanted.size());
    OutcomesAhead outcomes(wanted, make_reference_, options_.n_references);
    for (size_t i = 0; i < cells.size(); ++i) {
      Cell& cell = matrix_.cells[i];
      Sha256 outputs;
      for (const Case& c : cells[i]) {
        if (!may_go_on()) return leave_out_behind(i);
        const Result<Outcome>& want = outcomes.next();
        if (!want.ok()) return want.error();
        NARU_ASSIGN(Finding finding, judge_.judge(c, *want));
        outputs.update(as_bytes(finding.outputs));
        add_finding(cell, c, std::move(finding));
        ++matrix_.n_cases;
        if (judge_.is_lost()) return leave_out_behind(i);
      }
      cell.outputs = outputs.finish_hex();
      timed_.push_back(timed_case(cells[i][0], options_.is_sample));
    }
    return {};
  }

  // Of the cells that did not run to their end those stay of which a case ran.
  Status leave_out_behind(size_t i) {
    matrix_.is_whole = false;
    matrix_.cells.resize(matrix_.cells[i].n_cases > 0 ? i + 1 : i);
    return {};
  }

  // Behind all cases, when no reference chip works beside. What is at fault has no speed, nor has a shape that the chip
  // has no memory for; one that hangs there, or ends with an error of its own, is at fault.
  void measure_cells() {
    for (size_t i = 0; i < timed_.size() && options_.speed_seconds > 0; ++i) {
      Cell& cell = matrix_.cells[i];
      if (judge_.is_lost() || !may_go_on()) return;
      if (cell.verdict > Verdict::kBounded) continue;
      std::optional<Result<Speed>> speed = judge_.measure(timed_[i], options_.speed_seconds);
      if (!speed) {
        fail_while_timed(cell, i, Verdict::kHangs, fmt::format("no answer in {:g} seconds", options_.patience_s));
      } else if (speed->ok()) {
        cell.speed = std::move(*speed).value();
      } else if (speed->error().code == Code::kUnavailable && matrix_.first_fault() != nullptr) {
        return;  // a chip that went in a case has no speed in any
      } else if (const Code code = speed->error().code;
                 code != Code::kUnsupported && code != Code::kResourceExhausted) {
        fail_while_timed(cell, i, Verdict::kFailed, speed->error().message);
      }
    }
  }

  void fail_while_timed(Cell& cell, size_t i, Verdict verdict, const std::string& found) {
    cell.verdict = verdict;
    Finding finding{verdict, fmt::format("{}, while it was timed: {}", cell.op, found)};
    cell.failure = Failure{timed_[i], timed_[i], std::move(finding), 0};
  }

  bool may_go_on() {
    matrix_.is_stopped = matrix_.is_stopped || (options_.go_on && !options_.go_on(matrix_.n_cases, n_total_));
    return !matrix_.is_stopped;
  }

  const MakeChip& make_reference_;
  const MatrixOptions& options_;
  Judge judge_;
  ChipMatrix matrix_;
  std::vector<Case> timed_;  // of each cell that ran to its end
  int64_t n_total_ = 0;
};

}  // namespace

const Cell* ChipMatrix::first_fault() const {
  const auto found = std::find_if(cells.begin(), cells.end(), [](const Cell& cell) { return is_fault(cell.verdict); });
  return found == cells.end() ? nullptr : &*found;
}

Verdict ChipMatrix::worst() const {
  Verdict worst = Verdict::kExact;
  for (const Cell& cell : cells) worst = std::max(worst, cell.verdict);
  return worst;
}

std::string cell_kind(const Case& c) {
  const std::string_view word = c.kind.empty() ? std::string_view() : c.word(0);
  if (word.find("_as_") != std::string_view::npos || word == "bf16") return std::string(word);
  return "f32";
}

std::vector<std::vector<Case>> matrix_cases(const MatrixOptions& options) {
  std::vector<std::vector<Case>> cells;
  for (const Suite& suite : all_suites()) {
    const bool is_asked = std::find(options.ops.begin(), options.ops.end(), suite.op) != options.ops.end();
    if (!options.ops.empty() && !is_asked) continue;
    std::vector<std::vector<Case>> of_op;
    for (Case& c : suite.cases()) {
      const auto cell = std::find_if(of_op.begin(), of_op.end(), [&](const std::vector<Case>& cases) {
        return cell_kind(cases[0]) == cell_kind(c);
      });
      if (cell != of_op.end()) {
        cell->push_back(std::move(c));
      } else {
        of_op.push_back({std::move(c)});
      }
    }
    for (std::vector<Case>& cases : of_op) cells.push_back(options.is_sample ? sample_of(cases) : std::move(cases));
  }
  return cells;
}

Result<ChipMatrix> check_chip(const ChipUnderTest& chip, const MakeChip& make_reference, const MatrixOptions& options) {
  return Checking(chip, make_reference, options).run();
}

Result<Failure> smallest_failure(const Case& failing, const Finding& finding, Judge& judge) {
  Failure failure{failing, failing, finding, 1};
  Status status;
  failure.smallest = shrink(
      failing,
      [&](const Case& c) {
        for (int i = 0; i < kTries && status.ok() && !judge.is_lost(); ++i) {
          Result<Finding> found = judge.judge(c);
          if (!found.ok()) {
            status = found.error();
          } else if (found->verdict == finding.verdict) {
            failure.finding = std::move(*found);
            return true;
          }
        }
        return false;
      },
      kShrinkRuns);
  NARU_TRY(status);
  return failure;
}

}  // namespace naru::check
