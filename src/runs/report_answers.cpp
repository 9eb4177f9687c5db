#include "runs/report_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/shown_text.h"
#include "runs/json_lines.h"
#include "runs/run_files.h"

namespace naru::runs {
namespace {

using Json = nlohmann::json;

constexpr size_t kProblemsShownMax = 32;
constexpr size_t kTimesShownMax = 64;   // of a problem
constexpr size_t kGroupsShownMax = 64;  // the first ones, and the last one
constexpr size_t kPartsShownMax = 16;
constexpr size_t kOpenBytesMax = 600;  // an answer that is longer is folded
constexpr size_t kHeadBytes = 120;     // of a folded one that is seen
constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";

bool json_flag(const Json& object, const char* key) {
  const auto place = object.find(key);
  return place != object.end() && place->is_boolean() && place->get<bool>();
}

// The first bytes of a text on one line, whole characters.
std::string head_of(std::string_view text) {
  size_t end = std::min(text.size(), kHeadBytes);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  std::string head(text.substr(0, end));
  std::replace(head.begin(), head.end(), '\n', ' ');
  return head + (end < text.size() ? " ..." : "");
}

std::string characters_text(std::string_view text) {
  const auto n =
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
  return grouped(n) + (n == 1 ? " character" : " characters");
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \n\t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \n\t\r") + 1 - begin);
}

void read_problem(const Json& line, ReportData* data) {
  const auto number = json_whole(line, "problem"), step = json_whole(line, "step");
  if (!number || !step) return;
  auto problem = std::find_if(data->problems.begin(), data->problems.end(),
                              [&](const ReportProblem& p) { return p.number == *number; });
  if (problem == data->problems.end()) {
    if (data->problems.size() == kProblemsShownMax) return;
    data->problems.push_back(
        {*number, clipped(json_text_of(line, "prompt")), clipped(json_text_of(line, "wanted")), {}});
    problem = data->problems.end() - 1;
  }
  if (problem->answers.size() == kTimesShownMax) problem->answers.erase(problem->answers.begin() + 1);
  problem->answers.push_back({*step, clipped(json_text_of(line, "answer")), json_flag(line, "is_right")});
}

ShownAnswer read_shown_answer(const Json& line) {
  ShownAnswer answer{.text = clipped(json_text_of(line, "text")),
                     .tokens = json_whole(line, "tokens").value_or(0),
                     .is_right = json_flag(line, "is_right"),
                     .is_cut = json_flag(line, "is_cut"),
                     .reward = json_number(line, "reward").value_or(0),
                     .advantage = json_number(line, "advantage").value_or(0),
                     .parts = {}};
  const auto parts = line.find("parts");
  if (parts == line.end() || !parts->is_array()) return answer;
  for (size_t i = 0; i < std::min(parts->size(), kPartsShownMax); ++i) {
    answer.parts.push_back((*parts)[i].is_number() ? (*parts)[i].get<double>() : 0);
  }
  return answer;
}

void read_group(const Json& line, ReportData* data) {
  const auto answers = line.find("answers");
  const auto step = json_whole(line, "step");
  if (!step || answers == line.end() || !answers->is_array()) return;
  ShownGroup group{.step = *step,
                   .problem = json_whole(line, "problem").value_or(0),
                   .prompt = clipped(json_text_of(line, "prompt")),
                   .wanted = clipped(json_text_of(line, "wanted")),
                   .part_names = {},
                   .answers = {}};
  const auto names = line.find("parts");
  if (names != line.end() && names->is_array()) {
    for (size_t i = 0; i < std::min(names->size(), kPartsShownMax); ++i) {
      group.part_names.push_back((*names)[i].is_string() ? clipped((*names)[i].get<std::string>()) : "");
    }
  }
  for (size_t i = 0; i < std::min(answers->size(), kGroupAnswersKept); ++i) {
    if ((*answers)[i].is_object()) group.answers.push_back(read_shown_answer((*answers)[i]));
  }
  if (group.answers.empty()) return;
  if (data->groups.size() == kGroupsShownMax) data->groups.pop_back();
  data->groups.push_back(std::move(group));
}

std::string mark(bool is_right) {
  return is_right ? "<b class=\"right\">✓ right</b>" : "<b class=\"wrong\">✗ wrong</b>";
}

std::string number_text(double value) {
  return std::isfinite(value) ? fmt::format("{:.3g}", value) : "-";
}

// A bar from zero, by the largest of its group: to the right where it is above, to the left where it is below.
std::string bar(double value, double most, bool has_below) {
  const double zero = has_below ? 50 : 0, room = 100 - zero;
  const double width = most > 0 && std::isfinite(value) ? std::clamp(std::abs(value) / most, 0.0, 1.0) * room : 0;
  return fmt::format(
      "<svg class=\"bar\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"back\" "
      "width=\"100\" height=\"8\"/><rect class=\"{}\" x=\"{:.1f}\" width=\"{:.1f}\" height=\"8\"/></svg>",
      value < 0 ? "below" : "above", value < 0 ? zero - width : zero, width);
}

struct GroupScale {
  double reward = 0, advantage = 0;
  bool has_below = false;  // a reward below zero
  bool is_taught = false;  // by teachers: no answer counts more than another
};

std::string group_answer_html(const ShownGroup& group, const ShownAnswer& answer, const GroupScale& scale) {
  std::string parts;
  for (size_t i = 0; group.part_names.size() > 1 && i < std::min(answer.parts.size(), group.part_names.size()); ++i) {
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", html_escaped(group.part_names[i]),
                         number_text(answer.parts[i]));
  }
  std::string advantage;
  if (!scale.is_taught) {
    advantage = fmt::format("<span>advantage {}</span>{}", number_text(answer.advantage),
                            bar(answer.advantage, scale.advantage, true));
  }
  return fmt::format(
      "<div class=\"one\"><div class=\"worth\"><span>reward {}</span>{}{}<small>{}</small>"
      "<small>{}, {} {}{}</small></div><div>{}</div></div>\n",
      number_text(answer.reward), bar(answer.reward, scale.reward, scale.has_below), advantage, parts,
      mark(answer.is_right), grouped(answer.tokens), answer.tokens == 1 ? "token" : "tokens",
      answer.is_cut ? ", cut off" : "", answer_html(answer.text));
}

std::string group_html(const ShownGroup& group, bool is_open, bool is_taught) {
  std::vector<const ShownAnswer*> answers;
  GroupScale scale;
  scale.is_taught = is_taught;
  double sum = 0;
  for (const ShownAnswer& answer : group.answers) {
    answers.push_back(&answer);
    sum += answer.reward;
    scale.reward = std::max(scale.reward, std::abs(answer.reward));
    scale.advantage = std::max(scale.advantage, std::abs(answer.advantage));
    scale.has_below = scale.has_below || answer.reward < 0;
  }
  std::stable_sort(answers.begin(), answers.end(),
                   [](const ShownAnswer* a, const ShownAnswer* b) { return a->reward > b->reward; });
  const auto n_right = std::count_if(answers.begin(), answers.end(), [](const ShownAnswer* a) { return a->is_right; });
  std::string out = fmt::format(
      "<details class=\"group\"{}><summary>step {}: {} of {} right, mean reward {}{} <span>{}</span></summary>"
      "<pre class=\"prompt\">{}</pre>",
      is_open ? " open" : "", grouped(group.step), n_right, answers.size(),
      number_text(sum / static_cast<double>(answers.size())),
      scale.advantage > 0 || is_taught ? "" : ", nothing to learn", html_escaped(head_of(group.prompt)),
      html_escaped(group.prompt));
  if (!group.wanted.empty()) out += fmt::format("<p class=\"wanted\">right: {}</p>", html_escaped(group.wanted));
  for (const ShownAnswer* answer : answers) out += group_answer_html(group, *answer, scale);
  return out + "</details>\n";
}

std::string problem_html(const ReportProblem& problem) {
  const auto answer = [&problem](size_t i, const char* label) {
    const ReportAnswer& one = problem.answers[i];
    return fmt::format("<div><h3>{}step {} {}</h3>{}</div>", label, grouped(one.step), mark(one.is_right),
                       answer_html(one.text));
  };
  const size_t n = problem.answers.size(), middle = n / 2;
  std::string out =
      fmt::format("<article class=\"sample\"><pre class=\"prompt\">{}</pre>", html_escaped(problem.prompt));
  if (!problem.wanted.empty()) out += fmt::format("<p class=\"wanted\">right: {}</p>", html_escaped(problem.wanted));
  out += "<div class=\"answers\">" + answer(0, n > 1 ? "before, " : "");
  if (n > 2) out += answer(middle, "on the way, ");
  if (n > 1) out += answer(n - 1, "after, ");
  out += "</div>";
  if (n > 3) {
    std::string marks, between;
    for (size_t i = 1; i + 1 < n; ++i) marks += problem.answers[i].is_right ? "✓" : "✗";
    for (size_t i = 1; i + 1 < n; ++i) between += i == middle ? "" : answer(i, "");
    out += fmt::format("<details><summary>all between {}</summary><div class=\"answers\">{}</div></details>", marks,
                       between);
  }
  return out + "</article>\n";
}

}  // namespace

