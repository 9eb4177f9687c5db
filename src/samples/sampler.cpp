#include "samples/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/home.h"
#include "data/data_record.h"
#include "eval/asking.h"
#include "formats/model_digest.h"
#include "formats/utf8.h"
#include "rewards/judge.h"
#include "rewards/languages.h"
#include "runs/run_files.h"
#include "runs/run_folder.h"
#include "samples/filters.h"
#include "samples/learnt_part.h"
#include "samples/sampled_model.h"
#include "text/reasoning.h"

namespace naru::samples {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

static_assert(recipes::kRejectionProblemsMax == eval::kProblemsMax);
static_assert(recipes::kRejectionAnswersMax == eval::kSamplesMax);

constexpr double kRecordEverySeconds = 1;  // what is behind the record is answered again after a kill

fs::path output_of(const recipes::Recipe& recipe) {
  return recipe.output.empty() ? fs::path("runs") / recipe.name : fs::path(with_home(recipe.output));
}

// A hash of a line's learnt part, to be remembered in its place.
std::string key_of(const std::string& part) {
  return sha256_hex(as_bytes(part)).substr(0, 32);
}

// Whether text says all of the tokens: no control tokens but the tags of reasoning, which conversations know.
bool is_writable(const std::vector<int32_t>& ids, std::string_view text, const text::Tokenizer& tokenizer,
                 bool is_messages) {
  if (!formats::is_valid_utf8(text)) return false;
  for (const int32_t id : ids) {
    if (!tokenizer.is_control(id)) continue;
    const std::string_view piece = tokenizer.piece(id);
    if (!is_messages || (piece != text::kThinkOpen && piece != text::kThinkClose)) return false;
  }
  return true;
}

class RunningSampler : public Sampler {
 public:
  RunningSampler(const recipes::Recipe& recipe, fs::path recipe_folder, contract::Chip& chip, SampleEvents events,
                 SampleStart start)
      : recipe_(recipe),
        recipe_folder_(std::move(recipe_folder)),
        chip_(chip),
        events_(std::move(events)),
        start_(std::move(start)),
        folder_(output_of(recipe)) {}

  const SamplePlan& plan() const override { return plan_; }
  const fs::path& folder() const override { return folder_; }
  Result<SampleResult> run() override;

  // All but the run's folder; `needs_weights`: the model has them.
  Status prepare(bool needs_weights);
  // The model's hash, and the folder with what is in it.
  Status take_folder();

 private:
  bool should_stop() const { return events_.should_stop && events_.should_stop(); }
  void note(std::string_view text) const {
    if (events_.note) events_.note(text);
  }
  Status hash_model();
  Status check_record();
  Status check_same(const char* key, const std::string& here, std::string_view what) const;
  Status read_lines();
  Status remember(std::string_view line, int64_t number, const fs::path& path);
  Status begin();
  Status ask();
  Status take(int64_t number, const std::vector<eval::GivenAnswer>& given);
  Result<std::vector<rewards::Judgement>> judge(const data::Problem& problem,
                                                const std::vector<eval::GivenAnswer>& given,
                                                const std::vector<std::string>& texts, bool opens_reasoning);
  SampleFacts facts_of(int64_t number, const data::Problem& problem) const;
  Status record(const char* status);
  Result<SampleResult> result_of(bool is_done);
  std::string own_place(const char* name) const { return (folder_ / name).string(); }

  recipes::Recipe recipe_;
  fs::path recipe_folder_;
  contract::Chip& chip_;
  SampleEvents events_;
  SampleStart start_;
  fs::path folder_;

  SampledModel model_;
  std::optional<AskedProblems> problems_;
  AskedPrompts prompts_;
  std::optional<rewards::Judge> judge_;
  std::optional<AnswerRoom> room_;
  data::DataRecord data_;
  SamplePlan plan_;

