// The CPU chips that tests run: every level that the machine has, on one and on two threads, and the variants of a
// level. Levels that are not there are printed, not passed over in silence.
#pragma once

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "chips/cpu/cpu_chip.h"
#include "contract/chip.h"
#include "tests/contract/staging_chip.h"
#include "tests/distant.h"

namespace naru::test {

struct NamedChip {
  std::string name;
  std::unique_ptr<contract::Chip> chip;
};

// Hands every chip that there is to add(name, chip).
template <typename Add>
void make_cpu_chips(const Add& add) {
  const auto make = [&](const std::string& name, const cpu::CpuOptions& options) {
    auto chip = cpu::make_cpu_chip(options);
    NARU_CHECK(chip.ok(), name, chip.ok() ? "" : chip.error().message);
    add(name, maybe_distant(std::move(*chip)));
  };
  if (is_distant()) {  // one level, behind the distant chip
    make("distant/2", {.n_threads = 2, .level = {}, .bf16_dot = {}, .emulate_tiles = false});
    return;
  }
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    if (!level.present) {
      std::cout << "[  SKIPPED ] CPU level " << level.name << ": " << level.why_not << "\n";
      continue;
    }
    for (const int n_threads : {1, 2}) {
      make(std::string(level.name) + "/" + std::to_string(n_threads),
           {.n_threads = n_threads, .level = std::string(level.name), .bf16_dot = true});
    }
    if (level.name == "avx512vnni") {
      make("avx512vnni/fma", {.n_threads = 2, .level = "avx512vnni", .bf16_dot = false});
    }
  }
  const std::string tile_level = cpu::cpu_levels().size() > 2 && cpu::cpu_levels()[2].present ? "avx512" : "baseline";
  make(tile_level + "/tiles", {.n_threads = 2, .level = tile_level, .bf16_dot = false, .emulate_tiles = true});
}

// Each behind a StagingChip, for ops on memory of the test. Made once; kept for the life of the program.
inline const std::vector<NamedChip>& staged_cpu_chips() {
  static const std::vector<NamedChip> kChips = [] {
    std::vector<NamedChip> chips;
    make_cpu_chips([&](const std::string& name, std::unique_ptr<contract::Chip> chip) {
      chips.push_back({name, std::make_unique<StagingChip>(std::move(chip))});
    });
    return chips;
  }();
  return kChips;
}

// As they are, for programs that use their memory. Made once; kept for the life of the program.
inline const std::vector<NamedChip>& cpu_chips() {
  static const std::vector<NamedChip> kChips = [] {
    std::vector<NamedChip> chips;
    make_cpu_chips([&](const std::string& name, std::unique_ptr<contract::Chip> chip) {
      chips.push_back({name, std::move(chip)});
    });
    return chips;
  }();
  return kChips;
}

}  // namespace naru::test
