// The sampler against its header: every step by hand-computed examples, the whole against a naive reading of the text,
// the draws against the distribution, and log-probabilities against the chips' op.
#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "contract/rows.h"
#include "contract/scalar.h"
#include "engine/exp_row.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"
#include "tests/engine/harness.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace naru::engine {
namespace {

std::vector<float> make_logits(int64_t n, uint64_t seed, float spread) {
  std::vector<float> logits;
  for (int64_t i = 0; i < n; ++i) {
    const PhiloxBlock block = draw(seed, DrawPurpose::kTest, 1, static_cast<uint64_t>(i));
    // A coarse grid, so that there are many ties.
    logits.push_back(spread * (static_cast<float>(block[0] % 64) - 32.0f) / 32.0f);
  }
  return logits;
}

int32_t sample(std::span<const float> logits, const SamplingOptions& options, const TokenHistory& history = {},
               uint32_t which = 0, uint64_t position = 0) {
  Sampler sampler;
  const auto id = sampler.sample(logits, options, history, which, position);
  EXPECT_TRUE(id.ok()) << (id.ok() ? "" : id.error().message);
  return id.ok() ? *id : -1;
}

SamplingOptions greedy() {
  SamplingOptions options;
  options.temperature = 0;
  return options;
}

TEST(Sampler, GreedyTakesTheFirstByRank) {
  EXPECT_EQ(Sampler::argmax(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(Sampler::argmax(std::vector<float>{-0.0f, 0.0f}), 0);
  EXPECT_EQ(Sampler::argmax(std::vector<float>{0.0f, -0.0f}), 0);
  EXPECT_EQ(Sampler::argmax(std::vector<float>{-5}), 0);
  for (const size_t n : {15u, 16u, 17u, 31u, 32u, 100u}) {
    std::vector<float> logits(n, -7.0f);
    for (size_t i = 0; i < n; ++i) {
      logits[i] = static_cast<float>(i);
      EXPECT_EQ(Sampler::argmax(logits), static_cast<int32_t>(i)) << n;
    }
    logits[n / 2] = logits[n - 1];
    EXPECT_EQ(Sampler::argmax(logits), static_cast<int32_t>(n / 2)) << n;
  }
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SamplingOptions options = greedy();
    options.seed = seed;
    EXPECT_EQ(sample(std::vector<float>{1, 3, 3, 2}, options, {}, 1, seed), 1);
  }
}

// True where token 1 has exactly z = `wanted`: token 0, which nothing changes, wins a tie, and loses to anything more.
void expect_z(float logit, const SamplingOptions& options, const TokenHistory& history, float wanted) {
  const float below = std::nextafter(wanted, -INFINITY);
  EXPECT_EQ(sample(std::vector<float>{wanted, logit}, options, history), 0) << "z is above " << wanted;
  EXPECT_EQ(sample(std::vector<float>{below, logit}, options, history), 1) << "z is below " << wanted;
}

TEST(Sampler, PenaltiesAndBiasByHand) {
  TokenHistory fresh, prompted, used;
  prompted.add_prompt(std::vector<int32_t>{1, 1, 1});
  used.add_prompt(std::vector<int32_t>{1});
  used.add_generated(1);
  used.add_generated(1);
  SamplingOptions options = greedy();
  options.repetition_penalty = 2;
  expect_z(3, options, fresh, 3);
  expect_z(3, options, prompted, 1.5f);
  expect_z(-3, options, prompted, -6);
  expect_z(3, options, used, 1.5f);
  options.frequency_penalty = 0.5;
  options.presence_penalty = 0.25;
  expect_z(3, options, prompted, 1.5f);  // prompts do not count here
  expect_z(3, options, used, 1.5f - 2 * 0.5f - 0.25f);
  expect_z(-3, options, used, -6 - 2 * 0.5f - 0.25f);
  options.logit_bias = {{1, -4.0f}};
  expect_z(3, options, used, 1.5f - 2 * 0.5f - 0.25f - 4);
  expect_z(3, options, fresh, -1);
  options = greedy();
  options.frequency_penalty = -1;
  expect_z(1, options, used, 3);
}

TEST(Sampler, OverflowIsAnError) {
  SamplingOptions options = greedy();
  options.repetition_penalty = 0.01;
  TokenHistory history;
  history.add_prompt(std::vector<int32_t>{0});
  Sampler sampler;
  const auto id = sampler.sample(std::vector<float>{3e38f, 0.0f}, options, history, 0, 0);
  ASSERT_FALSE(id.ok());
  EXPECT_EQ(id.error().code, Code::kOutOfRange);
}

// The header's text, read literally: everything ranked, everything weighed.
int32_t naive_sample(std::span<const float> z, const SamplingOptions& options, uint32_t which, uint64_t position) {
  std::vector<int32_t> ranked(z.size());
  std::iota(ranked.begin(), ranked.end(), 0);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](int32_t a, int32_t b) { return z[static_cast<size_t>(a)] > z[static_cast<size_t>(b)]; });
  const float m = z[static_cast<size_t>(ranked[0])];
  const auto weight = [&](int32_t id) {
    const float d =
        contract::div(contract::sub(z[static_cast<size_t>(id)], m), static_cast<float>(options.temperature));
    return std::llrint(std::ldexp(static_cast<double>(contract::exp(d)), 40));
  };
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < ranked.size()) {
    ranked.resize(static_cast<size_t>(options.top_k));
  }
  int64_t total = 0;
  for (const int32_t id : ranked) total += weight(id);
  if (options.top_p < 1) {
    int64_t sum = 0;
    size_t n = 0;
    while (n < ranked.size() && (n == 0 || static_cast<double>(sum) < options.top_p * static_cast<double>(total))) {
      sum += weight(ranked[n++]);
    }
    ranked.resize(n);
  }
  std::erase_if(ranked, [&](int32_t id) { return static_cast<double>(weight(id)) < std::ldexp(options.min_p, 40); });
  std::sort(ranked.begin(), ranked.end());
  total = 0;
  for (const int32_t id : ranked) total += weight(id);
  const PhiloxBlock block = draw(options.seed, DrawPurpose::kSample, which, position);
  const auto random = static_cast<uint64_t>(block[0]) << 32 | block[1];
  __extension__ using Wide = unsigned __int128;
  const auto target = static_cast<int64_t>((static_cast<Wide>(random) * static_cast<uint64_t>(total)) >> 64);
  int64_t sum = 0;
  for (const int32_t id : ranked) {
    sum += weight(id);
    if (sum > target) return id;
  }
  return -1;
}

