#include "cli/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/shown_text.h"
#include "check/faulty_chip.h"
#include "check/suite.h"
#include "chips/cpu/machine.h"
#include "cli/flag_values.h"
#include "cli/interrupts.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/train_chip.h"

namespace naru::cli {
namespace {

constexpr double kSoakMin = 0.01;    // minutes
constexpr double kSoakMax = 525600;  // minutes

using SharedChip = std::shared_ptr<contract::Chip>;

Result<SharedChip> make_checked_chip(const CheckOptions& o, int n_threads) {
  NARU_ASSIGN(auto chip, chips::make_chip(o.chip_name(), {.n_threads = n_threads}));
  if (o.fault) return SharedChip(std::make_shared<check::FaultyChip>(std::move(chip), *o.fault));
  return SharedChip(std::move(chip));
}

// The chip, and where threads can be told a twin with another number of them.
Result<check::ChipUnderTest> chip_under_test(const CheckOptions& o) {
  check::ChipUnderTest chip;
  NARU_ASSIGN(chip.chip, make_checked_chip(o, static_cast<int>(o.threads)));
  if (chip.chip->info().name == "reference") return chip;
  const int n = chip.chip->info().n_threads == 1 ? 2 : 1;
  NARU_ASSIGN(SharedChip twin, make_checked_chip(o, n));
  if (twin->info().n_threads == n) {
    chip.twins.push_back({fmt::format("with {} thread{}", n, n == 1 ? "" : "s"), std::move(twin)});
  }
  return chip;
}

std::unique_ptr<contract::Chip> make_reference() {
  auto reference = chips::make_chip("reference");
  NARU_CHECK(reference.ok(), "there is no reference chip");
  return std::move(*reference);
}

Code code_of(check::Verdict verdict) {
  return verdict == check::Verdict::kHangs ? Code::kDeadline : Code::kInternal;
}

Status check_one_case(const CheckOptions& o) {
  NARU_ASSIGN(const check::Case c, check::parse_case(o.case_line));
  NARU_ASSIGN(check::ChipUnderTest chip, chip_under_test(o));
  check::Judge judge(std::move(chip), make_reference(), static_cast<double>(o.patience_s));
  NARU_ASSIGN(check::Finding finding, judge.judge(c));
  check::Failure found{c, c, finding, 0};
  if (check::is_fault(finding.verdict) && !judge.is_lost()) {
    NARU_ASSIGN(found, check::smallest_failure(c, finding, judge));
  }
  Json json = o.json ? case_json(found, o) : Json();
  if (!o.json) NARU_TRY(write_out(case_text(found, o)));
  if (!check::is_fault(finding.verdict)) return o.json ? write_out(json_text(json)) : Status();
  return told({code_of(finding.verdict),
               fmt::format("checking chip {}: {}; correct the kernel, then run the same command again", o.chip_name(),
                           found.finding.what)},
              o.json ? &json : nullptr);
}

Error matrix_error(const check::ChipMatrix& matrix, const CheckOptions& o) {
  int64_t n = 0;
  check::Verdict worst = check::Verdict::kExact;
  for (const check::Cell& cell : matrix.cells) {
    worst = std::max(worst, cell.verdict);
    if (check::is_fault(cell.verdict)) ++n;
  }
  const check::Cell& first = *matrix.first_fault();
  return {code_of(worst), fmt::format("checking chip {}: {} of {} cells of the matrix, {} {} first: {}; run: {}",
                                      o.chip_name(), n, matrix.cells.size(), first.op, first.kind,
                                      first.failure->finding.what, case_command(o, first.failure->smallest))};
}

// Adds to the JSON of the matrix what it was made by.
Status keep_receipt(const check::ChipMatrix& matrix, const CheckedChip& checked, const CheckOptions& o, Json* json) {
  NARU_ASSIGN(*json, receipt_json(matrix, checked, o));
  return write_receipt(*json, matrix, o);
}

Status check_matrix(const CheckOptions& o) {
  NARU_TRY(check_receipt_place(o));
  NARU_ASSIGN(const check::ChipUnderTest chip, chip_under_test(o));
  const contract::ChipInfo info = chip.chip->info();
  NARU_ASSIGN(const cpu::MachineLimits limits, cpu::measure_machine(info.level, info.n_threads));
  Progress progress("checking", Progress::Unit::kSteps);
  const check::MatrixOptions options{.is_sample = o.is_quick,
                                     .ops = o.ops,
                                     .patience_s = static_cast<double>(o.patience_s),
                                     .n_references = cpu::describe_machine().cores,
                                     .speed_seconds = o.is_quick ? 0.01 : 0.05,
                                     .go_on = [&](int64_t done, int64_t total) {
                                       progress.update(done, total);
                                       return !is_interrupted();
                                     }};
  NARU_ASSIGN(const check::ChipMatrix matrix, check::check_chip(chip, make_reference, options));
  progress.clear();
  const CheckedChip checked{info, o.chip_name(), limits};
  // A receipt that cannot be written takes nothing from whoever waited for the matrix.
  if (!o.json) NARU_TRY(write_out(matrix_text(matrix, checked, o)));
  Json json = matrix_json(matrix, checked, o);
  const Status kept = o.receipt.empty() ? Status() : keep_receipt(matrix, checked, o, &json);
  if (matrix.first_fault() == nullptr && kept.ok()) return o.json ? write_out(json_text(json)) : Status();
  Error error = matrix.first_fault() == nullptr ? kept.error() : matrix_error(matrix, o);
  if (matrix.first_fault() != nullptr && !kept.ok()) error.message += "; and " + kept.error().message;
  return told(std::move(error), o.json ? &json : nullptr);
}

Status soak_chip(const CheckOptions& o) {
  NARU_ASSIGN(const check::ChipUnderTest chip, chip_under_test(o));
  return soak(chip, o);
}

SetFlag add_op(std::vector<std::string>* ops) {
  return [ops](const Given& given) -> Status {
    std::vector<std::string_view> names;
    for (const check::Suite& suite : check::all_suites()) names.push_back(suite.op);
    NARU_ASSIGN(const size_t op, parse_word(given, names));
    ops->emplace_back(names[op]);
    return {};
  };
}

Error misused_check(std::string_view what, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("reading the command line: naru check: {}; {}", what, next)};
}

Status check_flags(const CheckOptions& o) {
  if (o.existing != Existing::kRefuse && o.receipt.empty()) {
    return misused_check("--force replaces a receipt, and none is written", "add --receipt FOLDER, or leave it out");
  }
  if (!o.compared.empty()) {
    if (o.compared.size() != 2) {
      return misused_check("--compare was given once, and two receipts are compared",
                           "give it twice: --compare A --compare B");
    }
    if (!o.is_run_asked) return {};
    return misused_check("--compare runs no chip, and flags of a run were given", "leave them out");
  }
  if (!o.case_line.empty() && (!o.ops.empty() || o.is_quick || !o.receipt.empty())) {
    return misused_check("--case is one case, and --op, --quick or --receipt was given", "leave them out");
  }
  if (o.soak_minutes > 0 && (!o.case_line.empty() || o.is_quick || !o.receipt.empty())) {
    return misused_check(
        "--soak repeats small cases of all cells, and a receipt is of the matrix; --case, --quick or "
        "--receipt was given",
        "leave them out, or --soak");
  }
  if (o.fault && o.chip != "distant") {
    return misused_check(fmt::format("--inject puts a fault in front of the distant chip, and the chip is {}", o.chip),
                         "add --chip distant, or leave it out");
  }
  return {};
}

}  // namespace

