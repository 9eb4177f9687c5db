// Whether the tests run on the distant chip: NARU_TEST_DISTANT=1 puts it in front of the CPU chip. The entries
// *_distant of ctest do.
#pragma once

#include <cstdlib>
#include <string_view>

#include "chips/distant/distant_chip.h"

namespace naru::test {

inline bool is_distant() {
  const char* value = std::getenv("NARU_TEST_DISTANT");
  return value != nullptr && std::string_view(value) == "1";
}

// The chip, or the distant chip in front of it.
inline std::unique_ptr<contract::Chip> maybe_distant(std::unique_ptr<contract::Chip> chip) {
  return is_distant() ? distant::make_distant_chip(std::move(chip)) : std::move(chip);
}

}  // namespace naru::test
