// What a report shows, read from the folder of a run: run.json, metrics.jsonl, samples.jsonl, recipe.toml and the names
// of the checkpoints. None of it is trusted; what cannot be read is said on the page.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"
#include "formats/utf8.h"
#include "runs/json_lines.h"
#include "runs/report.h"
#include "runs/run_files.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string clipped(std::string text) {
  if (static_cast<int64_t>(text.size()) <= kReportAnswerBytesMax) return text;
  text.resize(static_cast<size_t>(kReportAnswerBytesMax));
  text.resize(static_cast<size_t>(formats::utf8_valid_prefix(text)));
  return text + " ...";
}

// "1 234 567"
std::string grouped(int64_t value) {
  const uint64_t magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const std::string digits = fmt::format("{}", magnitude);
  std::string out = value < 0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += "\u202f";
    out += digits[i];
  }
  return out;
}

std::string duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::min(seconds, 1e12));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

// "2.1e13" as people say it.
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

std::optional<double> last_of(const std::vector<Curve>& curves, std::string_view name) {
  for (const Curve& curve : curves) {
    if (curve.name == name && !curve.points.empty()) return curve.points.back().second;
  }
  return std::nullopt;
}

std::string unread_lines(int64_t n, const char* file) {
  return fmt::format("{} {} of {} could not be read.", n, n == 1 ? "line" : "lines", file);
}

Status read_curves(const fs::path& folder, ReportData* data) {
  int64_t n_passed_over = 0;
  NARU_ASSIGN(const int64_t n_bad, for_each_json_line(folder / kMetricsFile, [&](const Json& line, std::string_view) {
                const auto step = json_whole(line, "step");
                if (!step) return;
                for (const auto& [name, value] : line.items()) {
                  if (name == "step" || name == "time" || !value.is_number()) continue;
                  auto curve = std::find_if(data->curves.begin(), data->curves.end(),
                                            [&wanted = name](const Curve& c) { return c.name == wanted; });
                  if (curve == data->curves.end()) {
                    if (static_cast<int64_t>(data->curves.size()) == kReportCurvesMax) {
                      ++n_passed_over;
                      continue;
                    }
                    data->curves.push_back({name, {}});
                    curve = data->curves.end() - 1;
                  }
                  const auto number = value.get<double>();
                  if (!std::isfinite(number) || (!curve->points.empty() && curve->points.back().first >= *step))
                    continue;
                  curve->points.emplace_back(*step, number);
                }
              }));
  if (n_bad > 0) data->notes.push_back(unread_lines(n_bad, kMetricsFile));
  if (n_passed_over > 0) data->notes.push_back(fmt::format("Only the first {} curves are shown.", kReportCurvesMax));
  return {};
}

Status read_samples(const fs::path& folder, ReportData* data) {
  int64_t n_passed_over = 0;
  NARU_ASSIGN(const int64_t n_bad, for_each_json_line(folder / kSamplesFile, [&](const Json& line, std::string_view) {
                const std::string prompt = clipped(json_text_of(line, "prompt"));
                auto sample = std::find_if(data->samples.begin(), data->samples.end(),
                                           [&](const ReportSample& s) { return s.prompt == prompt; });
                if (sample == data->samples.end()) {
                  if (static_cast<int64_t>(data->samples.size()) == kReportPromptsMax) {
                    ++n_passed_over;
                    return;
                  }
                  data->samples.push_back({prompt, {}});
                  sample = data->samples.end() - 1;
                }
                // All of them would be many: the first, and the latest ones.
                constexpr size_t kAnswersMax = 12;
                if (sample->answers.size() == kAnswersMax) sample->answers.erase(sample->answers.begin() + 1);
                sample->answers.emplace_back(json_whole(line, "step").value_or(0),
                                             clipped(json_text_of(line, "answer")));
              }));
  if (n_bad > 0) data->notes.push_back(unread_lines(n_bad, kSamplesFile));
  if (n_passed_over > 0) data->notes.push_back(fmt::format("Only the first {} prompts are shown.", kReportPromptsMax));
  return {};
}

