#include "cli/train_chip.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "base/partial.h"
#include "check/watch.h"
#include "cli/flag_values.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"

namespace naru::cli {
namespace {

bool has_queue(std::string_view chip) {
  const std::string_view name = chip.substr(0, chip.find(':'));
  return name != "cpu" && name != "reference";
}

}  // namespace

std::string TrainChipOptions::flags() const {
  std::string text;
  if (fault) text += " --inject " + check::fault_text(*fault);
  if (patience_s > 0) text += fmt::format(" --patience {}", patience_s);
  return text;
}

Result<TrainChip> make_train_chip(const ModelOptions& machine, const TrainChipOptions& options) {
  TrainChip made;
  NARU_ASSIGN(auto chip, make_chip(machine));
  if (options.fault) {
    auto faulty = std::make_unique<check::FaultyChip>(std::move(chip), *options.fault);
    faulty->rest();
    made.faulty = faulty.get();
    chip = std::move(faulty);
  }
  made.chip = std::make_unique<check::WatchedChip>(std::move(chip), options.notes);
  return made;
}

std::vector<Flag> train_chip_flags(TrainChipOptions* options) {
  return {{"inject", "FAULT", kGroupMachine, fault_help("in each start from its first step on"),
           [options](const Given& given) -> Status {
             if (given.text.empty()) return bad_value(given, "a fault, as flip@matmul:0.01");
             NARU_ASSIGN(options->fault, check::parse_fault(given.text));
             return {};
           },
           0, false, false},
          {"patience", "SECONDS", kGroupMachine,
           fmt::format(
               "how long one call of the chip may take until the run ends; default: {} of a chip with a queue of its "
               "own, as long as it takes of cpu and reference",
               kTrainPatienceDefault),
           set_count(&options->patience_s, 1, kPatienceMax), 0, false, false}};
}

Status run_with_patience(const TrainChipOptions& options, const std::string& chip, std::function<Status()> work) {
  // Where the calls of a chip are the program's own work there is nobody to wait for.
  if (options.patience_s == 0 && !has_queue(chip)) return work();
  const int64_t patience_s = options.patience_s > 0 ? options.patience_s : kTrainPatienceDefault;
  const auto status = std::make_shared<Status>();
  check::CallPatience patience(options.notes, static_cast<double>(patience_s));
  check::Watch watch;
  const check::Watch::End end =
      watch.run([status, work = std::move(work)] { *status = work(); },
                std::function<bool()>([&patience] { return patience.is_over(is_interrupted()); }));
  if (end == check::Watch::End::kOutOfMemory) throw std::bad_alloc();
  if (end == check::Watch::End::kDone) return *status;
  remove_all_partials();  // the thread that was left behind has what is not finished
  if (is_interrupted()) {
    return Error{
        Code::kCancelled,
        fmt::format("training on chip {}: {}: no answer in {:g} seconds, when it was stopped; the last checkpoint "
                    "is whole: run the same command again, which goes on from it",
                    chip, options.notes->text(), std::min(check::kCallStopSeconds, static_cast<double>(patience_s)))};
  }
  return Error{Code::kDeadline,
               fmt::format("training on chip {}: {}: no answer in {} seconds (--patience); the last "
                           "checkpoint is whole: run the same command again, which goes on from it, and see what "
                           "`naru check --chip {}` says of the chip",
                           chip, options.notes->text(), patience_s, chip)};
}

std::string fault_help(std::string_view where) {
  std::string help =
      fmt::format("a fault in front of the distant chip, {}: FAULT[@OP][:RATE], as flip@matmul:0.01;", where);
  for (const check::FaultInfo& fault : check::all_faults()) {
    help += fmt::format("{} {}: {}", fault.kind == check::FaultKind::kFlip ? "" : ";", fault.name, fault.what);
  }
  return help;
}

}  // namespace naru::cli
