// Problems of the user's own: a .jsonl file, on every line an object with "prompt" (a text) or "messages" (a
// conversation to be answered), and "answer" (a text or a number). What else the line says is kept as it stands, for
// programs that judge.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/batches.h"
#include "data/problem.h"
#include "formats/json_place.h"

namespace naru::data {

// One line, "problems.jsonl:17". An answer that is missing, null or empty is an error where `needs_answer`.
Result<Problem> parse_problem(std::string_view json, std::string_view place, const formats::JsonPlace& begin,
                              bool needs_answer);

struct ProblemFile {
  std::vector<Problem> problems;  // in the order of their lines, one at least
  DataFile file;
};

// All bad lines are told together (bad_lines.h). `name` is how messages call the file.
Result<ProblemFile> read_problems(const std::filesystem::path& path, const std::string& name, bool needs_answers);

}  // namespace naru::data
