// [[evaluate]] of a pipeline: its keys, and what they must be to each other.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "formats/utf8.h"
#include "recipes/pipeline_parts.h"
#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

constexpr size_t kEvaluateNameBytesMax = 60;
constexpr std::array<std::string_view, 10> kEvaluateKeys = {
    "name", "path", "generator", "language", "numbers", "problems", "samples", "max_tokens", "temperature", "seed"};

Result<int64_t> whole_of(const std::string& place, const TomlValue& value, int64_t low, int64_t high) {
  const bool is_good = value.kind == TomlValue::Kind::kInteger && value.integer >= low && value.integer <= high;
  if (!is_good) return wrong_pipeline_value(place, value, fmt::format("a whole number from {} to {}", low, high));
  return value.integer;
}

// A word that a source of a recipe may have for the same key.
Result<std::string> word_of(const std::string& place, const TomlValue& value) {
  NARU_ASSIGN(std::string word, pipeline_text_of(place, value));
  const KeyRow* const row = find_key("data", value.key);
  NARU_CHECK(row != nullptr, value.key);
  if (std::find(row->words.begin(), row->words.end(), word) != row->words.end()) return word;
  return wrong_pipeline_value(place, value, wanted_text(*row));
}

}  // namespace

Status read_evaluate_key(const std::string& place, const TomlValue& value, EvaluateRecipe& evaluate) {
  if (value.key == "name" || value.key == "path") {
    NARU_ASSIGN((value.key == "name" ? evaluate.name : evaluate.path), pipeline_text_of(place, value));
  } else if (value.key == "generator" || value.key == "language") {
    NARU_ASSIGN((value.key == "generator" ? evaluate.generator : evaluate.language), word_of(place, value));
  } else if (value.key == "numbers") {
    NARU_ASSIGN(evaluate.numbers, whole_of(place, value, 3, 4));
  } else if (value.key == "problems") {
    NARU_ASSIGN(evaluate.problems, whole_of(place, value, 1, kPipelineProblemsMax));
  } else if (value.key == "samples") {
    NARU_ASSIGN(evaluate.samples, whole_of(place, value, 0, kPipelineSamplesMax));
  } else if (value.key == "max_tokens") {
    NARU_ASSIGN(evaluate.max_tokens, whole_of(place, value, 1, kPipelineAnswerTokensMax));
  } else if (value.key == "seed") {
    NARU_ASSIGN(const int64_t seed, whole_of(place, value, 0, INT64_MAX));
    evaluate.seed = static_cast<uint64_t>(seed);
  } else if (value.key == "temperature") {
    constexpr double kTemperatureMax = 1000;
    const bool is_whole = value.kind == TomlValue::Kind::kInteger;
    const double given = is_whole ? static_cast<double>(value.integer) : value.number;
    const bool is_number = is_whole || value.kind == TomlValue::Kind::kNumber;
    if (!is_number || !(given > 0 && given <= kTemperatureMax)) {
      return wrong_pipeline_value(place, value, fmt::format("a number above 0, at most {}", kTemperatureMax));
    }
    evaluate.temperature = given;
  } else {
    return unknown_pipeline_key(place, value, kEvaluateKeys, "[[evaluate]]");
  }
  return {};
}

Status check_evaluate(const std::string& place, EvaluateRecipe& evaluate) {
  if (evaluate.path.empty() == evaluate.generator.empty()) {
    return refused_pipeline(place,
                            fmt::format("[[evaluate]] has {}", evaluate.path.empty() ? "no generator and no path"
                                                                                     : "both a generator and a path"),
                            "exactly one of generator and path", "write generator = \"word_problems\", for one");
  }
  if (!evaluate.language.empty() && evaluate.generator != "word_problems" && evaluate.generator != "countdown") {
    return refused_pipeline(place, fmt::format("[[evaluate]] has language \"{}\"", evaluate.language),
                            "a language with word_problems and countdown only",
                            "remove it: there is a row for each language of the problems");
  }
  if (evaluate.numbers > 0 && evaluate.generator != "countdown") {
    return refused_pipeline(place, fmt::format("[[evaluate]] has numbers {}", evaluate.numbers),
                            "numbers with countdown only", "remove it");
  }
  if (evaluate.name.empty() && !evaluate.generator.empty()) {
    evaluate.name = evaluate.generator + (evaluate.numbers == 0 ? "" : fmt::format("-{}", evaluate.numbers)) +
                    (evaluate.language.empty() ? "" : "-" + evaluate.language);
  } else if (evaluate.name.empty()) {
    evaluate.name = std::filesystem::path(evaluate.path).stem().string();
  }
  const bool is_good_name = !evaluate.name.empty() && evaluate.name.size() <= kEvaluateNameBytesMax &&
                            formats::is_valid_utf8(evaluate.name) && !formats::has_control_characters(evaluate.name);
  if (is_good_name) return {};
  return refused_pipeline(place, fmt::format("[[evaluate]] is called '{}'", formats::printable(evaluate.name, 80)),
                          fmt::format("a name of 1 to {} bytes on one line", kEvaluateNameBytesMax),
                          "write name = \"...\"");
}

}  // namespace naru::recipes
