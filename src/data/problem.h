// Problem: a question with a right answer that can be told from a wrong one: of a generator (generators.h), or a line
// of a file of the user's own (problem_lines.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "text/value.h"

namespace naru::data {

enum class Generator : uint8_t { kDigits, kCountdown, kWordProblems };

struct Problem {
  std::optional<Generator> generator;  // that made it; none: it is a line of a file
  std::string key;                     // equal keys are the same problem; of a file its place, "problems.jsonl:17"
  std::string prompt;                  // the question, for a conversation; of several messages the last of its user
  std::string text_prompt;             // the question, for plain text: the model goes on with a space and the solution
  std::optional<std::string> answer_text;  // the right answer, as it would be written; none is known of some lines

  // Of a generator.
  std::string solution;          // a right answer
  bool has_steps = false;        // the solution shows its steps
  std::vector<int64_t> numbers;  // that the question gives
  int64_t answer = 0;            // the last digit, the target, the number asked for

  // Of a line of a file.
  text::Value::List messages;  // that ask, where the line has "messages"; else `prompt` is a user's message
  text::Value tools;           // beside them; a list, or null
  std::string line;            // the whole line, a JSON object
};

}  // namespace naru::data
