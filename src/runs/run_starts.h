// The starts of a run, as run.json keeps them: a process at work in it each, from the step where it begins or goes on
// to the one that it came to. By them a report shows where a run stopped and went on.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace naru::runs {

inline constexpr int64_t kRunStartsMax = 200;  // that run.json keeps, the last ones

struct RunStart {
  int64_t from_step = 0;
  int64_t step = 0;            // that it came to, as far as it was written down
  std::string began, updated;  // UTC
  std::string status;          // of the run then; "killed": it could not write that it ended
  std::string machine, naru;   // where, and by which version; "" where it is not known
  int64_t threads = 0;         // 0: not known
};

// A new one, from `from_step` on. The one before that says "running" was killed.
void begin_start(nlohmann::ordered_json& info, int64_t from_step, const std::string& now);
// What run.json says by now of the run that is at work is true of its last start.
void update_start(nlohmann::ordered_json& info, bool has_step);

// As run.json has them; what is no start there is passed over.
std::vector<RunStart> read_starts(const nlohmann::json& info);

}  // namespace naru::runs
