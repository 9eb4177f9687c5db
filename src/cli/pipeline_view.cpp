#include "cli/pipeline_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/shown_text.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "cli/word_wrap.h"

namespace naru::cli {
namespace {

std::string share_words(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string share_words(const std::optional<runs::ScoredShare>& share) {
  return share ? share_words(share->mean) : "-";
}

// A row a language; of answers drawn, of which there are `k` a problem, only what is known: pass@k from two on.
void add_rows(const runs::ScoredModel& model, const runs::Evaluation& evaluation, int64_t k, Table& table) {
  for (const runs::ScoreLine& line : evaluation.lines) {
    const bool is_first = &line == &evaluation.lines.front();
    const Style style = is_first ? Style::kBold : Style::kDim;
    std::vector<Table::Cell> cells = {
        Table::Cell(is_first ? one_line(model.name) : ""),
        Table::Cell(line.language.empty() ? "all" : one_line(line.language), is_first ? Style::kPlain : style),
        Table::Cell(share_words(line.greedy.mean), style)};
    if (k > 0) cells.emplace_back(share_words(line.drawn), style);
    if (k > 1) cells.emplace_back(share_words(line.any), style);
    cells.emplace_back(share_words(line.language_share), style);
    cells.emplace_back(fmt::format("{:.1f}", line.tokens), style);
    cells.emplace_back(share_words(line.cut_share), style);
    table.row(std::move(cells));
  }
}

std::string table_of(const runs::PipelineScores& scores, const std::string& problems) {
  int64_t k = 0, n = 0;
  for (const runs::ScoredModel& model : scores.models) {
    const runs::Evaluation* const evaluation = scores.of(model, problems);
    if (evaluation == nullptr) continue;
    k = std::max(k, evaluation->samples);
    n = std::max(n, evaluation->lines.front().n_problems);
  }
  std::vector<Table::Column> heads = {{"after"}, {"language"}, {"likeliest", true}};
  if (k > 0) heads.push_back({"drawn", true});
  if (k > 1) heads.push_back({fmt::format("one of {}", k), true});
  for (const char* const head : {"consistent", "tokens", "cut off"}) heads.push_back({head, true});
  Table table(std::move(heads));
  for (const runs::ScoredModel& model : scores.models) {
    if (const runs::Evaluation* const evaluation = scores.of(model, problems)) add_rows(model, *evaluation, k, table);
  }
  Sheet sheet(Stream::kOut);
  sheet.title(problems, fmt::format(" · {} held-out problems", grouped(n)));
  return sheet.str() + table.text(Stream::kOut);
}

}  // namespace

std::string stage_table(const std::vector<StageRow>& rows, Stream stream) {
  const bool is_planned =
      std::any_of(rows.begin(), rows.end(), [](const StageRow& row) { return !row.planned.empty(); });
  std::vector<Table::Column> heads = {{"stage"}, {"kind"}, {"takes"}, {"state"}, {"time", true}};
  if (is_planned) heads.push_back({"planned"});
  Table table(std::move(heads));
  for (const StageRow& row : rows) {
    std::vector<Table::Cell> cells = {one_line(row.name),
                                      one_line(row.kind),
                                      row.takes.empty() ? "-" : one_line(row.takes),
                                      {one_line(row.state), row.is_done ? Style::kGreen : Style::kPlain},
                                      row.seconds > 0 ? format_seconds(row.seconds) : "-"};
    if (is_planned) cells.emplace_back(row.planned.empty() ? "-" : row.planned);
    table.row(std::move(cells));
  }
  return table.text(stream);
}

std::string evaluation_line(const runs::Evaluation& evaluation) {
  const runs::ScoreLine& line = evaluation.lines.front();
  std::string text =
      fmt::format("{}: {} of {} right", evaluation.problems, share_words(line.greedy.mean), grouped(line.n_problems));
  if (line.drawn) text += fmt::format(", drawn {}", share_words(line.drawn->mean));
  if (line.any && evaluation.samples > 1) {
    text += fmt::format(", one of {} {}", evaluation.samples, share_words(line.any->mean));
  }
  return text + fmt::format(", language {}, {:.1f} tokens", share_words(line.language_share), line.tokens);
}

std::string scores_table(const runs::PipelineScores& scores) {
  std::string text;
  for (const std::string& problems : scores.problem_kinds()) {
    text += (text.empty() ? "" : "\n") + table_of(scores, problems);
  }
  if (text.empty()) return text;
  Sheet sheet(Stream::kOut);
  sheet.paragraph(
      "likeliest: pass@1 of the likeliest answer; drawn: pass@1 of drawn answers; one of k: pass@k; consistent: words "
      "of "
      "the question's language.");
  const std::vector<std::string> sentences = runs::what_did_not_improve(scores);
  if (!sentences.empty()) sheet.heading("What did not improve");
  text += sheet.str();
  for (const std::string& sentence : sentences) text += indented(one_line(sentence), 2, 4);
  return text;
}

}  // namespace naru::cli
