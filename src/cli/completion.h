// Completion: what Tab makes of the text before the cursor.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace naru::cli {

struct Completion {
  size_t begin = 0;                // of the part of the text that they take the place of
  std::vector<std::string> words;  // that may stand there
};

}  // namespace naru::cli
