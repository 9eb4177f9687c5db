// EventLines: server-sent events as they come in pieces of any size: the data of each event, whole. Comments, names and
// numbers of events are passed over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace naru::cli {

inline constexpr int64_t kEventBytesMax = 16 << 20;  // of one event

class EventLines {
 public:
  // The data of the events that are whole now. kCorrupt: one that has more than kEventBytesMax bytes.
  Result<std::vector<std::string>> push(std::string_view bytes);

 private:
  void take_line(std::string_view line, std::vector<std::string>& events);

  std::string line_;  // that has no end yet
  std::string data_;  // of the event that has none
  bool has_data_ = false;
  bool was_return_ = false;  // the last byte was a carriage return, with which a line feed may come
};

}  // namespace naru::cli
