// naru eval MODEL --problems PROBLEMS: asks a model problems and grades what it answers.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/shown_text.h"
#include "cli/eval_view.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "eval/tally.h"

namespace naru::cli {
namespace {

constexpr int64_t kProblemsDefault = 200;

Result<eval::ProblemSet> open_problems(const EvalOptions& options) {
  const EvalProblemOptions& asked = options.asked;
  if (asked.is_file()) return eval::problems_of_file(asked.problems, asked.count, "--count");
  recipes::SourceRecipe source;
  source.generator = asked.problems;
  source.language = asked.language;
  source.numbers = asked.numbers;
  return eval::generated_problems(source, options.seed, asked.count.value_or(kProblemsDefault));
}

eval::Grading grading_of(const EvalProblemOptions& asked) {
  return {
      .place = rewards::answer_place(asked.find), .comparison = rewards::comparison(asked.compare), .tag = asked.tag};
}

Status write_answer(const eval::ProblemSet& set, const eval::TakenAnswer& taken, AtomicFile& file) {
  const data::Problem& problem = set.problems[static_cast<size_t>(taken.problem)];
  const Json line = {{"problem", taken.problem},
                     {"key", problem.key},
                     {"draw", taken.draw < 0 ? Json("greedy") : Json(taken.draw)},
                     {"language", taken.language},
                     {"prompt", problem.prompt},
                     {"wanted", problem.answer_text ? Json(*problem.answer_text) : Json(problem.answer)},
                     {"answer", taken.text},
                     {"strict", taken.grade.is_strict},
                     {"lenient", taken.grade.is_lenient},
                     {"asked", taken.answer.is_asked},
                     {"cut", taken.answer.is_cut},
                     {"tokens", taken.answer.n_tokens},
                     {"ids", taken.answer.ids}};
  return file.write(as_bytes(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"));
}

// Of an evaluation that was stopped the answers stay that were whole.
Status stopped_asking(const EvalOptions& options, const std::vector<eval::ProblemScore>& scores, int64_t n_problems,
                      AtomicFile* file) {
  std::string kept;
  if (file != nullptr && !scores.empty()) {
    NARU_TRY(file->commit());
    kept = fmt::format("; their answers are in {}", *options.asked.answers_path);
  }
  const auto n_done = std::ssize(scores);
  return Error{Code::kCancelled,
               fmt::format("asking problems: stopped by you after {} of {}{}{}", grouped(n_done), grouped(n_problems),
                           n_done > 0 ? "; " + answers_so_far(scores) : "", kept)};
}

Result<OpenNeeds> room_for(const EvalOptions& options, const EvalModel& model, const eval::Prompts& prompts) {
  NARU_ASSIGN(const auto chip, make_chip(options.model));
  NARU_ASSIGN(const models::ModelPlan plan, models::plan_model(model.files, *chip, load_options(options.model)));
  const int64_t n_answers = std::ssize(prompts.ids) * (1 + options.asked.samples);
  NARU_ASSIGN(const eval::AnsweringRoom room,
              eval::room_for_answers(plan, prompts, options.asked.max_tokens, n_answers, options.asked.at_once,
                                     options.model.prefill_chunk));
  return OpenNeeds{.context_tokens = room.context_tokens, .sessions_max = room.at_once};
}

}  // namespace

Status eval_problems(const EvalOptions& options) {
  NARU_ASSIGN(const eval::ProblemSet set, open_problems(options));
  std::optional<AtomicFile> file;  // its place is tried before any work is done
  if (options.asked.answers_path) {
    NARU_ASSIGN(AtomicFile made, AtomicFile::create(*options.asked.answers_path, options.asked.existing));
    file.emplace(std::move(made));
  }
  AtomicFile* const answers_file = file ? &*file : nullptr;
  NARU_ASSIGN(EvalModel model, open_eval_model(options.model));
  NARU_ASSIGN(const eval::Prompts prompts,
              eval::prompts_of(set, model.text, model.name, options.asked.is_raw, "--raw asks in plain text"));
  NARU_ASSIGN(const OpenNeeds needs, room_for(options, model, prompts));
  NARU_ASSIGN(const OpenModel opened, open_model(std::move(model.files), options.model, needs));

  eval::Tally tally(set, prompts, model.text.tokenizer, grading_of(options.asked));
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
  std::function<Status(const eval::TakenAnswer&)> write;
  if (answers_file != nullptr) {
    write = [&](const eval::TakenAnswer& taken) { return write_answer(set, taken, *answers_file); };
  }
  const auto begin = std::chrono::steady_clock::now();
  const Status status = eval::ask(*opened.engine, prompts.ids, asking, [&](int64_t number, const auto& answers) {
    return tally.take(number, answers, write);
  });
  progress.clear();
  if (!status.ok() && status.error().code == Code::kCancelled) {
    return stopped_asking(options, tally.scores(), std::ssize(set.problems), answers_file);
  }
  NARU_TRY(status);
  if (answers_file != nullptr) NARU_TRY(answers_file->commit());
  AnswersOutcome outcome;
  outcome.options = &options;
  outcome.model = &model;
  outcome.is_chat = prompts.is_chat;
  outcome.is_file = set.is_file;
  outcome.name = set.name;
  outcome.numerics_id = opened.engine->model().numerics_id;
  outcome.context_tokens = opened.engine->context_tokens();
  outcome.scores = tally.scores();
  outcome.n_different = set.n_different();
  outcome.n_unasked = tally.n_unasked();
  outcome.n_answers = tally.n_answers();
  outcome.n_cut = tally.n_cut();
  outcome.n_tokens = tally.n_tokens();
  outcome.problems_sha256 = set.sha256;
  outcome.answers_sha256 = tally.finish_sha256();
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  NARU_TRY(write_out(options.json ? json_text(answers_json(outcome)) : answers_table(outcome)));
  if (options.model.explain) write_err(kernel_table(*opened.chip));
  return {};
}

}  // namespace naru::cli
