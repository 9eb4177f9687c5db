#include "engine/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "base/philox.h"
#include "contract/rows.h"
#include "contract/scalar.h"
#include "engine/exp_row.h"
#include "engine/kept_softmax.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"

namespace naru::engine {
namespace {

Status check_range(std::string_view name, double value, double low, double high) {
  if (value >= low && value <= high) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("sampling: {} is {}, but must be between {} and {}", name, value, low, high)};
}

bool ranks_before(const float* z, int32_t a, int32_t b) {
  return contract::ranks_before(z[a], a, z[b], b);
}

// The n first of z by rank, in order of rank: one pass that keeps up to 2n candidates, thinned when full.
void select_first(std::span<const float> z, int64_t n, std::vector<int32_t>& ranked) {
  const auto before = [&](int32_t a, int32_t b) { return ranks_before(z.data(), a, b); };
  const auto wanted = static_cast<size_t>(std::min(n, static_cast<int64_t>(z.size())));
  ranked.clear();
  float least = 0;  // of the n best so far; what is below it cannot be among them
  bool has_least = false;
  for (size_t i = 0; i < z.size(); ++i) {
    if (has_least && !(z[i] > least)) continue;  // equal: ranks behind, its id is larger
    ranked.push_back(static_cast<int32_t>(i));
    if (ranked.size() < 2 * wanted) continue;
    std::nth_element(ranked.begin(), ranked.begin() + static_cast<int64_t>(wanted) - 1, ranked.end(), before);
    ranked.resize(wanted);
    least = z[static_cast<size_t>(ranked.back())];
    has_least = true;
  }
  const size_t n_kept = std::min(wanted, ranked.size());
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<int64_t>(n_kept), ranked.end(), before);
  ranked.resize(n_kept);
}

// Buckets of equal width of m - z, the last one open: an order of z in which only one bucket need be ranked.
constexpr int64_t kBuckets = 1024;
int64_t bucket_of(float z, float m) {
  const float distance = contract::mul(contract::sub(m, z), 32.0f);
  return distance < static_cast<float>(kBuckets - 1) ? static_cast<int64_t>(distance) : kBuckets - 1;
}

// log of the sum of exp(logits - m), of which `e` are the terms.
float log_sum(const std::vector<float>& e) {
  return contract::log(sum_exps(e.data(), std::ssize(e)));
}

// Whether only the first tokens by rank are weighed.
bool is_ranked(const SamplingOptions& options, size_t n_tokens) {
  return options.top_k > 0 && options.top_k < static_cast<int64_t>(n_tokens);
}

// Takes the tokens without a bit out of the choice.
void drop_others(std::span<const uint64_t> allowed, std::vector<float>& z) {
  NARU_CHECK(allowed.size() == (z.size() + 63) / 64, allowed.size(), z.size());
  for (size_t begin = 0; begin < z.size(); begin += 64) {
    const uint64_t bits = allowed[begin / 64];
    if (bits == ~uint64_t{0}) continue;
    const size_t end = std::min(z.size(), begin + 64);
    for (size_t i = begin; i < end; ++i) {
      if ((bits >> (i - begin) & 1) == 0) z[i] = -std::numeric_limits<float>::infinity();
    }
  }
}

// floor(random * total / 2^64)
uint64_t scale_random(uint64_t random, uint64_t total) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(random) * total) >> 64);
}

}  // namespace

Status validate_sampling(const SamplingOptions& options, int64_t vocab) {
  NARU_TRY(check_range("the temperature", options.temperature, 0, 1000));
  NARU_TRY(check_range("top_k", static_cast<double>(options.top_k), 0, 0x1p53));
  NARU_TRY(check_range("top_p", options.top_p, 0, 1));
  NARU_TRY(check_range("min_p", options.min_p, 0, 1));
  NARU_TRY(check_range("the repetition penalty", options.repetition_penalty, 0.01, 100));
  NARU_TRY(check_range("the presence penalty", options.presence_penalty, -100, 100));
  NARU_TRY(check_range("the frequency penalty", options.frequency_penalty, -100, 100));
  std::set<int32_t> seen;
  for (const auto& [id, bias] : options.logit_bias) {
    if (id < 0 || id >= vocab) {
      return Error{Code::kInvalidArgument,
                   fmt::format("sampling: a bias for id {}, but ids are 0 to {}", id, vocab - 1)};
    }
    if (!std::isfinite(bias) || !seen.insert(id).second) {
      return Error{Code::kInvalidArgument,
                   fmt::format("sampling: the bias for id {} is {}; give each id one finite number", id, bias)};
    }
  }
  return {};
}

