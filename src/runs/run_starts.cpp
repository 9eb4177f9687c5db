#include "runs/run_starts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runs/json_lines.h"

namespace naru::runs {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* kStarts = "starts";

}  // namespace

void begin_start(OrderedJson& info, int64_t from_step, const std::string& now) {
  OrderedJson starts = OrderedJson::array();
  if (info.contains(kStarts) && info[kStarts].is_array()) starts = std::move(info[kStarts]);
  if (!starts.empty() && starts.back().is_object() && starts.back().value("status", OrderedJson()) == "running") {
    starts.back()["status"] = "killed";
  }
  if (static_cast<int64_t>(starts.size()) >= kRunStartsMax) {
    starts.erase(starts.begin(), starts.begin() + static_cast<int64_t>(starts.size()) - kRunStartsMax + 1);
  }
  starts.push_back(
      {{"from_step", from_step}, {"step", from_step}, {"began", now}, {"updated", now}, {"status", "running"}});
  info[kStarts] = std::move(starts);
}

void update_start(OrderedJson& info, bool has_step) {
  if (!info.contains(kStarts) || !info[kStarts].is_array() || info[kStarts].empty()) return;
  OrderedJson& start = info[kStarts].back();
  if (!start.is_object()) return;
  for (const char* key : {"status", "updated", "machine", "threads", "naru"}) {
    if (info.contains(key)) start[key] = info[key];
  }
  if (has_step && info.contains("step")) start["step"] = info["step"];
}

std::vector<RunStart> read_starts(const nlohmann::json& info) {
  std::vector<RunStart> starts;
  const auto place = info.find(kStarts);
  if (place == info.end() || !place->is_array()) return starts;
  for (const nlohmann::json& start : *place) {
    if (!start.is_object() || std::ssize(starts) == kRunStartsMax) continue;
    const int64_t from_step = std::max<int64_t>(0, json_whole(start, "from_step").value_or(0));
    starts.push_back({.from_step = from_step,
                      .step = std::max(from_step, json_whole(start, "step").value_or(0)),
                      .began = json_text_of(start, "began"),
                      .updated = json_text_of(start, "updated"),
                      .status = json_text_of(start, "status"),
                      .machine = json_text_of(start, "machine"),
                      .naru = json_text_of(start, "naru"),
                      .threads = std::max<int64_t>(0, json_whole(start, "threads").value_or(0))});
  }
  return starts;
}

}  // namespace naru::runs
