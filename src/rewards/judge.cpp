#include "rewards/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "base/sha256.h"
#include "rewards/answers.h"
#include "rewards/languages.h"
#include "rewards/reasoning_form.h"
#include "rewards/reply_message.h"
#include "rewards/reward_program.h"
#include "rewards/reward_store.h"

namespace naru::rewards {
namespace {

constexpr int64_t kFailuresTold = 5;  // of one call; the rest is counted

// A soft bound on length (DAPO, arXiv 2503.14476): nothing up to `free_tokens`, then falling to -1 at the longest
// answer.
double length_part(int64_t n_tokens, int64_t max_tokens, int64_t free_tokens) {
  if (n_tokens <= free_tokens) return 0;
  return -static_cast<double>(n_tokens - free_tokens) / static_cast<double>(max_tokens - free_tokens);
}

struct Part {
  recipes::RewardRecipe recipe;
  std::string name;
  std::optional<RewardProgram> program = {};
};

bool is_right_by(const recipes::RewardRecipe& w, const JudgedText& text) {
  const ReasoningForm form = reasoning_form(text.answer, w.tag, text.begins_in_reasoning);
  if (w.strict && !form.is_kept) return false;
  if (text.problem->generator && (w.find.empty() || w.find == "verifier")) {
    return data::verify(*text.problem, form.answer).is_right;
  }
  const auto& wanted = text.problem->answer_text;
  return wanted && is_answer(form.answer, *wanted, answer_place(w.find), comparison(w.compare));
}

}  // namespace

struct Judge::State {
  JudgeOptions options;
  std::vector<Part> parts;
  std::vector<std::string> names;
  std::vector<data::DataFile> files;
  std::optional<RewardStore> store;

  // The part that says what is right; null where none does.
  Part* deciding() {
    for (const std::string_view kind : {"answer", "program"}) {
      const auto found = std::ranges::find(parts, kind, [](const Part& part) { return part.recipe.kind; });
      if (found != parts.end()) return &*found;
    }
    return nullptr;
  }
  // Of a part that is no program.
  double value(const Part& part, const JudgedText& text) const {
    const recipes::RewardRecipe& w = part.recipe;
    if (w.kind == "answer") return is_right_by(w, text) ? 1 : 0;
    if (w.kind == "format") {
      return reasoning_form(text.answer, w.tag, text.begins_in_reasoning).is_kept ? 1 : 0;
    }
    if (w.kind == "language") return language_share(text.problem->prompt, text.answer);
    return length_part(text.n_tokens, options.max_tokens, w.tokens);
  }

