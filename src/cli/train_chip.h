// The chip that a run is trained on: with a fault in front where one is asked for, and watched, so that a chip that
// does not answer ends the run.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "check/fault.h"
#include "check/faulty_chip.h"
#include "check/watched_chip.h"
#include "cli/options.h"

namespace naru::cli {

constexpr int64_t kTrainPatienceDefault = 600;  // seconds
constexpr int64_t kPatienceMax = 86400;         // seconds, of every command that waits for a chip

struct TrainChipOptions {
  std::optional<check::Fault> fault;  // in front of the distant chip
  int64_t patience_s = 0;             // 0: kTrainPatienceDefault of a chip with a queue of its own, else for ever
  std::shared_ptr<check::CallNotes> notes = std::make_shared<check::CallNotes>();

  std::string flags() const;  // as a command line has them
};

struct TrainChip {
  std::unique_ptr<contract::Chip> chip;
  check::FaultyChip* faulty = nullptr;  // inside of it, at rest; null: none
};
Result<TrainChip> make_train_chip(const ModelOptions& machine, const TrainChipOptions& options);

// --inject and --patience.
std::vector<Flag> train_chip_flags(TrainChipOptions* options);

// The work; with patience on a thread of its own, and kDeadline where a call of its chip does not end. The thread, and
// all that the work holds, are left behind then: the program ends.
Status run_with_patience(const TrainChipOptions& options, const std::string& chip, std::function<Status()> work);

// What --inject says of itself: the faults and their meaning.
std::string fault_help(std::string_view where);

}  // namespace naru::cli
