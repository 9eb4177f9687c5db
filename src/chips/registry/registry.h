// The chips of naru by name: what each is, whether this machine has it, and how to make one. Whoever offers a choice of
// chips (flags, tests, benches) asks here; nobody else lists them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "contract/chip.h"

namespace naru::chips {

struct ChipOptions {
  int n_threads = 0;  // of chips that compute on the host's cores; 0: all that this process may use
};

// A form of a chip: its kernels for one level of instructions, or one of two kernels that do the same. All forms give
// the same bits; a chip's plain name takes the one that suits the machine.
struct ChipForm {
  std::string name;     // "cpu:avx2"
  std::string why_not;  // why it is absent; empty: it is there
};

// What a chip computes on, and the name that takes it.
struct ChipDevice {
  std::string name;          // "opencl:1"
  std::string device;        // for people: what it is, and its driver
  int64_t memory_bytes = 0;  // of the host what is available, of a device with a memory of its own all that it has
  std::string why_not;       // why the chip cannot run there; empty: it can
};

struct FoundChip {
  std::string words;  // in one line: "level avx512"
  std::vector<ChipDevice> devices;
};

struct ChipEntry {
  std::string_view name;  // "cpu"
  std::string_view what;  // one line for people
  // What was found; an error says why the chip is absent. Cheap: nothing is made.
  Result<FoundChip> (*found)();
  // `form` is what follows the colon in its name; empty: the one that suits the machine.
  Result<std::unique_ptr<contract::Chip>> (*make)(std::string_view form, const ChipOptions& options);
  std::vector<ChipForm> (*forms)();
};

// In the order in which they are shown; the first one is the default.
std::span<const ChipEntry> all_chips();

// The forms of all chips that have more than one, absent ones too: what a test of every kernel runs.
std::vector<ChipForm> all_forms();

// "cpu, reference, distant, opencl, cuda"
std::string chip_names();

// Whether `name` is that of a chip, or of one and a form behind a colon; the form is looked at when the chip is made.
bool is_chip_name(std::string_view name);

// Takes the name of a chip or of a form. kInvalidArgument for a name that there is not; an absent chip's error says why
// it is absent.
Result<std::unique_ptr<contract::Chip>> make_chip(std::string_view name, const ChipOptions& options = {});

}  // namespace naru::chips
