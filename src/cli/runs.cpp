#include "cli/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/shown_text.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/pipeline_view.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "runs/pipeline_record.h"

namespace naru::cli {
namespace {

constexpr std::string_view kDefaultFolder = "runs";
constexpr size_t kHashShown = 12;
constexpr size_t kNameBytesShown = 60;
constexpr size_t kDifferencesShown = 12;  // keys under one run

// One line of plain text, whatever it was.
std::string plain(std::string_view text, size_t bytes_max) {
  std::string line = one_line(text);
  if (line.size() <= bytes_max) return line;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
  return line.substr(0, end) + "...";
}

Style style_of(std::string_view status) {
  if (status == "done") return Style::kGreen;
  if (status == "running") return Style::kCyan;
  if (status == "failed" || status == "damaged") return Style::kRed;
  return Style::kPlain;
}

// "2026-11-25 10:31" of "2026-11-25T10:31:10Z".
std::string time_text(const std::string& utc) {
  if (utc.empty()) return "-";
  std::string text = plain(utc, 20);
  if (text.size() != 20 || text[10] != 'T') return text;
  text[10] = ' ';
  return text.substr(0, 16);
}

std::vector<std::string> difference_texts(const runs::RunSummary& run) {
  std::vector<std::string> texts;
  if (!run.fault.empty())
    texts.push_back(fmt::format("with the fault {} in front of its chip", plain(run.fault, kNameBytesShown)));
  if (run.recheck_differences) {
    texts.push_back(fmt::format("{} results thrown away by rechecks", grouped(*run.recheck_differences)));
  }
  size_t n_shown = 0;
  for (const auto& [key, value] : run.differs) {
    if (n_shown++ == kDifferencesShown) {
      texts.push_back(fmt::format("{} more", run.differs.size() - kDifferencesShown));
      break;
    }
    texts.push_back(fmt::format("{} {}", plain(key, kNameBytesShown), plain(value, kNameBytesShown)));
  }
  return texts;
}

// What a run is measured by: a column that no run has a value for is not there.
struct Measure {
  std::string_view head;
  std::optional<double> runs::RunSummary::*value;
  bool is_share;
};
constexpr std::array<Measure, 4> kMeasures = {{{"loss", &runs::RunSummary::loss, false},
                                               {"validation", &runs::RunSummary::validation_loss, false},
                                               {"reward", &runs::RunSummary::reward, false},
                                               {"right", &runs::RunSummary::accuracy, true}}};

std::vector<Measure> measures_of(const std::vector<runs::RunSummary>& runs) {
  std::vector<Measure> measures;
  for (const Measure& measure : kMeasures) {
    const bool is_there = std::any_of(
        runs.begin(), runs.end(), [&measure](const runs::RunSummary& run) { return (run.*measure.value).has_value(); });
    if (is_there) measures.push_back(measure);
  }
  // Of runs that have not begun, what most are measured by.
  return measures.empty() ? std::vector<Measure>(kMeasures.begin(), kMeasures.begin() + 2) : measures;
}

std::string measure_text(const std::optional<double>& value, bool is_share) {
  return !value ? "-" : is_share ? fmt::format("{:.1f} %", 100 * *value) : fmt::format("{:.4f}", *value);
}

// The folder of a run as seen from the one that was listed: a stage's has that of its pipeline before it.
std::string place_in(const std::filesystem::path& folder, const std::filesystem::path& listed) {
  const std::string place = folder.lexically_relative(listed).string();
  return place.empty() || place == "." || place.starts_with("..") ? short_name(folder.string()) : place;
}

// Of a pipeline's folder what its models made of its problems; nothing of any other.
Result<runs::PipelineScores> scores_of(const std::string& folder) {
  const auto record = runs::read_pipeline_record(folder);
  if (!record.ok() || !*record) return runs::PipelineScores();
  return runs::read_pipeline_scores(folder);
}

}  // namespace

std::string runs_table(const std::vector<runs::RunSummary>& runs, const std::filesystem::path& listed,
                       int64_t columns) {
  // Where runs are of several recipes, folders alone do not say of which.
  const bool has_recipes = std::any_of(runs.begin(), runs.end(), [](const runs::RunSummary& run) {
    return run.name != short_name(run.folder.string());
  });
  const std::vector<Measure> measures = measures_of(runs);
  std::vector<Table::Column> heads = {{"folder"}, {"status"}, {"step", true}};
  for (const Measure& measure : measures) heads.push_back({std::string(measure.head), true});
  for (Table::Column head : {Table::Column{"written (UTC)"}, Table::Column{"time", true}, Table::Column{"weights"}}) {
    heads.push_back(std::move(head));
  }
  if (has_recipes) heads.push_back({"recipe"});
  Table table(std::move(heads));
  for (const runs::RunSummary& run : runs) {
    const std::string hash = plain(run.weights_sha256, 64).substr(0, kHashShown);
    const std::string step =
        run.steps > 0 ? fmt::format("{}/{}", grouped(run.step), grouped(run.steps)) : grouped(run.step);
    std::vector<Table::Cell> cells = {
        plain(place_in(run.folder, listed), kNameBytesShown), {plain(run.status, 20), style_of(run.status)}, step};
    for (const Measure& measure : measures) {
      const bool is_known = run.step > 0 || measure.head != "loss";
      cells.emplace_back(measure_text(is_known ? run.*measure.value : std::nullopt, measure.is_share));
    }
    cells.emplace_back(time_text(run.updated));
    cells.emplace_back(run.seconds > 0 ? format_seconds(run.seconds) : "-");
    cells.emplace_back(hash.empty() ? "-" : hash);
    if (has_recipes) cells.emplace_back(plain(run.name, kNameBytesShown));
    table.row(std::move(cells));
    table.note(difference_texts(run));
  }
  return table.text(Stream::kOut, columns);
}

Json runs_json(const std::vector<runs::RunSummary>& runs) {
  Json list = Json::array();
  for (const runs::RunSummary& run : runs) {
    Json differs = Json::object();
    for (const auto& [key, value] : run.differs) differs[key] = value;
    list.push_back({{"name", run.name},
                    {"folder", run.folder.string()},
                    {"status", run.status},
                    {"step", run.step},
                    {"steps", run.steps},
                    {"loss", run.loss ? Json(*run.loss) : Json(nullptr)},
                    {"validation_loss", run.validation_loss ? Json(*run.validation_loss) : Json(nullptr)},
                    {"reward", run.reward ? Json(*run.reward) : Json(nullptr)},
                    {"accuracy", run.accuracy ? Json(*run.accuracy) : Json(nullptr)},
                    {"seconds", run.seconds},
                    {"started", run.started},
                    {"updated", run.updated},
                    {"command", run.command.empty() ? Json(nullptr) : Json(run.command)},
                    {"weights_sha256", run.weights_sha256.empty() ? Json(nullptr) : Json(run.weights_sha256)},
                    {"differs", std::move(differs)}});
    if (!run.fault.empty()) list.back()["fault"] = run.fault;
    if (!run.reason.empty()) list.back()["reason"] = run.reason;
    if (run.recheck_differences) list.back()["recheck_differences"] = *run.recheck_differences;
  }
  return {{"runs", std::move(list)}};
}

Status runs_command(const RunsOptions& options) {
  end_at_first_interrupt();
  const std::string folder = options.folder.empty() ? std::string(kDefaultFolder) : options.folder;
  auto runs = runs::list_runs(folder);
  // Nobody has trained here yet: that is no mistake.
  const bool is_none = !runs.ok() && runs.error().code == Code::kNotFound && options.folder.empty();
  if (!runs.ok() && !is_none) return std::move(runs).error();
  const std::vector<runs::RunSummary> list = is_none ? std::vector<runs::RunSummary>() : std::move(runs).value();
  NARU_ASSIGN(const runs::PipelineScores scores, scores_of(folder));
  if (options.json) {
    Json json = runs_json(list);
    if (!scores.models.empty()) {
      json["models"] = runs::scores_json(scores);
      json["not_improved"] = runs::what_did_not_improve(scores);
    }
    return write_out(json_text(json));
  }
  if (list.empty()) {
    return write_out(
        fmt::format("There are no runs in {}. naru train RECIPE.toml makes one; recipes/ has some to begin "
                    "with.\n",
                    plain(folder, 200)));
  }
  std::string text = runs_table(list, folder, columns_of(Stream::kOut));
  // Of one run alone: what to do about it.
  const runs::RunSummary& first = list.front();
  const bool goes_on = list.size() == 1 && (first.status == "stopped" || first.status == "failed");
  if (goes_on && !first.reason.empty()) text += indented("why    " + one_line(first.reason), 0, 7);
  if (goes_on && !first.command.empty()) text += "go on  " + one_line(first.command) + "\n";
  if (const std::string table = scores_table(scores); !table.empty()) text += "\n" + table;
  return write_out(text);
}

Command make_runs() {
  auto o = std::make_shared<RunsOptions>();
  Command c{
      .name = "runs",
      .summary = "the training runs of a folder",
      .description =
          "Lists training runs by their folders: how far each is, its losses, when it was last written, how long it "
          "took, and the hash of its weights, by which equal runs are known. Under runs of one recipe stands what "
          "differs between them. A run whose process died is shown as stopped; the same naru train goes on with "
          "it. Of a pipeline's folder: its stages, and the table of what each of them added."};
  c.arguments = {{"FOLDER", "the folder that holds runs, one run, or a pipeline; default: runs", false,
                  [o](const Given& given) -> Status {
                    if (given.text.empty()) return bad_value(given, "a folder");
                    o->folder = given.text;
                    return {};
                  }}};
  c.flags = {{"json", "", kGroupOutput, "one JSON object: runs, with everything that is known of each",
              [o](const Given&) -> Status {
                o->json = true;
                return {};
              },
              0, false, false}};
  c.examples = {{"naru runs", "All runs in ./runs, oldest first."},
                {"naru runs runs/pretrain-tiny-moe --json", "One run, for a program."}};
  c.run = [o] { return runs_command(*o); };
  return c;
}

}  // namespace naru::cli
