#include "cli/version.h"

#include <fmt/format.h>

namespace naru::cli {

#ifndef NARU_VERSION
#define NARU_VERSION "0.1.0"
#endif

std::string version() {
  return NARU_VERSION;
}

std::string version_text() {
  return fmt::format("naru {}\n", NARU_VERSION);
}

}  // namespace naru::cli
