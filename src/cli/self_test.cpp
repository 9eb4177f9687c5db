#include "cli/self_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "check/golden_cases.h"
#include "check/run_program.h"
#include "chips/registry/registry.h"

namespace naru::cli {
namespace {

// Lines of the golden file: a product of each rule, then what else a model is made of.
constexpr std::string_view kSelfTestCases[] = {"matmul/f32_as_f32/rows_9",
                                               "matmul/bf16_as_bf16/rows_9",
                                               "matmul/q4_1_as_q4_1/rows_1",
                                               "matmul/q8_0_as_q8_0/rows_9",
                                               "rms_norm/2049",
                                               "rope/half_split",
                                               "log_prob/2049",
                                               "adamw",
                                               "attention/bf16/latent"};

struct ReferenceOutcome {
  std::string name;
  check::Program program;
  check::Outcome outcome;
};

Result<std::vector<ReferenceOutcome>> reference_outcomes() {
  NARU_ASSIGN(const auto chip, chips::make_chip("reference"));
  std::vector<ReferenceOutcome> outcomes;
  for (const check::GoldenCase& golden : check::golden_cases()) {
    if (std::find(std::begin(kSelfTestCases), std::end(kSelfTestCases), golden.name) == std::end(kSelfTestCases))
      continue;
    check::Program program = check::build(golden.cases.front());
    NARU_ASSIGN(check::Outcome outcome, check::run_program(program, *chip));
    outcomes.push_back({golden.name, std::move(program), std::move(outcome)});
  }
  NARU_CHECK(outcomes.size() == std::size(kSelfTestCases), outcomes.size());
  return outcomes;
}

}  // namespace

Result<SelfTest> run_self_test() {
  NARU_ASSIGN(const std::vector<ReferenceOutcome> wanted, reference_outcomes());
  SelfTest test;
  test.n_ops = static_cast<int>(wanted.size());
  for (const chips::ChipForm& form : chips::all_forms()) {
    if (!form.why_not.empty()) continue;
    const auto chip = chips::make_chip(form.name, {.n_threads = 2});
    if (!chip.ok()) {
      test.not_made.push_back(form.name);
      continue;
    }
    for (const ReferenceOutcome& each : wanted) {
      NARU_ASSIGN(const check::Outcome got, check::run_program(each.program, **chip));
      const std::string difference = check::difference(each.program, got, each.outcome);
      if (!difference.empty()) test.differences.push_back(fmt::format("{}, {}: {}", form.name, each.name, difference));
    }
    test.forms.push_back(form.name);
  }
  return test;
}

}  // namespace naru::cli