  std::optional<runs::RunFolder> run_;
  GrowingFile samples_, dropped_;
  SampleSummary summary_;
  std::unordered_set<std::string> kept_keys_;
  int64_t n_done_ = 0;  // problems
  bool was_done_ = false;
  int64_t n_tokens_ = 0;  // of this start
  bool is_begun_ = false;
  double seconds_before_ = 0;
  Clock::time_point begin_ = Clock::now(), recorded_ = Clock::now();
};

Status RunningSampler::prepare(bool needs_weights) {
  NARU_ASSIGN(model_, open_model(recipe_, recipe_folder_));
  NARU_ASSIGN(problems_, AskedProblems::open(recipe_, recipe_folder_));
  const PromptOptions how{.is_messages = model_.is_messages, .go_on = [this](int64_t done, int64_t total) {
                            if (events_.prompts) events_.prompts(done, total);
                            return !should_stop();
                          }};
  NARU_ASSIGN(prompts_, make_prompts(*problems_, model_.text->tokenizer, model_.chat_template(), how));
  NARU_ASSIGN(judge_, rewards::Judge::open(rewards::judge_options(recipe_, recipe_folder_), events_.should_stop));
  data_.training = problems_->record();
  data_.training.documents_sha256 = data_.began_with = prompts_.sha256;
  data::add_files(data_.training, problems_->files());
  data::add_files(data_.training, judge_->files());
  plan_.n_problems = problems_->size();
  plan_.answers = recipe_.rejection.answers;
  plan_.is_chat = model_.is_chat;
  plan_.is_messages = model_.is_messages;
  plan_.context_tokens = prompts_.longest + recipe_.rejection.max_tokens;
  if (model_.context_max > 0) plan_.context_tokens = std::min(plan_.context_tokens, model_.context_max);
  for (const std::vector<int32_t>& ids : prompts_.ids) {
    plan_.n_no_room += std::ssize(ids) >= plan_.context_tokens ? 1 : 0;
  }
  plan_.n_parameters = model_.n_planned_parameters;
  if (!model_.files && !needs_weights) return {};
  NARU_ASSIGN(room_, plan_room(model_, recipe_, prompts_, chip_));
  plan_.at_once = room_->at_once;
  plan_.n_parameters = room_->model.n_parameters;
  plan_.memory_bytes = room_->memory.needed_bytes();
  plan_.numerics_id = room_->model.numerics_id;
  return {};
}

Status RunningSampler::hash_model() {
  const auto progress = [this](int64_t done, int64_t total) {
    if (events_.bytes) events_.bytes("hashing", done, total);
    return !should_stop();
  };
  NARU_ASSIGN(const std::vector<formats::FileDigest> digests, model_.files->tensors.digests(progress));
  plan_.model_sha256 = digest_of(digests);
  return {};
}

// A run goes on with the model that it began with alone.
Status RunningSampler::check_same(const char* key, const std::string& here, std::string_view what) const {
  const nlohmann::json there = run_->field(key);
  if (!there.is_string() || there == here) return {};
  return Error{
      Code::kInvalidArgument,
      fmt::format("going on with the run {}: {} is {} there and {} here, the same was wanted; bring the old one "
                  "back, give the run another output=FOLDER, or begin anew with --start-over, which sets the "
                  "old run aside",
                  folder_.string(), what, there.get<std::string>(), here)};
}

Status RunningSampler::check_record() {
  NARU_TRY(check_same("model_sha256", plan_.model_sha256, "the SHA-256 of the model"));
  NARU_TRY(check_same("numerics_id", plan_.numerics_id, "the numerics id"));
  NARU_ASSIGN(const auto there, data::parse_data_record(run_->field("data"), own_place(runs::kRunFile)));
  if (!there) return {};
  const std::string what = data::data_difference(there->training, data_.training);
  if (what.empty()) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("going on with the run {}: its problems changed: {}; put the old ones back, give the run "
                           "another output=FOLDER, or begin anew with --start-over, which sets the old run aside",
                           folder_.string(), what)};
}

Status RunningSampler::take_folder() {
  NARU_TRY(hash_model());
  NARU_ASSIGN(run_, runs::RunFolder::open(folder_, recipe_, start_.starts_over));
  if (!run_->is_new()) NARU_TRY(check_record());
  NARU_TRY(read_lines());
  plan_.n_done = n_done_;
  return {};
}

