// The flags of naru check that go with MODEL, and which of all flags go together.
#include <fmt/format.h>

#include <algorithm>

#include "check/recorded_run.h"
#include "cli/check.h"
#include "cli/check_model.h"
#include "cli/flag_values.h"

namespace naru::cli {
namespace {

// A flag that says nothing without MODEL; of the command line it is noted.
SetFlag of_model(CheckOptions& o, SetFlag set) {
  return [&o, set = std::move(set)](const Given& given) {
    if (given.source.starts_with("-")) o.model_flag = given.source;
    return set(given);
  };
}

Status check_compared(const CheckOptions& o) {
  if (std::any_of(o.compared.begin(), o.compared.end(), [](const auto& path) { return path.empty(); })) {
    return misused_check("--compare '' names nothing", "give the folder of a receipt or a recording");
  }
  if (o.compared.size() != 2) {
    return misused_check("--compare was given once, and two receipts or two recordings are compared",
                         "give it twice: --compare A --compare B");
  }
  if (!o.is_run_asked) return {};
  return misused_check("--compare runs no chip, and MODEL or flags of a run were given", "leave them out");
}

Status check_model_flags(const CheckOptions& o) {
  if (o.is_quick || !o.ops.empty() || !o.case_line.empty() || !o.receipt.empty() || o.is_required ||
      o.soak_minutes > 0) {
    return misused_check(
        "MODEL is run whole, and --quick, --op, --case, --receipt, --require or --soak is of the matrix",
        "leave them out, or leave MODEL out");
  }
  if (!o.prompt.empty() && !o.ids_path.empty()) {
    return misused_check("--prompt and --ids both say which tokens are run", "leave one out");
  }
  if (!o.record.empty() && o.is_against_given) {
    return misused_check("--record keeps what one chip computes, and --against names another one",
                         "leave one out; a recording can be given to --against later");
  }
  return {};
}

}  // namespace

Error misused_check(std::string_view what, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("reading the command line: naru check: {}; {}", what, next)};
}

std::vector<Flag> model_check_flags(CheckOptions& o) {
  std::vector<Flag> flags = {
      {"against", "CHIP", kGroupBench,
       "with MODEL: what the chip is in lock step with: another chip (default: reference), or the folder of a "
       "recording, which says what is run",
       of_model(o,
                [&o](const Given& given) -> Status {
                  o.is_against_given = true;
                  return set_some_text(&o.against)(given);
                }),
       0, false, false},
      {"train", "", kGroupBench,
       "with MODEL: a step of training (forward, backward, optimizer) in the place of a forward run",
       of_model(o, set_on(&o.is_train)), 0, false, false},
      {"prompt", "TEXT", kGroupInput, "with MODEL: the text that it runs on; default: one of about 300 characters",
       of_model(o, set_some_text(&o.prompt)), 0, false, false},
      {"ids", "FILE", kGroupInput, "with MODEL: a JSON array of token ids, in the place of a text",
       of_model(o, set_some_text(&o.ids_path)), 0, false, false},
      {"record", "FOLDER", kGroupOutput,
       "with MODEL: what the chip computes, op by op, to be held against another chip (--against FOLDER) or recording "
       "(--compare)",
       of_model(o, set_some_text(&o.record)), 0, false, false},
      {"compute", "f32|bf16|auto", kGroupNumbers,
       "with MODEL: f32, bf16, or auto (default): by the kind of each tensor; with --train that is f32",
       of_model(o,
                [&o](const Given& given) -> Status {
                  NARU_ASSIGN(const size_t mode, parse_word(given, {"f32", "bf16", "auto"}));
                  o.is_compute_given = given.source.starts_with("-");
                  o.compute = mode == 0   ? contract::ComputeMode::kF32
                              : mode == 1 ? contract::ComputeMode::kBF16
                                          : contract::ComputeMode::kAuto;
                  return {};
                })},
      {"latent", "on|off", kGroupNumbers,
       "with MODEL: latent attention or expanded heads (DeepSeek models); default: what the model says, else on",
       of_model(o, [&o](const Given& given) -> Status {
         NARU_ASSIGN(o.is_latent, parse_switch(given));
         o.is_latent_given = given.source.starts_with("-");
         return {};
       })}};
  return flags;
}

Status check_flags(const CheckOptions& o) {
  if (o.existing != Existing::kRefuse && o.receipt.empty() && o.record.empty()) {
    return misused_check("--force replaces a receipt or a recording, and none is written",
                         "add --receipt FOLDER or --record FOLDER, or leave it out");
  }
  if (!o.compared.empty()) return check_compared(o);
  if (o.is_list) {
    if (!o.is_run_asked || (!o.ops.empty() && o.model.empty())) return {};
    return misused_check("--list runs no chip, and flags of a run were given", "leave them out; --op OP lists one op");
  }
  if (!o.case_line.empty() && (!o.ops.empty() || o.is_quick || !o.receipt.empty())) {
    return misused_check("--case is one case, and --op, --quick or --receipt was given", "leave them out");
  }
  if (o.soak_minutes > 0 && (!o.case_line.empty() || o.is_quick || !o.receipt.empty() || o.is_required)) {
    return misused_check(
        "--soak repeats small cases of all cells, and a receipt is of the matrix; --case, --quick, --receipt or "
        "--require was given",
        "leave them out, or --soak");
  }
  if (o.fault && o.chip != "distant") {
    return misused_check(fmt::format("--inject puts a fault in front of the distant chip, and the chip is {}", o.chip),
                         "add --chip distant, or leave it out");
  }
  if (!o.model.empty()) return check_model_flags(o);
  if (o.model_flag.empty()) return {};
  return misused_check(fmt::format("{} is of a model that is run, and none was named", o.model_flag),
                       "name one, as in: naru check builtin " + o.model_flag);
}

}  // namespace naru::cli