TEST(ExpRow, IsTheContractsExp) {
  std::vector<float> x;
  for (const float edge : {0.0f, -0.0f, -1e-45f, -1e-38f, -0x1p-126f, -1e-10f, -87.0f, -87.33654f, -87.4f, -88.0f,
                           -88.00001f, -89.0f, -1000.0f, -3e38f, -INFINITY}) {
    x.push_back(edge);
  }
  for (uint64_t i = 0; i < 400000; ++i) {
    const PhiloxBlock block = draw(21, DrawPurpose::kTest, 3, i);
    const float unit = static_cast<float>(block[0] >> 8) * 0x1p-24f;
    x.push_back(i % 4 == 0   ? -90.0f * unit
                : i % 4 == 1 ? -unit
                : i % 4 == 2 ? -86.5f - 2 * unit
                             : -std::bit_cast<float>(block[1] & 0x7f7fffffu));
  }
  std::vector<float> e(x.size());
  for (const float m : {0.0f, 3.25f}) {
    for (const float temperature : {1.0f, 0.7f, 1e-20f, 50.0f}) {
      for (float& value : x) value += m;
      exp_row(x.data(), static_cast<int64_t>(x.size()), m, temperature, e.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const float wanted = contract::exp(contract::div(contract::sub(x[i], m), temperature));
        ASSERT_EQ(std::bit_cast<uint32_t>(e[i]), std::bit_cast<uint32_t>(wanted))
            << x[i] << ' ' << m << ' ' << temperature;
      }
      for (float& value : x) value -= m;
    }
  }
}

