// Lines of JSON objects, as metrics.jsonl and samples.jsonl hold them. Reading passes over lines that are none and
// counts them: a report is made of what is there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::runs {

inline constexpr int64_t kJsonLineBytesMax = int64_t{1} << 22;   // bytes of one line
inline constexpr int64_t kJsonLinesBytesMax = int64_t{1} << 30;  // bytes of a file of lines

std::optional<nlohmann::json> parse_json_line(std::string_view line);

// Calls `each` for every line that is an object, and `other` for every one that is none, in order. Returns how many
// were none. A file that is not there has no lines.
Result<int64_t> for_each_json_line(const std::filesystem::path& path,
                                   const std::function<void(const nlohmann::json& line, std::string_view text)>& each,
                                   const std::function<void(std::string_view text)>& other = {});

// A whole number, and a finite number, of an object; nothing where it is not there or another thing.
std::optional<int64_t> json_whole(const nlohmann::json& object, const char* key);
std::optional<double> json_number(const nlohmann::json& object, const char* key);
std::string json_text_of(const nlohmann::json& object, const char* key);  // "" where it is not there

// One line without a newline; bytes that are no UTF-8 become U+FFFD.
std::string json_line(const nlohmann::ordered_json& object);

}  // namespace naru::runs
