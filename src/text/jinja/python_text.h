// Strings as Python sees them: what is white space, and searching that is linear for any pattern (std::string::find is
// quadratic for patterns like "aaab").
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace naru::text::jinja {

bool is_python_space(uint32_t code_point);

// The first place at or after `from`, or the last place that ends at or before `end`; npos where there is none.
size_t find_text(std::string_view text, std::string_view wanted, size_t from = 0);
size_t rfind_text(std::string_view text, std::string_view wanted, size_t end = std::string_view::npos);

}  // namespace naru::text::jinja
