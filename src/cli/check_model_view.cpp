// What naru check MODEL prints: how two chips did in lock step, for people and as JSON.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/shown_text.h"
#include "cli/check_model.h"
#include "cli/table.h"
#include "contract/op_table.h"

namespace naru::cli {
namespace {

using check::OpDifference;

std::string element_text(const OpDifference& d) {
  return fmt::format("row {}, column {}", d.values.row, d.values.col);
}

std::string ops_text(const LockStepReport& report) {
  const int64_t n = report.found.n_ops, bad = std::ssize(report.found.differences);
  std::string text = report.is_whole
                         ? grouped(n)
                         : fmt::format("{} of {}, then it ended", grouped(n), grouped(std::max(n, report.n_planned)));
  return text + (bad == 0 ? ", all alike" : fmt::format(", {} of them not alike", grouped(bad)));
}

// Which ops there are among the differences, and how often.
std::string op_counts(std::span<const OpDifference> differences) {
  std::string text;
  for (int op = 0; op < contract::kOpCount; ++op) {
    const auto n =
        std::count_if(differences.begin(), differences.end(), [&](const OpDifference& d) { return d.place.op == op; });
    if (n > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", contract::op_name(op), n);
  }
  return text;
}

// The cells of a table of them, under its heads.
using DifferenceRow = std::array<std::string, 7>;
std::vector<DifferenceRow> difference_rows(std::span<const OpDifference> differences, std::string_view checked,
                                           std::string_view against) {
  std::vector<DifferenceRow> rows = {
      {"op", "output", "row", "column", one_line(std::string(checked)), one_line(std::string(against)), "differ"}};
  for (const OpDifference& d : differences) {
    if (!d.error.empty()) {
      rows.push_back({place_text(d.place), d.is_absent ? "absent" : "error", "", "", "", "", ""});
      continue;
    }
    rows.push_back({place_text(d.place), fmt::format("{} [{}, {}]", d.output, d.rows, d.cols), grouped(d.values.row),
                    grouped(d.values.col), check::short_value_text(d.dtype, d.values.checked),
                    check::short_value_text(d.dtype, d.values.against), grouped(d.values.n)});
  }
  return rows;
}

int64_t width_of(const std::vector<DifferenceRow>& rows) {
  int64_t width = 2 * (std::tuple_size_v<DifferenceRow> - 1);
  for (size_t i = 0; i < std::tuple_size_v<DifferenceRow>; ++i) {
    int64_t widest = 0;
    for (const DifferenceRow& row : rows) widest = std::max(widest, display_columns(row[i]));
    width += widest;
  }
  return width;
}

std::string wide_table(std::span<const OpDifference> differences, const std::vector<DifferenceRow>& rows) {
  std::vector<Table::Column> heads;
  for (size_t i = 0; i < rows[0].size(); ++i) heads.push_back({.head = rows[0][i], .is_right = i >= 2});
  Table table(heads);
  for (size_t i = 0; i < differences.size(); ++i) {
    table.row({rows[i + 1].begin(), rows[i + 1].end()});
    if (!differences[i].error.empty()) table.note({one_line(differences[i].error)});
  }
  return table.text(Stream::kOut);
}

// For a screen that has no room for the table: a place to a line, and what differs there below.
std::string narrow_list(std::span<const OpDifference> differences, std::string_view checked, std::string_view against) {
  std::string text;
  for (const OpDifference& d : differences) {
    text += indented(place_text(d.place), 2, 4);
    if (!d.error.empty()) {
      text += indented(fmt::format("{}: {}", d.is_absent ? "absent" : "error", one_line(d.error)), 4, 6);
      continue;
    }
    text += indented(fmt::format("{} [{}, {}], row {}, column {}:", d.output, d.rows, d.cols, grouped(d.values.row),
                                 grouped(d.values.col)),
                     4, 6);
    text +=
        indented(fmt::format("{} on {}, {} on {}; {} differ", check::short_value_text(d.dtype, d.values.checked),
                             checked, check::short_value_text(d.dtype, d.values.against), against, grouped(d.values.n)),
                 6, 6);
  }
  return text;
}

}  // namespace

std::string struck_text(int64_t n_struck) {
  if (n_struck == 0) return "it came to no op: what is said here is of the chip alone";
  return fmt::format("it changed what {} {} did", grouped(n_struck), n_struck == 1 ? "op" : "ops");
}

std::string run_text(const check::RunIdentity& identity) {
  const int64_t n = std::ssize(identity.ids);
  const std::string tokens = n == 1 ? "1 token" : fmt::format("{} tokens", grouped(n));
  if (identity.kind == "train") return "a step of training on " + tokens;
  return fmt::format("forward, {} in passes of {}", tokens, fmt::join(forward_pieces(n), ", "));
}

void add_difference(Sheet& sheet, const OpDifference& d, std::string_view checked, std::string_view against) {
  sheet.row("op", place_text(d.place));
  sheet.row("operands", d.operands);
  if (!d.error.empty()) {
    sheet.row(d.is_absent ? "absent" : "error", d.error);
    return;
  }
  sheet.row("output", fmt::format("'{}' [{}, {}]{}", d.output, d.rows, d.cols,
                                  d.n_outputs > 1 ? fmt::format(", and {} more", d.n_outputs - 1) : ""));
  sheet.row("element", element_text(d));
  sheet.row(checked, check::value_text(d.dtype, d.values.checked));
  sheet.row(against, check::value_text(d.dtype, d.values.against));
  sheet.row("differ", fmt::format("{} of {} values, the most by {:.3g}", grouped(d.values.n), grouped(d.rows * d.cols),
                                  d.values.largest));
  if (!d.also.empty()) sheet.row("or", d.also);
}

std::string differences_table(std::span<const OpDifference> differences, std::string_view checked,
                              std::string_view against) {
  const std::span shown = differences.first(std::min(differences.size(), size_t{kDifferencesShownMax}));
  const auto rows = difference_rows(shown, checked, against);
  const int64_t columns = columns_of(Stream::kOut);
  std::string text =
      columns == 0 || width_of(rows) <= columns ? wide_table(shown, rows) : narrow_list(shown, checked, against);
  if (std::ssize(differences) <= kDifferencesShownMax) return text;
  return text + fmt::format("and {} more; --json has all of them: {}\n",
                            grouped(std::ssize(differences) - kDifferencesShownMax), op_counts(differences));
}

std::string lock_step_text(const LockStepReport& report) {
  const check::RunIdentity& identity = report.identity;
  const auto& differences = report.found.differences;
  Sheet head(Stream::kOut);
  head.title(fmt::format("{} on {}", identity.model, identity.chip), "");
  head.row("chip", identity.detail);
  head.row("against", report.against);
  if (!identity.fault.empty()) {
    head.row("with a fault",
             report.n_struck ? fmt::format("{}; {}", identity.fault, struck_text(*report.n_struck)) : identity.fault);
  }
  head.row("run", run_text(identity));
  head.row("numerics", identity.numerics);
  head.row("ops", ops_text(report));
  if (differences.empty()) return head.str();
  head.heading("The first that differs");
  add_difference(head, differences.front(), identity.chip, report.against_chip);
  std::string further;
  if (differences.size() > 1) {
    head.heading("Further ones, each from the same values again");
    further = differences_table(std::span(differences).subspan(1), identity.chip, report.against_chip);
  }
  Sheet end(Stream::kOut);
  end.heading("To look at it");
  end.line(report.command);
  return head.str() + further + end.str();
}

Json difference_json(const OpDifference& d, std::string_view checked, std::string_view against) {
  Json json = {{"number", d.place.number}, {"pass", d.place.pass},
               {"where", d.place.where},   {"op", contract::op_name(d.place.op)},
               {"count", d.place.count},   {"place", place_text(d.place)},
               {"operands", d.operands},   {"text", difference_text(d, checked, against)}};
  if (!d.error.empty()) {
    json["error"] = d.error;
    json["absent"] = d.is_absent;
    return json;
  }
  json["output"] = {{"name", d.output}, {"shape", {d.rows, d.cols}}};
  json["first"] = {{"row", d.values.row},
                   {"column", d.values.col},
                   {"checked", check::value_text(d.dtype, d.values.checked)},
                   {"checked_bits", fmt::format("{:08x}", d.values.checked)},
                   {"against", check::value_text(d.dtype, d.values.against)},
                   {"against_bits", fmt::format("{:08x}", d.values.against)}};
  json["values"] = d.values.n;
  json["outputs"] = d.n_outputs;
  json["largest"] = std::isfinite(d.values.largest) ? Json(d.values.largest) : Json(nullptr);
  if (!d.also.empty()) json["or"] = d.also;
  return json;
}

Json lock_step_json(const LockStepReport& report) {
  const check::RunIdentity& identity = report.identity;
  Json json = {{"model", identity.model},       {"chip", identity.chip},
               {"detail", identity.detail},     {"against", report.against},
               {"kind", identity.kind},         {"tokens", identity.ids.size()},
               {"numerics", identity.numerics}, {"arithmetic_sha256", identity.arithmetic_sha256}};
  if (!identity.fault.empty()) json["fault"] = identity.fault;
  if (report.n_struck) json["fault_struck"] = *report.n_struck;
  json["whole"] = report.is_whole;
  json["ops"] = report.found.n_ops;
  json["planned_ops"] = report.n_planned;
  if (!report.command.empty()) json["command"] = report.command;
  json["differences"] = Json::array();
  for (const OpDifference& d : report.found.differences) {
    json["differences"].push_back(difference_json(d, identity.chip, report.against_chip));
  }
  return json;
}

}  // namespace naru::cli
