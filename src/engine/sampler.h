// Sampling: from one row of logits to a token. Pure and on the host: the same logits, options, history and position
// give the same token on every machine, whatever else runs.
//
// Order of operations (x: the model's logits; every f32 operation is that of contract/scalar.h):
//  1. z = x. For each token of the history (prompt and generated): z = z > 0 ? z / repetition : z * repetition.
//     For each generated token: z = fma(-f32(its count), frequency, z), then z = z - presence. For each biased token:
//     z = z + bias. A step whose option is neutral (1, 0, none) is not done. Last, where the answer is constrained
//     (constraint.h), z = -infinity for each token that may not come: it is never chosen.
//  2. Tokens are ranked by z descending, ties by ascending id (docs/arithmetic.md section 1). Temperature 0: the
//     first one is the answer, and nothing below happens.
//  3. d = (z - m) / temperature, m the largest z. Weight q = the integer nearest (ties to even) to exp(d) * 2^40.
//     Sums of weights are integer sums: exact, so their order does not matter. A token below 2^-41 of the first is
//     never drawn.
//  4. Kept are the ranked tokens up to: the first top_k; then the fewest whose q sum to at least top_p times the
//     sum over those (compared in double); then those with q >= min_p * 2^40 (in double). Always at least one.
//  5. One Philox block of (seed; kSample, sample, position): its first 64 bits u pick t = floor(u * sum / 2^64),
//     exactly; the answer is the first kept token, in ascending id order, at which the running sum of q exceeds t.
// Log-probabilities are of x, not of z: what the model says, by the arithmetic of the LogProb op; or, where asked for,
// of the distribution of step 5.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"

namespace naru::formats {
struct GenerationConfig;
}

namespace naru::engine {

struct SamplingOptions {
  double temperature = 1.0;                           // [0, 1000]; 0 (also below 2^-126): greedy
  int64_t top_k = 0;                                  // >= 0; 0: off
  double top_p = 1.0;                                 // [0, 1]; 1: off; 0: the first alone
  double min_p = 0.0;                                 // [0, 1]; 0: off
  double repetition_penalty = 1.0;                    // [0.01, 100]; 1: off
  double presence_penalty = 0.0;                      // [-100, 100]; 0: off
  double frequency_penalty = 0.0;                     // [-100, 100]; 0: off
  std::vector<std::pair<int32_t, float>> logit_bias;  // each id once, bias finite
  uint64_t seed = 0;
};

// kInvalidArgument, naming the option, what was given and what may be.
Status validate_sampling(const SamplingOptions& options, int64_t vocab);

// Whether tokens are dropped before one is drawn.
bool truncates(const SamplingOptions& options, int64_t vocab);

// The options that the model's makers advise, ours where they say nothing; greedy where do_sample is false.
SamplingOptions sampling_from(const formats::GenerationConfig& config);

// Whether anything is asked for that counts the tokens of the history.
bool reads_history(const SamplingOptions& options);

// Which tokens a sequence holds, as penalties count them.
class TokenHistory {
 public:
  void add_prompt(std::span<const int32_t> ids);
  void add_generated(int32_t id);
  // Every token of the sequence, and how often it was generated.
  const std::unordered_map<int32_t, int32_t>& counts() const { return counts_; }

 private:
  std::unordered_map<int32_t, int32_t> counts_;
};

struct TokenLogProb {
  int32_t id = 0;
  float logprob = 0;
};

// Chooses tokens; holds room to work in, and no state that a result depends on.
class Sampler {
 public:
  // `sample`: which of several answers to one prompt this is. `position`: the place of the token in its sequence.
  // kOutOfRange where penalties or biases take the largest z out of f32's range. `log_prob`, where it is asked for: the
  // token's log-probability (LogProbs has those of others). `allowed`, where the answer is constrained: a bit a token
  // (ConstraintState::allowed()), of which one at least is set; empty: all may come.
  Result<int32_t> sample(std::span<const float> logits, const SamplingOptions& options, const TokenHistory& history,
                         uint32_t sample, uint64_t position, float* log_prob = nullptr,
                         std::span<const uint64_t> allowed = {});

  // Of the token that sample() gave last: its log-probability in the distribution that it was drawn from, all of the
  // steps above (kept_softmax.h), and the tokens that were kept, ascending.
  float log_prob() const;
  std::vector<int32_t> kept() const;

  // The first by rank: what temperature 0 without penalties chooses.
  static int32_t argmax(std::span<const float> logits);

 private:
  // A token of adjusted logits, m the largest.
  int32_t choose(std::span<const float> z, float m, const SamplingOptions& options, uint32_t sample, uint64_t position);
  // The logits after step 1: themselves where nothing is asked for.
  std::span<const float> adjust(std::span<const float> logits, const SamplingOptions& options,
                                const TokenHistory& history, std::span<const uint64_t> allowed);
  // The exps of all tokens, and where some are dropped (is_cut_) the weights; those that top_p drops are zero.
  void weigh_all(std::span<const float> z, float m, const SamplingOptions& options);
  uint64_t weight_of(size_t id) const;  // of one of all tokens
  void cut_top_p(std::span<const float> z, float m, double top_p);
  // The weights of the top_k tokens that top_p keeps, and which they are, by ascending id.
  void weigh_ranked(std::span<const float> z, float m, const SamplingOptions& options);
  int32_t draw_from_all(double min_p, uint64_t random);
  int32_t draw_from_ranked(double min_p, uint64_t random);

  std::vector<float> z_;
  std::vector<float> z_ranked_;
  std::vector<float> e_;
  std::vector<uint64_t> weights_;  // by id; of ranked tokens only where top_k is on; of none where nothing is cut
  std::vector<uint64_t> sums_;     // of runs of weights, by id
  std::vector<int32_t> ranked_;
  struct Drawn {
    float z = 0, m = 0, temperature = 1;
    uint64_t total = 0;  // of the weights
  };
  Drawn drawn_;
  bool is_cut_ = false;             // tokens were dropped by top_p or min_p
  bool is_drawn_from_all_ = false;  // kept are those with a weight; else ranked_
};

// Log-probabilities of one row, by the arithmetic of the LogProb op.
class LogProbs {
 public:
  // Finite logits, which must stay as long as this.
  explicit LogProbs(std::span<const float> logits);
  float of(int32_t id) const;
  // The n best, by rank.
  std::vector<TokenLogProb> top(int64_t n) const;

 private:
  std::span<const float> logits_;
  float m_ = 0;
  float log_l_ = 0;
};

}  // namespace naru::engine
