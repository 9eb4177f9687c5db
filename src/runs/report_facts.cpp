// What run.json says of a run, in words for its report. None of it is trusted: a key may be missing, or be another
// thing than it should. Keys that are not known here are passed over.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "base/shown_text.h"
#include "runs/json_lines.h"
#include "runs/report.h"
#include "runs/run_starts.h"

namespace naru::runs {
namespace {

using Json = nlohmann::json;

constexpr size_t kFilesShownMax = 20;
constexpr size_t kStartsShownMax = 50;  // the last ones

// A number that people read: no count of ours is larger.
int64_t count_of(double value) {
  return std::isfinite(value) ? static_cast<int64_t>(std::clamp(value, 0.0, 1e15)) : 0;
}

// "21.3 tera" of 2.13e13.
std::string operations(double n) {
  struct Unit {
    double size;
    const char* name;
  };
  for (const Unit& unit :
       {Unit{1e18, "exa"}, Unit{1e15, "peta"}, Unit{1e12, "tera"}, Unit{1e9, "giga"}, Unit{1e6, "mega"}}) {
    if (n >= unit.size) return fmt::format("{:.3g} {}", n / unit.size, unit.name);
  }
  return fmt::format("{:.3g} ", n);
}

// "2026-11-25 10:20:05 UTC" of "2026-11-25T10:20:05Z"; another text as it is.
std::string time_text(std::string text) {
  if (text.size() != 20 || text[10] != 'T' || text.back() != 'Z') return text;
  text[10] = ' ';
  text.pop_back();
  return text + " UTC";
}

std::optional<double> last_of(const std::vector<Curve>& curves, std::string_view name) {
  for (const Curve& curve : curves) {
    if (curve.name == name && !curve.points.empty()) return curve.points.back().second;
  }
  return std::nullopt;
}

// Nothing where there is no later one.
std::optional<double> first_of(const std::vector<Curve>& curves, std::string_view name) {
  for (const Curve& curve : curves) {
    if (curve.name == name && curve.points.size() > 1) return curve.points.front().second;
  }
  return std::nullopt;
}

void put(LabelledTexts& rows, std::string label, std::string text) {
  if (!text.empty()) rows.emplace_back(std::move(label), clipped(std::move(text)));
}

// "12 of 20", or "20".
std::string steps_text(const Json& info) {
  const int64_t step = json_whole(info, "step").value_or(0), steps = json_whole(info, "steps").value_or(0);
  return steps > 0 && steps != step ? fmt::format("{} of {}", grouped(step), grouped(steps)) : grouped(step);
}

// "1,102,848 parameters, 513,024 active for a token"
std::string parameters_text(const Json& info, std::string_view unit) {
  const auto all = json_whole(info, "parameters"), active = json_whole(info, "active_parameters");
  if (!all) return "";
  const std::string part = active && *active != *all ? fmt::format(", {} active for a token", grouped(*active)) : "";
  return fmt::format("{}{}{}", grouped(*all), unit, part);
}

void put_figures(const Json& info, ReportData* data) {
  const auto number = [&](const char* key) {
    const auto value = json_number(info, key);
    return value ? value : last_of(data->curves, key);
  };
  LabelledTexts& figures = data->figures;
  if (const auto reward = number("reward")) {
    const auto first = first_of(data->curves, "reward");
    put(figures, "reward of the last rollout" + (first ? fmt::format(", {:.3f} of the first", *first) : ""),
        fmt::format("{:.3f}", *reward));
  }
  if (const auto loss = number("loss")) put(figures, "training loss", fmt::format("{:.4f}", *loss));
  if (const auto loss = number("validation_loss")) put(figures, "validation loss", fmt::format("{:.4f}", *loss));
  if (const auto accuracy = number("accuracy")) {
    std::string label = "held-out problems right";
    if (const int64_t n = json_whole(info, "problems").value_or(0); n > 0)
      label = fmt::format("of {} {}", grouped(n), label);
    const auto first = first_of(data->curves, "accuracy");
    if (first) label += fmt::format(", {:.1f} % before", 100 * *first);
    put(figures, label, fmt::format("{:.1f} %", 100 * *accuracy));
  }
  // A difference ends the run.
  auto compared = json_number(info, "tokens_compared");
  if (!compared) compared = last_of(data->curves, "tokens_compared_total");
  if (compared && *compared > 0 && data->status != "failed") {
    put(figures, "bit-equal: log-probabilities of rollout and training",
        fmt::format("yes, {}", grouped(count_of(*compared))));
  }
  put(figures, "steps", steps_text(info));
  const auto seconds = json_number(info, "seconds"), tokens = json_number(info, "tokens");
  if (tokens) put(figures, "tokens", grouped(count_of(*tokens)));
  if (seconds) put(figures, "time at work", format_seconds(std::max(0.0, *seconds)));
  if (seconds && tokens && *seconds > 0) put(figures, "tokens a second", grouped(count_of(*tokens / *seconds)));
}

std::string memory_text(const Json& info) {
  const auto bytes = [&info](const char* key) {
    const auto value = json_number(info, key);
    return value ? format_bytes(static_cast<int64_t>(std::clamp(*value, 0.0, 1e18))) : std::string();
  };
  const std::string peak = bytes("peak_memory_bytes"), planned = bytes("planned_memory_bytes");
  if (peak.empty()) return planned.empty() ? "" : planned + " planned";
  return peak + " at the peak" + (planned.empty() ? "" : ", " + planned + " planned");
}

// The usual count: a multiplication and an addition for each parameter that a token meets, once forward, twice
// backward, and no gradients of weights that are frozen.
void put_cost(const Json& info, LabelledTexts& rows) {
  const auto active = json_number(info, "active_parameters"), each = json_number(info, "operations_per_token");
  const auto tokens = json_number(info, "tokens"), seconds = json_number(info, "seconds");
  const double n = (each ? *each : 6 * active.value_or(0)) * tokens.value_or(0);
  if (!(n > 0) || !std::isfinite(n)) return;
  const bool is_six = active && (!each || *each == 6 * *active);
  put(rows, "cost",
      fmt::format("{}operations: {}, the usual count of a forward and a backward pass without attention's own products",
                  operations(n),
                  is_six ? "6 × parameters that a token meets × tokens"
                         : "4 × parameters that a token meets and 2 × trained ones, × tokens"));
  if (!seconds || *seconds <= 0) return;
  std::string speed = fmt::format("{}operations a second by the same count", operations(n / *seconds));
  const auto peak = json_number(info, "peak_operations_per_s");
  if (peak && *peak > 0) {
    speed += fmt::format(", {:.0f} % of the {}operations a second that this machine reached when the run began there",
                         100 * n / *seconds / *peak, operations(*peak));
  }
  put(rows, "speed", std::move(speed));
}

void put_run(const Json& info, ReportData* data) {
  ReportSection section{"The run", {}};
  LabelledTexts& rows = section.rows;
  put(rows, "model", json_text_of(info, "model"));
  put(rows, "parameters", parameters_text(info, ""));
  const auto trained = json_whole(info, "trained_parameters"), all = json_whole(info, "parameters");
  if (trained && all) put(rows, "of these trained", grouped(*trained));
  put(rows, "memory", memory_text(info));
  put(rows, "machine", json_text_of(info, "machine"));
  put(rows, "chip", json_text_of(info, "chip"));
  put(rows, "fault in front of the chip", json_text_of(info, "fault"));
  if (const auto n = json_whole(info, "recheck_differences")) {
    put(rows, "thrown away by rechecks", fmt::format("{} results", grouped(*n)));
    put(rows, "the last of them", json_text_of(info, "recheck_found"));
  }
  if (const auto threads = json_whole(info, "threads")) put(rows, "threads", grouped(*threads));
  const std::string version = json_text_of(info, "naru");
  put(rows, "trained by", version.empty() ? "" : "naru " + version);
  put(rows, "started", time_text(json_text_of(info, "started")));
  put(rows, "last written", time_text(json_text_of(info, "updated")));
  put_cost(info, rows);
  data->sections.push_back(std::move(section));
}

void put_starts(const Json& info, ReportData* data) {
  const std::vector<RunStart> starts = read_starts(info);
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t step = starts[i].from_step;
    const bool is_new = step > 0 && (data->went_on.empty() || data->went_on.back() < step);
    if (is_new) data->went_on.push_back(step);
  }
  if (starts.size() < 2) return;
  ReportSection section{"Starts", {}};
  const size_t n_left_out = starts.size() - std::min(starts.size(), kStartsShownMax);
  if (n_left_out > 0) put(section.rows, "", fmt::format("{} earlier ones", grouped(static_cast<int64_t>(n_left_out))));
  for (size_t i = n_left_out; i < starts.size(); ++i) {
    const RunStart& start = starts[i];
    std::string text = time_text(start.began);
    if (start.status == "killed") {
      text +=
          start.step > start.from_step ? fmt::format(", killed, saved at step {}", grouped(start.step)) : ", killed";
    } else if (start.status == "running") {
      text += ", at work";
    } else if (!start.status.empty()) {
      text += fmt::format(", {} at step {}", start.status, grouped(start.step));
    }
    const bool is_elsewhere = i > 0 && start.machine != starts[i - 1].machine;
    if (is_elsewhere && !start.machine.empty()) text += ", on " + start.machine;
    put(section.rows, fmt::format("from step {}", grouped(start.from_step)), std::move(text));
  }
  data->sections.push_back(std::move(section));
}

// What run.json says of the data (data_record.h); hashes go into a section of their own.
void put_data(const Json& info, ReportData* data, LabelledTexts& hashes) {
  ReportSection section{"Data", {}};
  const auto place = info.find("data");
  if (place == info.end() || !place->is_object()) return;
  const Json& record = *place;
  for (const auto& [key, label] :
       {std::pair{"training", "training data"}, std::pair{"validation", "validation data"}}) {
    if (!record.contains(key) || !record[key].is_object()) continue;
    const Json& stream = record[key];
    const std::string documents = grouped(json_whole(stream, "documents").value_or(0));
    const int64_t tokens = json_whole(stream, "tokens").value_or(0);  // 0: answers are written as the run goes
    put(section.rows, label,
        tokens > 0 ? fmt::format("{} documents, {} tokens", documents, grouped(tokens)) : documents + " problems");
    put(hashes, fmt::format("{} documents", key), json_text_of(stream, "documents_sha256"));
    if (!stream.contains("files") || !stream["files"].is_array()) continue;
    const Json& files = stream["files"];
    for (size_t i = 0; i < std::min(files.size(), kFilesShownMax); ++i) {
      const std::string name = json_text_of(files[i], "name");
      put(section.rows, i == 0 ? fmt::format("files of the {}", label) : "",
          fmt::format("{}, {} bytes", name, grouped(json_whole(files[i], "bytes").value_or(0))));
      put(hashes, name, json_text_of(files[i], "sha256"));
    }
    const int64_t n_files = json_whole(stream, "files_in_all").value_or(0);
    if (n_files > static_cast<int64_t>(kFilesShownMax)) {
      put(section.rows, "", fmt::format("and {} more", grouped(n_files - static_cast<int64_t>(kFilesShownMax))));
    }
  }
  data->sections.push_back(std::move(section));
  if (!record.contains("changes") || !record["changes"].is_array()) return;
  for (const Json& change : record["changes"]) {
    const std::string text = fmt::format("The data was changed, as was asked for, from step {} on: {}.",
                                         json_whole(change, "from_step").value_or(0), json_text_of(change, "what"));
    data->notes.push_back(clipped(text));
  }
}

void put_alarms(const Json& info, ReportData* data) {
  constexpr size_t kAlarmsShownMax = 20;
  const auto list = info.find("alarms");
  if (list == info.end() || !list->is_array()) return;
  for (size_t i = 0; i < std::min(list->size(), kAlarmsShownMax); ++i) {
    const Json& alarm = (*list)[i];
    if (!alarm.is_object()) continue;
    data->alarms.push_back({json_whole(alarm, "step").value_or(0), clipped(json_text_of(alarm, "kind")),
                            clipped(json_text_of(alarm, "what")), clipped(json_text_of(alarm, "try"))});
  }
}

void put_state(const Json& info, ReportData* data) {
  data->status = clipped(json_text_of(info, "status"));
  const std::string version = json_text_of(info, "naru");
  const std::vector<std::string> parts = {json_text_of(info, "model"), parameters_text(info, " parameters"),
                                          version.empty() ? "" : "naru " + version};
  for (const std::string& part : parts) {
    if (!part.empty()) data->summary += (data->summary.empty() ? "" : " · ") + part;
  }
  data->summary = clipped(data->summary);
  if (data->status == "done") return;
  data->command = clipped(json_text_of(info, "command"));
  const std::string at = "step " + steps_text(info);
  if (data->status == "stopped") {
    data->unfinished = fmt::format("This run is not finished: it was stopped at {}.", at);
  } else if (data->status == "failed") {
    data->unfinished =
        fmt::format("This run is not finished: it failed at {}: {}.", at, clipped(json_text_of(info, "reason")));
  } else if (data->status == "running") {
    data->unfinished = fmt::format("This run was at work when this was written, at {}.", at);
  }
}

}  // namespace

void put_facts(const Json& info, ReportData* data) {
  ReportSection hashes{"Hashes", {}};
  put(hashes.rows, "weights (SHA-256)", json_text_of(info, "weights_sha256"));
  put(hashes.rows, "recipe", json_text_of(info, "recipe_sha256"));
  put(hashes.rows, "numerics id", json_text_of(info, "numerics_id"));
  put_state(info, data);
  put_alarms(info, data);
  put_figures(info, data);
  put_run(info, data);
  put_starts(info, data);
  put_data(info, data, hashes.rows);
  data->sections.push_back(std::move(hashes));
}

}  // namespace naru::runs
