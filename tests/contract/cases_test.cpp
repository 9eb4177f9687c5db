// The suite of the contract (check/suite.h): every case of every op, on every level of the CPU chip and with 1 and 2
// threads, gives the bits of the reference chip.
#include <algorithm>
#include <map>

#include "check/judge.h"
#include "check/suite.h"
#include "contract/op_table.h"
#include "tests/contract/case_rig.h"

namespace naru {
namespace {

using check::Case;
using check::Suite;

class Cases : public ::testing::TestWithParam<std::string> {};

TEST_P(Cases, GiveTheBitsOfTheReferenceChip) {
  const Suite* suite = check::find_suite(GetParam());
  ASSERT_NE(suite, nullptr);
  std::string wanted_line;
  check::Outcome want;
  for (const Case& c : suite->cases()) {
    if (c.is_large && !test::is_cpu()) continue;  // the reference chip takes long for it, and other entries run it
    const Case whole = check::wanted_by(c);
    if (check::case_line(whole) != wanted_line) {
      want = test::reference_outcome(check::build(whole));
      wanted_line = check::case_line(whole);
    }
    test::expect_outcome(check::case_line(c), check::build(c), want, c.is_large);
    if (HasFatalFailure()) return;
  }
}

std::vector<std::string> ops() {
  std::vector<std::string> names;
  for (int i = 0; i < contract::kOpCount; ++i) names.emplace_back(contract::op_name(i));
  return names;
}

INSTANTIATE_TEST_SUITE_P(Of, Cases, ::testing::ValuesIn(ops()), [](const auto& op) { return op.param; });

}  // namespace
}  // namespace naru