void read_checkpoints(const fs::path& folder, ReportData* data) {
  std::error_code error;
  for (fs::directory_iterator entry(folder / kCheckpointsFolder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with("step-")) continue;
    int64_t bytes = 0;
    std::error_code ignored;
    for (fs::directory_iterator file(entry->path(), ignored), last; !ignored && file != last; file.increment(ignored)) {
      std::error_code none;
      if (file->is_regular_file(none)) bytes += static_cast<int64_t>(file->file_size(none));
    }
    data->checkpoints.emplace_back(name, format_bytes(bytes));
  }
  std::sort(data->checkpoints.begin(), data->checkpoints.end());
}

// A value of run.json that has no label of its own.
std::string plain_value(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return fmt::format("{}", value.get<int64_t>());
  if (value.is_number()) return fmt::format("{}", value.get<double>());
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  return "";
}

void put_figures(const Json& info, ReportData* data) {
  const auto put = [data](const char* label, std::string text) { data->figures.emplace_back(label, std::move(text)); };
  const auto loss = json_number(info, "loss");
  if (const auto value = loss ? loss : last_of(data->curves, "loss"))
    put("training loss", fmt::format("{:.4f}", *value));
  const auto held = json_number(info, "validation_loss");
  if (const auto value = held ? held : last_of(data->curves, "validation_loss")) {
    put("validation loss", fmt::format("{:.4f}", *value));
  }
  if (const auto accuracy = json_number(info, "accuracy")) {
    put("held-out problems right", fmt::format("{:.1f} %", 100 * *accuracy));
  }
  const int64_t step = json_whole(info, "step").value_or(0);
  const int64_t steps = json_whole(info, "steps").value_or(0);
  put("steps", steps > 0 && steps != step ? fmt::format("{} / {}", grouped(step), grouped(steps)) : grouped(step));
  const auto seconds = json_number(info, "seconds");
  const auto tokens = json_number(info, "tokens");
  if (tokens) put("tokens", grouped(static_cast<int64_t>(std::clamp(*tokens, 0.0, 1e15))));
  if (seconds) put("wall time", duration(std::max(0.0, *seconds)));
  if (seconds && tokens && *seconds > 0)
    put("tokens a second", grouped(static_cast<int64_t>(std::clamp(*tokens / *seconds, 0.0, 1e15))));
}

void put_facts(const Json& info, ReportData* data) {
  const auto put = [data](std::string label, std::string text) {
    data->facts.emplace_back(std::move(label), std::move(text));
  };
  constexpr std::pair<const char*, const char*> kTexts[] = {{"weights_sha256", "SHA-256 of the weights"},
                                                            {"recipe_sha256", "SHA-256 of the recipe"},
                                                            {"numerics_id", "numerics id"},
                                                            {"model", "model"},
                                                            {"naru", "naru"},
                                                            {"machine", "machine"},
                                                            {"started", "started"},
                                                            {"updated", "last written"},
                                                            {"reason", "reason"}};
  constexpr std::pair<const char*, const char*> kBytes[] = {{"peak_memory_bytes", "peak memory"},
                                                            {"planned_memory_bytes", "planned memory"}};
  constexpr std::pair<const char*, const char*> kCounts[] = {
      {"parameters", "parameters"}, {"active_parameters", "active parameters of a token"}, {"threads", "threads"}};
  std::vector<std::string> said = {"name",     "status", "step",    "steps", "loss", "validation_loss",
                                   "accuracy", "tokens", "seconds", "format"};
  for (const auto& [key, label] : kTexts) {
    if (const std::string text = json_text_of(info, key); !text.empty()) put(label, text);
    said.emplace_back(key);
  }
  for (const auto& [key, label] : kCounts) {
    if (const auto value = json_whole(info, key)) put(label, grouped(*value));
    said.emplace_back(key);
  }
  for (const auto& [key, label] : kBytes) {
    if (const auto value = json_number(info, key))
      put(label, format_bytes(static_cast<int64_t>(std::clamp(*value, 0.0, 1e18))));
    said.emplace_back(key);
  }
  const auto active = json_number(info, "active_parameters");
  const auto tokens = json_number(info, "tokens");
  if (active && tokens && *active > 0 && *tokens > 0) {
    const double n = 6 * *active * *tokens;
    put("cost", fmt::format("{}operations: 6 × active parameters × tokens, the usual count of a forward and a backward "
                            "pass without attention's own products",
                            operations(n)));
    const auto seconds = json_number(info, "seconds");
    if (seconds && *seconds > 0)
      put("speed", fmt::format("{}operations a second by the same count", operations(n / *seconds)));
  }
  for (const auto& [key, value] : info.items()) {
    if (std::find(said.begin(), said.end(), key) == said.end() && !plain_value(value).empty()) {
      put(clipped(key), clipped(plain_value(value)));
    }
  }
}

