// Event files that TensorBoard reads: records framed by length and masked CRC-32C, each an Event message with scalars.
// Written by hand: of the messages only wall_time, step, file_version, summary (tag, simple_value) and session_log are
// used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runs/append_file.h"

namespace naru::runs {

uint32_t crc32c(std::string_view bytes);
// A record as it stands in the file.
std::string event_record(std::string_view event);
// Event messages.
std::string version_event(double wall_seconds);
std::string scalars_event(double wall_seconds, int64_t step, const std::vector<std::pair<std::string, double>>& values);
// Says that steps from `step` on are written again: what older files of the folder have of them counts no more.
std::string restart_event(double wall_seconds, int64_t step);

class EventFile {
 public:
  EventFile() = default;
  // A new file in `folder`, named so that it sorts behind those that are there.
  static Result<EventFile> create(const std::filesystem::path& folder, double wall_seconds);

  bool is_open() const { return file_.is_open(); }
  Status restart(double wall_seconds, int64_t step) {
    return file_.append(event_record(restart_event(wall_seconds, step)));
  }
  Status add(double wall_seconds, int64_t step, const std::vector<std::pair<std::string, double>>& values) {
    return file_.append(event_record(scalars_event(wall_seconds, step, values)));
  }

 private:
  AppendFile file_;
};

}  // namespace naru::runs