TEST(Sampler, IsItsHeaderReadLiterally) {
  Sampler sampler;
  int64_t n_checked = 0;
  for (const int64_t n : {1, 2, 17, 97, 700, 5000}) {
    for (const float spread : {0.5f, 8.0f, 60.0f}) {
      const auto logits = make_logits(n, static_cast<uint64_t>(n), spread);
      for (const double temperature : {0.01, 0.7, 1.0, 5.0}) {
        for (const int64_t top_k : {0, 1, 2, 40, 6000}) {
          for (const double top_p : {1.0, 0.95, 0.5, 0.01, 0.0}) {
            for (const double min_p : {0.0, 0.05, 1.0}) {
              SamplingOptions options;
              options.temperature = temperature, options.top_k = top_k, options.top_p = top_p, options.min_p = min_p;
              options.seed = static_cast<uint64_t>(n_checked);
              const auto which = static_cast<uint32_t>(n_checked % 3);
              const auto position = static_cast<uint64_t>(n_checked) << 30;
              float log_prob = 1;
              const auto id = sampler.sample(logits, options, {}, which, position, &log_prob);
              ASSERT_TRUE(id.ok());
              ASSERT_EQ(std::bit_cast<uint32_t>(log_prob), std::bit_cast<uint32_t>(LogProbs(logits).of(*id)));
              ASSERT_EQ(*id, naive_sample(logits, options, which, position))
                  << n << " tokens, spread " << spread << ", T " << temperature << ", top_k " << top_k << ", top_p "
                  << top_p << ", min_p " << min_p;
              ++n_checked;
            }
          }
        }
      }
    }
  }
  EXPECT_GT(n_checked, 2000);
}

// Of the logits as the model says them, whatever penalties and biases make of them.
TEST(Sampler, TheLogProbabilityIsTheModels) {
  Sampler sampler;
  TokenHistory history;
  history.add_prompt(std::vector<int32_t>{3, 5});
  history.add_generated(5);
  for (const int64_t n : {17, 700}) {
    const auto logits = make_logits(n, 9, 3.0f);
    for (const int which : {0, 1, 2, 3}) {
      SamplingOptions options;
      if (which == 1) options.repetition_penalty = 1.5;
      if (which == 2) options.presence_penalty = 2.0;
      if (which == 3) options.logit_bias = {{4, 5.0f}};
      EXPECT_EQ(reads_history(options), which == 1 || which == 2);
      for (uint64_t position = 0; position < 20; ++position) {
        float log_prob = 1;
        const auto id = sampler.sample(logits, options, history, 0, position, &log_prob);
        ASSERT_TRUE(id.ok());
        EXPECT_EQ(std::bit_cast<uint32_t>(log_prob), std::bit_cast<uint32_t>(LogProbs(logits).of(*id))) << which;
      }
    }
  }
}

// Which tokens come up in many draws.
std::vector<int64_t> histogram(std::span<const float> logits, SamplingOptions options, int64_t n_draws) {
  std::vector<int64_t> counts(logits.size(), 0);
  Sampler sampler;
  for (int64_t i = 0; i < n_draws; ++i) {
    ++counts[static_cast<size_t>(*sampler.sample(logits, options, {}, 0, static_cast<uint64_t>(i)))];
  }
  return counts;
}

TEST(Sampler, DrawsFollowTheDistribution) {
  const std::vector<float> logits = {0.0f, 1.0f, -1.0f, 2.0f, -3.0f, 0.5f};
  for (const double temperature : {0.5, 1.0, 2.0}) {
    SamplingOptions options;
    options.temperature = temperature;
    options.seed = 99;
    constexpr int64_t kDraws = 60000;
    const auto counts = histogram(logits, options, kDraws);
    double total = 0, chi_squared = 0;
    for (const float x : logits) total += std::exp(static_cast<double>(x) / temperature);
    for (size_t i = 0; i < logits.size(); ++i) {
      const double wanted = kDraws * std::exp(static_cast<double>(logits[i]) / temperature) / total;
      chi_squared += (static_cast<double>(counts[i]) - wanted) * (static_cast<double>(counts[i]) - wanted) / wanted;
    }
    EXPECT_LT(chi_squared, 20.5) << "5 degrees of freedom, p = 0.001";
  }
}

