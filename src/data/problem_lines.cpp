#include "data/problem_lines.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "data/bad_lines.h"
#include "data/foreign_forms.h"
#include "data/limits.h"
#include "data/line_reader.h"
#include "data/sample.h"
#include "formats/json.h"
#include "formats/utf8.h"

namespace naru::data {
namespace {

using text::Value;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// What a line of another program's data set calls the two.
std::string_view advice_for_question(const Value& root) {
  for (const std::string_view key : {"question", "problem", "query", "instruction", "input", "text"}) {
    if (root.find(key)) return "call the question \"prompt\"";
  }
  return "write {\"prompt\": \"...\", \"answer\": \"...\"} on every line";
}

std::string_view advice_for_answer(const Value& root) {
  for (const std::string_view key : {"solution", "target", "label", "output", "completion", "response"}) {
    if (root.find(key)) return "call the right answer \"answer\"";
  }
  return "give the right answer, take the line out, or judge by a [[reward]] that needs none (kind = \"program\")";
}

Status set_prompt(const Value& root, std::string_view place, Problem& problem) {
  const Value& prompt = *root.find("prompt");
  if (!prompt.as_string()) {
    return wrong_value(place, "prompt", kind_of(prompt), "a string",
                       prompt.as_list() ? "call a conversation \"messages\"" : "write the question in quotes");
  }
  if (is_blank(*prompt.as_string())) {
    return wrong_value(place, "prompt", "empty", "a question", "take the line out");
  }
  problem.prompt = problem.text_prompt = *prompt.as_string();
  return {};
}

// Checked as every conversation of training data is.
Status set_messages(std::string_view json, std::string_view place, const formats::JsonPlace& begin, Problem& problem) {
  NARU_ASSIGN(Sample sample, parse_sample(json, place, begin));
  const auto role_of = [&](const Value& message) { return *message.find("role")->as_string(); };
  for (size_t i = sample.messages.size(); i-- > 0 && problem.prompt.empty();) {
    if (role_of(sample.messages[i]) == "user") problem.prompt = *sample.messages[i].find("content")->as_string();
  }
  if (is_blank(problem.prompt)) {
    return wrong_value(place, "messages", "without a question", "a message of the user", "say what is asked");
  }
  if (role_of(sample.messages.back()) == "assistant") {
    return wrong_value(place, "messages", "ended by an assistant's message", "a message to be answered at the end",
                       "give what the assistant should say as \"answer\"");
  }
  problem.messages = std::move(sample.messages);
  problem.tools = std::move(sample.tools);
  return {};
}

Status set_answer(const Value& root, std::string_view place, bool needs_answer, Problem& problem) {
  const Value* answer = root.find("answer");
  if (answer && !answer->is_null()) {
    if (answer->as_string() && !is_blank(*answer->as_string())) problem.answer_text = *answer->as_string();
    if (answer->as_int()) problem.answer_text = fmt::format("{}", *answer->as_int());
    if (answer->as_double()) problem.answer_text = fmt::format("{}", *answer->as_double());
    if (!problem.answer_text && !answer->as_string()) {
      return wrong_value(place, "answer", kind_of(*answer), "a text or a number",
                         "write it in quotes; give a program what it needs under another key");
    }
  }
  if (problem.answer_text || !needs_answer) return {};
  return wrong_value(place, "answer", answer && answer->as_string() ? "empty" : "missing", "a text or a number",
                     advice_for_answer(root));
}

}  // namespace

Result<Problem> parse_problem(std::string_view json, std::string_view place, const formats::JsonPlace& begin,
                              bool needs_answer) {
  NARU_ASSIGN(const Value root, text::parse_value_at(begin, json, place));
  if (!root.as_object()) {
    return wrong_value(place, "the line", kind_of(root), "an object",
                       "write {\"prompt\": \"...\", \"answer\": \"...\"} on every line");
  }
  // Programs are handed the line as JSON, and know no numbers that a double does not.
  if (const auto plain = formats::parse_json(as_bytes(json), place); !plain.ok()) return plain.error();
  Problem problem;
  problem.key = std::string(place);
  problem.line = std::string(json);
  const bool has_prompt = root.find("prompt") != nullptr, has_messages = root.find("messages") != nullptr;
  if (has_prompt == has_messages) {
    return wrong_value(place, "the line",
                       has_prompt ? "an object with both \"prompt\" and \"messages\""
                                  : "an object without \"prompt\" and \"messages\"",
                       "one of them", has_prompt ? "take one out" : advice_for_question(root));
  }
  NARU_TRY(has_prompt ? set_prompt(root, place, problem) : set_messages(json, place, begin, problem));
  NARU_TRY(set_answer(root, place, needs_answer, problem));
  return problem;
}

Result<ProblemFile> read_problems(const std::filesystem::path& path, const std::string& name, bool needs_answers) {
  if (path.extension() != ".jsonl") {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading {}: its name ends with '{}', a .jsonl file of problems was wanted; write an object "
                    "with \"prompt\" and \"answer\" on every line",
                    name, formats::printable(path.extension().string()))};
  }
  NARU_ASSIGN(LineReader reader, LineReader::open(path, name));
  ProblemFile found;
  BadLines bad(name);
  int64_t bytes = 0;
  while (true) {
    NARU_ASSIGN(auto line, reader.next_line());
    if (!line) break;
    if (reader.line() == 1) *line = formats::without_byte_order_mark(*line);
    if (is_blank(*line)) continue;
    bad.count_line();
    bytes += std::ssize(*line);
    if (std::ssize(found.problems) == kProblemsMax || bytes > kProblemBytesMax) {
      return Error{
          Code::kResourceExhausted,
          fmt::format("reading {}: it has more than {} problems or {} bytes, the most that are kept in memory; "
                      "train on a part of it",
                      name, kProblemsMax, kProblemBytesMax)};
    }
    auto problem = parse_problem(*line, fmt::format("{}:{}", name, reader.line()), {reader.line(), 1}, needs_answers);
    if (problem.ok()) {
      found.problems.push_back(*std::move(problem));
    } else {
      bad.add(problem.error());
    }
  }
  if (!bad.is_empty()) return bad.error();
  if (found.problems.empty()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: the file is empty, one problem at least was wanted; write {{\"prompt\": "
                             "\"...\", \"answer\": \"...\"}} on every line",
                             name)};
  }
  found.file = {name, reader.bytes_read(), reader.sha256()};
  return found;
}

}  // namespace naru::data
