// JSON documents that carry the SHA-256 of themselves as their key "sha256", so that a flipped bit in one is seen.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace naru::formats {

// On one line; text that is no UTF-8 comes out with U+FFFD.
std::string compact(const nlohmann::json& document);
// Of the document without that key.
std::string own_digest(nlohmann::json document);
// 64 lower-case hex digits.
bool is_sha256(std::string_view text);

}  // namespace naru::formats
