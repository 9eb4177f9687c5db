// A driver of OpenCL that does not survive being loaded.
#include <csignal>

namespace {
[[gnu::constructor]] void crash() {
  std::raise(SIGSEGV);
}
}  // namespace
