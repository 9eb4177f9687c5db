// The chip that tests run on: the CPU chip at its best level, or what NARU_TEST_CHIP names: the distant chip, which
// stands in front of it, or the OpenCL chip, as the entries *_distant and *_opencl of ctest do. Where that chip is
// absent the program says why and ends as skipped.
#pragma once

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string_view>

#include "chips/registry/registry.h"

namespace naru::test {

constexpr int kSkipped = 77;  // the exit status, as ctest knows it

inline std::string_view test_chip_name() {
  const char* value = std::getenv("NARU_TEST_CHIP");
  return value == nullptr ? "cpu" : value;
}
inline bool is_cpu() {
  return test_chip_name() == "cpu";
}

inline void end_where_absent() {
  for (const chips::ChipEntry& entry : chips::all_chips()) {
    if (entry.name != test_chip_name()) continue;
    const auto found = entry.found();
    if (found.ok()) return;
    std::cout << "[  SKIPPED ] chip " << entry.name << ": " << found.error().message << std::endl;
    std::exit(kSkipped);
  }
}

// A chip of the registry that must be there.
inline std::unique_ptr<contract::Chip> make_chip(std::string_view name, int n_threads = 2) {
  auto chip = chips::make_chip(name, {.n_threads = n_threads});
  NARU_CHECK(chip.ok(), name, chip.ok() ? "" : chip.error().message);
  return std::move(*chip);
}

inline std::unique_ptr<contract::Chip> make_test_chip() {
  if (!is_cpu()) end_where_absent();
  return make_chip(test_chip_name());
}

}  // namespace naru::test
