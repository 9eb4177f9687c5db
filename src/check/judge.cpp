#include "check/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/sha256.h"
#include "check/sum_bound.h"
#include "contract/scalar.h"

namespace naru::check {
namespace {

constexpr int kRepeats = 1;  // beside the first run

// Ops whose rows have nothing to do with each other, by the dimension that counts the rows; the first rows of a case's
// operands are those of the case with fewer (tests hold the suites to that).
std::string_view row_dimension(const Case& c) {
  constexpr std::string_view kByRows[] = {"embed",    "matmul",  "grouped_matmul", "rms_norm",      "add",
                                          "silu_mul", "combine", "round_bf16",     "silu_mul_grad", "combine_grad"};
  if (c.is("all_exponents")) return "";
  if (std::find(std::begin(kByRows), std::end(kByRows), c.op) != std::end(kByRows)) return "rows";
  return c.op == "rope" || c.op == "rope_grad" || c.op == "rope_table" ? "tokens" : "";
}

void set_dimension(Case& c, std::string_view name, int64_t size) {
  for (Dimension& dimension : c.dimensions) {
    if (dimension.name == name) dimension.sizes = {size};
  }
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kExact: return "exact";
    case Verdict::kBounded: return "bounded";
    case Verdict::kAbsent: return "absent";
    case Verdict::kWrong: return "wrong";
    case Verdict::kUnsteady: return "unsteady";
    case Verdict::kFailed: return "failed";
    case Verdict::kHangs: return "hangs";
  }
  return "failed";
}

std::string outputs_sha256(const Program& program, const Outcome& outcome) {
  Sha256 hash;
  if (!outcome.status.ok()) {
    const Error& error = outcome.status.error();
    hash.update(as_bytes(std::string(code_name(error.code)) + error.message));
    return hash.finish_hex();
  }
  for (size_t o = 0; o < program.outputs().size(); ++o) {
    std::vector<float> values = output_values(program, outcome, o);
    for (float& value : values) {
      const bool is_nan = program.outputs()[o].view.dtype == DType::kF32 && std::isnan(value);
      if (is_nan) value = std::bit_cast<float>(contract::canonical_bits(value));
    }
    hash.update({reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float)});
  }
  return hash.finish_hex();
}

Case wanted_by(const Case& c) {
  Case whole = c;
  if (c.op == "attention" && c.list("lengths").size() == 1) set_dimension(whole, "chunk", 0);
  return whole;
}

std::optional<Case> first_rows_of(const Case& c) {
  const std::string_view dimension = row_dimension(c);
  if (dimension.empty() || c.is_golden() || c.at(dimension) < 3) return std::nullopt;
  Case fewer = c;
  set_dimension(fewer, dimension, c.at(dimension) / 2 + 1);
  return fewer;
}

// What is left of it is an error of loading, an outcome, or nothing where it hangs.
struct Judge::Run {
  std::shared_ptr<const Program> program;
  std::optional<Result<Outcome>> outcome;

  const Error* error() const {  // of loading, or of the ops
    if (!outcome->ok()) return &outcome->error();
    return outcome->value().status.ok() ? nullptr : &outcome->value().status.error();
  }
};

Judge::Judge(ChipUnderTest chip, std::shared_ptr<contract::Chip> reference, double patience_s)
    : chip_(std::move(chip)), reference_(std::move(reference)), patience_s_(patience_s) {}

Result<Judge::Run> Judge::run(const std::shared_ptr<contract::Chip>& chip, const Case& c) {
  struct Shared {
    std::shared_ptr<const Program> program;
    std::shared_ptr<contract::Chip> chip;
    std::optional<Result<Outcome>> outcome;
  };
  auto shared = std::make_shared<Shared>(Shared{std::make_shared<const Program>(build(c)), chip, {}});
  const Watch::End end =
      watch_.run([shared] { shared->outcome = run_program(*shared->program, *shared->chip); }, patience_s_);
  if (end == Watch::End::kOutOfMemory) return out_of_memory(c.op);
  if (end == Watch::End::kLeftBehind) return Run{shared->program, std::nullopt};
  return Run{shared->program, std::move(shared->outcome)};
}

std::optional<Result<Speed>> Judge::measure(const Case& c, double seconds) {
  auto speed = std::make_shared<std::optional<Result<Speed>>>();
  const Watch::End end =
      watch_.run([speed, c, chip = chip_.chip, seconds] { *speed = measure_speed(c, *chip, seconds); }, patience_s_);
  if (end == Watch::End::kOutOfMemory) return Result<Speed>(out_of_memory(c.op));
  return end == Watch::End::kDone ? std::move(*speed) : std::nullopt;
}

Result<Finding> Judge::judge(const Case& c) {
  NARU_ASSIGN(const Outcome want, run_program(build(wanted_by(c)), *reference_));
  return judge(c, want);
}