bool truncates(const SamplingOptions& options, int64_t vocab) {
  return (options.top_k > 0 && options.top_k < vocab) || options.top_p < 1 || options.min_p > 0;
}

SamplingOptions sampling_from(const formats::GenerationConfig& config) {
  SamplingOptions options;
  options.temperature = config.temperature.value_or(options.temperature);
  options.top_k = config.top_k.value_or(options.top_k);
  options.top_p = config.top_p.value_or(options.top_p);
  options.min_p = config.min_p.value_or(options.min_p);
  options.repetition_penalty = config.repetition_penalty.value_or(options.repetition_penalty);
  if (config.do_sample.has_value() && !*config.do_sample) options.temperature = 0;
  return options;
}

bool reads_history(const SamplingOptions& options) {
  return static_cast<float>(options.repetition_penalty) != 1.0f ||
         static_cast<float>(options.frequency_penalty) != 0.0f || static_cast<float>(options.presence_penalty) != 0.0f;
}

void TokenHistory::add_prompt(std::span<const int32_t> ids) {
  for (const int32_t id : ids) counts_.try_emplace(id, 0);
}

void TokenHistory::add_generated(int32_t id) {
  ++counts_[id];
}

int32_t Sampler::argmax(std::span<const float> logits) {
  NARU_CHECK(!logits.empty());
  const float largest = largest_of(logits);
  const auto place = std::find(logits.begin(), logits.end(), largest);
  return place == logits.end() ? 0 : static_cast<int32_t>(place - logits.begin());
}

std::span<const float> Sampler::adjust(std::span<const float> logits, const SamplingOptions& options,
                                       const TokenHistory& history, std::span<const uint64_t> allowed) {
  const auto repetition = static_cast<float>(options.repetition_penalty);
  const auto frequency = static_cast<float>(options.frequency_penalty);
  const auto presence = static_cast<float>(options.presence_penalty);
  const bool is_penalised = reads_history(options);
  if (!is_penalised && options.logit_bias.empty() && allowed.empty()) return logits;
  z_.assign(logits.begin(), logits.end());
  if (is_penalised) {
    for (const auto& [id, n_generated] : history.counts()) {
      if (id < 0 || static_cast<size_t>(id) >= z_.size()) continue;
      float& z = z_[static_cast<size_t>(id)];
      if (repetition != 1.0f) z = z > 0.0f ? contract::div(z, repetition) : contract::mul(z, repetition);
      if (n_generated == 0) continue;
      if (frequency != 0.0f) z = contract::fma(-static_cast<float>(n_generated), frequency, z);
      if (presence != 0.0f) z = contract::sub(z, presence);
    }
  }
  for (const auto& [id, bias] : options.logit_bias) {
    z_[static_cast<size_t>(id)] = contract::add(z_[static_cast<size_t>(id)], bias);
  }
  if (!allowed.empty()) drop_others(allowed, z_);
  return z_;
}

Result<int32_t> Sampler::sample(std::span<const float> logits, const SamplingOptions& options,
                                const TokenHistory& history, uint32_t sample, uint64_t position, float* log_prob,
                                std::span<const uint64_t> allowed) {
  const std::span<const float> z = adjust(logits, options, history, allowed);
  NARU_CHECK(!z.empty());
  const float m = contract::add(largest_of(z), 0.0f);
  if (!std::isfinite(m)) {
    return Error{Code::kOutOfRange,
                 fmt::format("sampling: with penalties and biases the largest logit is {}; use smaller ones", m)};
  }
  const int32_t id = choose(z, m, options, sample, position);
  if (log_prob == nullptr) return id;
  // At temperature 1 the exps of all tokens are here already.
  const bool is_summed = z.data() == logits.data() && static_cast<float>(options.temperature) == 1.0f &&
                         !is_ranked(options, logits.size());
  *log_prob = is_summed ? contract::sub(contract::sub(logits[static_cast<size_t>(id)], m), log_sum(e_))
                        : LogProbs(logits).of(id);
  return id;
}

