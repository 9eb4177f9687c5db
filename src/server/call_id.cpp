#include "server/call_id.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <cstdint>

#include "base/check.h"

namespace naru::server {
namespace {

constexpr std::string_view kCallPrefix = "call_";
constexpr std::string_view kNoReasoning = "_0";
constexpr size_t kCallDigits = 32;

}  // namespace

std::string draw_call_id(bool has_reasoning) {
  uint64_t bits[2] = {};
  const int failed = ::getentropy(bits, sizeof bits);
  NARU_CHECK(failed == 0);  // the kernel has had its randomness since it began
  return fmt::format("{}{:016x}{:016x}{}", kCallPrefix, bits[0], bits[1], has_reasoning ? "" : kNoReasoning);
}

bool is_id_without_reasoning(std::string_view id) {
  if (id.size() != kCallPrefix.size() + kCallDigits + kNoReasoning.size()) return false;
  return id.starts_with(kCallPrefix) && id.ends_with(kNoReasoning) &&
         id.find_first_not_of("0123456789abcdef", kCallPrefix.size()) == kCallPrefix.size() + kCallDigits;
}

}  // namespace naru::server
