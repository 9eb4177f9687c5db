// The line of a case of the contract's suite: what is accepted reads back as itself, and small cases can be built.
#include <cstddef>
#include <cstdint>

#include "check/case.h"
#include "check/suite.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  const auto c = check::parse_case({reinterpret_cast<const char*>(data), size});
  if (!c.ok()) return 0;
  const std::string line = check::case_line(*c);
  const auto back = check::parse_case(line);
  NARU_CHECK(back.ok(), back.ok() ? "" : back.error().message);
  NARU_CHECK(check::case_line(*back) == line, line);
  const double elements = check::find_suite(c->op)->elements(*c);
  NARU_CHECK(elements <= check::kCaseElementsMax, line, elements);
  if (elements > 1 << 16) return 0;
  const check::Program program = check::build(*c);
  NARU_CHECK(static_cast<double>(program.image().size()) <= 64 * elements + 65536, line, program.image().size());
  return 0;
}
