#include "server/request_log.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "base/shown_text.h"
#include "server/json_bytes.h"
#include "server/time_text.h"

namespace naru::server {
namespace {

// To the microsecond: digits beyond it are noise of the clock.
double rounded(double seconds) {
  return std::round(seconds * 1e6) / 1e6;
}

std::string time_text(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::floor<std::chrono::nanoseconds>(time.time_since_epoch());
  const auto whole = std::chrono::floor<std::chrono::seconds>(since);
  return rfc3339(whole.count(), (since - whole).count(), 3);
}

}  // namespace

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
  if (log.body) line += fmt::format(" < {}", *log.body);
  return without_controls_on_one_line(line);
}

std::string log_json(const RequestLog& log, std::chrono::system_clock::time_point time) {
  Json json = {{"time", time_text(time)}, {"request", log.request}, {"status", log.status}};
  if (log.status == 0) json["left"] = true;
  if (!log.id.empty()) json["id"] = log.id;
  if (!log.model.empty()) json["model"] = log.model;
  if (!log.key_name.empty()) json["key"] = log.key_name;
  if (log.usage.prompt_tokens > 0) {
    json["tokens"] = {{"in", log.usage.prompt_tokens},
                      {"out", log.usage.completion_tokens},
                      {"cached", log.usage.cached_tokens},
                      {"reasoning", log.usage.reasoning_tokens}};
    if (log.usage.replayed_tokens > 0) json["tokens"]["replayed"] = log.usage.replayed_tokens;
  }
  if (log.first_seconds > 0) json["first_seconds"] = rounded(log.first_seconds);
  if (!log.id.empty()) json["seconds"] = rounded(log.seconds);
  if (!log.refused.empty()) json["refused"] = log.refused;
  if (log.body) {
    json["body"] = *log.body;
    json["body_bytes"] = log.body_bytes;
  }
  return json_bytes(json) + "\n";
}

std::string words_for_log(const Refusal& refusal) {
  if (refusal.status >= 500 || refusal.status == 429) return refusal.message;
  return refusal.param.empty() ? refusal.code : refusal.param + (refusal.code.empty() ? "" : " " + refusal.code);
}

}  // namespace naru::server