Status read_answers(const std::filesystem::path& run_folder, ReportData* data) {
  const auto note_bad = [data](int64_t n, const char* file) {
    if (n > 0) data->notes.push_back(fmt::format("{} {} of {} could not be read.", n, n == 1 ? "line" : "lines", file));
  };
  NARU_ASSIGN(const int64_t n_bad_problems,
              for_each_json_line(run_folder / kProblemsFile,
                                 [data](const Json& line, std::string_view) { read_problem(line, data); }));
  note_bad(n_bad_problems, kProblemsFile);
  NARU_ASSIGN(const int64_t n_bad_groups,
              for_each_json_line(run_folder / kGroupsFile,
                                 [data](const Json& line, std::string_view) { read_group(line, data); }));
  note_bad(n_bad_groups, kGroupsFile);
  return {};
}

std::string answer_html(std::string_view text) {
  std::string out;
  std::string_view rest = text, reasoning;
  const size_t end = text.find(kThinkEnd);
  if (end != std::string_view::npos) {
    reasoning = text.substr(0, end);
    rest = text.substr(end + kThinkEnd.size());
  } else if (trimmed(text).starts_with(kThink)) {  // never closed
    reasoning = text;
    rest = {};
  }
  reasoning = trimmed(reasoning);
  if (reasoning.starts_with(kThink)) reasoning = trimmed(reasoning.substr(kThink.size()));
  if (rest.size() != text.size()) rest = trimmed(rest);
  if (!reasoning.empty()) {
    out += fmt::format("<details class=\"fold\"><summary>reasoning, {}</summary><pre>{}</pre></details>",
                       characters_text(reasoning), html_escaped(reasoning));
  }
  if (rest.size() <= kOpenBytesMax) return out + fmt::format("<pre>{}</pre>", html_escaped(rest));
  return out + fmt::format("<details class=\"fold\"><summary>{} ({})</summary><pre>{}</pre></details>",
                           html_escaped(head_of(rest)), characters_text(rest), html_escaped(rest));
}

std::string problems_html(const ReportData& data) {
  if (data.problems.empty()) return "";
  std::string out =
      "<section><h2>The same problems before, during and after</h2><p class=\"hint\">Training never asks them. The "
      "model "
      "gives its likeliest answer.</p>\n";
  for (const ReportProblem& problem : data.problems) out += problem_html(problem);
  return out + "</section>\n";
}

std::string groups_html(const ReportData& data) {
  if (data.groups.empty()) return "";
  const bool is_taught = std::ranges::any_of(data.curves, [](const auto& curve) { return curve.name == "reverse_kl"; });
  const std::string_view hint =
      is_taught
          ? "The model's own answers, at every token of which it learns what its teachers would say there."
          : "What the model learns from: answers above the mean of their group are made likelier, those below less "
            "likely.";
  std::string out = fmt::format("<section><h2>{}</h2><p class=\"hint\">{}</p>\n",
                                is_taught ? "Answers that teachers read" : "Groups of answers and their rewards", hint);
  for (size_t i = 0; i < data.groups.size(); ++i) out += group_html(data.groups[i], i == 0, is_taught);
  return out + "</section>\n";
}

}  // namespace naru::runs
