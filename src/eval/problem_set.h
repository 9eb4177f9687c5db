// ProblemSet: the problems that models are asked, to compare them: held-out ones of a built-in generator, or those of a
// file. And the prompts that one model's texts make of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/problem.h"
#include "recipes/recipe.h"
#include "text/chat_tokenizer.h"

namespace naru::eval {

inline constexpr int64_t kProblemsMax = 1'000'000;

// Held-out problems of a generator; the count of different ones is n_different().
struct ProblemSet {
  std::string name;  // the generator's, or the file's
  bool is_file = false;
  std::vector<data::Problem> problems = {};
  std::string sha256 = {};  // of what is asked, and what is right

  int64_t n_different() const;
};

// Of a source with a generator; kInvalidArgument for a word that is none.
Result<ProblemSet> generated_problems(const recipes::SourceRecipe& source, uint64_t seed, int64_t count);
// The first `count` of a .jsonl file, all where it is not said. `count_key` is how messages call the count.
Result<ProblemSet> problems_of_file(const std::filesystem::path& path, std::optional<int64_t> count,
                                    std::string_view count_key);

// The chat template that problems are asked by; null: the model has none, and they are asked as plain text. `advice`:
// what to do about a template that cannot be used.
Result<const text::ChatTemplate*> template_of(const text::ChatTokenizer& text, const std::string& model_name,
                                              std::string_view advice);

struct Prompts {
  std::vector<std::vector<int32_t>> ids;
  std::vector<bool> opens_reasoning;  // the prompt ended with the opening tag
  bool is_chat = false;               // made by the chat template; else plain text
  int64_t longest = 0;                // tokens
};

// By the model's chat template where it has one that can be used, unless `is_raw`. `advice`: what to do about a
// template that cannot.
Result<Prompts> prompts_of(const ProblemSet& set, const text::ChatTokenizer& text, const std::string& model_name,
                           bool is_raw, std::string_view advice);

}  // namespace naru::eval
