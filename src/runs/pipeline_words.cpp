// What the numbers of a pipeline's table say, in sentences.
#include <fmt/format.h>

#include <algorithm>

#include "runs/pipeline_scores.h"

namespace naru::runs {
namespace {

struct Measured {
  std::string name;
  ScoredShare before, after;
  bool has_interval = true;
};

std::string share_text(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::vector<Measured> measures_of(const ScoreLine& before, const ScoreLine& after, int64_t k) {
  std::vector<Measured> all = {{"the likeliest answer", before.greedy, after.greedy}};
  if (before.drawn && after.drawn) all.push_back({"a drawn answer (pass@1)", *before.drawn, *after.drawn});
  if (k > 1 && before.any && after.any) {
    all.push_back({fmt::format("one of {} drawn (pass@{})", k, k), *before.any, *after.any});
  }
  const auto plain = [](double mean) { return ScoredShare{mean, mean, mean}; };
  all.push_back({"language consistency", plain(before.language_share), plain(after.language_share), false});
  return all;
}

// Nothing can be better than all.
bool is_no_better(const Measured& m) {
  return m.after.mean <= m.before.mean && !(m.after.mean == 1 && m.before.mean == 1);
}

std::string change_text(const Measured& m) {
  const std::string before = share_text(m.before.mean), after = share_text(m.after.mean);
  if (before == after) return fmt::format("{} stayed at {}", m.name, after);
  const bool is_chance = m.has_interval && m.after.high >= m.before.low;
  return fmt::format("{} fell from {} to {}{}", m.name, before, after,
                     is_chance ? ", within what chance explains" : "");
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) text += (i == 0 ? "" : i + 1 == parts.size() ? " and " : "; ") + parts[i];
  return text;
}

const ScoreLine* line_of(const Evaluation& evaluation, const std::string& language) {
  const auto found = std::find_if(evaluation.lines.begin(), evaluation.lines.end(),
                                  [&language](const ScoreLine& line) { return line.language == language; });
  return found == evaluation.lines.end() ? nullptr : &*found;
}

// Of languages, that a drawn answer (the likeliest, where none was drawn) got worse in while all together got better.
std::string fallen_languages(const Evaluation& before, const Evaluation& after) {
  std::vector<std::string> parts;
  for (const ScoreLine& line : after.lines) {
    const ScoreLine* const earlier = line.language.empty() ? nullptr : line_of(before, line.language);
    if (earlier == nullptr) continue;
    const bool is_drawn = line.drawn && earlier->drawn;
    const double was = is_drawn ? earlier->drawn->mean : earlier->greedy.mean;
    const double is = is_drawn ? line.drawn->mean : line.greedy.mean;
    if (is < was) parts.push_back(fmt::format("in {} from {} to {}", line.language, share_text(was), share_text(is)));
  }
  return parts.empty() ? "" : fmt::format("pass@1 fell {}", joined(parts));
}

// "" where everything is better.
std::string sentence_of(const std::string& stage, const std::string& from, const std::string& problems,
                        const Evaluation& before, const Evaluation& after) {
  const ScoreLine &old_line = before.lines.front(), &line = after.lines.front();
  std::vector<std::string> parts;
  for (const Measured& m : measures_of(old_line, line, std::min(before.samples, after.samples))) {
    if (is_no_better(m)) parts.push_back(change_text(m));
  }
  const bool is_sharpened = line.drawn && old_line.drawn && line.any && old_line.any &&
                            line.drawn->mean > old_line.drawn->mean && line.any->mean <= old_line.any->mean &&
                            old_line.any->mean < 1;
  if (parts.empty()) {
    const std::string languages = fallen_languages(before, after);
    if (languages.empty()) return "";
    return fmt::format("{} ({} after {}): better in all, but {}.", stage, problems, from, languages);
  }
  return fmt::format("{} ({} after {}): {}.{}", stage, problems, from, joined(parts),
                     is_sharpened ? " It is surer of what the model before it could solve, and solves no more." : "");
}

}  // namespace

std::vector<std::string> what_did_not_improve(const PipelineScores& scores) {
  std::vector<std::string> sentences;
  int64_t n_compared = 0;
  for (const ScoredModel& model : scores.models) {
    const ScoredModel* const from = model.from.empty() ? nullptr : scores.model(model.from);
    if (from == nullptr) continue;
    for (const std::string& key : model.keys) {
      const Evaluation* const after = scores.find(key);
      const Evaluation* const before = after == nullptr ? nullptr : scores.of(*from, after->problems);
      if (before == nullptr) continue;
      ++n_compared;
      std::string sentence = sentence_of(model.name, from->name, after->problems, *before, *after);
      if (!sentence.empty()) sentences.push_back(std::move(sentence));
    }
  }
  if (sentences.empty() && n_compared > 0) {
    sentences.emplace_back("Every stage improved all that was measured, or kept it at 100 %.");
  }
  return sentences;
}

}  // namespace naru::runs
