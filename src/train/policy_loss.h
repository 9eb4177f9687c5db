// PolicyLoss: the objectives of reinforcement learning by groups of answers, GRPO (DeepSeekMath, arXiv 2402.03300; R1)
// and what later work changed. An answer is a document of the micro-batch; its rows with a weight are the tokens that
// were sampled. Of each row it reads the advantage A of the answer, log p of the policy that sampled the token (`old`),
// and, where the distance to a reference policy counts, log p of that (`reference`).
//
// With r = exp(log p - old), and l the log-ratios' mean over the answer's tokens:
//
//   kToken      -min(r A, clip(r, 1 - low, 1 + high) A)                       GRPO; DAPO's two bounds
//   kSequence   the same with r = exp(l) of the whole answer                  GSPO (arXiv 2507.18071)
//   kWeighted   -min(r, 1 + high) A log p, the weight taken as a constant     CISPO (arXiv 2506.13585)
//
// The distance adds kl_weight times, x = exp(reference - log p):
//
//   k3          x - log x - 1
//   unbiased    r (x - log x - 1), r not taken as a constant: its gradient is that of KL(policy | reference) itself
//   where
//               another policy sampled                                        DeepSeek-V3.2 (arXiv 2512.02556)
//
// off_policy_max leaves out the first term of answers with A < 0 and -l above it (V3.2 too).
//
// How losses of rows are averaged lies in their weights and the step's divisor (answer_weights below).
// All in double, in the order of the rows, from one rounding of each f32 signal; losses and factors are rounded once.
#pragma once

#include <optional>
#include <string>

#include "train/objective.h"

namespace naru::train {

enum class PolicyForm : uint8_t { kToken, kSequence, kWeighted };
enum class KlEstimator : uint8_t { kK3, kUnbiased };

struct PolicyOptions {
  double temperature = 1;  // of the policy, in the rollout and here
  PolicyForm form = PolicyForm::kToken;
  double clip_low = 0.2, clip_high = 0.2;  // >= 0; kWeighted has the upper one only
  double kl_weight = 0;                    // >= 0; 0: no reference is read
  KlEstimator kl = KlEstimator::kK3;
  std::optional<double> off_policy_max;
};

// Places of a row's signals in a micro-batch. kOnPolicy: 1 where the policy that is trained is the very one that
// sampled, 0 elsewhere; log p must then be the bits of `old`.
enum PolicySignal : size_t { kAdvantage, kOldLogProb, kOnPolicy, kReferenceLogProb };
inline constexpr size_t kPolicySignals = 3;  // without a reference

inline constexpr std::string_view kChangedToken = "log-probability of a rollout";

// Of the rows whose policy is the very one that sampled: kInternal where one has another log p now, with both;
// Error::failed has the row of the first, under kChangedToken.
Status check_on_policy(const data::MicroBatch& batch, std::span<const float> log_probs);
// Whether a log-probability has other bits than the rollout said.
bool is_changed(const data::MicroBatch& batch, std::span<const float> log_probs, size_t row);

class PolicyLoss final : public LogProbLoss {
 public:
  explicit PolicyLoss(const PolicyOptions& options) : options_(options) {}

  int64_t n_signals() const override { return static_cast<int64_t>(kPolicySignals) + (options_.kl_weight > 0 ? 1 : 0); }
  double temperature() const override { return options_.temperature; }
  // With check_on_policy().
  Status weigh(const data::MicroBatch& batch, std::span<const float> log_probs, std::span<float> losses,
               std::span<float> factors) const override;

  PolicyStatistics statistics(const data::MicroBatch& batch, std::span<const float> log_probs) const override;

 private:
  PolicyOptions options_;
};

// How rewards of a group's answers become advantages.
enum class AdvantageKind : uint8_t {
  kGroupStd,   // (r - mean) / (std + 1e-6), std over the group (divided by G): GRPO and R1
  kGroupMean,  // r - mean: Dr. GRPO (arXiv 2503.20783), which does not favour easy and hard questions
};

// As long as rewards; all 0 where the rewards are all the same: such a group teaches nothing.
std::vector<double> group_advantages(AdvantageKind kind, std::span<const double> rewards);

// What a token's loss counts, and what the sum over a batch is divided by.
enum class Averaging : uint8_t {
  kAnswerMean,  // mean over an answer's tokens, then over answers: GRPO
  kTokenMean,   // mean over all tokens of the batch: DAPO (arXiv 2503.14476)
  kConstant,    // sum over tokens / (answers x tokens_max): Dr. GRPO, blind to length
};

struct AnswerWeights {
  std::vector<float> of_token;  // of each answer's tokens
  double divisor = 1;
};
// Lengths in tokens, each above 0.
AnswerWeights answer_weights(Averaging averaging, std::span<const int64_t> lengths, int64_t tokens_max);

}  // namespace naru::train
