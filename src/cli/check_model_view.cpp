// What naru check MODEL prints: how two chips did in lock step, for people and as JSON.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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

}  // namespace

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
  Table table({{"op"},
               {"output"},
               {"row", true},
               {"column", true},
               {std::string(checked), true},
               {std::string(against), true},
               {"differ", true}});
  for (const OpDifference& d : differences.first(std::min(differences.size(), size_t{kDifferencesShownMax}))) {
    if (!d.error.empty()) {
      table.row({place_text(d.place), std::string(d.is_absent ? "absent" : "error"), std::string(), std::string(),
                 std::string(), std::string(), std::string()});
      table.note({one_line(d.error)});
      continue;
    }
    table.row({place_text(d.place), fmt::format("{} [{}, {}]", d.output, d.rows, d.cols), grouped(d.values.row),
               grouped(d.values.col), check::short_value_text(d.dtype, d.values.checked),
               check::short_value_text(d.dtype, d.values.against), grouped(d.values.n)});
  }
  std::string text = table.text(Stream::kOut);
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
  head.row("with a fault", identity.fault);
  head.row("run", run_text(identity));
  head.row("numerics", identity.numerics);
  head.row("ops", ops_text(report));
  if (differences.empty()) return head.str();
  head.heading("The first that differs");
  add_difference(head, differences.front(), identity.chip, report.against_chip);
  if (differences.size() == 1) return head.str();
  head.heading("Further ones, each from the same values again");
  return head.str() + differences_table(std::span(differences).subspan(1), identity.chip, report.against_chip);
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
  json["whole"] = report.is_whole;
  json["ops"] = report.found.n_ops;
  json["planned_ops"] = report.n_planned;
  json["differences"] = Json::array();
  for (const OpDifference& d : report.found.differences) {
    json["differences"].push_back(difference_json(d, identity.chip, report.against_chip));
  }
  return json;
}

}  // namespace naru::cli
