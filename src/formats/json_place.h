// JSON texts inside a file that people write: a line of a .jsonl file, an element of an array. Messages say the line
// and the column of the file where it breaks, and leave the mending to whoever wrote it.
#pragma once

#include <cstdint>
#include <string_view>

#include "formats/json.h"

namespace naru::formats {

// Where a text begins in its file: line and column in bytes, from 1.
struct JsonPlace {
  int64_t line = 1;
  int64_t column = 1;
};

// walk_json() of such a text.
Status walk_json_at(const JsonPlace& place, Bytes text, std::string_view name, const JsonLimits& limits,
                    JsonEvents* events);

}  // namespace naru::formats
