// JSON as people and programs both like to read it: objects over several lines, lists of plain values on one. Text that
// is no UTF-8 (a path, say) comes out with U+FFFD, never as an exception; control characters, U+007F to U+009F too, are
// escaped.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace naru::cli {

using Json = nlohmann::ordered_json;

// Ends with a newline.
std::string json_text(const Json& json);
// Of a duration: whole milliseconds, as more digits say nothing.
double json_seconds(double seconds);
// A text as a JSON string.
std::string json_string(std::string_view text);

}  // namespace naru::cli
