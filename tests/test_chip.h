// The chip that tests run on: the CPU chip at its best level; NARU_TEST_DISTANT=1 puts the distant chip in front of it,
// as the entries *_distant of ctest do.
#pragma once

#include <cstdlib>
#include <memory>
#include <string_view>

#include "chips/registry/registry.h"

namespace naru::test {

inline bool is_distant() {
  const char* value = std::getenv("NARU_TEST_DISTANT");
  return value != nullptr && std::string_view(value) == "1";
}

// A chip of the registry that must be there.
inline std::unique_ptr<contract::Chip> make_chip(std::string_view name, int n_threads = 2) {
  auto chip = chips::make_chip(name, {.n_threads = n_threads});
  NARU_CHECK(chip.ok(), name, chip.ok() ? "" : chip.error().message);
  return std::move(*chip);
}

inline std::unique_ptr<contract::Chip> make_test_chip() {
  return make_chip(is_distant() ? "distant" : "cpu");
}

}  // namespace naru::test
