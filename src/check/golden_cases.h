// The cases of the golden file of ops (tests/fixtures/golden/ops.txt), whose values and results stay as they are.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "check/case.h"

namespace naru::check {

// The hash of a line is over the values of the outputs of its cases, one after the other.
struct GoldenCase {
  std::string name;  // the line's
  std::vector<Case> cases;
  std::string left_out = {};  // the name of an output that does not count
};

const std::vector<GoldenCase>& golden_cases();
// Whether the case is one of those, whatever its gap and size.
bool is_golden_case(const Case& c);

}  // namespace naru::check