// What run.json says of the data (data_record.h), read as any other file from outside.
void put_data(const Json& info, ReportData* data) {
  constexpr size_t kFilesShownMax = 20;
  const auto put = [data](std::string label, std::string text) {
    data->facts.emplace_back(std::move(label), clipped(std::move(text)));
  };
  const auto place = info.find("data");
  if (place == info.end() || !place->is_object()) return;
  const Json& record = *place;
  for (const auto& [key, label] :
       {std::pair{"training", "training data"}, std::pair{"validation", "validation data"}}) {
    if (!record.contains(key) || !record[key].is_object()) continue;
    const Json& stream = record[key];
    put(label,
        fmt::format("{} documents, {} tokens, SHA-256 {}", grouped(json_whole(stream, "documents").value_or(0)),
                    grouped(json_whole(stream, "tokens").value_or(0)), json_text_of(stream, "documents_sha256")));
    if (!stream.contains("files") || !stream["files"].is_array()) continue;
    const Json& files = stream["files"];
    for (size_t i = 0; i < std::min(files.size(), kFilesShownMax); ++i) {
      put(i == 0 ? fmt::format("files of the {}", label) : "",
          fmt::format("{}: {} bytes, SHA-256 {}", json_text_of(files[i], "name"),
                      grouped(json_whole(files[i], "bytes").value_or(0)), json_text_of(files[i], "sha256")));
    }
    const int64_t n_files = json_whole(stream, "files_in_all").value_or(0);
    if (n_files > static_cast<int64_t>(kFilesShownMax)) {
      put("", fmt::format("and {} more", grouped(n_files - static_cast<int64_t>(kFilesShownMax))));
    }
  }
  if (!record.contains("changes") || !record["changes"].is_array()) return;
  for (const Json& change : record["changes"]) {
    const std::string text = fmt::format("The data was changed, as was asked for, from step {} on: {}.",
                                         json_whole(change, "from_step").value_or(0), json_text_of(change, "what"));
    data->notes.push_back(clipped(text));
  }
}

}  // namespace

std::vector<std::pair<int64_t, double>> thinned(const std::vector<std::pair<int64_t, double>>& points,
                                                int64_t points_max) {
  const auto n = static_cast<int64_t>(points.size());
  if (n <= points_max) return points;
  const int64_t stretches = std::max<int64_t>(1, points_max / 2);
  std::vector<std::pair<int64_t, double>> out;
  for (int64_t i = 0; i < stretches; ++i) {
    const auto begin = points.begin() + n * i / stretches;
    const auto end = points.begin() + n * (i + 1) / stretches;
    auto [low, high] =
        std::minmax_element(begin, end, [](const auto& a, const auto& b) { return a.second < b.second; });
    if (high < low) std::swap(low, high);
    out.push_back(*low);
    if (low != high) out.push_back(*high);
  }
  return out;
}

Result<ReportData> read_report_data(const fs::path& run_folder) {
  const fs::path path = run_folder / kRunFile;
  NARU_ASSIGN(const std::string text, read_file(path, kRunFileBytesMax));
  NARU_ASSIGN(const Json info, formats::parse_json(as_bytes(text), path.string()));
  ReportData data;
  data.name = clipped(json_text_of(info, "name"));
  if (data.name.empty()) data.name = run_folder.filename().string();
  data.status = clipped(json_text_of(info, "status"));
  NARU_TRY(read_curves(run_folder, &data));
  NARU_TRY(read_samples(run_folder, &data));
  read_checkpoints(run_folder, &data);
  put_figures(info, &data);
  put_facts(info, &data);
  put_data(info, &data);
  for (Curve& curve : data.curves) curve.points = thinned(curve.points, kReportPointsMax);
  std::error_code error;
  if (fs::exists(run_folder / kRecipeFile, error)) {
    NARU_ASSIGN(data.recipe, read_file(run_folder / kRecipeFile, recipes::kRecipeBytesMax));
  }
  return data;
}

}  // namespace naru::runs