Result<Finding> Judge::judge(const Case& c, const Outcome& want) {
  NARU_ASSIGN(const Run first, run(chip_.chip, c));
  NARU_ASSIGN(Finding finding, against_reference(c, first, want));
  if (first.outcome && first.outcome->ok()) finding.outputs = outputs_sha256(*first.program, first.outcome->value());
  if (finding.verdict == Verdict::kAbsent || finding.verdict == Verdict::kFailed || is_lost()) return finding;
  NARU_ASSIGN(Finding other, against_itself(c, first));
  // Values that are wrong say nothing of neighbours.
  if (!is_fault(finding.verdict) && !is_fault(other.verdict)) {
    NARU_ASSIGN(other, against_fewer_rows(c, first));
  }
  if (!is_fault(other.verdict)) return finding;
  if (is_fault(finding.verdict)) other.what += fmt::format("; beside the reference chip: {}", finding.what);
  other.outputs = std::move(finding.outputs);
  return other;
}

Result<Finding> Judge::against_reference(const Case& c, const Run& first, const Outcome& want) {
  const auto hangs = [&] {
    return Finding{Verdict::kHangs, fmt::format("{}: no answer in {:g} seconds", c.op, patience_s_)};
  };
  if (!first.outcome) return hangs();
  const Error* error = first.error();
  if (error != nullptr && error->code == Code::kUnsupported) return Finding{Verdict::kAbsent, error->message};
  if (!first.outcome->ok()) {
    return Finding{Verdict::kFailed, fmt::format("{}: {}: {}", c.op, code_name(error->code), error->message)};
  }
  const Outcome& got = first.outcome->value();
  std::string found = difference(*first.program, got, want);
  if (found.empty()) return Finding{};
  if (error != nullptr && want.status.ok()) return Finding{Verdict::kFailed, std::move(found)};
  if (!difference_beside_values(got, want).empty()) return Finding{Verdict::kWrong, std::move(found)};
  NARU_ASSIGN(const std::optional<SumBound> bound, sum_bound(c, *reference_));
  if (!bound) return Finding{Verdict::kWrong, std::move(found)};
  const SumErrors errors = sum_errors(*first.program, got, want, *bound);
  if (!errors.beyond.empty()) return Finding{Verdict::kWrong, fmt::format("{}: {}", c.op, errors.beyond)};
  return Finding{Verdict::kBounded, std::move(found), errors.error, bound->part()};
}

Result<Finding> Judge::against_itself(const Case& c, const Run& first) {
  const auto compare = [&](const std::shared_ptr<contract::Chip>& chip, const std::string& how) -> Result<Finding> {
    NARU_ASSIGN(const Run other, run(chip, c));
    if (!other.outcome) {
      return Finding{Verdict::kHangs, fmt::format("{}, {}: no answer in {:g} seconds", c.op, how, patience_s_)};
    }
    if (!other.outcome->ok()) {
      return Finding{Verdict::kFailed, fmt::format("{}, {}: {}", c.op, how, other.error()->message)};
    }
    const std::string found = difference(*first.program, other.outcome->value(), first.outcome->value(), "before");
    if (found.empty()) return Finding{};
    return Finding{Verdict::kUnsteady, fmt::format("{}: {}", how, found)};
  };
  for (int i = 0; i < kRepeats; ++i) {
    NARU_ASSIGN(Finding finding, compare(chip_.chip, fmt::format("run {} of the same", i + 2)));
    if (is_fault(finding.verdict)) return finding;
  }
  for (const ChipUnderTest::Twin& twin : chip_.twins) {
    NARU_ASSIGN(Finding finding, compare(twin.chip, twin.what));
    if (is_fault(finding.verdict)) return finding;
  }
  return Finding{};
}

Result<Finding> Judge::against_fewer_rows(const Case& c, const Run& first) {
  const std::optional<Case> fewer = first_rows_of(c);
  if (!fewer || !first.outcome->value().status.ok()) return Finding{};
  NARU_ASSIGN(const Run other, run(chip_.chip, *fewer));
  const std::string how =
      fmt::format("the first {} of {} rows alone", fewer->at(row_dimension(c)), c.at(row_dimension(c)));
  if (!other.outcome) {
    return Finding{Verdict::kHangs, fmt::format("{}, {}: no answer in {:g} seconds", c.op, how, patience_s_)};
  }
  if (const Error* error = other.error()) {
    return Finding{Verdict::kFailed, fmt::format("{}, {}: {}", c.op, how, error->message)};
  }
  for (size_t o = 0; o < first.program->outputs().size(); ++o) {
    const View &many = first.program->outputs()[o].view, &few = other.program->outputs()[o].view;
    const std::vector<float> all = output_values(*first.program, first.outcome->value(), o);
    const std::vector<float> alone = output_values(*other.program, other.outcome->value(), o);
    const auto unlike = std::mismatch(alone.begin(), alone.end(), all.begin(), [](float a, float b) {
      return std::memcmp(&a, &b, sizeof(a)) == 0 || (std::isnan(a) && std::isnan(b));
    });
    if (unlike.first == alone.end()) continue;
    const auto at = static_cast<int64_t>(unlike.first - alone.begin());
    return Finding{Verdict::kUnsteady,
                   fmt::format("{}: {}: output '{}', row {} of {}, column {} of {}: {}, with all {} rows {}", how, c.op,
                               first.program->outputs()[o].name, at / few.cols, few.rows, at % few.cols, few.cols,
                               value_text(few.dtype, std::bit_cast<uint32_t>(*unlike.first)), many.rows,
                               value_text(few.dtype, std::bit_cast<uint32_t>(*unlike.second)))};
  }
  return Finding{};
}

}  // namespace naru::check
