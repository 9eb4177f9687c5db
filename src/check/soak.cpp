#include "check/soak.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <numeric>
#include <thread>

#include "base/philox.h"
#include "base/stopwatch.h"
#include "check/chip_matrix.h"
#include "check/watched_chip.h"

namespace naru::check {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kSoakSample = 78;  // of the draws by counter
constexpr size_t kStretch = 48;       // cases under one load, at the most
constexpr size_t kIdleStretch = 6;
constexpr int kAgreeTriesMax = 16;      // of a case whose first runs differ
constexpr double kSteadyPause = 0.001;  // seconds
constexpr double kIdleLeast = 0.05;     // of the longest pause

// Idle stretches are few: most of the time is to be worked in.
constexpr Load kLoads[] = {Load::kSteady,  Load::kBurst,   Load::kBurst, Load::kBurst,
                           Load::kThreads, Load::kThreads, Load::kBurst, Load::kIdle};
constexpr double kIdleShare = 0.02;  // of the soak: the longest pause is no longer

const std::atomic<int64_t> kNoPulse = 0;  // of a case: its seconds count from its beginning

// Values of an output; where both are NaN those of the other outcome: one is as good as another.
std::vector<float> values_of(const Program& program, const Outcome& outcome, const Outcome& other, size_t output) {
  std::vector<float> values = output_values(program, outcome, output);
  if (program.outputs()[output].view.dtype != DType::kF32) return values;
  const std::vector<float> others = output_values(program, other, output);
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i]) && std::isnan(others[i])) values[i] = others[i];
  }
  return values;
}

// What a finding says of values, against those that were wanted.
void put_values(const Program& program, const Outcome& got, const Outcome& want, SoakFinding& finding) {
  for (size_t o = 0; o < program.outputs().size(); ++o) {
    const Program::Output& output = program.outputs()[o];
    BitDifference difference;
    difference.compare(output.name, output.view.cols, 0, values_of(program, got, want, o),
                       output_values(program, want, o));
    finding.n_values += difference.n_values();
    finding.n_bits += difference.n_bits();
    for (const ChangedValue& value : difference.first()) {
      const int64_t at = value.row * output.view.row_stride + value.column;
      finding.values.push_back({value, got.address + Program::place_of(output.view) + at * 4});
    }
  }
}

// A case, and what its runs give.
struct SoakedCase {
  Case c;
  std::shared_ptr<const Program> program;  // built when it runs first
  std::optional<Outcome> wanted;           // from the second run on that is like an earlier one
  bool is_absent = false;
};

class Soaking {
 public:
  Soaking(const ChipUnderTest& chip, const SoakOptions& options) : chip_(chip), options_(options) {}

