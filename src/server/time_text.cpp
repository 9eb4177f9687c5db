#include "server/time_text.h"

#include <fmt/format.h>

#include <ctime>

namespace naru::server {

std::string rfc3339(int64_t unix_seconds, int64_t nanoseconds, int digits) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  const std::string fraction = fmt::format("{:09}", nanoseconds);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec, fraction.substr(0, static_cast<size_t>(digits)));
}

}  // namespace naru::server
