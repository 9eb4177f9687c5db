// naru check --compare of two recordings: which ops made other values of the same inputs. No chip is run.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/shown_text.h"
#include "cli/check_model.h"
#include "cli/interrupts.h"

namespace naru::cli {
namespace {

std::string origin_of(const std::string& argument, const check::RunIdentity& identity) {
  std::string text = fmt::format("{}: chip {}, {}", argument, identity.chip, identity.program);
  if (!identity.fault.empty()) {
    text += fmt::format(", with the fault {} in front of the chip; {}", identity.fault, struck_text(identity.n_struck));
  }
  return text;
}

Json origin_json(const std::string& argument, const check::RunIdentity& identity) {
  Json json = {{"path", argument},
               {"chip", identity.chip},
               {"detail", identity.detail},
               {"program", identity.program},
               {"system", identity.system}};
  if (identity.fault.empty()) return json;
  json["fault"] = identity.fault;
  json["fault_struck"] = identity.n_struck;
  return json;
}

std::string ops_text(const check::RunComparison& comparison) {
  std::string text = fmt::format("{}: {} alike", grouped(comparison.n_ops), grouped(comparison.n_alike));
  if (!comparison.culprits.empty()) {
    text += fmt::format(", {} with other values of the same inputs", grouped(std::ssize(comparison.culprits)));
  }
  if (comparison.n_followers > 0) text += fmt::format(", {} of other inputs", grouped(comparison.n_followers));
  return text;
}

// Two exact chips compute the same values: whoever parts from the other broke a promise.
Status ending(const CheckOptions& o, const check::RunComparison& comparison) {
  if (comparison.n_alike == comparison.n_ops) return {};
  return Error{Code::kInternal,
               fmt::format("comparing recordings: {} and {}: {} of {} ops differ, {} of them from the same inputs; run "
                           "one that is named on either machine: naru check --op OP",
                           one_line(o.compared[0]), one_line(o.compared[1]), comparison.n_ops - comparison.n_alike,
                           comparison.n_ops, comparison.culprits.size())};
}

Status say(const CheckOptions& o, const check::RunIdentity& a, const check::RunIdentity& b,
           const check::RunComparison& comparison) {
  // Two names for two chips, also where they have one.
  const std::string first = a.chip == b.chip ? "first" : a.chip, second = a.chip == b.chip ? "second" : b.chip;
  if (o.json) {
    Json json = {{"first", origin_json(o.compared[0], a)},
                 {"second", origin_json(o.compared[1], b)},
                 {"model", a.model},
                 {"kind", a.kind},
                 {"tokens", a.ids.size()},
                 {"numerics", a.numerics},
                 {"ops", comparison.n_ops},
                 {"alike", comparison.n_alike},
                 {"followers", comparison.n_followers},
                 {"differences", Json::array()}};
    for (const auto& d : comparison.culprits) json["differences"].push_back(difference_json(d, first, second));
    const Status end = ending(o, comparison);
    return end.ok() ? write_out(json_text(json)) : told(end.error(), &json);
  }
  Sheet sheet(Stream::kOut);
  sheet.title(fmt::format("{} on {} and {}", a.model, a.chip, b.chip), "");
  sheet.row("first", origin_of(o.compared[0], a));
  sheet.row("second", origin_of(o.compared[1], b));
  sheet.row("run", run_text(a));
  sheet.row("numerics", a.numerics);
  sheet.row("ops", ops_text(comparison));
  std::string further;
  if (!comparison.culprits.empty()) {
    sheet.heading("The first with other values of the same inputs");
    add_difference(sheet, comparison.culprits.front(), first, second);
  }
  if (comparison.culprits.size() > 1) {
    sheet.heading("Further ones");
    further = differences_table(std::span(comparison.culprits).subspan(1), first, second);
  }
  NARU_TRY(write_out(sheet.str() + further));
  return ending(o, comparison);
}

}  // namespace

bool is_recording_path(const std::string& path) {
  return check::is_recording(check::recording_folder(path));
}

Status compare_recordings(const CheckOptions& o) {
  NARU_ASSIGN(const auto a, check::OpenRecording::open(check::recording_folder(o.compared[0])));
  NARU_ASSIGN(const auto b, check::OpenRecording::open(check::recording_folder(o.compared[1])));
  NARU_ASSIGN(const check::RunComparison comparison, check::compare_runs(a, b, [] { return !is_interrupted(); }));
  return say(o, a.run().identity, b.run().identity, comparison);
}

}  // namespace naru::cli
