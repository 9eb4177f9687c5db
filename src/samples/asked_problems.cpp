#include "samples/asked_problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/sha256.h"
#include "rewards/judge.h"

namespace naru::samples {
Result<AskedProblems> AskedProblems::open(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder) {
  AskedProblems problems;
  std::vector<double> weights;
  int64_t n_once = 0;
  for (const recipes::SourceRecipe& source : recipe.data) {
    NARU_ASSIGN(data::ProblemSource opened,
                data::ProblemSource::open(source, recipe.seed, data::Split::kTrain, recipe_folder,
                                          rewards::needs_answers(recipe.reward)));
    n_once += opened.size();
    // All of all sources: each has its own size as its weight, and they end together.
    weights.push_back(recipe.rejection.problems > 0 ? source.weight : static_cast<double>(opened.size()));
    problems.sources_.push_back(std::move(opened));
  }
  const int64_t n = recipe.rejection.problems > 0 ? recipe.rejection.problems : n_once;
  if (n > recipes::kRejectionProblemsMax) {
    return Error{Code::kInvalidArgument,
                 fmt::format("opening the problems: the sources have {} together, at most {} are asked in a run; set "
                             "rejection.problems, or split the files",
                             n, recipes::kRejectionProblemsMax)};
  }
  std::vector<int64_t> taken(weights.size(), 0);
  problems.order_.reserve(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    size_t next = 0;
    const auto due = [&](size_t s) { return static_cast<double>(taken[s] + 1) / weights[s]; };
    for (size_t s = 1; s < weights.size(); ++s) {
      if (due(s) < due(next)) next = s;
    }
    problems.order_.push_back({static_cast<int32_t>(next), taken[next]++});
  }
  return problems;
}

data::Problem AskedProblems::at(int64_t number) const {
  NARU_CHECK(number >= 0 && number < size(), number, size());
  const Place& place = order_[static_cast<size_t>(number)];
  return sources_[static_cast<size_t>(place.source)].at(place.number);
}

int64_t AskedProblems::held_bytes() const {
  int64_t bytes = static_cast<int64_t>(order_.size() * sizeof(Place));
  for (const data::ProblemSource& source : sources_) bytes += source.held_bytes();
  return bytes;
}

data::StreamRecord AskedProblems::record() const {
  data::StreamRecord all;
  std::string said;
  for (const data::ProblemSource& source : sources_) said += source.record(0).sources_sha256 + "\n";
  all.sources_sha256 = sha256_hex(as_bytes(said));
  all.n_documents = size();
  return all;
}

std::vector<data::DataFile> AskedProblems::files() const {
  std::vector<data::DataFile> files;
  for (const data::ProblemSource& source : sources_) {
    const std::vector<data::DataFile> of_one = source.record(0).files;
    files.insert(files.end(), of_one.begin(), of_one.end());
  }
  return files;
}

Result<AskedPrompts> make_prompts(const AskedProblems& problems, const text::Tokenizer& tokenizer,
                                  const text::ChatTemplate* chat_template, const PromptOptions& options) {
  AskedPrompts prompts;
  Sha256 hash;
  for (int64_t i = 0; i < problems.size(); ++i) {
    if (options.go_on && !options.go_on(i, problems.size())) {
      return Error{Code::kCancelled, "making the prompts: stopped as asked; nothing was changed"};
    }
    const data::Problem problem = problems.at(i);
    if (!options.is_messages && !problem.messages.empty()) {
      return Error{Code::kInvalidArgument,
                   fmt::format("asking problem {}: it is a conversation, and lines are to be plain text; give it as "
                               "\"prompt\", or set rejection.form = \"messages\"",
                               problem.key)};
    }
    NARU_ASSIGN(text::ChatPrompt prompt, data::problem_prompt(problem, tokenizer, chat_template));
    hash.update(as_bytes(data::asked_text(problem)));
    const int64_t n = std::ssize(prompt.ids);
    hash.update(std::as_bytes(std::span(&n, 1)));
    hash.update(std::as_bytes(std::span(prompt.ids)));
    prompts.longest = std::max(prompts.longest, n);
    prompts.opens_reasoning.push_back(prompt.opens_reasoning);
    prompts.ids.push_back(std::move(prompt.ids));
  }
  prompts.sha256 = hash.finish_hex();
  return prompts;
}

}  // namespace naru::samples
