// What a new version of docs/arithmetic.md left alone, by the golden files themselves: a hash over the lines of all
// cases of version 1 that it did not change.
#include <set>

#include "contract/kinds.h"
#include "tests/golden/golden.h"

namespace naru {
namespace {

// Version 2 changed three gradients. Every logit, every answer, and every other op are those of version 1.
TEST(GoldenVersions, ServingIsThatOfVersion1) {
  ASSERT_EQ(contract::kArithmeticVersion, "naru2");
  const std::set<std::string> changed = {"attention_grad", "cross_entropy", "route_grad"};
  const std::set<std::string> added = {"attention_selected", "attention_selected_grad", "route_given"};
  std::string lines;
  int64_t n_changed = 0;
  for (const char* file : {"models.txt", "ops.txt"}) {
    for (const auto& [name, hash] : read_golden(file)) {
      const std::string op = name.substr(0, name.find('/'));
      if (added.contains(op)) continue;
      if (changed.contains(op)) {
        ++n_changed;
      } else {
        lines += name + ' ' + hash + '\n';
      }
    }
  }
  EXPECT_EQ(n_changed, 11);
  EXPECT_EQ(sha256_hex(as_bytes(lines)), "eecbdea9466a250bb91f1574ed3829fd610f42cb9227cd1bebab520e84fdcbd7");
}

}  // namespace
}  // namespace naru