// What was kept and dropped before, proved by what the record says.
Status RunningSampler::read_lines() {
  SampleRecord record;
  if (!run_->is_new()) {
    NARU_ASSIGN(const auto found, read_record(folder_));
    if (found) record = *found;
  }
  const auto read = [&](const char* name, const FileMark& mark) {
    return GrowingFile::open(folder_ / name, mark, [&](std::string_view line, int64_t number) {
      return remember(line, number, folder_ / name);
    });
  };
  NARU_ASSIGN(samples_, read(runs::kSamplesFile, record.samples));
  NARU_ASSIGN(dropped_, read(runs::kDroppedFile, record.dropped));
  n_done_ = record.problems_done;
  const SampleCounts& all = summary_.all();
  const int64_t n_lines = all.n_kept + all.n_dropped();
  if (n_done_ > problems_->size() || n_lines != n_done_ * recipe_.rejection.answers) {
    return Error{Code::kCorrupt,
                 fmt::format("going on with the run {}: its {} says that {} problems were done, and {} lines are of {} "
                             "each; bring the old files back, or begin anew with --start-over",
                             folder_.string(), runs::kRunFile, n_done_, n_lines, recipe_.rejection.answers)};
  }
  const nlohmann::json seconds = run_->field("seconds");
  if (seconds.is_number() && !start_.starts_over) seconds_before_ = std::max(0.0, seconds.get<double>());
  was_done_ = record.is_done() && n_done_ == problems_->size();
  if (!was_done_) return {};
  NARU_TRY(samples_.check_end());
  return dropped_.check_end();
}

Status RunningSampler::remember(std::string_view line, int64_t number, const fs::path& path) {
  NARU_ASSIGN(const ReadLine read, parse_line(line, fmt::format("{}:{}", path.string(), number)));
  summary_.add(read);
  if (!read.dropped) kept_keys_.insert(key_of(read.learnt_part));
  return {};
}

Status RunningSampler::begin() {
  NARU_TRY(run_->begin(n_done_, data::to_json(data_)));
  NARU_TRY(samples_.begin());
  NARU_TRY(dropped_.begin());
  is_begun_ = true;
  if (!run_->set_aside().empty()) note(fmt::format("what was there is set aside in {}", run_->set_aside().string()));
  const contract::ChipInfo info = chip_.info();
  std::vector<std::pair<std::string, std::string>> texts = {
      {"kind", std::string(recipes::run_kind_name(recipe_.kind))},
      {"numerics_id", plan_.numerics_id},
      {"chip", info.level.empty() ? info.name : info.name + "/" + info.level},
      {"machine", info.detail},
      {"model", recipe_.model.path},
      {"model_sha256", plan_.model_sha256},
      {"naru", start_.version},
      {"command", start_.command}};
  std::erase_if(texts, [](const auto& text) { return text.second.empty(); });
  NARU_TRY(run_->set(texts, {{"steps", static_cast<double>(plan_.n_problems)},
                             {"answers", static_cast<double>(plan_.answers)},
                             {"parameters", static_cast<double>(plan_.n_parameters)},
                             {"threads", static_cast<double>(info.n_threads)},
                             {"planned_memory_bytes", static_cast<double>(plan_.memory_bytes)}}));
  return record("running");
}

// The files are on disk before the record says so.
Status RunningSampler::record(const char* status) {
  NARU_TRY(run_->check());
  NARU_TRY(samples_.sync());
  NARU_TRY(dropped_.sync());
  recorded_ = Clock::now();
  const FileMark samples = samples_.mark(), dropped = dropped_.mark();
  const SampleCounts& all = summary_.all();
  std::vector<std::pair<std::string, double>> numbers = {
      {"step", static_cast<double>(n_done_)},
      {"samples_bytes", static_cast<double>(samples.bytes)},
      {"dropped_bytes", static_cast<double>(dropped.bytes)},
      {"kept", static_cast<double>(all.n_kept)},
      {"right", static_cast<double>(all.n_right)},
      {"tokens", static_cast<double>(all.n_tokens)},
      {"seconds", seconds_before_ + std::chrono::duration<double>(recorded_ - begin_).count()}};
  if (judge_->has_programs()) {
    NARU_ASSIGN(const int64_t n_failed, judge_->stored_failures(folder_ / runs::kRewardsFile));
    numbers.emplace_back("reward_failures", static_cast<double>(n_failed));
  }
  return run_->set({{"status", status}, {"samples_sha256", samples.sha256}, {"dropped_sha256", dropped.sha256}},
                   numbers);
}

