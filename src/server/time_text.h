// Points in time as text.
#pragma once

#include <cstdint>
#include <string>

namespace naru::server {

// RFC 3339 in UTC: "2023-11-14T22:13:20.500Z". `nanoseconds` of the second, cut to `digits` of them, 1 to 9.
std::string rfc3339(int64_t unix_seconds, int64_t nanoseconds, int digits);

}  // namespace naru::server
