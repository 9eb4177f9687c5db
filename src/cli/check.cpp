#include "cli/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/shown_text.h"
#include "check/faulty_chip.h"
#include "check/suite.h"
#include "chips/cpu/machine.h"
#include "cli/check_model.h"
#include "cli/flag_values.h"
#include "cli/interrupts.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/train_chip.h"

namespace naru::cli {
namespace {

using SharedChip = std::shared_ptr<contract::Chip>;

// What falls short of what was asked for.
Error requirement_error(const check::ChipMatrix& matrix, const CheckOptions& o) {
  const auto falls_short = [&](const check::Cell& cell) { return !is_accepted(cell.verdict, o); };
  const auto first = std::find_if(matrix.cells.begin(), matrix.cells.end(), falls_short);
  const std::string_view wanted = check::verdict_name(o.required);
  return {Code::kInternal,
          fmt::format("checking chip {}: {} of {} cells are not {}, {} {} first, which is {}; correct its kernel, or "
                      "leave --require out",
                      o.chip_name(), std::count_if(matrix.cells.begin(), matrix.cells.end(), falls_short),
                      matrix.cells.size(), wanted, first->op, first->kind, check::verdict_name(first->verdict))};
}

Error matrix_error(const check::ChipMatrix& matrix, const CheckOptions& o) {
  const auto n = std::count_if(matrix.cells.begin(), matrix.cells.end(),
                               [](const check::Cell& cell) { return check::is_fault(cell.verdict); });
  const check::Cell& first = *matrix.first_fault();
  return {code_of(matrix.worst()),
          fmt::format("checking chip {}: {} of {} cells of the matrix are at fault, {} {} first: {}; run: {}",
                      o.chip_name(), n, matrix.cells.size(), first.op, first.kind, first.failure->finding.what,
                      case_command(o, first.failure->smallest, first.failure->finding.verdict))};
}

// Adds to the JSON of the matrix what it was made by.
Status keep_receipt(const check::ChipMatrix& matrix, const CheckedChip& checked, const CheckOptions& o, Json* json) {
  NARU_ASSIGN(*json, receipt_json(matrix, checked, o));
  return write_receipt(*json, matrix, o);
}

Error stopped_error(const check::ChipMatrix& matrix, const CheckOptions& o) {
  std::string message = fmt::format("checking chip {}: stopped by you after {} cases", o.chip_name(), matrix.n_cases);
  if (!o.receipt.empty()) message += fmt::format("; no receipt was written to {}", o.receipt);
  return {Code::kCancelled, message};
}

// How the command ends, once the matrix has been printed.
Status end_of_matrix(const check::ChipMatrix& matrix, const Status& kept, const CheckOptions& o) {
  if (matrix.first_fault() != nullptr) {
    Error error = matrix_error(matrix, o);
    if (!kept.ok()) error.message += "; and " + kept.error().message;
    return error;
  }
  if (matrix.is_stopped) return stopped_error(matrix, o);
  NARU_TRY(kept);
  const bool is_good = std::all_of(matrix.cells.begin(), matrix.cells.end(),
                                   [&](const check::Cell& cell) { return is_accepted(cell.verdict, o); });
  return is_good ? Status() : requirement_error(matrix, o);
}

Status check_matrix(const CheckOptions& o) {
  NARU_TRY(check_receipt_place(o));
  NARU_ASSIGN(const CheckedChips chips, make_checked_chips(o));
  const contract::ChipInfo info = chips.under_test.chip->info();
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
  NARU_ASSIGN(const check::ChipMatrix matrix, check::check_chip(chips.under_test, make_reference_chip, options));
  progress.clear();
  CheckedChip checked{info, o.chip_name(), limits, {}};
  if (o.fault && matrix.worst() != check::Verdict::kHangs) checked.n_struck = chips.n_struck();
  // A receipt that cannot be written takes nothing from whoever waited for the matrix.
  if (!o.json) NARU_TRY(write_out(matrix_text(matrix, checked, o)));
  Json json = matrix_json(matrix, checked, o);
  const bool is_kept = !o.receipt.empty() && !matrix.is_stopped;
  const Status end = end_of_matrix(matrix, is_kept ? keep_receipt(matrix, checked, o, &json) : Status(), o);
  if (end.ok()) return o.json ? write_out(json_text(json)) : Status();
  return told(end.error(), o.json ? &json : nullptr);
}

Status soak_chip(const CheckOptions& o) {
  NARU_ASSIGN(const CheckedChips chips, make_checked_chips(o));
  return soak(chips, o);
}

// What is compared must be there, and be two.
Status check_compared_paths(const CheckOptions& o) {
  std::vector<std::filesystem::path> folders;
  for (const std::string& argument : o.compared) {
    std::error_code code;
    const std::filesystem::path path = recording_or_receipt_folder(argument);
    if (!std::filesystem::exists(argument, code)) {
      return Error{Code::kNotFound, fmt::format("opening --compare {}: there is nothing of that name; give a receipt "
                                                "(naru check --receipt) or a recording (naru check MODEL --record)",
                                                one_line(argument))};
    }
    folders.push_back(path);
  }
  std::error_code ignored;
  if (!std::filesystem::equivalent(folders[0], folders[1], ignored)) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("comparing {} and {}: they are one and the same, and nothing could differ; give another one",
                           one_line(o.compared[0]), one_line(o.compared[1]))};
}

// Two of a kind.
Status compare(const CheckOptions& o) {
  NARU_TRY(check_compared_paths(o));
  const bool first = is_recording_path(o.compared[0]), second = is_recording_path(o.compared[1]);
  if (first == second) return first ? compare_recordings(o) : compare_receipts(o);
  return Error{Code::kInvalidArgument,
               fmt::format("comparing {} and {}: the {} one is a recording and the other is none; give two recordings "
                           "or two receipts",
                           one_line(o.compared[0]), one_line(o.compared[1]), first ? "first" : "second")};
}

std::vector<Example> check_examples() {
  return {{"naru check", "The CPU chip of this machine: two minutes."},
          {"naru check --chip distant --quick", "A sample, in seconds."},
          {"naru check --level avx2 --op matmul --op rms_norm", "Two ops at one level."},
          {"naru check --require exact", "For scripts: status 70 unless every cell is exact."},
          {"naru check --case 'add apart rows=3 cols=5'", "One case."},
          {"naru check --list --op matmul", "What the cases of an op are made of."},
          {"naru check --chip distant --inject unfused --op matmul", "What a known fault looks like."},
          {"naru check --chip distant --soak 10", "Ten minutes of the same, for bits that flip now and then."},
          {"naru check --receipt receipts/today", "To be kept, and compared with that of another machine."},
          {"naru check --compare receipts/today --compare receipts/other", "Where two machines part."},
          {"naru check builtin --chip distant", "A model in lock step with the reference chip."},
          {"naru check ./model --train --against cpu:baseline", "A step of training on two forms of a chip."},
          {"naru check ./model --record runs/here", "To be held against another machine: --against runs/here."}};
}

// Notes what the command line, and no default, asks of a run: those of a comparison or of a list have none.
void note_runs(const std::shared_ptr<CheckOptions>& o, Command& c) {
  const auto note_run = [o](SetFlag set) -> SetFlag {
    return [o, set = std::move(set)](const Given& given) {
      if (given.source.starts_with("-") || given.source == "MODEL") o->is_run_asked = true;
      return set(given);
    };
  };
  c.arguments.front().set = note_run(std::move(c.arguments.front().set));
  for (Flag& flag : c.flags) {
    constexpr std::string_view kOfNoRun[] = {"compare", "json", "force", "list", "op"};
    const bool is_of_run = std::find(std::begin(kOfNoRun), std::end(kOfNoRun), flag.long_name) == std::end(kOfNoRun);
    if (is_of_run) flag.set = note_run(std::move(flag.set));
  }
}

}  // namespace