Result<std::vector<rewards::Judgement>> RunningSampler::judge(const data::Problem& problem,
                                                              const std::vector<eval::GivenAnswer>& given,
                                                              const std::vector<std::string>& texts,
                                                              bool opens_reasoning) {
  std::vector<rewards::JudgedText> judged;
  for (size_t i = 0; i < given.size(); ++i) {
    judged.push_back({.problem = &problem,
                      .answer = texts[i],
                      .n_tokens = given[i].n_tokens,
                      .begins_in_reasoning = opens_reasoning});
  }
  rewards::JudgeCall call;
  call.should_stop = events_.should_stop;
  call.note = [this](const std::string& text) { note(text); };
  if (judge_->has_programs()) call.store = folder_ / runs::kRewardsFile;
  return judge_->judge(judged, call);
}

SampleFacts RunningSampler::facts_of(int64_t number, const data::Problem& problem) const {
  SampleFacts facts;
  facts.model_sha256 = plan_.model_sha256;
  facts.seed = recipe_.seed;
  facts.number = number;
  facts.problem = problem.key;
  facts.language = rewards::language_word(problem.prompt);
  return facts;
}

// Of one problem: its answers judged, filtered and written.
Status RunningSampler::take(int64_t number, const std::vector<eval::GivenAnswer>& given) {
  const data::Problem problem = problems_->at(number);
  const bool opens_reasoning = prompts_.opens_reasoning[static_cast<size_t>(number)];
  const text::Tokenizer& tokenizer = model_.text->tokenizer;
  std::vector<std::string> texts;
  for (const eval::GivenAnswer& answer : given) texts.push_back(tokenizer.decode(answer.ids, true));
  std::vector<rewards::Judgement> judgements(given.size());
  if (given.front().is_asked) {
    NARU_ASSIGN(judgements, judge(problem, given, texts, opens_reasoning));
  }
  std::vector<FilteredAnswer> answers;
  for (size_t i = 0; i < given.size(); ++i) {
    answers.push_back({.is_asked = given[i].is_asked,
                       .is_cut = given[i].is_cut,
                       .is_writable = is_writable(given[i].ids, texts[i], tokenizer, model_.is_messages),
                       .is_right = judgements[i].is_right && !given[i].is_cut,
                       .text = texts[i],
                       .n_tokens = std::ssize(given[i].ids),
                       .reward = judgements[i].reward,
                       .language_share = rewards::language_share(problem.prompt, texts[i]),
                       .repeated_share = repeated_share(given[i].ids)});
  }
  const PartForm form{model_.is_messages, &tokenizer, model_.chat_template()};
  const auto make_line = [&](size_t i) { return learnt_part(problem, texts[i], opens_reasoning, form); };
  const auto is_kept = [&](const std::string& part) { return kept_keys_.contains(key_of(part)); };
  NARU_ASSIGN(const std::vector<FilteredLine> lines, filter(answers, recipe_.rejection, make_line, is_kept));
  std::string kept, dropped;
  SampleFacts facts = facts_of(number, problem);
  facts.pass_rate = pass_rate(answers);
  for (size_t i = 0; i < lines.size(); ++i) {
    facts.draw = static_cast<int64_t>(i);
    facts.n_tokens = answers[i].n_tokens;
    facts.is_right = answers[i].is_right;
    facts.reward = judgements[i].reward;
    facts.rewards.clear();
    for (size_t part = 0; part < judgements[i].parts.size(); ++part) {
      facts.rewards.emplace_back(judge_->names()[part], judgements[i].parts[part]);
    }
    if (lines[i].dropped) {
      dropped += dropped_line(*lines[i].dropped, problem.prompt, texts[i], facts);
    } else {
      kept += kept_line(lines[i].part, facts);
      kept_keys_.insert(key_of(lines[i].part));
    }
    summary_.add({.learnt_part = "",
                  .dropped = lines[i].dropped,
                  .number = number,
                  .draw = facts.draw,
                  .language = facts.language,
                  .n_tokens = facts.n_tokens,
                  .is_right = facts.is_right});
  }
  NARU_TRY(dropped_.append(dropped));
  NARU_TRY(samples_.append(kept));
  n_done_ = number + 1;
  if (std::chrono::duration<double>(Clock::now() - recorded_).count() < kRecordEverySeconds) return {};
  return record("running");
}

