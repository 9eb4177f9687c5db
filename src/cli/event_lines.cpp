#include "cli/event_lines.h"

#include <fmt/format.h>

namespace naru::cli {

Result<std::vector<std::string>> EventLines::push(std::string_view bytes) {
  std::vector<std::string> events;
  for (const char c : bytes) {
    const bool is_second = c == '\n' && was_return_;
    was_return_ = c == '\r';
    if (is_second) continue;
    if (c == '\n' || c == '\r') {
      take_line(line_, events);
      line_.clear();
      continue;
    }
    line_ += c;
    if (static_cast<int64_t>(line_.size() + data_.size()) > kEventBytesMax) {
      return Error{Code::kCorrupt, fmt::format("reading the server's answer: an event has more than {} bytes, the most "
                                               "that is read; ask for less at once",
                                               kEventBytesMax)};
    }
  }
  return events;
}

void EventLines::take_line(std::string_view line, std::vector<std::string>& events) {
  constexpr std::string_view kData = "data:";
  if (line.empty()) {
    if (has_data_) events.push_back(std::move(data_));
    data_.clear();
    has_data_ = false;
    return;
  }
  if (!line.starts_with(kData)) return;
  line.remove_prefix(kData.size());
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (has_data_) data_ += '\n';
  data_ += line;
  has_data_ = true;
}

}  // namespace naru::cli
