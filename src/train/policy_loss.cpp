#include "train/policy_loss.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/double_math.h"

namespace naru::train {
namespace {

// Two log-probabilities further apart are a policy that has nothing to do with the other: exp() beyond it is of no use
// to anybody, and would not be finite in f32.
constexpr double kLogRatioMax = 80;

double ratio_of(double log_ratio) {
  return exp_double(std::clamp(log_ratio, -kLogRatioMax, kLogRatioMax));
}

// One answer: rows [begin, end) of the micro-batch, of which those with a weight are its tokens.
struct Answer {
  size_t begin = 0, end = 0;
  double advantage = 0;
  double mean_log_ratio = 0;
  bool is_masked = false;
};

// A row's loss, and minus its derivative by log p.
struct Term {
  double loss = 0, factor = 0;
  bool is_clipped = false;
};

// min(r A, clip(r) A); the factor is r A, or 0 where the bound holds it.
Term clipped(double ratio, double advantage, const PolicyOptions& options) {
  const double kept = std::clamp(ratio, 1 - options.clip_low, 1 + options.clip_high);
  const bool is_clipped = kept * advantage < ratio * advantage;
  return {-(is_clipped ? kept : ratio) * advantage, is_clipped ? 0 : ratio * advantage, is_clipped};
}

Term policy_term(const PolicyOptions& options, const Answer& answer, double log_prob, double old) {
  if (answer.is_masked) return {};
  switch (options.form) {
    case PolicyForm::kToken: return clipped(ratio_of(log_prob - old), answer.advantage, options);
    case PolicyForm::kSequence: return clipped(ratio_of(answer.mean_log_ratio), answer.advantage, options);
    case PolicyForm::kWeighted: break;
  }
  const double ratio = ratio_of(log_prob - old);
  const double weight = std::min(ratio, 1 + options.clip_high);
  return {-weight * answer.advantage * log_prob, weight * answer.advantage, weight < ratio};
}

Term kl_term(KlEstimator estimator, double log_prob, double old, double reference) {
  const double log_x = std::clamp(reference - log_prob, -kLogRatioMax, kLogRatioMax);
  const double x = exp_double(log_x);
  const double k3 = x - log_x - 1;
  if (estimator == KlEstimator::kK3) return {k3, x - 1};
  const double ratio = ratio_of(log_prob - old);
  return {ratio * k3, ratio * log_x};
}

template <typename Row>
void for_each_answer(const PolicyOptions& options, const data::MicroBatch& batch, std::span<const float> log_probs,
                     const Row& row) {
  NARU_CHECK(batch.signals.size() >= kPolicySignals + (options.kl_weight > 0 ? 1 : 0), batch.signals.size());
  for (const data::DocumentRows& document : batch.documents) {
    Answer answer{.begin = static_cast<size_t>(document.row_begin),
                  .end = static_cast<size_t>(document.row_begin + document.n_rows)};
    double sum = 0;
    int64_t n = 0;
    for (size_t i = answer.begin; i < answer.end; ++i) {
      if (batch.weights[i] == 0) continue;
      answer.advantage = batch.signals[kAdvantage][i];  // the same in every row
      sum += static_cast<double>(log_probs[i]) - static_cast<double>(batch.signals[kOldLogProb][i]);
      ++n;
    }
    if (n == 0) continue;
    answer.mean_log_ratio = sum / static_cast<double>(n);
    answer.is_masked =
        options.off_policy_max && answer.advantage < 0 && -answer.mean_log_ratio > *options.off_policy_max;
    for (size_t i = answer.begin; i < answer.end; ++i) {
      if (batch.weights[i] != 0) row(answer, i);
    }
  }
}

}  // namespace

bool is_changed(const data::MicroBatch& batch, std::span<const float> log_probs, size_t row) {
  return std::bit_cast<uint32_t>(batch.signals[kOldLogProb][row]) != std::bit_cast<uint32_t>(log_probs[row]);
}

Status check_on_policy(const data::MicroBatch& batch, std::span<const float> log_probs) {
  size_t i = 0;
  const auto is_wrong = [&](size_t row) {
    return batch.weights[row] != 0 && batch.signals[kOnPolicy][row] != 0 && is_changed(batch, log_probs, row);
  };
  while (i < log_probs.size() && !is_wrong(i)) ++i;
  if (i == log_probs.size()) return {};
  return Error{
      Code::kInternal,
      fmt::format("comparing a rollout with the trainer: row {} of a micro-batch, token {} at position {}: its "
                  "log-probability was {} ({:08x}) when it was sampled and is {} ({:08x}) in training, the same bits "
                  "were wanted",
                  i, batch.targets[i], batch.positions[i], batch.signals[kOldLogProb][i],
                  std::bit_cast<uint32_t>(batch.signals[kOldLogProb][i]), log_probs[i],
                  std::bit_cast<uint32_t>(log_probs[i])),
      {kChangedToken, std::ssize(batch.ids), {static_cast<int64_t>(i)}}};
}

Status PolicyLoss::weigh(const data::MicroBatch& batch, std::span<const float> log_probs, std::span<float> losses,
                         std::span<float> factors) const {
  for_each_answer(options_, batch, log_probs, [&](const Answer& answer, size_t i) {
    const double log_prob = log_probs[i], old = batch.signals[kOldLogProb][i];
    Term term = policy_term(options_, answer, log_prob, old);
    if (options_.kl_weight > 0) {
      const Term kl = kl_term(options_.kl, log_prob, old, batch.signals[kReferenceLogProb][i]);
      term.loss += options_.kl_weight * kl.loss;
      term.factor += options_.kl_weight * kl.factor;
    }
    losses[i] = static_cast<float>(term.loss);
    factors[i] = static_cast<float>(term.factor);
  });
  return check_on_policy(batch, log_probs);
}

PolicyStatistics PolicyLoss::statistics(const data::MicroBatch& batch, std::span<const float> log_probs) const {
  PolicyStatistics result;
  for_each_answer(options_, batch, log_probs, [&](const Answer& answer, size_t i) {
    const float old = batch.signals[kOldLogProb][i];
    const double log_prob = log_probs[i];
    const bool is_of_answer = options_.form == PolicyForm::kSequence;
    ++result.n_tokens;
    result.add_ratio(ratio_of(is_of_answer ? answer.mean_log_ratio : log_prob - static_cast<double>(old)));
    if (batch.signals[kOnPolicy][i] != 0) ++result.n_compared;
    if (is_changed(batch, log_probs, i)) ++result.n_changed;
    if (answer.is_masked) ++result.n_masked;
    if (policy_term(options_, answer, log_prob, old).is_clipped) ++result.n_clipped;
    if (options_.kl_weight > 0) {
      result.kl += kl_term(options_.kl, log_prob, old, batch.signals[kReferenceLogProb][i]).loss;
    }
  });
  return result;
}

std::vector<double> group_advantages(AdvantageKind kind, std::span<const double> rewards) {
  std::vector<double> result(rewards.size(), 0.0);
  const bool is_flat = std::all_of(rewards.begin(), rewards.end(), [&](double r) { return r == rewards[0]; });
  if (is_flat) return result;
  const auto n = static_cast<double>(rewards.size());
  double mean = 0, squares = 0;
  for (const double r : rewards) mean += r / n;
  for (const double r : rewards) squares += (r - mean) * (r - mean) / n;
  const double scale = kind == AdvantageKind::kGroupStd ? std::sqrt(squares) + 1e-6 : 1.0;
  for (size_t i = 0; i < rewards.size(); ++i) result[i] = (rewards[i] - mean) / scale;
  return result;
}

AnswerWeights answer_weights(Averaging averaging, std::span<const int64_t> lengths, int64_t tokens_max) {
  AnswerWeights result;
  int64_t n_tokens = 0;
  for (const int64_t length : lengths) {
    NARU_CHECK(length > 0, length);
    n_tokens += length;
    result.of_token.push_back(averaging == Averaging::kAnswerMean ? 1.0f / static_cast<float>(length) : 1.0f);
  }
  const auto n_answers = static_cast<double>(lengths.size());
  switch (averaging) {
    case Averaging::kAnswerMean: result.divisor = n_answers; break;
    case Averaging::kTokenMean: result.divisor = static_cast<double>(n_tokens); break;
    case Averaging::kConstant: result.divisor = n_answers * static_cast<double>(tokens_max); break;
  }
  return result;
}

}  // namespace naru::train
