// The page of a pipeline: plain HTML and drawings, no script at all.
#include "runs/pipeline_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/shown_text.h"
#include "runs/report_page.h"

namespace naru::runs {
namespace {

constexpr std::string_view kPipelineStyle = R"css(
.wide-table { overflow-x: auto; border: 1px solid var(--line); border-radius: 12px; background: var(--card); }
.wide-table table { table-layout: auto; border: 0; border-radius: 0; min-width: 760px; }
.wide-table th, .wide-table td { width: auto; padding: 6px 14px; white-space: nowrap; display: table-cell; }
.wide-table thead th { border-top: 0; font-size: 13px; }
.wide-table .n { text-align: right; }
.wide-table tr.part td { color: var(--dim); border-top: 0; padding-top: 0; }
.wide-table tbody tr:first-child td, .wide-table tbody tr:first-child th { border-top: 1px solid var(--line); }
.wide-table small { color: var(--dim); margin-left: 6px; } .up { color: var(--good); } .down { color: var(--bad); }
.wide-table small.up { color: var(--good); } .wide-table small.down { color: var(--bad); }
.wide-table b { font-weight: 600; } a { color: var(--c0); text-decoration: none; } a:hover { text-decoration: underline; }
.words { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 12px 16px 12px 34px; margin: 0; }
.words li { margin: 4px 0; overflow-wrap: anywhere; }
.climb { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px; margin-top: 14px; }
.climb svg, .spark { cursor: auto; } .spark { width: 150px; height: 34px; margin: 0; }
.climb .key { margin-right: 16px; font-size: 13px; } .mono { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12px; }
)css";

std::string percent_text(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

// Of a share beside that of the model before: "+12.0", coloured.
std::string change_html(double now, const std::optional<double>& before) {
  if (!before) return "";
  const double points = 100 * (now - *before);
  const std::string text = fmt::format("{:+.1f}", points);
  if (text == "+0.0" || text == "-0.0") return "<small>±0</small>";
  return fmt::format("<small class=\"{}\">{}</small>", points > 0 ? "up" : "down", text);
}

std::string share_cell(const std::optional<ScoredShare>& share, const std::optional<double>& before) {
  if (!share) return "<td class=\"n\">-</td>";
  return fmt::format("<td class=\"n\" title=\"95 %: {:.1f} to {:.1f} %\"><b>{}</b>{}</td>", 100 * share->low,
                     100 * share->high, percent_text(share->mean), change_html(share->mean, before));
}

const ScoreLine* line_in(const Evaluation* evaluation, const std::string& language) {
  if (evaluation == nullptr) return nullptr;
  for (const ScoreLine& line : evaluation->lines) {
    if (line.language == language) return &line;
  }
  return nullptr;
}

std::string line_html(const ScoredModel& model, const ScoreLine& line, const ScoreLine* before, bool is_first) {
  const auto mean_of = [](const std::optional<ScoredShare>& share) {
    return share ? std::optional<double>(share->mean) : std::nullopt;
  };
  std::string out = is_first ? "<tr>" : "<tr class=\"part\">";
  const std::string who = html_escaped(model.name) + (model.is_start ? " <small>start</small>" : "") +
                          (model.from.empty() ? "" : fmt::format(" <small>from {}</small>", html_escaped(model.from)));
  out += fmt::format("<td>{}</td><td>{}</td><td class=\"n\">{}</td>", is_first ? who : "",
                     line.language.empty() ? "all" : html_escaped(line.language), grouped(line.n_problems));
  out += share_cell(line.greedy, before == nullptr ? std::nullopt : std::optional<double>(before->greedy.mean));
  out += share_cell(line.drawn, before == nullptr ? std::nullopt : mean_of(before->drawn));
  out += share_cell(line.any, before == nullptr ? std::nullopt : mean_of(before->any));
  out += fmt::format("<td class=\"n\">{}{}</td><td class=\"n\">{:.1f}</td><td class=\"n\">{}</td></tr>\n",
                     percent_text(line.language_share),
                     change_html(line.language_share,
                                 before == nullptr ? std::nullopt : std::optional<double>(before->language_share)),
                     line.tokens, percent_text(line.cut_share));
  return out;
}

// pass@8; of evaluations that drew no answers just what it would be.
std::string pass_name(int64_t k) {
  return k > 0 ? fmt::format("pass@{}", k) : "pass@k";
}

std::string score_table_html(const PipelineScores& scores, const std::string& problems) {
  std::string rows;
  int64_t k = 0;
  for (const ScoredModel& model : scores.models) {
    const Evaluation* const evaluation = scores.of(model, problems);
    if (evaluation == nullptr) continue;
    k = std::max(k, evaluation->samples);
    const ScoredModel* const from = model.from.empty() ? nullptr : scores.model(model.from);
    const Evaluation* const before = from == nullptr ? nullptr : scores.of(*from, problems);
    for (const ScoreLine& line : evaluation->lines) {
      rows += line_html(model, line, line_in(before, line.language), &line == &evaluation->lines.front());
    }
  }
  return fmt::format(
      "<div class=\"wide-table\"><table><thead><tr><th>after</th><th>language</th><th class=\"n\">problems</th>"
      "<th class=\"n\">likeliest answer</th><th class=\"n\">drawn, pass@1</th><th class=\"n\">{}</th>"
      "<th class=\"n\">language consistency</th><th class=\"n\">tokens</th><th class=\"n\">cut off</th></tr></thead>"
      "<tbody>\n{}</tbody></table></div>\n",
      pass_name(k), rows);
}

// Measures over the models, each with a line to the one that it went on from.
class Climb {
 public:
  Climb(const PipelineScores& scores, const std::string& problems) {
    for (const ScoredModel& model : scores.models) {
      if (const Evaluation* const evaluation = scores.of(model, problems)) {
        models_.push_back({&model, &evaluation->lines.front()});
        k_ = std::max(k_, evaluation->samples);
      }
    }
  }

  std::string html() const {
    if (models_.size() < 2) return "";
    const double right = x(models_.size() - 1) + 40;
    std::string out =
        fmt::format("<div class=\"climb\"><div>{}{}{}{}</div><svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\">",
                    key(0, "likeliest answer"), key(1, "drawn, pass@1"), key(2, pass_name(k_)),
                    key(3, "language consistency"), right, kBottom + 34);
    for (const int percent : {0, 25, 50, 75, 100}) {
      out += fmt::format(
          "<line class=\"grid\" x1=\"{0:.0f}\" x2=\"{1:.0f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
          "<text x=\"{3:.0f}\" y=\"{4:.1f}\" text-anchor=\"end\">{5} %</text>",
          kLeft - 20, right, y(percent / 100.0), kLeft - 26, y(percent / 100.0) + 4, percent);
    }
    for (size_t i = 0; i < models_.size(); ++i) {
      out += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>", x(i), kBottom + 20,
                         html_escaped(models_[i].first->name));
    }
    out += series(3, [](const ScoreLine& line) { return std::optional<double>(line.language_share); });
    out += series(2, [](const ScoreLine& line) { return line.any ? std::optional(line.any->mean) : std::nullopt; });
    out += series(1, [](const ScoreLine& line) { return line.drawn ? std::optional(line.drawn->mean) : std::nullopt; });
    out += series(0, [](const ScoreLine& line) { return std::optional<double>(line.greedy.mean); });
    return out + "</svg></div>\n";
  }

 private:
  static constexpr double kLeft = 70, kStep = 118, kTop = 12, kBottom = 190;

  static double x(size_t i) { return kLeft + kStep * static_cast<double>(i); }
  static double y(double share) { return kBottom - (kBottom - kTop) * std::clamp(share, 0.0, 1.0); }
  static std::string key(int colour, const std::string& label) {
    return fmt::format("<span class=\"key\"><i class=\"s{}\"></i>{}</span>", colour, label);
  }

  template <typename Value>
  std::string series(int colour, const Value& value) const {
    std::string lines, dots;
    for (size_t i = 0; i < models_.size(); ++i) {
      const auto own = value(*models_[i].second);
      if (!own) continue;
      dots +=
          fmt::format("<circle class=\"dot d{}\" cx=\"{:.0f}\" cy=\"{:.1f}\" r=\"4\"><title>{}: {}</title></circle>",
                      colour, x(i), y(*own), html_escaped(models_[i].first->name), percent_text(*own));
      for (size_t k = 0; k < i; ++k) {
        const auto before = value(*models_[k].second);
        if (models_[k].first->name != models_[i].first->from || !before) continue;
        lines += fmt::format("<line class=\"curve l{}\" x1=\"{:.0f}\" y1=\"{:.1f}\" x2=\"{:.0f}\" y2=\"{:.1f}\"/>",
                             colour, x(k), y(*before), x(i), y(*own));
      }
    }
    return lines + dots;
  }

  std::vector<std::pair<const ScoredModel*, const ScoreLine*>> models_;
  int64_t k_ = 0;
};

std::string spark_html(const Curve& curve) {
  double low = curve.points.front().second, high = low;
  for (const auto& [step, value] : curve.points) low = std::min(low, value), high = std::max(high, value);
  const auto first = static_cast<double>(curve.points.front().first);
  const double steps = std::max(1.0, static_cast<double>(curve.points.back().first) - first);
  std::string path;
  for (const auto& [step, value] : curve.points) {
    const double at = high > low ? (value - low) / (high - low) : 0.5;
    path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "M" : "L",
                        2 + 146 * (static_cast<double>(step) - first) / steps, 31 - 28 * at);
  }
  return fmt::format(
      "<svg class=\"spark\" viewBox=\"0 0 150 34\" role=\"img\"><title>{0}: {1:.4g} to {2:.4g}</title><path "
      "class=\"curve l0\" d=\"{3}\"/></svg><small>{0} {1:.4g} → {2:.4g}</small>",
      html_escaped(curve.name), curve.points.front().second, curve.points.back().second, path);
}