Result<SharedChip> make_checked_chip(const CheckOptions& o, int n_threads, CheckedChips* chips) {
  NARU_ASSIGN(auto chip, chips::make_chip(o.chip_name(), {.n_threads = n_threads}));
  if (!o.fault) return SharedChip(std::move(chip));
  auto faulty = std::make_shared<check::FaultyChip>(std::move(chip), *o.fault);
  if (chips != nullptr) chips->faulty.push_back(faulty);
  return SharedChip(std::move(faulty));
}

int64_t CheckedChips::n_struck() const {
  int64_t n = 0;
  for (const auto& chip : faulty) n += chip->n_faults();
  return n;
}

Result<CheckedChips> make_checked_chips(const CheckOptions& o) {
  CheckedChips chips;
  NARU_ASSIGN(chips.under_test.chip, make_checked_chip(o, static_cast<int>(o.threads), &chips));
  const contract::ChipInfo info = chips.under_test.chip->info();
  if (info.name == "reference") return chips;
  const int n = info.n_threads == 1 ? 2 : 1;
  NARU_ASSIGN(SharedChip twin, make_checked_chip(o, n, &chips));
  if (twin->info().n_threads == n) {
    chips.under_test.twins.push_back({fmt::format("with {} thread{}", n, n == 1 ? "" : "s"), std::move(twin)});
  }
  return chips;
}

std::unique_ptr<contract::Chip> make_reference_chip() {
  auto reference = chips::make_chip("reference");
  NARU_CHECK(reference.ok(), "there is no reference chip");
  return std::move(*reference);
}

Status told(Error error, Json* json) {
  if (json == nullptr) return error;
  if (!error.message.empty()) {
    write_err(fmt::format("{} {}\n", styled("naru:", Style::kRed, Stream::kErr), one_line(error.message)));
  }
  (*json)["error"] = {{"code", code_name(error.code)}, {"message", error.message}};
  NARU_TRY(write_out(json_text(*json)));
  return Error{error.code, ""};
}

Code code_of(check::Verdict verdict) {
  return verdict == check::Verdict::kHangs ? Code::kDeadline : Code::kInternal;
}

bool is_accepted(check::Verdict verdict, const CheckOptions& o) {
  return verdict <= o.required;
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
          "that still fails. A chip at fault ends with status 70, one that does not answer with 9. With MODEL the "
          "model "
          "runs on the chip and on another one in lock step: every op of both from the same values, and each one "
          "that differs is named."};
  c.arguments = {model_argument(&o->model)};
  c.arguments.front().is_required = false;
  c.flags = matrix_check_flags(*o);
  for (Flag& flag : model_check_flags(*o)) c.flags.push_back(std::move(flag));
  c.flags.push_back(json_flag(&o->json, "everything as one JSON object on standard output"));
  c.flags.push_back(chip_flag(&o->chip));
  c.flags.push_back({"level", "LEVEL", kGroupMachine,
                     "a level of the CPU chip, or another form of the chip (naru show --machine lists them); default: "
                     "the one that suits the machine",
                     set_some_text(&o->level), 0, false, false});
  c.flags.push_back(threads_flag(&o->threads));
  c.examples = check_examples();
  note_runs(o, c);
  c.check = [o] { return check_flags(*o); };
  c.run = [o] {
    if (!o->compared.empty()) return compare(*o);
    if (o->soak_minutes > 0) return soak_chip(*o);
    if (o->is_list) return list_cases(*o);
    if (!o->model.empty()) return check_model(*o);
    return o->case_line.empty() ? check_matrix(*o) : check_one_case(*o);
  };
  return c;
}

}  // namespace naru::cli
