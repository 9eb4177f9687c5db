#include "models/names.h"

namespace naru::models {
namespace {

void replace(std::string& text, std::string_view pattern, int64_t value) {
  const size_t at = text.find(pattern);
  if (at != std::string::npos) text.replace(at, pattern.size(), std::to_string(value));
}

}  // namespace

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