std::string stages_html(const PipelineFacts& facts) {
  std::string out =
      "<section><h2>Stages</h2><div class=\"wide-table\"><table><thead><tr><th>stage</th><th>kind</th><th>takes</th>"
      "<th>state</th><th class=\"n\">time</th><th>curve</th><th>SHA-256 of its output</th></tr></thead><tbody>\n";
  for (const StageFacts& stage : facts.stages) {
    const std::string name = html_escaped(stage.record.name);
    const std::string linked = stage.has_report ? fmt::format("<a href=\"./{0}/report.html\">{0}</a>", name) : name;
    const std::string inputs = inputs_text(stage.record.inputs);
    const bool has_time = stage.run && stage.run->seconds > 0;
    out += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"mono\">{}</td>"
        "</tr>\n",
        linked, html_escaped(stage.record.kind), inputs.empty() ? "-" : html_escaped(inputs),
        html_escaped(state_text(stage)), has_time ? format_seconds(stage.run->seconds) : "-",
        stage.curve ? spark_html(*stage.curve) : "", html_escaped(stage.output_sha256));
  }
  return out + "</tbody></table></div></section>\n";
}

std::string words_html(const PipelineScores& scores) {
  const std::vector<std::string> sentences = what_did_not_improve(scores);
  if (sentences.empty()) return "";
  std::string out = "<section><h2>What did not improve</h2><ul class=\"words\">";
  for (const std::string& sentence : sentences) out += fmt::format("<li>{}</li>", html_escaped(sentence));
  return out + "</ul></section>\n";
}

