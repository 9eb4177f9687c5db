#include "runs/alarms.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace naru::runs {
namespace {

constexpr size_t kWindow = 5;  // rollouts, or updates, that are looked at together

// Shares of a rollout.
constexpr double kNearlyAll = 0.9;  // cut off, or without signal
constexpr double kSolved = 0.9;     // right answers: certainty is what was wanted then
// Entropy in nats a token: gone is where hardly any token is drawn, and much less than at the beginning.
constexpr double kEntropyGone = 0.02, kEntropyOfFirst = 0.1;
// Reward: a fall of this share of all that was gained, and of so many usual steps from rollout to rollout.
constexpr double kFallOfGain = 0.5, kFallOfMove = 4;
constexpr size_t kMovesKept = 20;
// The mean of k3 in nats a token: at 1 the reference would hardly write these answers.
constexpr double kFarAway = 1;
constexpr double kHugeRatio = 100;
constexpr int64_t kHugeRatios = 3;  // of a window
// Held-out problems right: a fall beyond what a hundred problems leave to chance, twice in a row.
constexpr double kHeldOutFall = 0.15;

std::optional<double> alarm_value(const Metrics& line, std::string_view name) {
  for (const auto& [key, value] : line.values) {
    if (key == name && std::isfinite(value)) return value;
  }
  return std::nullopt;
}

// A fall is one large move: the mean would take it for usual.
double median_of(const std::deque<double>& values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted.empty() ? 0 : sorted[sorted.size() / 2];
}

std::string lower_lr(const recipes::Recipe& recipe) {
  return fmt::format("optimizer.lr={:.2g}", recipe.optimizer.lr / 3);
}

}  // namespace

std::string alarm_line(const Alarm& alarm) {
  return fmt::format("step {}: {}; try {}", alarm.step, alarm.what, alarm.advice);
}

void AlarmWatch::Recent::add(std::optional<double> value) {
  if (!value) return;
  values.push_back(*value);
  if (values.size() > kWindow) values.pop_front();
}
bool AlarmWatch::Recent::is_full() const {
  return values.size() == kWindow;
}
double AlarmWatch::Recent::mean() const {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(std::max<size_t>(1, values.size()));
}
int64_t AlarmWatch::Recent::n_above(double bound) const {
  return std::count_if(values.begin(), values.end(), [bound](double value) { return value > bound; });
}

AlarmWatch::AlarmWatch(const recipes::Recipe& recipe)
    : recipe_(recipe), is_watching_(recipe.kind == recipes::RunKind::kGrpo) {}

bool AlarmWatch::is_raised(std::string_view kind) const {
  return std::any_of(all_.begin(), all_.end(), [kind](const Alarm& alarm) { return alarm.kind == kind; });
}

void AlarmWatch::raise(const char* kind, std::string what, std::string advice) {
  if (!is_raised(kind)) all_.push_back({step_, kind, std::move(what), std::move(advice)});
}

std::vector<Alarm> AlarmWatch::add(const Metrics& line) {
  const size_t n_before = all_.size();
  if (!is_watching_) return {};
  step_ = line.step;
  if (const auto reward = alarm_value(line, "reward")) {
    if (!reward_.values.empty()) reward_moves_.push_back(std::abs(*reward - reward_.values.back()));
    if (reward_moves_.size() > kMovesKept) reward_moves_.pop_front();
    reward_.add(reward);
    right_.add(alarm_value(line, "rollout_accuracy"));
    flat_.add(alarm_value(line, "flat_groups"));
    cut_.add(alarm_value(line, "cut_share"));
    // The mean log-probability of what was drawn is an estimate of it.
    auto entropy = alarm_value(line, "entropy");
    if (!entropy && (entropy = alarm_value(line, "answer_log_prob"))) entropy = -*entropy;
    entropy_.add(entropy);
    watch_rollout();
    watch_reward();
  }
  kl_.add(alarm_value(line, "kl"));
  ratio_.add(alarm_value(line, "ratio_most"));
  watch_updates();
  if (const auto accuracy = alarm_value(line, "accuracy")) watch_held_out(*accuracy);
  return {all_.begin() + static_cast<std::ptrdiff_t>(n_before), all_.end()};
}

