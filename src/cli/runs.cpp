#include "cli/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/interrupts.h"
#include "cli/progress.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

constexpr std::string_view kDefaultFolder = "runs";
constexpr size_t kHashShown = 12;
constexpr size_t kNameBytesShown = 60;

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

std::string optional_number(const std::optional<double>& value) {
  return value ? fmt::format("{:.4f}", *value) : "-";
}

constexpr size_t kColumns = 7;
using Row = std::array<std::string, kColumns>;

Row row_of(const runs::RunSummary& run) {
  const std::string hash = plain(run.weights_sha256, 64).substr(0, kHashShown);
  return {plain(run.name, kNameBytesShown),
          plain(run.status, 20),
          run.steps > 0 ? fmt::format("{}/{}", run.step, run.steps) : fmt::format("{}", run.step),
          optional_number(run.loss),
          optional_number(run.validation_loss),
          run.seconds > 0 ? format_seconds(run.seconds) : "-",
          hash.empty() ? "-" : hash};
}

}  // namespace

std::string runs_table(const std::vector<runs::RunSummary>& runs) {
  const Row head = {"name", "status", "step", "loss", "validation", "time", "weights"};
  constexpr std::array<bool, kColumns> kIsRight = {false, false, true, true, true, true, false};
  std::vector<Row> rows = {head};
  for (const runs::RunSummary& run : runs) rows.push_back(row_of(run));
  std::array<int64_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], display_columns(row[i]));
  }
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < kColumns; ++i) {
      const std::string pad(static_cast<size_t>(widths[i] - display_columns(rows[r][i])), ' ');
      std::string cell = rows[r][i];
      if (r == 0) cell = styled(cell, Style::kDim, Stream::kOut);
      if (r > 0 && i == 1) cell = styled(cell, style_of(rows[r][i]), Stream::kOut);
      const bool is_last = i + 1 == kColumns;
      line += kIsRight[i] ? pad + cell : cell + (is_last ? "" : pad);
      if (!is_last) line += "  ";
    }
    text += line + "\n";
  }
  return text;
}

Json runs_json(const std::vector<runs::RunSummary>& runs) {
  Json list = Json::array();
  for (const runs::RunSummary& run : runs) {
    list.push_back({{"name", run.name},
                    {"folder", run.folder.string()},
                    {"status", run.status},
                    {"step", run.step},
                    {"steps", run.steps},
                    {"loss", run.loss ? Json(*run.loss) : Json(nullptr)},
                    {"validation_loss", run.validation_loss ? Json(*run.validation_loss) : Json(nullptr)},
                    {"seconds", run.seconds},
                    {"started", run.started},
                    {"updated", run.updated},
                    {"weights_sha256", run.weights_sha256.empty() ? Json(nullptr) : Json(run.weights_sha256)}});
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
  if (options.json) return write_out(json_text(runs_json(list)));
  if (list.empty()) {
    return write_out(
        fmt::format("There are no runs in {}. naru train RECIPE.toml makes one; recipes/ has some to begin "
                    "with.\n",
                    plain(folder, 200)));
  }
  return write_out(runs_table(list));
}

Command make_runs() {
  auto o = std::make_shared<RunsOptions>();
  Command c{.name = "runs",
            .summary = "the training runs of a folder",
            .description =
                "Lists training runs: how far each is, its losses, how long it took, and the hash of its weights, by "
                "which equal runs are known. A run whose process died is shown as stopped; the same naru train goes on "
                "with it."};
  c.arguments = {
      {"FOLDER", "the folder that holds runs, or one run; default: runs", false, [o](const Given& given) -> Status {
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
