// Answers to the built-in problems. The first three bytes choose the problem; the rest is the answer. A verifier ends,
// says why it refuses, and an answer that it takes stays right with white space around it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "data/generators.h"
#include "formats/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace naru;
  using namespace naru::data;
  if (size < 3) return 0;
  GeneratorOptions options;
  options.generator = static_cast<Generator>(bytes[0] % 3);
  options.trace = static_cast<Trace>(bytes[0] / 3 % 3);
  options.language = static_cast<Language>(bytes[1] % 4);
  const Problem problem = make_problem(options, 1, bytes[2], static_cast<Split>(bytes[1] / 4 % 2));
  const std::string_view answer(reinterpret_cast<const char*>(bytes + 3), size - 3);
  const Verdict verdict = verify(problem, answer);
  NARU_CHECK(verdict.is_right == verdict.reason.empty(), verdict.reason);
  NARU_CHECK(formats::is_valid_utf8(verdict.reason), verdict.reason);
  NARU_CHECK(verify(problem, " " + std::string(answer) + "\n").is_right == verdict.is_right);
  // The right expression or number behind the mark is right, whatever was thought before.
  if (options.generator == Generator::kDigits) return 0;
  const size_t mark = problem.solution.rfind("####");
  const std::string right = mark == std::string::npos ? problem.solution : problem.solution.substr(mark + 4);
  NARU_CHECK(verify(problem, std::string(answer) + " #### " + right).is_right, problem.solution);
  return 0;
}
