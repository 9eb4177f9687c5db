// The chips of naru by name: what each is, whether this machine has it, and how to make one. Whoever offers a choice of
// chips (flags, tests, benches) asks here; nobody else lists them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "contract/chip.h"

namespace naru::chips {

struct ChipOptions {
  int n_threads = 0;  // of chips that compute on the host's cores; 0: all that this process may use
};

struct ChipEntry {
  std::string_view name;  // "cpu"
  std::string_view what;  // one line for people
  // What was found, in one line ("level avx512"); an error says why the chip is absent. Cheap: nothing is made.
  Result<std::string> (*found)();
  Result<std::unique_ptr<contract::Chip>> (*make)(const ChipOptions& options);
};

// In the order in which they are shown; the first one is the default.
std::span<const ChipEntry> all_chips();

// "cpu, reference"
std::string chip_names();

// kInvalidArgument for a name that there is not; an absent chip's error says why it is absent.
Result<std::unique_ptr<contract::Chip>> make_chip(std::string_view name, const ChipOptions& options = {});

}  // namespace naru::chips
