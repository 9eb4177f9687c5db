#include "formats/json_digest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/sha256.h"

namespace naru::formats {

std::string compact(const nlohmann::json& document) {
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string own_digest(nlohmann::json document) {
  document.erase("sha256");
  return sha256_hex(as_bytes(compact(document)));
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace naru::formats