TEST(Sampler, FiltersKeepWhatTheySay) {
  // Probabilities 0.5, 0.3, 0.15, 0.05 at ids 2, 0, 3, 1.
  const std::vector<float> logits = {std::log(0.3f), std::log(0.05f), std::log(0.5f), std::log(0.15f)};
  const auto kept = [&](SamplingOptions options) {
    std::string ids;
    const auto counts = histogram(logits, options, 3000);
    for (size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] > 0) ids += static_cast<char>('0' + i);
    }
    return ids;
  };
  SamplingOptions options;
  EXPECT_EQ(kept(options), "0123");
  options.top_k = 1;
  EXPECT_EQ(kept(options), "2");
  options.top_k = 3;
  EXPECT_EQ(kept(options), "023");
  options.top_k = 0, options.top_p = 0.79;
  EXPECT_EQ(kept(options), "02");
  options.top_p = 0.81;
  EXPECT_EQ(kept(options), "023");
  options.top_p = 0.001;
  EXPECT_EQ(kept(options), "2");
  options.top_p = 1, options.min_p = 0.5;
  EXPECT_EQ(kept(options), "02");
  options.min_p = 0.25;
  EXPECT_EQ(kept(options), "023");
  options.min_p = 1;
  EXPECT_EQ(kept(options), "2");
}

TEST(Sampler, ADrawBelongsToSeedSampleAndPosition) {
  const auto logits = make_logits(1000, 5, 2.0f);
  SamplingOptions options;
  options.seed = 1;
  const auto one = sample(logits, options, {}, 0, 0);
  EXPECT_EQ(sample(logits, options, {}, 0, 0), one);
  int64_t n_equal = 0;
  for (uint32_t i = 1; i <= 20; ++i) {
    n_equal += sample(logits, options, {}, i, 0) == one ? 1 : 0;
    n_equal += sample(logits, options, {}, 0, i) == one ? 1 : 0;
    options.seed = 1 + i;
    n_equal += sample(logits, options, {}, 0, 0) == one ? 1 : 0;
    options.seed = 1;
  }
  EXPECT_LT(n_equal, 6);
}

#if defined(__SSE__)
TEST(Sampler, TheFloatingPointModeChangesNothing) {
  const auto logits = make_logits(500, 6, 90.0f);
  SamplingOptions options;
  options.temperature = 0.9, options.top_p = 0.999;
  std::vector<int32_t> ids[2];
  const unsigned int saved = _mm_getcsr();
  for (int mode = 0; mode < 2; ++mode) {
    _mm_setcsr(mode == 0 ? saved : saved | 0x8040u);  // flush to zero, denormals are zero
    for (uint64_t i = 0; i < 200; ++i) ids[mode].push_back(sample(logits, options, {}, 0, i));
    ids[mode].push_back(static_cast<int32_t>(std::bit_cast<uint32_t>(LogProbs(logits).of(3))));
  }
  _mm_setcsr(saved);
  EXPECT_EQ(ids[0], ids[1]);
}
#endif

TEST(LogProbs, AreThoseOfTheOp) {
  for (const std::string name : {"reference", "cpu"}) {
    const auto chip = make_chip(name);
    for (const int64_t n : {1, 15, 97, 2047, 2049, 5000}) {
      auto logits = make_logits(n, 7, 50.0f);
      for (size_t i = 0; i < logits.size(); ++i) logits[i] += 1e-3f * static_cast<float>(i % 97);
      const LogProbs logprobs(logits);
      const auto buffer = chip->allocate(n * 4 + 128).value();
      const ChipAddress data = buffer->address();
      const View row = make_view(data + 128, DType::kF32, 1, n);
      const View target = make_view(data, DType::kI32, 1, 1);
      const View out = make_view(data + 64, DType::kF32, 1, 1);
      ASSERT_TRUE(chip->copy_in(row.address, logits.data(), n * 4).ok());
      for (int64_t i = 0; i < n; i += 1 + n / 10) {
        const auto id = static_cast<int32_t>(i);
        float wanted = 0;
        ASSERT_TRUE(chip->copy_in(target.address, &id, 4).ok());
        ASSERT_TRUE(chip->run(contract::LogProb{.logits = row, .targets = target, .out = out}).ok());
        ASSERT_TRUE(chip->wait().ok());
        ASSERT_TRUE(chip->copy_out(&wanted, out.address, 4).ok());
        EXPECT_EQ(std::bit_cast<uint32_t>(logprobs.of(id)), std::bit_cast<uint32_t>(wanted)) << n << ' ' << id;
      }
    }
  }
}

