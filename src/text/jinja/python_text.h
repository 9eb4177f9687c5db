// What Python calls white space in a string.
#pragma once

#include <cstdint>

namespace naru::text::jinja {

bool is_python_space(uint32_t code_point);

}  // namespace naru::text::jinja
