#include "eval/text_scores.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/sampler.h"
#include "tests/engine/harness.h"

namespace naru::eval {
namespace {

using engine::EngineOptions;
using engine::fixture_model;
using engine::make_ids;
using engine::open_rig;
using engine::Rig;
using engine::small_options;

std::unique_ptr<ThreadPool> make_pool(int n) {
  auto pool = ThreadPool::create(n);
  EXPECT_TRUE(pool.ok());
  return std::move(pool).value();
}

TEST(Windows, EveryTokenIsScoredOnceWithContextBeforeIt) {
  for (const int64_t n_prefix : {0, 1, 2}) {
    for (int64_t n = 1; n < 40; ++n) {
      for (int64_t window = n_prefix + 2; window < 20; ++window) {
        for (int64_t stride = 1; stride < window - n_prefix; ++stride) {
          std::vector<int> n_scored(static_cast<size_t>(n), 0);
          for (const Window& one : windows_of(n, n_prefix, window, stride)) {
            ASSERT_LE(one.end - one.begin + n_prefix, window);
            ASSERT_LT(one.scored, one.end);
            ASSERT_GE(one.scored - one.begin + n_prefix, 1);  // something stands before every one
            for (int64_t token = one.scored; token < one.end; ++token) {
              ++n_scored[static_cast<size_t>(token)];
              ASSERT_GE(token - one.begin + n_prefix, std::min(token + n_prefix, window - stride));
            }
          }
          for (int64_t token = 0; token < n; ++token) {
            ASSERT_EQ(n_scored[static_cast<size_t>(token)], token > 0 || n_prefix > 0 ? 1 : 0) << token;
          }
        }
      }
    }
  }
}

// One forward pass a window, one row at a time.
double nats_by_hand(engine::Engine& engine, const ScoredText& text, int64_t window, int64_t stride) {
  double nats = 0;
  const auto n_prefix = static_cast<int64_t>(text.prefix.size());
  for (const Window& one : windows_of(std::ssize(text.ids), n_prefix, window, stride)) {
    std::vector<int32_t> ids(text.prefix.begin(), text.prefix.end());
    ids.insert(ids.end(), text.ids.begin() + one.begin, text.ids.begin() + one.end);
    const auto session = engine.new_session();
    const auto logits = engine.feed(*session, ids, std::ssize(ids));
    EXPECT_TRUE(logits.ok());
    for (int64_t token = one.scored; token < one.end; ++token) {
      nats -= engine::LogProbs(logits->row(n_prefix + token - one.begin - 1)).of(text.ids[static_cast<size_t>(token)]);
    }
  }
  return nats;
}

TEST(TextScores, AreTheSameInAnyPiecesAndThreads) {
  const std::vector<int32_t> ids = make_ids(90, 3, 97), prefix = {1};
  for (const bool has_prefix : {false, true}) {
    const ScoredText text{
        .ids = ids, .prefix = {prefix.data(), has_prefix ? 1u : 0u}, .n_bytes = 300, .first_bytes = 4};
    std::optional<TextScores> first;
    for (const int64_t chunk : {1, 7, 512}) {
      for (const int n_threads : {1, 2}) {
        const Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(40, 1, chunk));
        const Rig other = open_rig(fixture_model("qwen2-gqa"), "cpu", small_options(40, 1, chunk));
        TextScores scores;
        const auto pool = make_pool(n_threads);
        ASSERT_TRUE(score_text(*rig, other.engine.get(), text, {.window = 32, .stride = 12}, *pool, scores).ok());
        if (!first) first = scores;
        EXPECT_EQ(scores.model.nats, first->model.nats);
        EXPECT_EQ(scores.other.nats, first->other.nats);
        EXPECT_EQ(scores.divergence, first->divergence);
        EXPECT_EQ(scores.n_same_top, first->n_same_top);
        EXPECT_EQ(scores.model.n_tokens, has_prefix ? 90 : 89);
        EXPECT_EQ(scores.model.n_bytes, has_prefix ? 300 : 296);
        EXPECT_EQ(scores.model.nats, nats_by_hand(*rig, text, 32, 12));
        EXPECT_EQ(scores.other.nats, nats_by_hand(*other, text, 32, 12));
      }
    }
  }
}

// transformers in float64 (tools/oracle/compare_eval.py).
TEST(TextScores, AreThoseOfTheOfficialModels) {
  std::ifstream file(std::string(NARU_TEST_DATA) + "/eval/text_scores.json");
  const auto fixture = nlohmann::json::parse(file);
  const std::vector<int32_t> ids = fixture["ids"];
  EngineOptions options = small_options(40, 1);
  options.load.compute = contract::ComputeMode::kF32;
  const Rig rig = open_rig(fixture_model(fixture["models"][0]), "cpu", options);
  const Rig other = open_rig(fixture_model(fixture["models"][1]), "cpu", options);
  for (const auto& wanted : fixture["texts"]) {
    const std::vector<int32_t> prefix = wanted["prefix"];
    const ScoredText text{.ids = ids, .prefix = prefix, .n_bytes = 0, .first_bytes = 0};
    const TextNeeds needs{.window = fixture["window"], .stride = fixture["stride"]};
    TextScores scores;
    ASSERT_TRUE(score_text(*rig, other.engine.get(), text, needs, *make_pool(1), scores).ok());
    EXPECT_EQ(scores.model.n_tokens, wanted["tokens"]);
    EXPECT_EQ(scores.n_same_top, wanted["same_top"]);
    const double nats = wanted["nats"][0], other_nats = wanted["nats"][1], divergence = wanted["kl"];
    EXPECT_NEAR(scores.model.nats, nats, 1e-5 * nats);
    EXPECT_NEAR(scores.other.nats, other_nats, 1e-5 * other_nats);
    EXPECT_NEAR(scores.divergence, divergence, 1e-5 * divergence);
    EXPECT_NEAR(scores.model.perplexity(), std::exp(nats / wanted["tokens"].get<double>()), 1e-3);
  }
}

TEST(TextScores, AModelIsNoDifferentFromItself) {
  const std::vector<int32_t> ids = make_ids(50, 4, 96);
  const Rig rig = open_rig(fixture_model("v3-f32"), "cpu", small_options(40, 1));
  const Rig other = open_rig(fixture_model("v3-f32"), "cpu", small_options(40, 1));
  TextScores scores;
  const ScoredText text{.ids = ids, .prefix = {}, .n_bytes = 100, .first_bytes = 1};
  ASSERT_TRUE(score_text(*rig, other.engine.get(), text, {.window = 32, .stride = 16}, *make_pool(1), scores).ok());
  EXPECT_EQ(scores.divergence, 0);
  EXPECT_EQ(scores.n_same_top, 49);
  EXPECT_EQ(scores.model.nats, scores.other.nats);
}

TEST(TextScores, WhatWasDoneIsKnownWhereItIsStopped) {
  const std::vector<int32_t> ids = make_ids(90, 5, 97);
  const Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(40, 1));
  TextScores scores;
  const ScoredText text{.ids = ids, .prefix = {}, .n_bytes = 100, .first_bytes = 1};
  const auto stops = [](int64_t done, int64_t total) {
    EXPECT_EQ(total, 89);
    return done < 40;
  };
  const Status status =
      score_text(*rig, nullptr, text, {.window = 32, .stride = 16, .progress = stops}, *make_pool(1), scores);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kCancelled);
  EXPECT_GE(scores.model.n_tokens, 40);
  EXPECT_LT(scores.model.n_tokens, 89);
  EXPECT_GT(scores.model.perplexity(), 1);
}

TEST(TextScores, DivergenceIsItsFormula) {
  const std::vector<float> p = {0.5f, -1, 2, 80, 79.5f}, q = {1, 1, 1, 3, -200};
  double p_sum = 0, q_sum = 0, wanted = 0;
  for (const float x : p) p_sum += std::exp(double{x} - 80);
  for (const float x : q) q_sum += std::exp(double{x} - 3);
  for (size_t i = 0; i < p.size(); ++i) {
    const double log_p = double{p[i]} - 80 - std::log(p_sum), log_q = double{q[i]} - 3 - std::log(q_sum);
    wanted += std::exp(log_p) * (log_p - log_q);
  }
  EXPECT_NEAR(divergence_of(p, q), wanted, 1e-12 * wanted);
  EXPECT_EQ(divergence_of(p, p), 0);
}

}  // namespace
}  // namespace naru::eval
