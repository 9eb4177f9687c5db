// The limits of this machine (chips/cpu/machine_limits.h) as people and programs read them, and shares of them.
#pragma once

#include <string>
#include <string_view>

#include "chips/cpu/machine_limits.h"
#include "cli/json_text.h"
#include "cli/sheet.h"

namespace naru::cli {

// "412.3 GFLOP/s", "1.35 TB/s"
std::string rate(double per_s, std::string_view unit);
// "43 %"
std::string share(double part);
// The same; what comes faster than memory gives it was not read from there: "in cache".
std::string memory_share_text(double part);

// Under a heading of their own.
void add_limits(Sheet& sheet, const cpu::MachineLimits& limits);
// The processor, its cores and what was measured.
Json limits_json(const cpu::MachineLimits& limits, std::string_view chip);

}  // namespace naru::cli
