// Every op of the contract on every chip of this machine, against the golden file.
#include <set>

#include "contract/op_table.h"
#include "tests/golden/golden.h"
#include "tests/golden/op_cases.h"

namespace naru {
namespace {

GoldenHashes hashes_on(contract::Chip& chip) {
  GoldenHashes hashes;
  for (const OpCase& op_case : op_cases()) {
    CaseMemory memory(chip);
    std::vector<float> all;
    for (const View& view : op_case.run(memory)) {
      const std::vector<float> values = memory.read(view);
      all.insert(all.end(), values.begin(), values.end());
    }
    hashes[op_case.name] = hash_floats(all.data(), all.size());
  }
  return hashes;
}

TEST(GoldenOps, ReferenceChip) {
  const auto chip = reference::make_reference_chip();
  const GoldenHashes hashes = hashes_on(*chip);
  if (is_writing_golden()) write_golden("ops.txt", hashes);
  expect_golden("ops.txt", hashes, "reference");
}

TEST(GoldenOps, EveryOpHasACase) {
  const auto chip = reference::make_reference_chip();
  (void)hashes_on(*chip);
  EXPECT_EQ(chip->kernel_uses().size(), static_cast<size_t>(contract::kOpCount));
}

TEST(GoldenOps, CpuChipAtEveryLevel) {
  for (const NamedChip& named : cpu_chips()) expect_golden("ops.txt", hashes_on(*named.chip), named.name);
}

}  // namespace
}  // namespace naru
