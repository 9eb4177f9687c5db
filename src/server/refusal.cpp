#include "server/refusal.h"

namespace naru::server {

Refusal refusal_of(const Error& error) {
  switch (error.code) {
    case Code::kInvalidArgument:
    case Code::kCorrupt: return {400, error.message, "", "", 0};
    case Code::kUnsupported: return {400, error.message, "", std::string(kNotDoneHere), 0};
    case Code::kNotFound: return {404, error.message, "", "", 0};
    case Code::kOutOfRange: return {400, error.message, "", "out_of_range", 0};
    case Code::kResourceExhausted: return {503, error.message, "", "overloaded", 1};
    case Code::kUnavailable:
    case Code::kCancelled: return {503, error.message, "", "unavailable", 1};
    case Code::kDeadline: return {504, error.message, "", "deadline_exceeded", 0};
    case Code::kInternal: break;
  }
  return {500, error.message, "", "internal_error", 0};
}

}  // namespace naru::server
