// naru eval MODEL --problems PROBLEMS: asks a model problems and grades what it answers.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/nearest.h"
#include "base/sha256.h"
#include "cli/eval_view.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "data/generators.h"
#include "data/problem_lines.h"
#include "data/problems.h"
#include "eval/asking.h"
#include "rewards/languages.h"

namespace naru::cli {
namespace {

constexpr int64_t kProblemsDefault = 200;

struct ProblemSet {
  std::string name;
  bool is_file = false;
  std::vector<data::Problem> problems = {};
  std::string sha256 = {};  // of the problems asked
};

Result<ProblemSet> generated(const EvalOptions& options) {
  ProblemSet set{.name = options.asked.problems};
  recipes::SourceRecipe source;
  source.generator = set.name;
  source.language = options.asked.language;
  NARU_ASSIGN(const data::GeneratorOptions how, data::generator_options(source));
  for (int64_t i = 0; i < options.asked.count.value_or(kProblemsDefault); ++i) {
    set.problems.push_back(data::make_problem(how, options.seed, i, data::Split::kValidation));
  }
  return set;
}

Result<ProblemSet> read_file_of_problems(const EvalOptions& options) {
  const std::string& path = options.asked.problems;
  ProblemSet set{.name = short_name(path), .is_file = true};
  NARU_ASSIGN(data::ProblemFile file, data::read_problems(path, path, true));
  set.problems = std::move(file.problems);
  const auto n = std::ssize(set.problems);
  const int64_t count = options.asked.count.value_or(std::min(n, eval::kProblemsMax));
  if (count > n) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it has {} problems, --count asks for {}; leave --count "
                             "out, which asks all",
                             path, grouped(n), grouped(count))};
  }
  set.problems.resize(static_cast<size_t>(count));
  return set;
}

Error no_such_problems(const std::string& given) {
  const std::vector<std::string_view> names = {"digits", "countdown", "word_problems"};
  const auto near = nearest(given, names);
  return {Code::kInvalidArgument,
          fmt::format("reading the command line: --problems is {}, digits, countdown, word_problems or a .jsonl file "
                      "was wanted; {}",
                      json_string(given), near ? fmt::format("did you mean {}?", *near) : "give one of them")};
}

Result<ProblemSet> open_problems(const EvalOptions& options) {
  const EvalProblemOptions& asked = options.asked;
  const bool is_file = asked.problems.ends_with(".jsonl");
  const std::vector<std::string_view> names = {"digits", "countdown", "word_problems"};
  if (!is_file && std::find(names.begin(), names.end(), asked.problems) == names.end()) {
    return no_such_problems(asked.problems);
  }
  if (!is_file && (!asked.find.empty() || !asked.compare.empty())) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading the command line: --find and --compare are of a file's answers, and {} has a "
                             "verifier of its own; leave them out",
                             asked.problems)};
  }
  if (is_file && !asked.language.empty()) {
    return Error{Code::kInvalidArgument,
                 "reading the command line: --language is of word_problems, and a file was given; leave it out (there "
                 "is a row for each language of a file)"};
  }
  NARU_ASSIGN(ProblemSet set, is_file ? read_file_of_problems(options) : generated(options));
  Sha256 hash;
  for (const data::Problem& problem : set.problems) hash.update(as_bytes(data::asked_text(problem)));
  set.sha256 = hash.finish_hex();
  return set;
}

// The chat template that problems are asked by; null: as plain text.
Result<const text::ChatTemplate*> template_for(const EvalOptions& options, const EvalModel& model) {
  const text::ChatTokenizer& text = model.text;
  if (options.asked.is_raw) return static_cast<const text::ChatTemplate*>(nullptr);
  if (text.chat_template && text.chat_template->can_render(false)) return &*text.chat_template;
  const bool is_there = text.chat_template || text.template_status.error().code != Code::kNotFound;
  if (!is_there) return static_cast<const text::ChatTemplate*>(nullptr);
  return Error{
      Code::kUnsupported,
      fmt::format("asking problems: {}: its chat template cannot be used: {}; --raw asks in plain text", model.name,
                  text.chat_template ? "it renders no text of a user" : text.template_status.error().message)};
}

struct Prompts {
  std::vector<std::vector<int32_t>> ids;
  std::vector<bool> opens_reasoning;
  int64_t longest = 0;
};

