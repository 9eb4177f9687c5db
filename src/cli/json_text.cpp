#include "cli/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace naru::cli {
namespace {

// The library escapes what is below U+0020. What else a terminal may obey, U+007F to U+009F, can stand in strings only.
std::string plain(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string safe;
  safe.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte == 0x7f) {
      safe += "\\u007f";
    } else if (byte == 0xc2 && next < 0xa0) {
      safe += fmt::format("\\u{:04x}", next);
      ++i;
    } else {
      safe += text[i];
    }
  }
  return safe;
}

// Our own documents are a few levels deep; depth of the recursion is theirs.
void write(const Json& json, size_t indent, std::string& out) {
  const bool is_list_of_plain =
      json.is_array() && std::none_of(json.begin(), json.end(), [](const Json& j) { return j.is_structured(); });
  if (!json.is_structured() || json.empty()) {
    out += plain(json);
    return;
  }
  if (is_list_of_plain) {
    out += '[';
    for (size_t i = 0; i < json.size(); ++i) {
      if (i > 0) out += ", ";
      out += plain(json[i]);
    }
    out += ']';
    return;
  }
  const std::string margin(indent + 2, ' ');
  out += json.is_object() ? "{\n" : "[\n";
  bool is_first = true;
  for (const auto& [key, value] : json.items()) {
    if (!is_first) out += ",\n";
    is_first = false;
    out += margin;
    if (json.is_object()) {
      out += plain(key);
      out += ": ";
    }
    write(value, indent + 2, out);
  }
  out += '\n';
  out.append(indent, ' ');
  out += json.is_object() ? '}' : ']';
}

}  // namespace

std::string json_string(std::string_view text) {
  return plain(Json(text));
}

double json_seconds(double seconds) {
  return std::round(seconds * 1000) / 1000;
}

std::string json_text(const Json& json) {
  std::string out;
  write(json, 0, out);
  out += '\n';
  return out;
}

}  // namespace naru::cli