int32_t Sampler::choose(std::span<const float> z, float m, const SamplingOptions& options, uint32_t sample,
                        uint64_t position) {
  const float temperature = contract::flush(static_cast<float>(options.temperature));
  is_drawn_from_all_ = false;
  if (temperature == 0.0f) {
    const int32_t first = argmax(z);
    drawn_ = {.z = m, .m = m, .temperature = 1, .total = static_cast<uint64_t>(kTokenWeightOne)};
    ranked_.assign(1, first);
    return first;
  }
  const PhiloxBlock block = draw(options.seed, DrawPurpose::kSample, sample, position);
  const uint64_t random = static_cast<uint64_t>(block[0]) << 32 | block[1];
  if (is_ranked(options, z.size())) {
    weigh_ranked(z, m, options);
  } else {
    weigh_all(z, m, options);
    is_drawn_from_all_ = true;
  }
  const int32_t id =
      is_drawn_from_all_ ? draw_from_all(options.min_p, random) : draw_from_ranked(options.min_p, random);
  drawn_.z = z[static_cast<size_t>(id)];
  drawn_.m = m;
  drawn_.temperature = temperature;
  return id;
}

void Sampler::weigh_all(std::span<const float> z, float m, const SamplingOptions& options) {
  e_.resize(z.size());
  exp_row(z.data(), static_cast<int64_t>(z.size()), m, static_cast<float>(options.temperature), e_.data());
  is_cut_ = options.top_p < 1.0 || options.min_p > 0;
  if (!is_cut_) return;
  weights_.resize(z.size());
  for (size_t i = 0; i < z.size(); ++i) weights_[i] = token_weight(e_[i]);
  if (options.top_p < 1.0) cut_top_p(z, m, options.top_p);
}

uint64_t Sampler::weight_of(size_t id) const {
  return is_cut_ ? weights_[id] : token_weight(e_[id]);
}

void Sampler::cut_top_p(std::span<const float> z, float m, double top_p) {
  std::array<uint64_t, kBuckets> sums{};
  for (size_t i = 0; i < z.size(); ++i) sums[static_cast<size_t>(bucket_of(z[i], m))] += weights_[i];
  const double enough = top_p * static_cast<double>(std::accumulate(sums.begin(), sums.end(), uint64_t{0}));
  // The bucket in which the cut falls: all before it are kept, all behind it dropped.
  uint64_t sum = 0;
  int64_t cut = 0;
  while (cut < kBuckets - 1 && static_cast<double>(sum + sums[static_cast<size_t>(cut)]) < enough) {
    sum += sums[static_cast<size_t>(cut++)];
  }
  ranked_.clear();
  for (size_t i = 0; i < z.size(); ++i) {
    const int64_t bucket = bucket_of(z[i], m);
    if (bucket == cut) ranked_.push_back(static_cast<int32_t>(i));
    if (bucket > cut) weights_[i] = 0;
  }
  std::sort(ranked_.begin(), ranked_.end(), [&](int32_t a, int32_t b) { return ranks_before(z.data(), a, b); });
  bool is_first = cut == 0;
  for (const int32_t id : ranked_) {
    uint64_t& q = weights_[static_cast<size_t>(id)];
    if (!is_first && static_cast<double>(sum) >= enough) q = 0;
    sum += q;
    is_first = false;
  }
}

