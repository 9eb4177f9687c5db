#include "eval/problem_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/sha256.h"
#include "base/shown_text.h"
#include "data/generators.h"
#include "data/problem_lines.h"
#include "data/problems.h"

namespace naru::eval {
namespace {

void put_sha256(ProblemSet& set) {
  Sha256 hash;
  for (const data::Problem& problem : set.problems) hash.update(as_bytes(data::asked_text(problem)));
  set.sha256 = hash.finish_hex();
}

}  // namespace

Result<const text::ChatTemplate*> template_of(const text::ChatTokenizer& text, const std::string& model_name,
                                              std::string_view advice) {
  if (text.chat_template && text.chat_template->can_render(false)) return &*text.chat_template;
  const bool is_there = text.chat_template || text.template_status.error().code != Code::kNotFound;
  if (!is_there) return static_cast<const text::ChatTemplate*>(nullptr);
  return Error{
      Code::kUnsupported,
      fmt::format("asking problems: {}: its chat template cannot be used: {}; {}", model_name,
                  text.chat_template ? "it renders no text of a user" : text.template_status.error().message, advice)};
}

int64_t ProblemSet::n_different() const {
  std::set<std::string_view> texts;
  for (const data::Problem& problem : problems) {
    texts.insert(problem.generator ? std::string_view(problem.prompt) : std::string_view(problem.line));
  }
  return std::ssize(texts);
}

Result<ProblemSet> generated_problems(const recipes::SourceRecipe& source, uint64_t seed, int64_t count) {
  NARU_CHECK(count >= 0 && count <= kProblemsMax, count);
  ProblemSet set{.name = source.generator};
  NARU_ASSIGN(const data::GeneratorOptions how, data::generator_options(source));
  for (int64_t i = 0; i < count; ++i) {
    set.problems.push_back(data::make_problem(how, seed, i, data::Split::kValidation));
  }
  put_sha256(set);
  return set;
}

Result<ProblemSet> problems_of_file(const std::filesystem::path& path, std::optional<int64_t> count,
                                    std::string_view count_key) {
  ProblemSet set{.name = path.filename().string(), .is_file = true};
  NARU_ASSIGN(data::ProblemFile file, data::read_problems(path, path.string(), true));
  set.problems = std::move(file.problems);
  const auto n = std::ssize(set.problems);
  const int64_t n_asked = count.value_or(std::min(n, kProblemsMax));
  if (n_asked > n) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it has {} problems, {} asks for {}; leave {} out, which asks all",
                             path.string(), grouped(n), count_key, grouped(n_asked), count_key)};
  }
  set.problems.resize(static_cast<size_t>(n_asked));
  put_sha256(set);
  return set;
}

Result<Prompts> prompts_of(const ProblemSet& set, const text::ChatTokenizer& text, const std::string& model_name,
                           bool is_raw, std::string_view advice) {
  const text::ChatTemplate* chat_template = nullptr;
  if (!is_raw) {
    NARU_ASSIGN(chat_template, template_of(text, model_name, advice));
  }
  Prompts prompts;
  prompts.is_chat = chat_template != nullptr;
  for (const data::Problem& problem : set.problems) {
    NARU_ASSIGN(text::ChatPrompt prompt, data::problem_prompt(problem, text.tokenizer, chat_template));
    prompts.longest = std::max<int64_t>(prompts.longest, std::ssize(prompt.ids));
    prompts.opens_reasoning.push_back(prompt.opens_reasoning);
    prompts.ids.push_back(std::move(prompt.ids));
  }
  return prompts;
}

}  // namespace naru::eval
