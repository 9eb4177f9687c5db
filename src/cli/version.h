// The version of the program: which source it was built of and how, and of the arithmetic.
#pragma once

#include <string>
#include <string_view>

namespace naru::cli {

// Made at build time (cmake/build_info.cmake).
struct BuildInfo {
  std::string_view version;   // "0.1.0"
  std::string_view commit;    // "bf99120fa3c1", "bf99120fa3c1 with changes", or "unknown": not built of a repository
  std::string_view compiler;  // "GNU 12.2.0"
  std::string_view build;     // "Release for x86_64"
  std::string_view arithmetic_sha256;  // of docs/arithmetic.md
};
extern const BuildInfo kBuildInfo;

// "naru 0.1.0 (commit bf99120fa3c1)"
std::string version_line();
// That, and the arithmetic, the compiler, the levels that were built and the one in use.
std::string version_text();
// "baseline, avx2, avx512, amx built; avx512 in use"
std::string levels_line();

}  // namespace naru::cli
