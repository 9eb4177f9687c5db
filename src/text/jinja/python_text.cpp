// See python_text.h.
#include "text/jinja/python_text.h"

#include <cstring>
#include <string>

#include "text/unicode.h"

namespace naru::text::jinja {

bool is_python_space(uint32_t c) {
  return (c >= 0x1C && c <= 0x1F) || (char_flags(c) & kSpace) != 0;
}

size_t find_text(std::string_view text, std::string_view wanted, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (wanted.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
  if (!found) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t rfind_text(std::string_view text, std::string_view wanted, size_t end) {
  text = text.substr(0, end);
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_wanted(wanted.rbegin(), wanted.rend());
  const size_t at = find_text(reversed_text, reversed_wanted);
  return at == std::string_view::npos ? at : text.size() - at - wanted.size();
}

}  // namespace naru::text::jinja