Status RunningSampler::ask() {
  const auto loading = [this](int64_t done, int64_t total) {
    if (events_.bytes) events_.bytes("loading", done, total);
    return !should_stop();
  };
  NARU_ASSIGN(const std::unique_ptr<engine::Engine> engine, open_engine(model_, recipe_, *room_, chip_, loading));
  NARU_TRY(begin());
  const recipes::RejectionRecipe& r = recipe_.rejection;
  eval::Asking asking{.samples = r.answers,
                      .has_greedy = false,
                      .first = n_done_,
                      .max_tokens = r.max_tokens,
                      .at_once = room_->at_once,
                      .sampling = {}};
  asking.sampling.temperature = r.temperature;
  asking.sampling.top_k = r.top_k;
  asking.sampling.top_p = r.top_p;
  asking.sampling.min_p = r.min_p;
  asking.sampling.seed = recipe_.seed;
  asking.progress = [&](int64_t n_answers, int64_t n_tokens) {
    n_tokens_ = n_tokens;
    if (events_.progress) {
      events_.progress({.problems = plan_.n_problems,
                        .problems_done = n_done_,
                        .answers = n_answers,
                        .tokens = n_tokens,
                        .kept = summary_.all().n_kept});
    }
    return !should_stop();
  };
  NARU_TRY(eval::ask(*engine, prompts_.ids, asking,
                     [this](int64_t number, const auto& answers) { return take(number, answers); }));
  NARU_TRY(samples_.check_end());
  return dropped_.check_end();
}

Result<SampleResult> RunningSampler::result_of(bool is_done) {
  SampleResult result;
  result.is_done = is_done;
  result.was_done = was_done_;
  result.problems_done = n_done_;
  result.summary = summary_;
  result.samples = samples_.mark();
  result.dropped = dropped_.mark();
  result.model_sha256 = plan_.model_sha256;
  result.tokens = n_tokens_;
  result.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  if (judge_->has_programs()) {
    NARU_ASSIGN(result.reward_failures, judge_->stored_failures(folder_ / runs::kRewardsFile));
  }
  return result;
}

Result<SampleResult> RunningSampler::run() {
  begin_ = recorded_ = Clock::now();
  if (was_done_) return result_of(true);
  const Status status = ask();
  const bool is_stopped = !status.ok() && status.error().code == Code::kCancelled;
  if (status.ok() || (is_stopped && is_begun_)) {
    NARU_TRY(record(status.ok() ? "done" : "stopped"));
    return result_of(status.ok());
  }
  if (!is_stopped && is_begun_) (void)run_->set({{"status", "failed"}, {"reason", status.error().message}}, {}).ok();
  return status.error();
}

}  // namespace

Result<std::unique_ptr<Sampler>> Sampler::open(const recipes::Recipe& recipe, const fs::path& recipe_folder,
                                               contract::Chip& chip, SampleEvents events, const SampleStart& start) {
  auto sampler = std::make_unique<RunningSampler>(recipe, recipe_folder, chip, std::move(events), start);
  NARU_TRY(sampler->prepare(true));
  NARU_TRY(sampler->take_folder());
  return std::unique_ptr<Sampler>(std::move(sampler));
}

Result<SamplePlan> Sampler::plan_run(const recipes::Recipe& recipe, const fs::path& recipe_folder, contract::Chip& chip,
                                     SampleEvents events) {
  RunningSampler sampler(recipe, recipe_folder, chip, std::move(events), {});
  NARU_TRY(sampler.prepare(false));
  return sampler.plan();
}

Result<SampleResult> run(const recipes::Recipe& recipe, const fs::path& recipe_folder, contract::Chip& chip,
                         SampleEvents events, const SampleStart& start) {
  NARU_ASSIGN(const std::unique_ptr<Sampler> sampler,
              Sampler::open(recipe, recipe_folder, chip, std::move(events), start));
  return sampler->run();
}

}  // namespace naru::samples
