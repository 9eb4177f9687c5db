// naru check --soak: how long it is to run, what it says meanwhile, and what it found.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/shown_text.h"
#include "check/soak.h"
#include "cli/check.h"
#include "cli/interrupts.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

constexpr size_t kFindingsShown = 12;
constexpr double kSaidEvery = 10;  // seconds, where no terminal is

// One line: drawn over itself on a terminal, now and then elsewhere.
class SoakLine {
 public:
  explicit SoakLine(double seconds) : seconds_(seconds), is_terminal_(stderr_is_terminal()) {}
  void update(const check::SoakProgress& p) {
    if (p.seconds < next_) return;
    next_ = p.seconds + (is_terminal_ ? 0.2 : kSaidEvery);
    const std::string line =
        fmt::format("soaking  {} of {}  {} op runs  {} came out otherwise", format_seconds(p.seconds),
                    format_seconds(seconds_), grouped(p.n_op_runs), grouped(p.n_found));
    write_err(is_terminal_ ? "\r\x1b[2K" + line : line + "\n");
    is_drawn_ = true;
  }
  void clear() {
    if (is_terminal_ && is_drawn_) write_err("\r\x1b[2K");
  }

 private:
  double seconds_, next_ = 0.5;
  bool is_terminal_, is_drawn_ = false;
};

std::string rate_text(const check::SoakReport& report) {
  const std::string bound = fmt::format("{:.2g}", report.rate_at_most());
  if (report.n_found == 0) {
    return fmt::format("0 of {} op runs: with a confidence of 95 % no more than {} of an op's runs",
                       grouped(report.n_op_runs), bound);
  }
  return fmt::format("{} of {} op runs: {:.2g}, with a confidence of 95 % no more than {}", grouped(report.n_found),
                     grouped(report.n_op_runs),
                     static_cast<double>(report.n_found) / static_cast<double>(report.n_op_runs), bound);
}

std::map<std::string, int64_t> counts_by_op(const check::SoakReport& report) {
  std::map<std::string, int64_t> counts;
  for (const check::SoakFinding& finding : report.findings) ++counts[finding.c.op];
  return counts;
}

std::string soak_text(const check::SoakReport& report, const contract::ChipInfo& info, const CheckOptions& o,
                      const std::optional<int64_t>& n_struck) {
  Sheet sheet(Stream::kOut);
  sheet.title(o.chip_name(), " · soak");
  sheet.row("chip", info.detail);
  sheet.row("level", info.level);
  sheet.row("threads", grouped(info.n_threads));
  if (o.fault) sheet.row("with a fault", fault_line(*o.fault, n_struck));
  std::set<std::string> commands;
  for (size_t i = 0; i < std::min(report.findings.size(), kFindingsShown); ++i) {
    const check::SoakFinding& finding = report.findings[i];
    if (i == 0) sheet.heading("Came out otherwise");
    sheet.row(fmt::format("{:.1f} s", finding.seconds),
              fmt::format("{}, load {}: {}", finding.c.op, check::load_name(finding.load), finding.text()));
    const std::string command = case_command(o, finding.c, check::Verdict::kUnsteady);
    if (commands.insert(command).second) sheet.line(command);
  }
  if (report.findings.size() > kFindingsShown) {
    sheet.row("", fmt::format("{} more: --json lists them", grouped(report.n_found - int64_t{kFindingsShown})));
  }
  sheet.heading("Together");
  for (const auto& [op, n] : counts_by_op(report)) sheet.row(op, fmt::format("{} runs came out otherwise", grouped(n)));
  sheet.row("cases",
            grouped(report.n_cases) +
                (report.n_absent == 0 ? std::string() : fmt::format(", {} of them absent", grouped(report.n_absent))));
  sheet.row("time", format_seconds(report.seconds) + (report.is_stopped ? ", stopped by you" : ""));
  sheet.row("runs", fmt::format("{} of cases, {} of ops", grouped(report.n_runs), grouped(report.n_op_runs)));
  sheet.row("bits that flipped", grouped(report.n_bits));
  sheet.row("rate", rate_text(report));
  if (!report.hangs.empty()) sheet.row(report.is_stopped ? "not waited for" : "hangs", report.hangs);
  return sheet.str();
}