Result<Prompts> make_prompts(const ProblemSet& set, const EvalModel& model, const text::ChatTemplate* chat_template) {
  Prompts prompts;
  for (const data::Problem& problem : set.problems) {
    NARU_ASSIGN(text::ChatPrompt prompt, data::problem_prompt(problem, model.text.tokenizer, chat_template));
    if (prompt.ids.empty()) {
      return Error{
          Code::kInvalidArgument,
          fmt::format("asking problem {}: the tokenizer makes no token of it, one at least was wanted; give it "
                      "some text",
                      problem.key)};
    }
    prompts.longest = std::max<int64_t>(prompts.longest, std::ssize(prompt.ids));
    prompts.opens_reasoning.push_back(prompt.opens_reasoning);
    prompts.ids.push_back(std::move(prompt.ids));
  }
  return prompts;
}

// The context of one answer, and how many are written together: as many as fit, for none of it changes an answer.
Result<OpenNeeds> room_for(const EvalOptions& options, const EvalModel& model, const Prompts& prompts) {
  OpenNeeds needs{.context_tokens = prompts.longest + options.asked.max_tokens};
  if (const int64_t limit = model.files.config.max_positions; limit > 0) {
    needs.context_tokens = std::min(needs.context_tokens, limit);
  }
  NARU_ASSIGN(const auto chip, make_chip(options.model));
  NARU_ASSIGN(const models::ModelPlan plan, models::plan_model(model.files, *chip, load_options(options.model)));
  const int64_t n_answers = std::ssize(prompts.ids) * (1 + options.asked.samples);
  for (needs.sessions_max = std::min(options.asked.at_once, n_answers);; needs.sessions_max /= 2) {
    engine::MemoryOptions memory_options;
    memory_options.context_tokens = needs.context_tokens;
    memory_options.sessions_max = needs.sessions_max;
    memory_options.prefill_chunk = options.model.prefill_chunk;
    const auto memory = engine::plan_memory(plan, memory_options);
    if (memory.ok()) return needs;
    if (needs.sessions_max == 1 || memory.error().code != Code::kResourceExhausted) return memory.error();
  }
}

// Grades answers as they come, and writes them down.
class Grader {
 public:
  Grader(const EvalOptions& options, const ProblemSet& set, const Prompts& prompts, const EvalModel& model,
         AtomicFile* file, AnswersOutcome& outcome)
      : set_(set), prompts_(prompts), tokenizer_(model.text.tokenizer), file_(file), outcome_(outcome) {
    grading_.place = rewards::answer_place(options.asked.find);
    grading_.comparison = rewards::comparison(options.asked.compare);
    grading_.tag = options.asked.tag;
  }

  Status take(int64_t number, const std::vector<eval::GivenAnswer>& answers) {
    const auto at = static_cast<size_t>(number);
    const data::Problem& problem = set_.problems[at];
    eval::ProblemScore score;
    score.language = rewards::language_word(problem.prompt);
    score.n_drawn = std::ssize(answers) - 1;
    add_ids(prompts_.ids[at]);
    for (size_t i = 0; i < answers.size(); ++i) {
      const std::string text = tokenizer_.decode(answers[i].ids, true);
      eval::Grade grade;
      if (answers[i].is_asked) {
        const bool begins_in_reasoning = prompts_.opens_reasoning[at];
        grade = eval::grade(problem, {text, begins_in_reasoning, answers[i].is_cut}, grading_);
      }
      if (i == 0) score.greedy = grade;
      score.n_strict += i > 0 && grade.is_strict ? 1 : 0;
      score.n_lenient += i > 0 && grade.is_lenient ? 1 : 0;
      add_ids(answers[i].ids);
      outcome_.n_answers += answers[i].is_asked ? 1 : 0;
      outcome_.n_cut += answers[i].is_cut ? 1 : 0;
      outcome_.n_tokens += answers[i].n_tokens;
      if (file_ != nullptr)
        NARU_TRY(write(number, static_cast<int64_t>(i) - 1, score.language, answers[i], text, grade));
    }
    outcome_.n_unasked += answers.front().is_asked ? 0 : 1;
    outcome_.scores.push_back(std::move(score));
    return {};
  }

  std::string finish_sha256() { return hash_.finish_hex(); }

 private:
  void add_ids(const std::vector<int32_t>& ids) {
    const int64_t n = std::ssize(ids);
    hash_.update(std::as_bytes(std::span(&n, 1)));
    hash_.update(std::as_bytes(std::span(ids)));
  }

