// The style and the script of report.html, as they stand in it.
#pragma once

#include <string_view>

namespace naru::runs {

extern const std::string_view kReportStyle;
extern const std::string_view kReportScript;

}  // namespace naru::runs