Status told(Error error, Json* json) {
  if (json == nullptr) return error;
  write_err(fmt::format("{} {}\n", styled("naru:", Style::kRed, Stream::kErr), error.message));
  (*json)["error"] = {{"code", code_name(error.code)}, {"message", error.message}};
  NARU_TRY(write_out(json_text(*json)));
  return Error{error.code, ""};
}

Command make_check() {
  auto o = std::make_shared<CheckOptions>();
  Command c{
      .name = "check",
      .summary = "what a chip gets right, op by op, and how fast it is",
      .description =
          "Runs every op of the contract on a chip, by every kind that it has, over odd shapes and values of every "
          "sort, and compares with the reference chip bit for bit; runs each case again, with other threads and "
          "with fewer rows beside it. Each cell of the matrix is exact, bounded (another order of sums, within "
          "the bound that follows from their length), absent, or at fault: then a command runs the smallest case "
          "that still fails. A chip at fault ends with status 70, one that does not answer with 9."};
  c.flags = {
      {"quick", "", kGroupBench, "a sample: about ten small cases of each cell", set_on(&o->is_quick), 0, false, false},
      {"op", "OP", kGroupBench, "this op alone; may be repeated", add_op(&o->ops), 0, true, false},
      {"case", "CASE", kGroupBench, "this case alone, as a line that the matrix printed", set_some_text(&o->case_line),
       0, false, false},
      {"soak", "MINUTES", kGroupBench,
       "runs small cases of every cell again and again for so long, under changing load, and reports every bit that "
       "does not come out as before; 0.1 is six seconds",
       set_real(&o->soak_minutes, kSoakMin, kSoakMax), 0, false, false},
      {"patience", "SECONDS", kGroupBench, "how long one run of a case may take until it hangs; default 60",
       set_count(&o->patience_s, 1, kPatienceMax), 0, false, false}};
  c.flags.push_back({"inject", "FAULT", kGroupBench, fault_help("to see it found"),
                     [o](const Given& given) -> Status {
                       NARU_ASSIGN(o->fault, check::parse_fault(given.text));
                       return {};
                     },
                     0, false, false});
  c.flags.push_back({"receipt", "FOLDER", kGroupOutput,
                     "the matrix with all that it was made by, to be kept and compared: receipt.json and receipt.md",
                     set_some_text(&o->receipt), 0, false, false});
  c.flags.push_back(force_flag(&o->existing));
  c.flags.push_back({"compare", "PATH", kGroupOutput, "a receipt, twice: what differs between the two; no chip is run",
                     [o](const Given& given) -> Status {
                       o->compared.push_back(given.text);
                       return {};
                     },
                     0, true, false});
  c.flags.push_back(json_flag(&o->json, "everything as one JSON object on standard output"));
  c.flags.push_back(chip_flag(&o->chip));
  c.flags.push_back({"level", "LEVEL", kGroupMachine,
                     "a level of the CPU chip, or another form of the chip (naru show --machine lists them); default: "
                     "the one that suits the machine",
                     set_some_text(&o->level), 0, false, false});
  c.flags.push_back(threads_flag(&o->threads));
  c.examples = {{"naru check", "The CPU chip of this machine: two minutes."},
                {"naru check --chip distant --quick", "A sample, in seconds."},
                {"naru check --level avx2 --op matmul --op rms_norm", "Two ops at one level."},
                {"naru check --case 'add apart rows=3 cols=5'", "One case."},
                {"naru check --chip distant --inject unfused --op matmul", "What a known fault looks like."},
                {"naru check --chip distant --soak 10", "Ten minutes of the same, for bits that flip now and then."},
                {"naru check --receipt receipts/today", "To be kept, and compared with that of another machine."},
                {"naru check --compare receipts/today --compare receipts/other", "Where two machines part."}};
  for (Flag& flag : c.flags) {
    if (flag.long_name == "compare" || flag.long_name == "json" || flag.long_name == "force") continue;
    flag.set = [o, set = flag.set](const Given& given) {
      if (given.source.starts_with("-")) o->is_run_asked = true;  // defaults are for all commands
      return set(given);
    };
  }
  c.check = [o] { return check_flags(*o); };
  c.run = [o] {
    if (!o->compared.empty()) return compare_receipts(*o);
    if (o->soak_minutes > 0) return soak_chip(*o);
    return o->case_line.empty() ? check_matrix(*o) : check_one_case(*o);
  };
  return c;
}

}  // namespace naru::cli
