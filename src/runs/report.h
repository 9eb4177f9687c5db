// report.html: what a run was and how it went, done or not, on one page that needs no network and no program but a
// browser. Every text in it comes from outside and is escaped; the page's policy lets run the one script that is ours,
// known by its hash.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runs/run_folder.h"

namespace naru::runs {

inline constexpr int64_t kReportPointsMax = 4000;  // points of one curve; more are thinned to the extremes of stretches
inline constexpr int64_t kReportCurvesMax = 64;    // names in metrics.jsonl that get a curve
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

struct ReportAnswer {
  int64_t step = 0;
  std::string text;
  bool is_right = false;
};
struct ReportProblem {
  int64_t number = 0;
  std::string prompt, wanted;
  std::vector<ReportAnswer> answers;  // steps ascending
};

using LabelledTexts = std::vector<std::pair<std::string, std::string>>;  // label, text

struct ReportSection {
  std::string title;
  LabelledTexts rows;
};

struct ReportData {
  std::string name, status;
  std::string summary;     // one line under the name: the model, its size, what trained it
  std::string unfinished;  // why the run is not done; "" where it is
  std::string command;     // that goes on with it; "" where none is known
  LabelledTexts figures;   // the large numbers at the top
  std::vector<ReportSection> sections;
  std::vector<Curve> curves;
  std::vector<int64_t> went_on;  // steps from which the run went on after it had stopped, ascending
  std::vector<ReportSample> samples;
  std::vector<ReportProblem> problems;
  std::vector<ShownGroup> groups;
  std::vector<Alarm> alarms;
  std::string recipe;
  std::vector<std::string> notes;  // what could not be read
};

// The digest of a style or a script as a content security policy has it.
std::string policy_hash(std::string_view text);
// The class of a status: one that the style knows, or "other".
std::string status_class(std::string_view status);
// Writes the page into the folder, whole or not at all; one that says the same stays as it is.
Status write_page(const std::filesystem::path& folder, const std::string& page);

// Text between tags, and inside of a quoted attribute.
std::string html_escaped(std::string_view text);
// At most `points_max` points: of each stretch its lowest and its highest, so that no spike is lost.
std::vector<std::pair<int64_t, double>> thinned(const std::vector<std::pair<int64_t, double>>& points,
                                                int64_t points_max);

// A text from outside, cut to kReportAnswerBytesMax.
std::string clipped(std::string text);

Result<ReportData> read_report_data(const std::filesystem::path& run_folder);
// What run.json says, put into words: all of `data` but its curves, answers, checkpoints and recipe (report_facts.cpp).
// The curves are there already.
void put_facts(const nlohmann::json& info, ReportData* data);
std::string report_html(const ReportData& data);

}  // namespace naru::runs
