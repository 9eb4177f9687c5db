// naru check MODEL: a model on a chip in lock step with another chip, or with what was recorded of one; and recordings.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "check/compare_runs.h"
#include "check/difference_log.h"
#include "check/recorded_run.h"
#include "cli/check.h"
#include "cli/sheet.h"

namespace naru::cli {

inline constexpr int64_t kCheckedTokensMax = 16384;   // that a model is checked on
inline constexpr int64_t kDifferencesShownMax = 100;  // of a run; all are in the JSON

// The flags that go with MODEL.
std::vector<Flag> model_check_flags(CheckOptions& o);

// Lock step, or a recording.
Status check_model(const CheckOptions& o);
// Two recordings (check_recordings.cpp): what differs between them.
bool is_recording_path(const std::string& path);
Status compare_recordings(const CheckOptions& o);

// ---- what it prints (check_model_view.cpp)

struct LockStepReport {
  check::RunIdentity identity;      // of the checked chip's run
  std::string against;              // the chip, or the folder of a recording
  std::string against_chip;         // how it is called beside the checked one
  std::string command;              // that runs the op that differs first by itself; empty: none differs
  int64_t n_planned = 0;            // ops of the whole run
  bool is_whole = true;             // all of them ran
  std::optional<int64_t> n_struck;  // ops that the fault in front of the chip came to, where that is known
  check::DifferenceLog::Found found;
};
std::string lock_step_text(const LockStepReport& report);
Json lock_step_json(const LockStepReport& report);
// Of the ops of a run that a fault came to: "it changed what 3 ops did".
std::string struck_text(int64_t n_struck);
// What a run is: "forward, 64 tokens: 30 and 30 at once, 4 one by one".
std::string run_text(const check::RunIdentity& identity);
// Differences as a table, and as JSON.
std::string differences_table(std::span<const check::OpDifference> differences, std::string_view checked,
                              std::string_view against);
Json difference_json(const check::OpDifference& difference, std::string_view checked, std::string_view against);
// The first one in full.
void add_difference(Sheet& sheet, const check::OpDifference& difference, std::string_view checked,
                    std::string_view against);

// How many tokens each pass of a forward run has.
std::vector<int64_t> forward_pieces(int64_t n_tokens);

}  // namespace naru::cli