TEST(LogProbs, TheTopIsRanked) {
  const std::vector<float> logits = {1, 5, 3, 5, 2};
  const LogProbs logprobs(logits);
  const auto top = logprobs.top(3);
  ASSERT_EQ(top.size(), 3u);
  EXPECT_EQ(top[0].id, 1);
  EXPECT_EQ(top[1].id, 3);
  EXPECT_EQ(top[2].id, 2);
  EXPECT_EQ(top[0].logprob, logprobs.of(1));
  EXPECT_EQ(logprobs.top(0).size(), 0u);
  EXPECT_EQ(logprobs.top(100).size(), 5u);
  double sum = 0;
  for (int32_t id = 0; id < 5; ++id) sum += std::exp(static_cast<double>(logprobs.of(id)));
  EXPECT_NEAR(sum, 1.0, 1e-6);
}

TEST(SamplingOptions, LimitsAtAndBeyond) {
  const auto is_fine = [](auto change) {
    SamplingOptions options;
    change(options);
    const Status status = validate_sampling(options, 10);
    if (!status.ok()) {
      EXPECT_EQ(status.error().code, Code::kInvalidArgument);
    }
    return status.ok();
  };
  using O = SamplingOptions;
  EXPECT_TRUE(is_fine([](O&) {}));
  EXPECT_TRUE(is_fine([](O& o) { o.temperature = 1000; }));
  EXPECT_FALSE(is_fine([](O& o) { o.temperature = 1001; }));
  EXPECT_FALSE(is_fine([](O& o) { o.temperature = -0.1; }));
  EXPECT_FALSE(is_fine([](O& o) { o.temperature = NAN; }));
  EXPECT_FALSE(is_fine([](O& o) { o.top_k = -1; }));
  EXPECT_TRUE(is_fine([](O& o) { o.top_p = 0; }));
  EXPECT_FALSE(is_fine([](O& o) { o.top_p = -0.01; }));
  EXPECT_FALSE(is_fine([](O& o) { o.top_p = 1.01; }));
  EXPECT_FALSE(is_fine([](O& o) { o.top_p = NAN; }));
  EXPECT_FALSE(is_fine([](O& o) { o.min_p = 1.5; }));
  EXPECT_FALSE(is_fine([](O& o) { o.repetition_penalty = 0; }));
  EXPECT_FALSE(is_fine([](O& o) { o.presence_penalty = 101; }));
  EXPECT_FALSE(is_fine([](O& o) { o.frequency_penalty = INFINITY; }));
  EXPECT_TRUE(is_fine([](O& o) { o.logit_bias = {{0, -100.0f}, {9, 100.0f}}; }));
  EXPECT_FALSE(is_fine([](O& o) { o.logit_bias = {{10, 1.0f}}; }));
  EXPECT_FALSE(is_fine([](O& o) { o.logit_bias = {{-1, 1.0f}}; }));
  EXPECT_FALSE(is_fine([](O& o) { o.logit_bias = {{1, INFINITY}}; }));
  EXPECT_FALSE(is_fine([](O& o) { o.logit_bias = {{1, 1.0f}, {1, 2.0f}}; }));
}

TEST(SamplingOptions, FromAGenerationConfig) {
  formats::GenerationConfig config;
  EXPECT_EQ(sampling_from(config).temperature, 1.0);
  config.temperature = 0.6;
  config.top_p = 0.95;
  config.top_k = 20;
  EXPECT_EQ(sampling_from(config).temperature, 0.6);
  EXPECT_EQ(sampling_from(config).top_p, 0.95);
  EXPECT_EQ(sampling_from(config).top_k, 20);
  config.do_sample = false;
  EXPECT_EQ(sampling_from(config).temperature, 0.0);
}

}  // namespace
}  // namespace naru::engine
