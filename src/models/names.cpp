#include "models/names.h"

namespace naru::models {
namespace {

void replace(std::string& text, std::string_view pattern, int64_t value) {
  const size_t at = text.find(pattern);
  if (at != std::string::npos) text.replace(at, pattern.size(), std::to_string(value));
}

// Takes the digits at the front of `text` as a number without leading zeros; false where there are none.
bool take_number(std::string_view& text, int64_t& value) {
  size_t n = 0;
  for (value = 0; n < text.size() && n < 9 && text[n] >= '0' && text[n] <= '9'; ++n) value = value * 10 + text[n] - '0';
  if (n == 0 || (n > 1 && text[0] == '0')) return false;
  text.remove_prefix(n);
  return true;
}

bool matches(std::string_view pattern, std::string_view text, NamedPlace& place) {
  while (!pattern.empty()) {
    if (pattern.starts_with("{l}") || pattern.starts_with("{e}")) {
      if (!take_number(text, pattern[1] == 'l' ? place.layer : place.expert)) return false;
      pattern.remove_prefix(3);
    } else {
      if (text.empty() || text[0] != pattern[0]) return false;
      pattern.remove_prefix(1);
      text.remove_prefix(1);
    }
  }
  return text.empty();
}

}  // namespace

std::optional<NamedPlace> place_of(std::span<const NameRow> names, std::string_view hugging_face_name) {
  for (const NameRow& row : names) {
    NamedPlace place{.role = row.role};
    if (!row.hugging_face.empty() && matches(row.hugging_face, hugging_face_name, place)) return place;
  }
  return std::nullopt;
}

std::string tensor_name(std::span<const NameRow> names, Role role, bool is_gguf, int64_t layer, int64_t expert) {
  for (const NameRow& row : names) {
    if (row.role != role) continue;
    std::string name(is_gguf ? row.gguf : row.hugging_face);
    replace(name, "{l}", layer);
    replace(name, "{e}", expert);
    return name;
  }
  return "";
}

}  // namespace naru::models
