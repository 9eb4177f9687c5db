#include "cli/eval_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/shown_text.h"
#include "cli/open_model.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "formats/model_digest.h"

namespace naru::cli {
namespace {

std::string percent_of(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string range_text(const eval::Interval& interval) {
  return fmt::format("{:.1f}-{:.1f}", 100 * interval.low, 100 * interval.high);
}

std::string sampling_words(const engine::SamplingOptions& s) {
  std::string words = fmt::format("temperature {}", s.temperature);
  if (s.top_k > 0) words += fmt::format(", top-k {}", s.top_k);
  if (s.top_p < 1) words += fmt::format(", top-p {}", s.top_p);
  if (s.min_p > 0) words += fmt::format(", min-p {}", s.min_p);
  return words;
}

double per(int64_t part, int64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

std::string score_table(const std::vector<eval::ScoreRow>& rows) {
  Table table({{"language"}, {"problems", true}, {"answers"}, {"strict", true}, {"95 %"}, {"lenient", true}, {"95 %"}});
  const eval::ScoreRow* last = nullptr;
  for (const eval::ScoreRow& row : rows) {
    const bool is_first = last == nullptr || last->language != row.language;
    table.row({Table::Cell(!is_first              ? ""
                           : row.language.empty() ? "all"
                                                  : row.language),
               Table::Cell(is_first ? grouped(row.n_problems) : ""),
               Table::Cell(row.k ? fmt::format("drawn pass@{}", *row.k) : "greedy pass@1"),
               Table::Cell(percent_of(row.strict.mean), Style::kBold), Table::Cell(range_text(row.strict), Style::kDim),
               Table::Cell(percent_of(row.lenient.mean), Style::kBold),
               Table::Cell(range_text(row.lenient), Style::kDim)});
    last = &row;
  }
  return table.text(Stream::kOut);
}

Json interval_json(const eval::Interval& interval) {
  return {{"mean", interval.mean}, {"low", interval.low}, {"high", interval.high}};
}

}  // namespace

std::string answers_so_far(const std::vector<eval::ProblemScore>& scores) {
  const std::vector<eval::ScoreRow> rows = eval::score_rows(scores, {});
  return fmt::format("greedy pass@1 so far {} strictly, {} leniently", percent_of(rows.front().strict.mean),
                     percent_of(rows.front().lenient.mean));
}

std::string answers_table(const AnswersOutcome& o) {
  const EvalProblemOptions& asked = o.options->asked;
  const auto n_problems = std::ssize(o.scores);
  Sheet sheet(Stream::kOut);
  sheet.title(o.model->name, "");
  sheet.row("problems", o.is_file ? fmt::format("{} of {}", grouped(n_problems), o.name)
                                  : fmt::format("{} held-out ones of {}, {} different", grouped(n_problems), o.name,
                                                grouped(o.n_different)));
  sheet.row("asked", o.is_chat ? "by the model's chat template" : "as plain text");
  sheet.row("drawn", asked.samples == 0 ? ""
                                        : fmt::format("{} answers to each problem, {}", grouped(asked.samples),
                                                      sampling_words(asked.sampling)));
  sheet.row("seed", fmt::format("{}", o.options->seed));
  sheet.row("length", fmt::format("{:.1f} tokens an answer, {} of them cut off at {}", per(o.n_tokens, o.n_answers),
                                  percent_of(per(o.n_cut, o.n_answers)), grouped(asked.max_tokens)));
  if (o.n_unasked > 0) {
    sheet.row("not asked", fmt::format("{} problems, longer than the context of {} tokens; they count as wrong",
                                       grouped(o.n_unasked), grouped(o.context_tokens)));
  }
  Sheet rest(Stream::kOut);
  rest.paragraph(
      "Strict: whole, and right where it is asked for. Lenient: right wherever it stands. Intervals of 95 % over "
      "problems (Wilson); pass@k without bias from the drawn answers.");
  if (asked.answers_path) rest.paragraph(fmt::format("Every answer: {}", one_line(*asked.answers_path)));
  rest.heading("SHA-256");
  rest.line(fmt::format("{}  {}", digest_of(o.model->digests), one_line(o.model->name)));
  rest.line(fmt::format("{}  problems", o.problems_sha256));
  rest.line(fmt::format("{}  answers", o.answers_sha256));
  rest.paragraph(
      fmt::format("{} · {} · {} tokens/s", o.numerics_id, format_seconds(o.seconds),
                  grouped(static_cast<int64_t>(static_cast<double>(o.n_tokens) / std::max(o.seconds, 1e-9)))));
  return sheet.str() + "\n" + score_table(eval::score_rows(o.scores, asked.ks)) + rest.str();
}

Json answers_json(const AnswersOutcome& o) {
  const EvalProblemOptions& asked = o.options->asked;
  const engine::SamplingOptions& s = asked.sampling;
  Json json = {
      {"model", o.model->name},
      {"problems", {{"name", o.name}, {"n", o.scores.size()}, {"different", o.n_different}}},
      {"asked", o.is_chat ? "chat" : "text"},
      {"seed", o.options->seed},
      {"samples", asked.samples},
      {"max_tokens", asked.max_tokens},
      {"sampling", {{"temperature", s.temperature}, {"top_k", s.top_k}, {"top_p", s.top_p}, {"min_p", s.min_p}}},
      {"answers", o.n_answers},
      {"cut", o.n_cut},
      {"tokens", o.n_tokens},
      {"not_asked", o.n_unasked}};
  json["scores"] = Json::array();
  for (const eval::ScoreRow& row : eval::score_rows(o.scores, asked.ks)) {
    json["scores"].push_back({{"language", row.language.empty() ? Json("all") : Json(row.language)},
                              {"problems", row.n_problems},
                              {"answers", row.k ? "drawn" : "greedy"},
                              {"pass_at", row.k.value_or(1)},
                              {"strict", interval_json(row.strict)},
                              {"lenient", interval_json(row.lenient)}});
  }
  json["problems_sha256"] = o.problems_sha256;
  json["answers_sha256"] = o.answers_sha256;
  json["sha256"] = digest_of(o.model->digests);
  json["files"] = digests_json(o.model->digests);
  json["numerics_id"] = o.numerics_id;
  json["seconds"] = json_seconds(o.seconds);
  return json;
}

}  // namespace naru::cli