  Status use_store(const std::filesystem::path& path) {
    if (store && store->path() == path) return {};
    store.reset();
    NARU_ASSIGN(store, RewardStore::open(path));
    return {};
  }
  // What a program says of each text, the same in all processes.
  Result<std::vector<StoredReward>> replies(Part& part, const std::vector<JudgedText>& texts, const JudgeCall& call);
  Result<std::vector<StoredReward>> ask(Part& part, const std::vector<JudgedText>& texts, const JudgeCall& call);
};

Result<std::vector<StoredReward>> Judge::State::replies(Part& part, const std::vector<JudgedText>& texts,
                                                        const JudgeCall& call) {
  if (!call.say_to_all) return ask(part, texts, call);
  std::string message;
  if (call.is_asking) message = replies_to_bytes(ask(part, texts, call));
  NARU_ASSIGN(message, call.say_to_all(std::move(message)));
  return replies_from_bytes(message, texts.size());
}

Result<std::vector<StoredReward>> Judge::State::ask(Part& part, const std::vector<JudgedText>& texts,
                                                    const JudgeCall& call) {
  RewardStore none;
  if (!call.store.empty()) NARU_TRY(use_store(call.store));
  RewardStore& kept = call.store.empty() ? none : *store;
  std::vector<std::string> keys, questions;
  std::vector<RewardStore::Entry> asked;
  std::vector<const JudgedText*> asked_of;
  std::unordered_map<std::string, size_t> index_of;  // in `asked`
  for (const JudgedText& text : texts) {
    std::string question = reward_question(*text.problem, text.answer);
    keys.push_back(sha256_hex(as_bytes(part.program->identity() + question)));
    if (kept.find(keys.back()) != nullptr || !index_of.try_emplace(keys.back(), asked.size()).second) continue;
    asked.push_back({keys.back(), {}});
    asked_of.push_back(&text);
    questions.push_back(std::move(question));
  }
  std::vector<RewardStore::Entry> so_far;
  auto replied = part.program->ask(questions, call.should_stop, [&](size_t i, const ProgramReply& reply) {
    if (reply.failure.empty()) so_far.push_back({asked[i].asked, reply});
  });
  if (!replied.ok()) {  // what it said until then need not be asked again
    NARU_TRY(kept.add(so_far));
    return std::move(replied).error();
  }
  std::vector<ProgramReply> given = *std::move(replied);
  int64_t n_failed = 0, n_told = 0;
  std::string told;
  for (size_t i = 0; i < given.size(); ++i) {
    ProgramReply& reply = given[i];
    if (!reply.failure.empty()) {
      reply.reply = {part.recipe.failure_reward, false};
      ++n_failed;
      if (n_told < kFailuresTold && reply.failure != told && call.note) {
        ++n_told;
        told = reply.failure;
        call.note(fmt::format("reward {}: an answer to problem {} is worth {}, as the program failed: {}", part.name,
                              asked_of[i]->problem->key, part.recipe.failure_reward, reply.failure));
      }
    }
    asked[i].reply = std::move(reply);
  }
  if (n_failed > n_told && call.note) {
    call.note(fmt::format("reward {}: and {} more answer{}", part.name, n_failed - n_told,
                          n_failed - n_told == 1 ? "" : "s"));
  }
  NARU_TRY(kept.add(asked));
  std::vector<StoredReward> all;
  for (const std::string& key : keys) {
    const auto now = index_of.find(key);
    if (now == index_of.end()) {
      all.push_back(*kept.find(key));
    } else {
      const ProgramReply& reply = asked[now->second].reply;
      all.push_back({reply.reply, !reply.failure.empty()});
    }
  }
  return all;
}

JudgeOptions judge_options(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder) {
  if (recipe.kind == recipes::RunKind::kRejection) {
    JudgeOptions options{.rewards = recipe.reward, .max_tokens = recipe.rejection.max_tokens, .folder = recipe_folder};
    if (options.rewards.empty()) options.rewards.emplace_back();
    return options;
  }
  return {.rewards = recipe.reward,
          .max_tokens = recipes::rollout_of(recipe).max_tokens,
          .soft_tokens = recipe.grpo.soft_tokens,
          .folder = recipe_folder};
}

bool needs_answers(const std::vector<recipes::RewardRecipe>& rewards) {
  return rewards.empty() || std::ranges::any_of(rewards, [](const auto& reward) { return reward.kind == "answer"; });
}

Judge::Judge(std::unique_ptr<State> state) : state_(std::move(state)) {}
Judge::Judge(Judge&&) noexcept = default;
Judge& Judge::operator=(Judge&&) noexcept = default;
Judge::~Judge() = default;

Result<Judge> Judge::open(JudgeOptions options, const std::function<bool()>& should_stop) {
  auto state = std::make_unique<State>();
  for (const recipes::RewardRecipe& reward : options.rewards) {
    Part& part = state->parts.emplace_back(Part{reward, reward_name(reward)});
    if (reward.kind != "program") continue;
    NARU_ASSIGN(part.program, RewardProgram::open(reward, options.folder, should_stop));
    const auto& files = part.program->files();
    state->files.insert(state->files.end(), files.begin(), files.end());
  }
  if (options.rewards.empty()) state->parts.push_back({{}, "answer"});
  if (options.soft_tokens > 0 || options.rewards.empty()) {
    recipes::RewardRecipe length;
    length.kind = "length";
    length.tokens = options.max_tokens - options.soft_tokens;
    state->parts.push_back({length, "length"});
  }
  for (const Part& part : state->parts) state->names.push_back(part.name);
  state->options = std::move(options);
  return Judge(std::move(state));
}

const std::vector<std::string>& Judge::names() const {
  return state_->names;
}

bool Judge::has_programs() const {
  return std::ranges::any_of(state_->parts, [](const Part& part) { return part.program.has_value(); });
}

const std::vector<data::DataFile>& Judge::files() const {
  return state_->files;
}

Result<std::vector<Judgement>> Judge::judge(const std::vector<JudgedText>& texts, const JudgeCall& call) {
  std::vector<Judgement> judgements(texts.size());
  const Part* const deciding = state_->deciding();
  for (Part& part : state_->parts) {
    std::vector<StoredReward> said;
    if (part.program) {
      NARU_ASSIGN(said, state_->replies(part, texts, call));
    }
    for (size_t i = 0; i < texts.size(); ++i) {
      Judgement& one = judgements[i];
      const double value = part.program ? said[i].reply.reward : state_->value(part, texts[i]);
      one.parts.push_back(value);
      one.reward += part.recipe.weight * value;
      if (part.program && said[i].is_failed) ++one.n_failures;
      if (&part == deciding) one.is_right = part.program ? said[i].reply.is_right : value == 1;
    }
  }
  return judgements;
}

Result<std::vector<bool>> Judge::are_right(const std::vector<JudgedText>& texts, const JudgeCall& call) {
  std::vector<bool> right(texts.size(), false);
  Part* const part = state_->deciding();
  if (part == nullptr) return right;
  if (part->program) {
    NARU_ASSIGN(const std::vector<StoredReward> said, state_->replies(*part, texts, call));
    for (size_t i = 0; i < texts.size(); ++i) right[i] = said[i].reply.is_right;
  } else {
    for (size_t i = 0; i < texts.size(); ++i) right[i] = is_right_by(part->recipe, texts[i]);
  }
  return right;
}

Result<int64_t> Judge::stored_failures(const std::filesystem::path& store) {
  NARU_TRY(state_->use_store(store));
  return state_->store->n_failed();
}

}  // namespace naru::rewards