  Status write(int64_t number, int64_t draw, const std::string& language, const eval::GivenAnswer& answer,
               const std::string& text, const eval::Grade& grade) {
    const data::Problem& problem = set_.problems[static_cast<size_t>(number)];
    const Json line = {{"problem", number},
                       {"key", problem.key},
                       {"draw", draw < 0 ? Json("greedy") : Json(draw)},
                       {"language", language},
                       {"prompt", problem.prompt},
                       {"wanted", problem.answer_text ? Json(*problem.answer_text) : Json(problem.answer)},
                       {"answer", text},
                       {"strict", grade.is_strict},
                       {"lenient", grade.is_lenient},
                       {"asked", answer.is_asked},
                       {"cut", answer.is_cut},
                       {"tokens", answer.n_tokens},
                       {"ids", answer.ids}};
    return file_->write(as_bytes(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"));
  }

  const ProblemSet& set_;
  const Prompts& prompts_;
  const text::Tokenizer& tokenizer_;
  AtomicFile* file_;
  AnswersOutcome& outcome_;
  eval::Grading grading_;
  Sha256 hash_;
};

// Of an evaluation that was stopped the answers stay that were whole.
Status stopped_asking(const EvalOptions& options, const AnswersOutcome& outcome, int64_t n_problems, AtomicFile* file) {
  std::string kept;
  if (file != nullptr && !outcome.scores.empty()) {
    NARU_TRY(file->commit());
    kept = fmt::format("; their answers are in {}", *options.asked.answers_path);
  }
  const auto n_done = std::ssize(outcome.scores);
  return Error{Code::kCancelled,
               fmt::format("asking problems: stopped by you after {} of {}{}{}", grouped(n_done), grouped(n_problems),
                           n_done > 0 ? "; " + answers_so_far(outcome.scores) : "", kept)};
}

int64_t count_different(const ProblemSet& set) {
  std::set<std::string_view> texts;
  for (const data::Problem& problem : set.problems) {
    texts.insert(problem.generator ? std::string_view(problem.prompt) : std::string_view(problem.line));
  }
  return std::ssize(texts);
}

}  // namespace

Status eval_problems(const EvalOptions& options) {
  NARU_ASSIGN(const ProblemSet set, open_problems(options));
  std::optional<AtomicFile> file;  // its place is tried before any work is done
  if (options.asked.answers_path) {
    NARU_ASSIGN(AtomicFile made, AtomicFile::create(*options.asked.answers_path, options.asked.existing));
    file.emplace(std::move(made));
  }
  AtomicFile* const answers_file = file ? &*file : nullptr;
  NARU_ASSIGN(EvalModel model, open_eval_model(options.model));
  NARU_ASSIGN(const text::ChatTemplate* const chat_template, template_for(options, model));
  NARU_ASSIGN(const Prompts prompts, make_prompts(set, model, chat_template));
  NARU_ASSIGN(const OpenNeeds needs, room_for(options, model, prompts));
  NARU_ASSIGN(const OpenModel opened, open_model(std::move(model.files), options.model, needs));

  AnswersOutcome outcome;
  outcome.options = &options;
  outcome.model = &model;
  outcome.is_chat = chat_template != nullptr;
  outcome.is_file = set.is_file;
  outcome.name = set.name;
  outcome.numerics_id = opened.engine->model().numerics_id;
  outcome.context_tokens = opened.engine->context_tokens();
  outcome.n_different = count_different(set);
  outcome.problems_sha256 = set.sha256;
  Grader grader(options, set, prompts, model, answers_file, outcome);
  Progress progress("answers", Progress::Unit::kSteps);
  const int64_t n_answers = std::ssize(set.problems) * (1 + options.asked.samples);
  eval::Asking asking{.samples = options.asked.samples,
                      .max_tokens = options.asked.max_tokens,
                      .at_once = needs.sessions_max,
                      .sampling = options.asked.sampling};
  asking.sampling.seed = options.seed;
  asking.progress = [&](int64_t n_whole, int64_t) {
    progress.update(n_whole, n_answers);
    return !is_interrupted();
  };
  const auto begin = std::chrono::steady_clock::now();
  const Status status = eval::ask(*opened.engine, prompts.ids, asking,
                                  [&](int64_t number, const auto& answers) { return grader.take(number, answers); });
  progress.clear();
  if (!status.ok() && status.error().code == Code::kCancelled) {
    return stopped_asking(options, outcome, std::ssize(set.problems), answers_file);
  }
  NARU_TRY(status);
  if (answers_file != nullptr) NARU_TRY(answers_file->commit());
  outcome.answers_sha256 = grader.finish_sha256();
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  NARU_TRY(write_out(options.json ? json_text(answers_json(outcome)) : answers_table(outcome)));
  if (options.model.explain) write_err(kernel_table(*opened.chip));
  return {};
}

}  // namespace naru::cli