Json soak_json(const check::SoakReport& report, const contract::ChipInfo& info, const CheckOptions& o) {
  Json json = {{"chip", o.chip_name()},
               {"detail", info.detail},
               {"seconds", json_seconds(report.seconds)},
               {"stopped", report.is_stopped},
               {"cases", report.n_cases},
               {"absent", report.n_absent},
               {"runs", report.n_runs},
               {"op_runs", report.n_op_runs},
               {"found", report.n_found},
               {"bits", report.n_bits},
               {"rate_at_most", report.rate_at_most()},
               {"findings", Json::array()}};
  if (o.fault) json["fault"] = check::fault_text(*o.fault);
  if (!report.hangs.empty()) json["hangs"] = report.hangs;
  for (const check::SoakFinding& finding : report.findings) {
    Json one = {{"seconds", json_seconds(finding.seconds)},
                {"load", check::load_name(finding.load)},
                {"op", finding.c.op},
                {"case", check::case_line(finding.c)},
                {"values", finding.n_values},
                {"bits", finding.n_bits}};
    if (!finding.what.empty()) one["error"] = finding.what;
    for (const check::SoakFinding::Value& value : finding.values) {
      one["changed"].push_back({{"output", value.changed.name},
                                {"row", value.changed.row},
                                {"column", value.changed.column},
                                {"address", fmt::format("{:x}", value.address)},
                                {"now", fmt::format("{:08x}", value.changed.now)},
                                {"before", fmt::format("{:08x}", value.changed.before)}});
    }
    json["findings"].push_back(std::move(one));
  }
  return json;
}

}  // namespace

Status soak(const CheckedChips& chips, const CheckOptions& o) {
  const contract::ChipInfo info = chips.under_test.chip->info();
  const double seconds = o.soak_minutes * 60;
  SoakLine line(seconds);
  const check::SoakOptions options{.seconds = seconds,
                                   .ops = o.ops,
                                   .patience_s = static_cast<double>(o.patience_s),
                                   .go_on = [&](const check::SoakProgress& progress) {
                                     line.update(progress);
                                     return !is_interrupted();
                                   }};
  NARU_ASSIGN(const check::SoakReport report, check::soak_chip(chips.under_test, options));
  line.clear();
  std::optional<int64_t> n_struck;
  if (o.fault && report.hangs.empty()) n_struck = chips.n_struck();
  Json json;
  if (o.json) {
    json = soak_json(report, info, o);
    if (n_struck) json["fault_struck"] = *n_struck;
  } else {
    NARU_TRY(write_out(soak_text(report, info, o, n_struck)));
  }
  if (report.n_found == 0 && report.hangs.empty()) {
    if (o.json) NARU_TRY(write_out(json_text(json)));
    return report.is_stopped ? Status(Error{Code::kCancelled, ""}) : Status();
  }
  const std::string doing = fmt::format("soaking chip {}", o.chip_name());
  if (!report.hangs.empty() && report.is_stopped && report.n_found == 0) {
    return told({Code::kCancelled, fmt::format("{}: stopped by you; {}", doing, report.hangs)},
                o.json ? &json : nullptr);
  }
  if (!report.hangs.empty() && !report.is_stopped) {
    return told(
        {Code::kDeadline,
         fmt::format("{}: {}; correct the kernel or its queue, then run the same command again", doing, report.hangs)},
        o.json ? &json : nullptr);
  }
  const check::SoakFinding& first = report.findings.front();
  return told({Code::kInternal,
               fmt::format("{}: {} of {} op runs came out otherwise, first {} after {:.1f} s: {}; the chip, its memory "
                           "or a kernel is not to be trusted: run its matrix, naru check --op {}",
                           doing, grouped(report.n_found), grouped(report.n_op_runs), first.c.op, first.seconds,
                           first.text(), first.c.op)},
              o.json ? &json : nullptr);
}

}  // namespace naru::cli
