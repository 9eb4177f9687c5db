// Addresses: of a hub, of what lies on it, and whether two are of one origin (scheme, host and port), which is what
// decides where the token may go.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::hub {

inline constexpr std::string_view kDefaultEndpoint = "https://huggingface.co";
inline constexpr std::string_view kDefaultIndex = "https://pypi.org/simple";  // of the Python registry
inline constexpr size_t kAddressBytesMax = 16384;  // of an address: signed ones of storage hosts are long

// An http or https address without user, query and fragment; without a / at its end. `source` says in messages where it
// was given; no message has the user's name or password of an address that has them.
Result<std::string> parse_endpoint(std::string_view text, std::string_view source);

// "https://host:443", lower-case; kInvalidArgument where it is no http or https address.
Result<std::string> origin_of(const std::string& address);

// `link` as it is meant on the page of that address.
Result<std::string> resolved_address(const std::string& page, const std::string& link);

// The text as one part of a path, or (`keep_slash`) as a path: all but letters, digits and -._~ as %XX.
std::string escaped(std::string_view text, bool keep_slash);

}  // namespace naru::hub
