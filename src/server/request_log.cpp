#include "server/request_log.h"

#include <fmt/format.h>

#include "base/shown_text.h"

namespace naru::server {

std::string log_text(const RequestLog& log) {
  std::string line = fmt::format("{} {}", log.request, log.status == 0 ? "left" : fmt::format("{}", log.status));
  if (!log.key_name.empty()) line += " " + log.key_name;
  if (log.usage.prompt_tokens > 0) {
    line += fmt::format(" {}+{} tokens ({} cached)", log.usage.prompt_tokens, log.usage.completion_tokens,
                        log.usage.cached_tokens);
  }
  if (log.first_seconds > 0) line += fmt::format(", first after {:.3f} s", log.first_seconds);
  if (!log.id.empty()) line += fmt::format(", {:.3f} s", log.seconds);
  if (!log.refused.empty()) line += ": " + log.refused;
  return without_controls_on_one_line(line);
}

}  // namespace naru::server
