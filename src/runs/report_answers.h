// The answers that a report shows: to held-out problems, and those of rollouts by group with their rewards. Reading
// them from a run's folder, and their place on the page. All of it is text from outside: html_escaped.
#pragma once

#include <string>
#include <string_view>

#include "runs/report.h"

namespace naru::runs {

// Into data->problems and data->groups; what cannot be read is said in data->notes.
Status read_answers(const std::filesystem::path& run_folder, ReportData* data);

// An answer with its reasoning (before </think>) folded, and what is long.
std::string answer_html(std::string_view text);
std::string problems_html(const ReportData& data);
std::string groups_html(const ReportData& data);

}  // namespace naru::runs
