// What a report shows, read from the folder of a run: run.json, metrics.jsonl, samples.jsonl, recipe.toml and the names
// of the checkpoints. None of it is trusted; what cannot be read is said on the page.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/memory.h"
#include "base/shown_text.h"
#include "formats/json.h"
#include "formats/utf8.h"
#include "runs/json_lines.h"
#include "runs/report.h"
#include "runs/report_answers.h"
#include "runs/run_files.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

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

// "step 100" of "step-00000100"; what has another name (one set aside) keeps it.
std::string checkpoint_label(const std::string& name) {
  const std::string_view number = std::string_view(name).substr(std::string_view("step-").size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), step);
  const bool is_step = error == std::errc() && end == number.data() + number.size();
  return is_step ? "step " + grouped(step) : name;
}

void read_checkpoints(const fs::path& folder, ReportData* data) {
  std::error_code error;
  std::vector<std::pair<std::string, int64_t>> found;
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
    found.emplace_back(name, bytes);
  }
  std::sort(found.begin(), found.end());
  ReportSection section{"Checkpoints", {}};
  for (const auto& [name, bytes] : found) section.rows.emplace_back(checkpoint_label(name), format_bytes(bytes));
  data->sections.push_back(std::move(section));
}

}  // namespace

std::string clipped(std::string text) {
  if (static_cast<int64_t>(text.size()) <= kReportAnswerBytesMax) return text;
  text.resize(static_cast<size_t>(kReportAnswerBytesMax));
  text.resize(static_cast<size_t>(formats::utf8_valid_prefix(text)));
  return text + " ...";
}

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
  NARU_TRY(read_curves(run_folder, &data));
  NARU_TRY(read_samples(run_folder, &data));
  NARU_TRY(read_answers(run_folder, &data));
  put_facts(info, &data);
  read_checkpoints(run_folder, &data);
  for (Curve& curve : data.curves) curve.points = thinned(curve.points, kReportPointsMax);
  std::error_code error;
  if (fs::exists(run_folder / kRecipeFile, error)) {
    NARU_ASSIGN(data.recipe, read_file(run_folder / kRecipeFile, recipes::kRecipeBytesMax));
  }
  return data;
}

}  // namespace naru::runs
