// naru check --case: one case, judged from all sides, with the operands of the smallest one that fails like it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "check/operand_text.h"
#include "cli/check.h"
#include "cli/interrupts.h"
#include "cli/sheet.h"

namespace naru::cli {
namespace {

using check::Verdict;

std::string case_text(const check::Failure& found, const CheckOptions& o) {
  Sheet sheet(Stream::kOut);
  sheet.title(o.chip_name(), "");
  sheet.row("case", check::case_line(found.first));
  const check::Finding& finding = found.finding;
  sheet.row("grade", "", check::verdict_name(finding.verdict), verdict_style(finding.verdict));
  sheet.row("found", finding.what);
  if (finding.verdict == Verdict::kBounded) {
    sheet.row("error", bounded_text(finding) + (finding.error > 0 ? ", as parts of the sum of magnitudes" : ""));
  }
  if (check::case_line(found.smallest) != check::case_line(found.first)) {
    sheet.heading("Smaller, and still so");
    sheet.line(case_command(o, found.smallest, found.finding.verdict));
  }
  if (finding.verdict == Verdict::kExact || finding.verdict == Verdict::kAbsent) return sheet.str();
  sheet.heading("Its operands");
  for (const check::OperandText& operand : check::operand_texts(check::build(found.smallest))) {
    sheet.row(operand.name, operand.shape);
    for (const std::string& line : operand.lines) sheet.line(line);
  }
  return sheet.str();
}

Json case_json(const check::Failure& found, const CheckOptions& o) {
  Json json = {{"chip", o.chip_name()},
               {"case", check::case_line(found.first)},
               {"verdict", check::verdict_name(found.finding.verdict)},
               {"found", found.finding.what}};
  if (found.finding.verdict == Verdict::kBounded) {
    json["error_of_magnitudes"] = found.finding.error;
    json["bound_of_magnitudes"] = found.finding.bound;
  }
  json["smallest"] = check::case_line(found.smallest);
  json["command"] = case_command(o, found.smallest, found.finding.verdict);
  return json;
}

}  // namespace

Status check_one_case(const CheckOptions& o) {
  NARU_ASSIGN(const check::Case c, check::parse_case(o.case_line));
  NARU_ASSIGN(CheckedChips chips, make_checked_chips(o));
  check::Judge judge(std::move(chips.under_test), make_reference_chip(), static_cast<double>(o.patience_s));
  NARU_ASSIGN(check::Finding finding, judge.judge(c));
  for (int64_t n = 1; n < o.times && !check::is_fault(finding.verdict); ++n) {
    if (is_interrupted()) {
      return Error{Code::kCancelled,
                   fmt::format("checking chip {}: stopped by you after {} of {} times without a fault", o.chip_name(),
                               n, o.times)};
    }
    NARU_ASSIGN(finding, judge.judge(c));
  }
  check::Failure found{c, c, finding, 0};
  if (check::is_fault(finding.verdict) && !judge.is_lost()) {
    NARU_ASSIGN(found, check::smallest_failure(c, finding, judge));
  }
  Json json = o.json ? case_json(found, o) : Json();
  if (!o.json) NARU_TRY(write_out(case_text(found, o)));
  if (is_accepted(finding.verdict, o)) return o.json ? write_out(json_text(json)) : Status();
  const std::string what =
      found.finding.what.empty() ? std::string(check::verdict_name(finding.verdict)) : found.finding.what;
  return told(
      {code_of(finding.verdict),
       fmt::format("checking chip {}: {}; correct the kernel, then run the same command again", o.chip_name(), what)},
      o.json ? &json : nullptr);
}

}  // namespace naru::cli