// What a rollout was like: each of these leaves nothing to learn from.
void AlarmWatch::watch_rollout() {
  if (cut_.is_full() && cut_.mean() >= kNearlyAll) {
    raise("cut",
          fmt::format(
              "{:.0f} % of the answers of the last {} rollouts were cut off: they have no end that could be right",
              100 * cut_.mean(), kWindow),
          fmt::format("grpo.max_tokens={} with more batch.context, or a model that was shown how answers end",
                      2 * recipe_.grpo.max_tokens));
  }
  if (!flat_.is_full() || !right_.is_full()) return;
  if (!first_entropy_ && entropy_.is_full()) first_entropy_ = entropy_.mean();
  if (right_.mean() >= kSolved) return;
  if (flat_.mean() >= kNearlyAll) {
    raise("flat",
          fmt::format("in {:.0f} % of the groups of the last {} rollouts all answers were worth the same: nothing is "
                      "learnt from them",
                      100 * flat_.mean(), kWindow),
          right_.mean() < 0.05
              ? fmt::format("easier problems, a better model.path, or grpo.answers={}", 2 * recipe_.grpo.answers)
              : fmt::format("{} from an earlier checkpoint, or grpo.answers={}", lower_lr(recipe_),
                            2 * recipe_.grpo.answers));
  }
  const bool is_gone = first_entropy_ && entropy_.is_full() && entropy_.mean() < kEntropyGone &&
                       entropy_.mean() < kEntropyOfFirst * *first_entropy_;
  if (is_gone) {
    raise("entropy",
          fmt::format("the entropy of the answers is gone ({:.4f} nats a token, {:.2f} at first) with {:.0f} % of them "
                      "right: the model hardly tries anything else",
                      entropy_.mean(), *first_entropy_, 100 * right_.mean()),
          fmt::format("{}, or a wider upper bound as in DAPO: grpo.clip_high=0.28", lower_lr(recipe_)));
  }
}

void AlarmWatch::watch_reward() {
  const double now = reward_.mean();
  best_reward_ = std::max(now, best_reward_.value_or(now));
  worst_reward_ = std::min(now, worst_reward_);
  const double gained = *best_reward_ - worst_reward_;
  const double fall = *best_reward_ - now;
  if (!reward_.is_full()) return;
  if (gained > 0 && fall > kFallOfGain * gained && fall > kFallOfMove * median_of(reward_moves_)) {
    raise("reward",
          fmt::format("the reward fell from {:.3f} to {:.3f} (means of {} rollouts)", *best_reward_, now, kWindow),
          fmt::format(
              "{} from the beginning (--start-over), or grpo.kl_weight=0.01, which holds the model near its start",
              lower_lr(recipe_)));
  }
}

void AlarmWatch::watch_updates() {
  if (kl_.is_full() && kl_.mean() > kFarAway) {
    raise("kl",
          fmt::format("the model is far from its reference: {:.2f} nats a token (KL, mean of {} updates)", kl_.mean(),
                      kWindow),
          fmt::format("{}, or a larger grpo.kl_weight", lower_lr(recipe_)));
  }
  if (ratio_.n_above(kHugeRatio) >= kHugeRatios) {
    raise("ratio",
          fmt::format("the policy is up to {:.3g} times as likely to write a token as when it was sampled",
                      *std::max_element(ratio_.values.begin(), ratio_.values.end())),
          recipe_.grpo.updates > 1 ? fmt::format("grpo.updates={}, or {}", recipe_.grpo.updates / 2, lower_lr(recipe_))
                                   : lower_lr(recipe_));
  }
}

// A reward that rises while held-out problems come out wrong is earned in another way than was meant.
void AlarmWatch::watch_held_out(double accuracy) {
  if (!best_held_ || accuracy >= best_held_->accuracy) {
    best_held_ = {accuracy, reward_.mean()};
    n_held_below_ = 0;
    return;
  }
  const bool is_below =
      accuracy < best_held_->accuracy - kHeldOutFall && reward_.is_full() && reward_.mean() > best_held_->reward;
  n_held_below_ = is_below ? n_held_below_ + 1 : 0;
  if (n_held_below_ < 2) return;
  raise("held-out",
        fmt::format("the reward rose to {:.3f} while held-out problems right fell from {:.0f} to {:.0f} %: the reward "
                    "is earned in another way than was meant",
                    reward_.mean(), 100 * best_held_->accuracy, 100 * accuracy),
        "reading the groups of answers in the report, and rewarding what was meant");
}

}  // namespace naru::runs