void Sampler::weigh_ranked(std::span<const float> z, float m, const SamplingOptions& options) {
  select_first(z, options.top_k, ranked_);
  std::erase_if(ranked_, [&](int32_t id) { return std::isinf(z[static_cast<size_t>(id)]); });  // not allowed
  z_ranked_.clear();
  for (const int32_t id : ranked_) z_ranked_.push_back(z[static_cast<size_t>(id)]);
  e_.resize(ranked_.size());
  exp_row(z_ranked_.data(), static_cast<int64_t>(z_ranked_.size()), m, static_cast<float>(options.temperature),
          e_.data());
  weights_.resize(z.size());
  uint64_t total = 0;
  for (size_t i = 0; i < ranked_.size(); ++i) total += weights_[static_cast<size_t>(ranked_[i])] = token_weight(e_[i]);
  if (options.top_p < 1.0) {
    const double enough = options.top_p * static_cast<double>(total);
    uint64_t sum = 0;
    size_t n = 0;
    while (n < ranked_.size() && (n == 0 || static_cast<double>(sum) < enough)) {
      sum += weights_[static_cast<size_t>(ranked_[n++])];
    }
    ranked_.resize(n);
  }
  std::sort(ranked_.begin(), ranked_.end());
}

float Sampler::log_prob() const {
  return drawn_log_prob(drawn_.z, drawn_.m, drawn_.temperature, drawn_.total);
}

std::vector<int32_t> Sampler::kept() const {
  std::vector<int32_t> ids;
  if (!is_drawn_from_all_) return ranked_;
  for (size_t i = 0; i < e_.size(); ++i) {
    if (weight_of(i) > 0) ids.push_back(static_cast<int32_t>(i));
  }
  return ids;
}

int32_t Sampler::draw_from_all(double min_p, uint64_t random) {
  const double least = min_p * kTokenWeightOne;
  if (least > 0) {
    for (uint64_t& q : weights_) q = static_cast<double>(q) < least ? 0 : q;
  }
  constexpr size_t kRun = kWeightRun;
  const size_t n = e_.size();
  sums_.assign((n + kRun - 1) / kRun, 0);
  if (is_cut_) {
    for (size_t i = 0; i < n; ++i) sums_[i / kRun] += weights_[i];
  } else {
    sum_weights(e_.data(), static_cast<int64_t>(n), sums_.data());
  }
  const uint64_t total = std::accumulate(sums_.begin(), sums_.end(), uint64_t{0});
  drawn_.total = total;
  const uint64_t target = scale_random(random, total);
  uint64_t sum = 0;
  size_t run = 0;
  while (sum + sums_[run] <= target) sum += sums_[run++];
  for (size_t i = run * kRun; i < n; ++i) {
    sum += weight_of(i);
    if (sum > target) return static_cast<int32_t>(i);
  }
  NARU_CHECK(false, sum, target);
}

int32_t Sampler::draw_from_ranked(double min_p, uint64_t random) {
  const double least = min_p * kTokenWeightOne;
  std::erase_if(ranked_, [&](int32_t id) { return static_cast<double>(weights_[static_cast<size_t>(id)]) < least; });
  uint64_t total = 0;
  for (const int32_t id : ranked_) total += weights_[static_cast<size_t>(id)];
  drawn_.total = total;
  const uint64_t target = scale_random(random, total);
  uint64_t sum = 0;
  for (const int32_t id : ranked_) {
    sum += weights_[static_cast<size_t>(id)];
    if (sum > target) return id;
  }
  NARU_CHECK(false, sum, target);
}

LogProbs::LogProbs(std::span<const float> logits) : logits_(logits) {
  const auto n = static_cast<int64_t>(logits.size());
  NARU_CHECK(n > 0);
  m_ = contract::add(largest_of(logits), 0.0f);
  std::vector<float> e(logits.size());
  exp_row(logits.data(), n, m_, 1.0f, e.data());
  log_l_ = log_sum(e);
}

float LogProbs::of(int32_t id) const {
  return contract::sub(contract::sub(logits_[static_cast<size_t>(id)], m_), log_l_);
}

std::vector<TokenLogProb> LogProbs::top(int64_t n) const {
  std::vector<TokenLogProb> best;
  if (n <= 0) return best;
  std::vector<int32_t> ranked;
  select_first(logits_, n, ranked);
  for (const int32_t id : ranked) best.push_back({id, of(id)});
  return best;
}

}  // namespace naru::engine
