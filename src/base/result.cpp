#include "base/result.h"

namespace naru {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kInvalidArgument: return "invalid_argument";
    case Code::kNotFound: return "not_found";
    case Code::kOutOfRange: return "out_of_range";
    case Code::kCorrupt: return "corrupt";
    case Code::kUnsupported: return "unsupported";
    case Code::kResourceExhausted: return "resource_exhausted";
    case Code::kUnavailable: return "unavailable";
    case Code::kCancelled: return "cancelled";
    case Code::kDeadline: return "deadline";
    case Code::kInternal: return "internal";
  }
  return "internal";
}

int exit_status(Code code) {
  switch (code) {
    case Code::kInvalidArgument: return 2;
    case Code::kNotFound: return 3;
    case Code::kOutOfRange: return 4;
    case Code::kCorrupt: return 5;
    case Code::kUnsupported: return 6;
    case Code::kResourceExhausted: return 7;
    case Code::kUnavailable: return 8;
    case Code::kDeadline: return 9;
    case Code::kInternal: return 70;
    case Code::kCancelled: return 130;
  }
  return 70;
}

}  // namespace naru
