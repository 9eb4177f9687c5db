// naru check: what a chip gets right, op by op, and how fast it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "check/chip_matrix.h"
#include "check/fault.h"
#include "chips/cpu/machine_limits.h"
#include "cli/json_text.h"
#include "cli/options.h"

namespace naru::cli {

constexpr int64_t kPatienceDefault = 60;  // seconds

struct CheckOptions {
  std::string chip = std::string(chips::all_chips().front().name);
  std::string level;  // a form of the chip; empty: the one that suits the machine
  int64_t threads = 0;
  bool is_quick = false;
  std::vector<std::string> ops;  // empty: all
  std::string case_line;         // one case in the place of the matrix; empty: none
  double soak_minutes = 0;       // the ops again and again in the place of the matrix; 0: not
  int64_t patience_s = kPatienceDefault;
  std::optional<check::Fault> fault;      // in front of the distant chip
  std::string receipt;                    // a folder to write; empty: none
  Existing existing = Existing::kRefuse;  // of it
  std::vector<std::string> compared;      // two receipts in the place of a chip; or none
  bool is_run_asked = false;              // the command line has a flag of a run
  bool json = false;

  std::string chip_name() const { return level.empty() ? chip : chip + ":" + level; }
};

Command make_check();

// ---- what it prints

// The chip that was checked, beside the machine that it was checked on.
struct CheckedChip {
  contract::ChipInfo info;
  std::string name;  // as --chip and --level have it
  cpu::MachineLimits limits;
};
// The command that runs a case again.
std::string case_command(const CheckOptions& options, const check::Case& c);
std::string matrix_text(const check::ChipMatrix& matrix, const CheckedChip& chip, const CheckOptions& options);
Json matrix_json(const check::ChipMatrix& matrix, const CheckedChip& chip, const CheckOptions& options);
std::string case_text(const check::Failure& found, const CheckOptions& options);
Json case_json(const check::Failure& found, const CheckOptions& options);

// The error that a checked chip ends with, after what was found has been printed. With --json that has it already.
Status told(Error error, Json* json);

// ---- soak (check_soak.cpp)
Status soak(const check::ChipUnderTest& chip, const CheckOptions& options);

// ---- receipts (check_receipt.cpp)

// Before any work is done.
Status check_receipt_place(const CheckOptions& options);
// The matrix, and what it was made by and of.
Result<Json> receipt_json(const check::ChipMatrix& matrix, const CheckedChip& chip, const CheckOptions& options);
Status write_receipt(const Json& receipt, const check::ChipMatrix& matrix, const CheckOptions& options);
// Prints what differs; kInvalidArgument where one says nothing of the other.
Status compare_receipts(const CheckOptions& options);

}  // namespace naru::cli
