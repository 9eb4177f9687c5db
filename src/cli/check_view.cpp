// What naru check prints: the matrix for people, and the same as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/shown_text.h"
#include "cli/check.h"
#include "cli/limits_text.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "contract/kinds.h"

namespace naru::cli {
namespace {

constexpr int kTimesOfUnsteady = 1000;

using check::Cell;
using check::Verdict;

// The speed of a cell as parts of what the machine reached.
struct Shares {
  double arithmetic = 0, memory = 0;
};
Shares shares_of(const check::Speed& speed, const cpu::MachineLimits& limits) {
  const cpu::Peak* peak = &limits.f32;
  switch (check::arithmetic_of(speed.c)) {
    case check::Arithmetic::kF32: break;
    case check::Arithmetic::kBF16: peak = &limits.bf16; break;
    case check::Arithmetic::kInt8: peak = &limits.int8; break;
  }
  const auto part = [&](double work, double per_s) { return per_s > 0 ? work / speed.seconds / per_s : 0; };
  return {part(speed.cost.flops, peak->per_s), part(speed.cost.bytes, limits.memory_bytes_per_s)};
}

// No kernel is: the peaks were measured while something else ran.
bool is_beyond_peak(const std::vector<Cell>& cells, const cpu::MachineLimits& limits) {
  constexpr double kBeyond = 1.1;
  return std::any_of(cells.begin(), cells.end(), [&](const Cell& cell) {
    return cell.speed && shares_of(*cell.speed, limits).arithmetic > kBeyond;
  });
}

// "1.24 ms", "83 us"
std::string short_time(double seconds) {
  return seconds < 1e-3 ? fmt::format("{:.0f} us", seconds * 1e6) : fmt::format("{:.2f} ms", seconds * 1e3);
}

std::string grade_text(const Cell& cell) {
  std::string text(check::verdict_name(cell.verdict));
  if (cell.verdict == Verdict::kAbsent && cell.n_absent < cell.n_cases) {
    text += fmt::format(" in {} of {}", cell.n_absent, cell.n_cases);
  }
  if (!cell.failure) return text;
  if (cell.failure->n_cases == 0) return text + ", timed";
  text += fmt::format(" in {} of {}", cell.failure->n_cases, cell.n_cases);
  return text;
}

std::string matrix_table(const std::vector<Cell>& cells, const cpu::MachineLimits& limits) {
  Table table(
      {{"op"}, {"kind"}, {"grade"}, {"cases", true}, {"time", true}, {"of arithmetic", true}, {"of memory", true}});
  const std::string* last_op = nullptr;
  for (const Cell& cell : cells) {
    std::vector<Table::Cell> row = {last_op != nullptr && *last_op == cell.op ? std::string() : cell.op,
                                    cell.kind,
                                    {grade_text(cell), verdict_style(cell.verdict)},
                                    grouped(cell.n_cases)};
    last_op = &cell.op;
    if (cell.speed) {
      const Shares shares = shares_of(*cell.speed, limits);
      row.emplace_back(short_time(cell.speed->seconds));
      row.emplace_back(cell.speed->cost.flops > 0 ? share(shares.arithmetic) : "");
      row.emplace_back(memory_share_text(shares.memory));
    } else {
      row.insert(row.end(), 3, std::string());
    }
    table.row(std::move(row));
  }
  return table.text(Stream::kOut);
}

void add_failures(Sheet& sheet, const std::vector<Cell>& cells, const CheckOptions& o) {
  for (const Cell& cell : cells) {
    if (!cell.failure) continue;
    sheet.heading(fmt::format("{} {}: {}", cell.op, cell.kind, grade_text(cell)));
    sheet.row("found", cell.failure->finding.what);
    sheet.line(case_command(o, cell.failure->smallest, cell.failure->finding.verdict));
  }
}

void add_bounded(Sheet& sheet, const std::vector<Cell>& cells) {
  bool is_first = true;
  for (const Cell& cell : cells) {
    const check::Finding& worst = cell.worst_bounded;
    if (worst.what.empty()) continue;
    if (is_first) sheet.heading("Bounded: the largest error against its bound, as parts of the sum of magnitudes");
    is_first = false;
    sheet.row(fmt::format("{} {}", cell.op, cell.kind), bounded_text(worst));
  }
}

void add_absent(Sheet& sheet, const std::vector<Cell>& cells) {
  bool is_first = true;
  for (const Cell& cell : cells) {
    if (cell.n_absent == 0) continue;
    if (is_first) sheet.heading("Absent, as the chip says");
    is_first = false;
    sheet.row(fmt::format("{} {}", cell.op, cell.kind), cell.absent_because);
  }
}

// "exact 70, bounded 2, wrong 1"
std::string verdict_counts(const std::vector<Cell>& cells) {
  std::string text;
  for (int v = 0; v <= static_cast<int>(Verdict::kHangs); ++v) {
    const auto verdict = static_cast<Verdict>(v);
    const auto n = std::count_if(cells.begin(), cells.end(), [&](const Cell& cell) { return cell.verdict == verdict; });
    if (n > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", check::verdict_name(verdict), n);
  }
  return text;
}

Json failure_json(const check::Failure& failure, const CheckOptions& o) {
  return {{"verdict", check::verdict_name(failure.finding.verdict)},
          {"found", failure.finding.what},
          {"case", check::case_line(failure.smallest)},
          {"first_case", check::case_line(failure.first)},
          {"command", case_command(o, failure.smallest, failure.finding.verdict)},
          {"cases", failure.n_cases}};
}

Json cell_json(const Cell& cell, const CheckedChip& chip, const CheckOptions& o) {
  Json json = {{"op", cell.op},         {"kind", cell.kind},          {"verdict", check::verdict_name(cell.verdict)},
               {"cases", cell.n_cases}, {"cases_sha256", cell.cases}, {"outputs_sha256", cell.outputs}};
  if (cell.n_absent > 0) json["absent"] = {{"cases", cell.n_absent}, {"because", cell.absent_because}};
  if (!cell.worst_bounded.what.empty()) {
    json["bounded"] = {{"error", cell.worst_bounded.error}, {"bound", cell.worst_bounded.bound}};
  }
  if (cell.failure) json["failure"] = failure_json(*cell.failure, o);
  if (cell.speed) {
    const Shares shares = shares_of(*cell.speed, chip.limits);
    json["speed"] = {{"case", check::case_line(cell.speed->c)},  {"seconds", cell.speed->seconds},
                     {"flops", cell.speed->cost.flops},          {"bytes", cell.speed->cost.bytes},
                     {"share_of_arithmetic", shares.arithmetic}, {"share_of_memory", shares.memory}};
  }
  return json;
}

}  // namespace

Style verdict_style(Verdict verdict) {
  if (check::is_fault(verdict)) return Style::kRed;
  return verdict == Verdict::kExact ? Style::kGreen : verdict == Verdict::kBounded ? Style::kCyan : Style::kDim;
}

std::string fault_line(const check::Fault& fault, const std::optional<int64_t>& n_struck) {
  std::string text = fmt::format("{}: {}", check::fault_text(fault), check::fault_info(fault.kind).what);
  if (!n_struck) return text;
  if (*n_struck > 0) return text + fmt::format("; it changed what {} ops did", grouped(*n_struck));
  return text + "; it came to no op: what the matrix says is of the chip alone";
}

std::string bounded_text(const check::Finding& finding) {
  if (finding.error == 0) return "no more than steps that flush or not may make of it";
  return fmt::format("{:.2e} of {:.2e}", finding.error, finding.bound);
}

std::string case_command(const CheckOptions& o, const check::Case& c, Verdict verdict) {
  std::string command = fmt::format("naru check --chip {}", o.chip);
  if (!o.level.empty()) command += fmt::format(" --level {}", o.level);
  if (o.threads > 0) command += fmt::format(" --threads {}", o.threads);
  if (o.fault) command += fmt::format(" --inject {}", check::fault_text(*o.fault));
  if (o.patience_s != kPatienceDefault) command += fmt::format(" --patience {}", o.patience_s);
  if (verdict == Verdict::kUnsteady) command += fmt::format(" --times {}", kTimesOfUnsteady);
  return command + fmt::format(" --case '{}'", check::case_line(c));
}

std::string matrix_text(const check::ChipMatrix& matrix, const CheckedChip& chip, const CheckOptions& o) {
  Sheet head(Stream::kOut);
  head.title(chip.name, "");
  head.row("chip", chip.info.detail);
  head.row("level", chip.info.level);
  head.row("threads", grouped(chip.info.n_threads));
  head.row("arithmetic", contract::kArithmeticVersion);
  if (o.fault) head.row("with a fault", fault_line(*o.fault, chip.n_struck));
  add_limits(head, chip.limits);
  head.heading("Matrix");
  Sheet end(Stream::kOut);
  add_bounded(end, matrix.cells);
  add_absent(end, matrix.cells);
  add_failures(end, matrix.cells, o);
  end.heading("Together");
  end.row("cells", verdict_counts(matrix.cells));
  end.row("cases", fmt::format("{}{}", grouped(matrix.n_cases), o.is_quick ? ", a sample" : ""));
  end.row("time", format_seconds(matrix.seconds));
  if (is_beyond_peak(matrix.cells, chip.limits)) {
    end.row("speed",
            "some cells are faster than the peaks that were measured before them: the machine was busy then; "
            "run again when it rests");
  }
  if (!matrix.is_whole) {
    end.row("not run", matrix.is_stopped ? "what stands behind the case at which it was stopped"
                                         : "what stands behind the case that hangs");
  }
  return head.str() + matrix_table(matrix.cells, chip.limits) + end.str();
}

Json matrix_json(const check::ChipMatrix& matrix, const CheckedChip& chip, const CheckOptions& o) {
  Json json;
  json["chip"] = chip.name;
  json["detail"] = chip.info.detail;
  json["arithmetic"] = contract::kArithmeticVersion;
  json["machine"] = limits_json(chip.limits, chip.info.name);
  if (o.fault) json["fault"] = check::fault_text(*o.fault);
  if (chip.n_struck) json["fault_struck"] = *chip.n_struck;
  json["sample"] = o.is_quick;
  json["whole"] = matrix.is_whole;
  json["cases"] = matrix.n_cases;
  json["seconds"] = json_seconds(matrix.seconds);
  json["cells"] = Json::array();
  for (const Cell& cell : matrix.cells) json["cells"].push_back(cell_json(cell, chip, o));
  return json;
}

}  // namespace naru::cli
