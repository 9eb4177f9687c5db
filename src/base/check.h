// NARU_CHECK: our own invariants, on in every build. It stops the program at once with the values that broke them.
// No input from outside may reach one; what users, files and chips get wrong goes through Result (base/result.h).
#pragma once

#include <sstream>
#include <string>

namespace naru {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& values);

namespace detail {
// Kernels are compiled once for each instruction level. The linker keeps one of all functions with the same name, and
// that of a level would not run on older processors: so each level's have names of their own.
#ifdef NARU_LEVEL
inline namespace NARU_LEVEL {
#endif
inline std::string check_values() {
  return {};
}
template <typename... Values>
std::string check_values(const Values&... values) {
  std::ostringstream out;
  ((out << ' ' << values), ...);
  return out.str();
}
#ifdef NARU_LEVEL
}  // namespace NARU_LEVEL
#endif
}  // namespace detail

}  // namespace naru

#define NARU_CHECK(condition, ...)                                                                     \
  do {                                                                                                 \
    if (!(condition)) [[unlikely]]                                                                     \
      ::naru::check_failed(__FILE__, __LINE__, #condition, ::naru::detail::check_values(__VA_ARGS__)); \
  } while (false)

// For inner loops whose entrance has a NARU_CHECK already: on in debug and sanitizer builds only.
#ifdef NARU_DCHECKS
#define NARU_DCHECK(condition, ...) NARU_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#else
#define NARU_DCHECK(condition, ...) \
  do {                              \
  } while (false && (condition))
#endif
