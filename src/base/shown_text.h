// What people read: text from outside (a file's name, an answer) as a terminal may be shown it, numbers and times.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace naru {

// The text with U+FFFD for all that a terminal would act upon (control characters other than \n and \t), so that it
// cannot move the cursor or set the window's title.
std::string without_controls(std::string_view text);
// The same on one line: line breaks as \n, tabs as spaces.
std::string without_controls_on_one_line(std::string_view text);

// 134515008 as "134,515,008".
std::string grouped(int64_t n);
// "0.35 s", "12.3 s", "4 min 05 s", "2 h 10 min"
std::string format_seconds(double seconds);

}  // namespace naru