  Result<SoakReport> run() {
    make_cases();
    if (cases_.empty()) {
      return Error{Code::kInvalidArgument, "soaking a chip: no op is left to run; name one that naru check prints"};
    }
    report_.n_cases = std::ssize(cases_);
    std::vector<size_t> order(cases_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    while (is_going_on()) {
      for (size_t i = order.size(); i-- > 1;) std::swap(order[i], order[random(i + 1)]);
      size_t next = 0;
      while (next < order.size() && is_going_on()) {
        NARU_TRY(run_stretch(order, next));
      }
    }
    report_.seconds = seconds_since(begin_);
    report_.n_absent =
        std::count_if(cases_.begin(), cases_.end(), [](const SoakedCase& each) { return each.is_absent; });
    return std::move(report_);
  }

 private:
  void make_cases() {
    MatrixOptions matrix;
    matrix.is_sample = true;
    matrix.ops = options_.ops;
    for (const std::vector<Case>& cell : matrix_cases(matrix)) {
      for (const Case& c : cell) add(c);
      add(timed_case(cell[0], true));
    }
  }
  void add(const Case& c) { cases_.push_back({c, nullptr, {}, false}); }

  size_t random(size_t below) { return draw(options_.seed, DrawPurpose::kTest, kSoakSample, n_draws_++)[0] % below; }

  bool is_going_on() {
    if (!report_.hangs.empty() || report_.is_stopped) return false;
    return !asks_to_stop() && seconds_since(begin_) < options_.seconds;
  }

  bool asks_to_stop() {
    report_.is_stopped = options_.go_on && !options_.go_on({seconds_since(begin_), report_.n_op_runs, report_.n_found});
    return report_.is_stopped;
  }

  Status run_stretch(const std::vector<size_t>& order, size_t& next) {
    load_ = kLoads[random(std::size(kLoads))];
    const size_t end = std::min(order.size(), next + (load_ == Load::kIdle ? kIdleStretch : kStretch));
    for (; next < end && is_going_on(); ++next) {
      pause();
      SoakedCase& each = cases_[order[next]];
      if (!each.is_absent) NARU_TRY(run_case(each));
    }
    return {};
  }

  void pause() {
    double seconds = load_ == Load::kSteady ? kSteadyPause : 0;
    if (load_ == Load::kIdle)
      seconds = std::min(options_.pause_s, kIdleShare * options_.seconds) *
                std::max(kIdleLeast, static_cast<double>(random(1000)) / 1000);
    seconds = std::min(seconds, options_.seconds - seconds_since(begin_));
    if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }

  // Nothing where it hangs; an error of loading is an outcome like one of an op.
  Result<std::optional<Outcome>> run_once(const SoakedCase& each) {
    const bool is_twin = load_ == Load::kThreads && !chip_.twins.empty();
    auto chip = is_twin ? chip_.twins[random(chip_.twins.size())].chip : chip_.chip;
    const auto made = std::make_shared<std::optional<Result<Outcome>>>();
    double patience_s = options_.patience_s;
    const auto patience = [&] {
      if (asks_to_stop()) patience_s = std::min(patience_s, kStopSeconds);
      return patience_s;
    };
    const Watch::End end =
        watch_.run([program = each.program, chip, made] { *made = run_program(*program, *chip); }, patience, kNoPulse);
    ++report_.n_runs;
    report_.n_op_runs += std::ssize(each.program->ops());
    if (end == Watch::End::kOutOfMemory) return out_of_memory(each.c.op);
    if (end == Watch::End::kLeftBehind) {
      report_.hangs =
          fmt::format("{}: no answer in {:g} seconds, in the case '{}'", each.c.op, patience_s, case_line(each.c));
      return std::optional<Outcome>();
    }
    if ((*made)->ok()) return std::optional<Outcome>(std::move(**made).value());
    Outcome failed;
    failed.status = (*made)->error();
    return std::optional<Outcome>(std::move(failed));
  }

  Status run_case(SoakedCase& each) {
    if (each.program == nullptr) each.program = std::make_shared<const Program>(build(each.c));
    if (!each.wanted) return agree(each);
    NARU_ASSIGN(const std::optional<Outcome> outcome, run_once(each));
    if (outcome) hold(each, *outcome);
    return {};
  }

  // The first runs of a case, until two are alike; those that are not are held against these.
  Status agree(SoakedCase& each) {
    std::vector<Outcome> outcomes;
    Tries tries;
    while (tries.count() < kAgreeTriesMax && !(report_.is_stopped && !outcomes.empty())) {
      NARU_ASSIGN(std::optional<Outcome> outcome, run_once(each));
      if (!outcome) return {};
      const bool is_ok = outcome->status.ok();
      each.is_absent = !is_ok && outcome->status.error().code == Code::kUnsupported;
      if (each.is_absent) return {};
      outcomes.push_back(*std::move(outcome));
      if (tries.agrees(outputs_sha256(*each.program, outcomes.back()) + outcomes.back().stray)) {
        each.wanted = std::move(outcomes.back());
        outcomes.pop_back();
        break;
      }
    }
    // Where no two were alike the last one is as good as any.
    if (!each.wanted) {
      each.wanted = std::move(outcomes.back());
      outcomes.pop_back();
    }
    for (const Outcome& outcome : outcomes) hold(each, outcome);
    return {};
  }

  void hold(const SoakedCase& each, const Outcome& got) {
    SoakFinding finding{.seconds = seconds_since(begin_), .load = load_, .c = each.c};
    finding.what = difference_beside_values(got, *each.wanted);
    if (finding.what.empty() && got.status.ok()) put_values(*each.program, got, *each.wanted, finding);
    if (finding.what.empty() && finding.n_values == 0) return;
    ++report_.n_found;
    report_.n_bits += finding.n_bits;
    if (report_.findings.size() < kSoakFindingsMax) report_.findings.push_back(std::move(finding));
  }

  ChipUnderTest chip_;
  const SoakOptions& options_;
  Watch watch_;
  SoakReport report_;
  std::vector<SoakedCase> cases_;
  Load load_ = Load::kSteady;
  uint64_t n_draws_ = 0;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace

std::string_view load_name(Load load) {
  switch (load) {
    case Load::kSteady: return "steady";
    case Load::kBurst: return "burst";
    case Load::kIdle: return "idle";
    case Load::kThreads: return "threads";
  }
  return "steady";
}

std::string SoakFinding::text() const {
  if (!what.empty()) return what;
  if (values.empty()) return {};
  return fmt::format("{} value{}, {} bit{}; address {:x}: {}", n_values, n_values == 1 ? "" : "s", n_bits,
                     n_bits == 1 ? "" : "s", values.front().address, values.front().changed.text());
}

Result<SoakReport> soak_chip(const ChipUnderTest& chip, const SoakOptions& options) {
  return Soaking(chip, options).run();
}

}  // namespace naru::check
