// report.html: what a run was and how it went, on one page that needs no network and no program but a browser. Every
// text in it comes from outside and is escaped; the page's policy lets run the one script that is ours, known by its
// hash.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runs/run_folder.h"

namespace naru::runs {

inline constexpr int64_t kReportPointsMax = 4000;  // points of one curve; more are thinned to the extremes of stretches
inline constexpr int64_t kReportCurvesMax = 32;    // names in metrics.jsonl that get a curve
inline constexpr int64_t kReportPromptsMax = 200;  // prompts whose samples are shown
inline constexpr int64_t kReportAnswerBytesMax = 8192;  // bytes shown of one prompt or answer

struct Curve {
  std::string name;
  std::vector<std::pair<int64_t, double>> points;  // step, value: finite, steps ascending
};

struct ReportSample {
  std::string prompt;
  std::vector<std::pair<int64_t, std::string>> answers;  // step, answer
};

struct ReportData {
  std::string name, status;
  std::vector<std::pair<std::string, std::string>> figures;  // the large numbers at the top
  std::vector<std::pair<std::string, std::string>> facts;    // label, text
  std::vector<Curve> curves;
  std::vector<ReportSample> samples;
  std::vector<std::pair<std::string, std::string>> checkpoints;  // name, size
  std::string recipe;
  std::vector<std::string> notes;  // what could not be read
};

// Text between tags, and inside of a quoted attribute.
std::string html_escaped(std::string_view text);
// At most `points_max` points: of each stretch its lowest and its highest, so that no spike is lost.
std::vector<std::pair<int64_t, double>> thinned(const std::vector<std::pair<int64_t, double>>& points,
                                                int64_t points_max);

Result<ReportData> read_report_data(const std::filesystem::path& run_folder);
std::string report_html(const ReportData& data);

}  // namespace naru::runs
