// The flags of naru check, and which of them go together.
#include <fmt/format.h>

#include <algorithm>

#include "check/recorded_run.h"
#include "check/suite.h"
#include "cli/check.h"
#include "cli/check_model.h"
#include "cli/flag_values.h"
#include "cli/train_chip.h"

namespace naru::cli {
namespace {

constexpr int64_t kTimesMax = 1000000;
constexpr double kSoakMin = 0.01;    // minutes
constexpr double kSoakMax = 525600;  // minutes

SetFlag add_op(CheckOptions& o) {
  return [&o](const Given& given) -> Status {
    std::vector<std::string_view> names;
    for (const check::Suite& suite : check::all_suites()) names.push_back(suite.op);
    NARU_ASSIGN(const size_t op, parse_word(given, names));
    o.ops.emplace_back(names[op]);
    o.is_op_asked = o.is_op_asked || given.source.starts_with("-");
    return {};
  };
}

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
  if (!o.is_run_asked && !o.is_op_asked) return {};
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

std::vector<Flag> matrix_check_flags(CheckOptions& o) {
  std::vector<Flag> flags = {
      {"quick", "", kGroupBench, "a sample: about ten small cases of each cell", set_on(&o.is_quick), 0, false, false},
      {"op", "OP", kGroupBench, "this op alone; may be repeated", add_op(o), 0, true, false},
      {"case", "CASE", kGroupBench, "this case alone, as a line that the matrix printed",
       [&o](const Given& given) -> Status {
         if (given.source.starts_with("-") && !o.case_line.empty()) {
           return misused_check("--case was given twice, and one case is judged at a time", "run one command for each");
         }
         return set_some_text(&o.case_line)(given);
       },
       0, true, false},
      {"times", "N", kGroupBench, "with --case: judge it up to so many times, until it fails; default 1",
       set_count(&o.times, 1, kTimesMax), 0, false, false},
      {"list", "", kGroupBench, "what cases are made of: kinds, dimensions, values of every op, or of each --op",
       set_on(&o.is_list), 0, false, false},
      {"require", "exact|bounded", kGroupBench,
       "what every cell must be, or the command ends with status 70; default: anything that is no fault, absent too",
       [&o](const Given& given) -> Status {
         constexpr check::Verdict kGrades[] = {check::Verdict::kExact, check::Verdict::kBounded};
         std::vector<std::string_view> names;
         for (const check::Verdict grade : kGrades) names.push_back(check::verdict_name(grade));
         NARU_ASSIGN(const size_t grade, parse_word(given, names));
         o.required = kGrades[grade];
         o.is_required = true;
         return {};
       },
       0, false, false},
      {"soak", "MINUTES", kGroupBench,
       "runs small cases of every cell again and again for so long, under changing load, and reports every bit that "
       "does not come out as before; 0.1 is six seconds",
       set_real(&o.soak_minutes, kSoakMin, kSoakMax), 0, false, false},
      {"patience", "SECONDS", kGroupBench, "how long one run of a case may take until it hangs; default 60",
       set_count(&o.patience_s, 1, kPatienceMax), 0, false, false}};
  flags.push_back({"inject", "FAULT", kGroupBench, fault_help("to see it found"),
                   [&o](const Given& given) -> Status {
                     NARU_ASSIGN(o.fault, check::parse_fault(given.text));
                     return {};
                   },
                   0, false, false});
  flags.push_back({"receipt", "FOLDER", kGroupOutput,
                   "the matrix with all that it was made by, to be kept and compared: receipt.json and receipt.md",
                   set_some_text(&o.receipt), 0, false, false});
  flags.push_back(force_flag(&o.existing));
  flags.push_back({"compare", "PATH", kGroupOutput,
                   "a receipt or a recording, twice: what differs between the two; no chip is run",
                   [&o](const Given& given) -> Status {
                     o.compared.push_back(given.text);
                     return {};
                   },
                   0, true, false});
  return flags;
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
    if (!o.is_run_asked) return {};
    return misused_check("--list runs no chip, and flags of a run were given", "leave them out; --op OP lists one op");
  }
  if (!o.case_line.empty() && (!o.ops.empty() || o.is_quick || !o.receipt.empty())) {
    return misused_check("--case is one case, and --op, --quick or --receipt was given", "leave them out");
  }
  if (o.times > 1 && o.case_line.empty()) {
    return misused_check("--times is of one case, and none was given", "add --case 'CASE', or leave it out");
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
