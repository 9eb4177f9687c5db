#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace naru {

void check_failed(const char* file, int line, const char* condition, const std::string& values) {
  std::fprintf(stderr, "naru: internal error at %s:%d: %s does not hold;%s\n", file, line, condition,
               values.empty() ? " no values" : values.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace naru