std::string scores_html(const PipelineScores& scores) {
  std::string out;
  for (const std::string& problems : scores.problem_kinds()) {
    out += fmt::format("<section><h2>What each stage adds: {}</h2>\n{}{}</section>\n", html_escaped(problems),
                       score_table_html(scores, problems), Climb(scores, problems).html());
  }
  if (out.empty()) return "";
  return out +
         "<p class=\"summary\">Small numbers: points more or less than the model that the stage went on from. "
         "Intervals "
         "of 95 % over problems (Wilson) stand in the tips of the cells; pass@k without bias from the drawn answers. "
         "Language consistency: of the words of an answer, those of the question's language.</p>\n";
}

std::string pipeline_figures_html(const PipelineFacts& facts) {
  const auto n_done = std::count_if(facts.stages.begin(), facts.stages.end(),
                                    [](const StageFacts& s) { return s.run && s.run->status == "done"; });
  std::string out = "<div class=\"figures\">";
  const auto put = [&out](const std::string& value, std::string_view label) {
    out += fmt::format("<div class=\"figure\"><b>{}</b><span>{}</span></div>", html_escaped(value), label);
  };
  put(fmt::format("{} of {}", n_done, facts.stages.size()), "stages done");
  if (facts.seconds() > 0) put(format_seconds(facts.seconds()), "at work");
  return out + "</div>\n";
}

}  // namespace

std::string pipeline_report_html(const PipelineFacts& facts) {
  const std::string name = html_escaped(facts.name);
  const std::string style = std::string(kReportStyle) + std::string(kPipelineStyle);
  const std::string status = facts.is_done() ? "done" : "stopped";
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; "
      "style-src {}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" "
      "content=\"light dark\">\n<title>{} · naru</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
      policy_hash(style), name, style);
  out += fmt::format(
      "<header><h1>{}</h1><span class=\"status {}\">{}</span></header>\n<p class=\"summary\">pipeline of "
      "{} stages</p>\n",
      name, status_class(status), status == "done" ? "done" : "not done", facts.stages.size());
  if (!facts.command.empty()) {
    out += fmt::format(
        "<div class=\"unfinished\"><p>Not all stages are done. This goes on with it:</p><pre>{}</pre></div>\n",
        html_escaped(facts.command));
  }
  out += pipeline_figures_html(facts);
  out += scores_html(facts.scores);
  out += words_html(facts.scores);
  out += stages_html(facts);
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace naru::runs
