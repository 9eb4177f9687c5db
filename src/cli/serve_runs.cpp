#include "cli/serve_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/runs.h"
#include "runs/file_stamp.h"
#include "runs/report.h"
#include "runs/run_files.h"
#include "runs/run_lister.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

// Of a run as clients call it: its path in the folder, "r1-minute/rl".
std::string run_id(const fs::path& folder, const fs::path& run) {
  const std::string id = run.lexically_relative(folder).generic_string();
  if (!id.empty() && id != ".") return id;
  std::error_code ignored;
  const fs::path whole = fs::absolute(run, ignored).lexically_normal();  // of "." and of "runs/" too
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

// Whoever asks is told what went wrong, not where the files lie.
Error shown_error(const Error& error, const char* doing) {
  return Error{error.code == Code::kNotFound ? Code::kNotFound : Code::kUnavailable,
               fmt::format("{}: {}; the server's machine has the files, `naru runs` there says more", doing,
                           code_name(error.code))};
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Of what looks like a path from the root or the home the last part alone.
std::string without_folders(std::string_view text) {
  constexpr std::string_view kEnds = " \t\n'\"`,;()[]{}<>=";
  std::string shown;
  while (!text.empty()) {
    const size_t n = std::min(text.find_first_of(kEnds), text.size());
    std::string_view word = text.substr(0, n);
    if (word.starts_with('/') || word.starts_with("~/")) {
      const size_t end = word.find_last_not_of('/');
      word = end == std::string_view::npos ? word.substr(0, 0) : word.substr(0, end + 1);
      word = word.substr(word.rfind('/') + 1);
    }
    shown += word;
    if (n < text.size()) shown += text[n];
    text.remove_prefix(std::min(n + 1, text.size()));
  }
  return shown;
}

Json labelled_json(const runs::LabelledTexts& texts) {
  Json rows = Json::array();
  for (const auto& [label, text] : texts) rows.push_back(Json::array({label, without_folders(text)}));
  return rows;
}

Json curve_json(const runs::Curve& curve) {
  Json steps = Json::array(), values = Json::array();
  for (const auto& [step, value] : runs::thinned(curve.points, kShownPointsMax)) {
    steps.push_back(step);
    values.push_back(value);
  }
  return {{"name", curve.name}, {"steps", std::move(steps)}, {"values", std::move(values)}};
}

Json run_json(const runs::ReportData& data) {
  Json curves = Json::array(), sections = Json::array(), alarms = Json::array();
  for (const runs::Curve& curve : data.curves) curves.push_back(curve_json(curve));
  for (const runs::ReportSection& section : data.sections) {
    if (!section.rows.empty()) sections.push_back({{"title", section.title}, {"rows", labelled_json(section.rows)}});
  }
  for (const runs::Alarm& alarm : data.alarms) {
    alarms.push_back({{"step", alarm.step},
                      {"kind", without_folders(alarm.kind)},
                      {"what", without_folders(alarm.what)},
                      {"advice", without_folders(alarm.advice)}});
  }
  return {{"name", data.name},
          {"status", data.status},
          {"summary", without_folders(data.summary)},
          {"unfinished", data.unfinished},
          {"figures", labelled_json(data.figures)},
          {"curves", std::move(curves)},
          {"went_on", data.went_on},
          {"alarms", std::move(alarms)},
          {"sections", std::move(sections)},
          {"notes", data.notes}};
}

// A pipeline as the page shows it: its stages in order, with the runs that have begun.
Json pipeline_json(const fs::path& folder, const runs::ListedPipeline& pipeline,
                   const std::vector<runs::RunSummary>& listed) {
  Json stages = Json::array();
  for (const runs::StageRecord& stage : pipeline.record.stages) {
    const fs::path place = pipeline.folder / stage.name;
    const bool has_begun =
        std::any_of(listed.begin(), listed.end(), [&](const auto& run) { return run.folder == place; });
    stages.push_back({{"name", stage.name},
                      {"kind", stage.kind},
                      {"takes", runs::inputs_text(stage.inputs)},
                      {"run", has_begun ? Json(run_id(folder, place)) : Json(nullptr)}});
  }
  return {{"id", run_id(folder, pipeline.folder)}, {"name", pipeline.record.name}, {"stages", std::move(stages)}};
}

Error no_such_run() {
  return {Code::kNotFound, "reading a training run: none of that name is there; GET /v1/runs lists them"};
}

// What the desk asks for. It keeps what it read for as long as the files are the same: a page asks every few seconds.
class ShownRuns {
 public:
  explicit ShownRuns(fs::path folder) : folder_(std::move(folder)), lister_(folder_, runs::Links::kStayInside) {}

  Result<std::string> list();
  Result<std::string> read(const std::string& name);

 private:
  bool is_there() const {
    std::error_code ignored;
    return fs::is_directory(folder_, ignored);
  }
  // Everything that the JSON of a run is made of.
  struct Source {
    std::string name, status;
    std::vector<runs::FileStamp> files;
    bool operator==(const Source&) const = default;
  };
  static Source source_of(const std::string& name, const runs::RunSummary& run);

  fs::path folder_;
  runs::RunLister lister_;
  std::deque<std::pair<Source, std::string>> kept_;  // the JSON of the runs that were asked for last
};

ShownRuns::Source ShownRuns::source_of(const std::string& name, const runs::RunSummary& run) {
  Source source{name, run.status, {}};
  for (const char* file : {runs::kRunFile, runs::kRecipeFile, runs::kCheckpointsFolder}) {
    source.files.push_back(runs::stamp_of(run.folder / file));
  }
  for (const std::string_view file : runs::kLineFiles) source.files.push_back(runs::stamp_of(run.folder / file));
  return source;
}

Result<std::string> ShownRuns::list() {
  if (!is_there()) return dumped({{"runs", Json::array()}, {"pipelines", Json::array()}});  // it may come
  const auto listed = lister_.list();
  if (!listed.ok()) return shown_error(listed.error(), "listing the training runs");
  Json json = runs_json(*listed);
  for (size_t i = 0; i < listed->size(); ++i) {
    Json& row = json["runs"][i];
    row.erase("folder");
    row.erase("command");
    row["id"] = run_id(folder_, (*listed)[i].folder);
  }
  json["pipelines"] = Json::array();
  for (const runs::ListedPipeline& pipeline : lister_.pipelines()) {
    json["pipelines"].push_back(pipeline_json(folder_, pipeline, *listed));
  }
  return dumped(json);
}

// The name is compared with those of the runs that are there; it is never a path.
Result<std::string> ShownRuns::read(const std::string& name) {
  if (!is_there()) return no_such_run();
  const auto listed = lister_.list();
  if (!listed.ok()) return shown_error(listed.error(), "listing the training runs");
  const auto run = std::find_if(listed->begin(), listed->end(),
                                [&](const runs::RunSummary& each) { return run_id(folder_, each.folder) == name; });
  if (run == listed->end()) return no_such_run();
  Source source = source_of(name, *run);
  for (const auto& [kept, json] : kept_) {
    if (kept == source) return json;
  }
  const auto data = runs::read_report_data(run->folder);
  if (!data.ok()) return shown_error(data.error(), "reading a training run");
  Json json = run_json(*data);
  json["id"] = name;
  json["status"] = run->status;  // a run whose process died has stopped
  std::erase_if(kept_, [&name](const auto& each) { return each.first.name == name; });
  if (static_cast<int64_t>(kept_.size()) == kShownRunsKept) kept_.pop_front();
  kept_.emplace_back(std::move(source), dumped(json));
  return kept_.back().second;
}

}  // namespace

server::RunsSource runs_source(const fs::path& folder) {
  const auto shown = std::make_shared<ShownRuns>(folder);
  return {[shown] { return shown->list(); }, [shown](const std::string& name) { return shown->read(name); }};
}

}  // namespace naru::cli
