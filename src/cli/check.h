// naru check: what a chip gets right, op by op, and how fast it is; of a model too (check_model.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "check/chip_matrix.h"
#include "check/fault.h"
#include "check/faulty_chip.h"
#include "chips/cpu/machine_limits.h"
#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "contract/kinds.h"

namespace naru::cli {

constexpr int64_t kPatienceDefault = 60;  // seconds

struct CheckOptions {
  std::string chip = std::string(chips::all_chips().front().name);
  std::string level;  // a form of the chip; empty: the one that suits the machine
  int64_t threads = 0;
  bool is_quick = false;
  std::vector<std::string> ops;  // empty: all
  std::string case_line;         // one case in the place of the matrix; empty: none
  int64_t times = 1;             // that it is judged, until it fails
  double soak_minutes = 0;       // the ops again and again in the place of the matrix; 0: not
  int64_t patience_s = kPatienceDefault;
  std::optional<check::Fault> fault;      // in front of the distant chip
  std::string receipt;                    // a folder to write; empty: none
  Existing existing = Existing::kRefuse;  // of it
  std::vector<std::string> compared;      // two receipts or recordings in the place of a chip; or none
  bool is_run_asked = false;              // the command line has MODEL, or a flag that only a run heeds
  bool is_op_asked = false;               // it has --op
  bool json = false;

  bool is_list = false;  // what cases are made of, in the place of a chip
  // The least that a cell must be. Absent is no fault, and passes where nothing is required.
  check::Verdict required = check::Verdict::kAbsent;
  bool is_required = false;  // by the command line

  // With a model (check_model.h).
  std::string model;                  // its path; empty: the matrix
  std::string against = "reference";  // a chip, or the folder of a recording
  bool is_against_given = false;
  bool is_train = false;
  std::string prompt, ids_path;  // one of them, or neither: the text that is there
  std::string record;            // a folder to write; empty: none
  contract::ComputeMode compute = contract::ComputeMode::kAuto;
  bool is_compute_given = false;  // by the command line
  std::optional<bool> is_latent;
  bool is_latent_given = false;
  std::string model_flag;  // one of the command line that goes with a model

  // "cpu:avx2", with the level as --level or as `naru show --machine` spells it.
  std::string chip_name() const {
    const std::string form = chip + ":";
    return level.empty() ? chip : level.starts_with(form) ? level : form + level;
  }
};

Command make_check();

// Of the matrix and of what takes its place, but for a model (check_flags.cpp).
std::vector<Flag> matrix_check_flags(CheckOptions& options);
// kInvalidArgument where flags do not go together (check_flags.cpp).
Status check_flags(const CheckOptions& options);
Error misused_check(std::string_view what, std::string_view next);

struct CheckedChips {
  check::ChipUnderTest under_test;
  std::vector<std::shared_ptr<const check::FaultyChip>> faulty;  // those of them that have a fault in front of them

  int64_t n_struck() const;  // ops that the fault came to
};
// The chip with the fault that is asked for in front of it, and where threads can be told a twin with another number.
Result<CheckedChips> make_checked_chips(const CheckOptions& options);
// One chip of them; it is noted in `chips` that it has the fault, where that is given.
Result<std::shared_ptr<contract::Chip>> make_checked_chip(const CheckOptions& options, int n_threads,
                                                          CheckedChips* chips = nullptr);
std::unique_ptr<contract::Chip> make_reference_chip();
bool is_accepted(check::Verdict verdict, const CheckOptions& options);
Code code_of(check::Verdict verdict);
// The error that a check ends with, after what was found has been printed. With --json that has it already.
Status told(Error error, Json* json);

Status check_one_case(const CheckOptions& options);
Status list_cases(const CheckOptions& options);

// ---- what it prints

// The chip that was checked, beside the machine that it was checked on.
struct CheckedChip {
  contract::ChipInfo info;
  std::string name;  // as --chip and --level have it
  cpu::MachineLimits limits;
  std::optional<int64_t> n_struck;  // ops that the fault in front of it came to, where that is known
};
// The error of a bounded finding against its bound.
std::string bounded_text(const check::Finding& finding);
Style verdict_style(check::Verdict verdict);
// The command that runs a case again; one that fails now and then as often as it may take.
std::string case_command(const CheckOptions& options, const check::Case& c, check::Verdict verdict);
// A fault with what it came to, where that is known.
std::string fault_line(const check::Fault& fault, const std::optional<int64_t>& n_struck);
std::string matrix_text(const check::ChipMatrix& matrix, const CheckedChip& chip, const CheckOptions& options);
Json matrix_json(const check::ChipMatrix& matrix, const CheckedChip& chip, const CheckOptions& options);

// ---- soak (check_soak.cpp)
Status soak(const CheckedChips& chips, const CheckOptions& options);

// ---- receipts (check_receipt.cpp)

// The folder that is meant by its own path or by that of a file in it that has a receipt's or a recording's name.
std::filesystem::path recording_or_receipt_folder(const std::filesystem::path& path);
// Before any work is done.
Status check_receipt_place(const CheckOptions& options);
// The matrix, and what it was made by and of.
Result<Json> receipt_json(const check::ChipMatrix& matrix, const CheckedChip& chip, const CheckOptions& options);
Status write_receipt(const Json& receipt, const check::ChipMatrix& matrix, const CheckOptions& options);
// Prints what differs; kInvalidArgument where one says nothing of the other.
Status compare_receipts(const CheckOptions& options);

}  // namespace naru::cli
