// The chips that tests run beside the reference: every form of the CPU chip that the machine has, on two threads, and
// the best level on one too: how work is divided is the same source at every level. Forms that are not there are
// printed, not passed over in silence.
#pragma once

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "tests/contract/staging_chip.h"
#include "tests/test_chip.h"

namespace naru::test {

struct NamedChip {
  std::string name;
  std::unique_ptr<contract::Chip> chip;
};

// Not a form with a kernel chosen.
inline bool is_level(const NamedChip& named) {
  return named.name.find('+') == std::string::npos;
}

// Hands every chip that there is to add(name, chip), by a name as "avx2/2".
template <typename Add>
void make_cpu_chips(const Add& add) {
  const auto make = [&](const std::string& form, const std::string& name, int n_threads) {
    auto chip = chips::make_chip(form, {.n_threads = n_threads});
    NARU_CHECK(chip.ok(), name, chip.ok() ? "" : chip.error().message);
    add(name, std::move(*chip));
  };
  if (!is_cpu()) {  // one level, behind the distant chip; or the GPU's
    end_where_absent();
    const std::string name(test_chip_name());
    make(name, name + "/2", 2);
    return;
  }
  std::string best;  // forms stand from the least level to the best
  for (const chips::ChipForm& form : chips::all_forms()) {
    if (!form.name.starts_with("cpu:")) continue;
    const std::string name = form.name.substr(4);
    if (!form.why_not.empty()) {
      std::cout << "[  SKIPPED ] CPU level " << name << ": " << form.why_not << "\n";
      continue;
    }
    if (is_level({name, nullptr})) best = name;
    make(form.name, name + "/2", 2);
  }
  make("cpu:" + best, best + "/1", 1);
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
