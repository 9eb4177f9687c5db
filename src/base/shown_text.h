// Text from outside (a file's name, an answer) as a terminal may be shown it.
#pragma once

#include <string>
#include <string_view>

namespace naru {

// The text with U+FFFD for all that a terminal would act upon (control characters other than \n and \t), so that it
// cannot move the cursor or set the window's title.
std::string without_controls(std::string_view text);
// The same on one line: line breaks as \n, tabs as spaces.
std::string without_controls_on_one_line(std::string_view text);

}  // namespace naru
