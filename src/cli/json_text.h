// JSON as people and programs both like to read it: objects over several lines, lists of plain values on one. Text that
// is no UTF-8 (a path, say) comes out with U+FFFD, never as an exception.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace naru::cli {

using Json = nlohmann::ordered_json;

// Ends with a newline.
std::string json_text(const Json& json);

}  // namespace naru::cli
