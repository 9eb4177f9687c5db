// Every op of the contract on every chip of this machine, against the golden file.
#include "check/golden_cases.h"
#include "check/run_program.h"
#include "tests/golden/golden.h"

namespace naru {
namespace {

using check::GoldenCase;
using check::Program;

// Of each golden case, its programs.
const std::vector<std::vector<Program>>& golden_programs() {
  static const auto kPrograms = [] {
    std::vector<std::vector<Program>> programs;
    for (const GoldenCase& golden : check::golden_cases()) {
      programs.emplace_back();
      for (const check::Case& c : golden.cases) programs.back().push_back(check::build(c));
    }
    return programs;
  }();
  return kPrograms;
}

GoldenHashes hashes_on(contract::Chip& chip) {
  GoldenHashes hashes;
  for (size_t i = 0; i < check::golden_cases().size(); ++i) {
    const GoldenCase& golden = check::golden_cases()[i];
    std::vector<float> all;
    for (const Program& program : golden_programs()[i]) {
      const check::Outcome outcome = check::run_program(program, chip).value();
      EXPECT_TRUE(outcome.status.ok()) << golden.name << ": " << outcome.status.error().message;
      EXPECT_EQ(outcome.stray, "") << golden.name;
      for (size_t output = 0; output < program.outputs().size(); ++output) {
        if (program.outputs()[output].name == golden.left_out) continue;
        const std::vector<float> values = check::output_values(program, outcome, output);
        all.insert(all.end(), values.begin(), values.end());
      }
    }
    hashes[golden.name] = hash_floats(all.data(), all.size());
  }
  return hashes;
}

TEST(GoldenOps, ReferenceChip) {
  const auto chip = test::make_chip("reference");
  const GoldenHashes hashes = hashes_on(*chip);
  if (is_writing_golden()) write_golden("ops.txt", hashes);
  expect_golden("ops.txt", hashes, "reference");
  EXPECT_EQ(chip->kernel_uses().size(), static_cast<size_t>(contract::kOpCount)) << "ops without a case";
}

TEST(GoldenOps, CpuChipAtEveryLevel) {
  for (const NamedChip& named : cpu_chips()) expect_golden("ops.txt", hashes_on(*named.chip), named.name);
}

}  // namespace
}  // namespace naru
