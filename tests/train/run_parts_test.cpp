// Runs made of other parts than usual: batches that depend on the weights, an objective of log-probabilities, and what
// several processes say to each other. However a run is killed, it ends in the same weights.
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/philox.h"
#include "runs/run_folder.h"
#include "tests/train/grpo_rig.h"
#include "tests/train/peers.h"
#include "train/checkpoint.h"
#include "train/gradient_sum.h"
#include "train/micro_sums.h"
#include "train/training_model_files.h"

namespace naru::train {
namespace {

using Json = nlohmann::json;

// ---- batches that depend on the weights

// The ratio of the model to the one that was asked, times the advantage.
class RatioLoss : public LogProbLoss {
 public:
  int64_t n_signals() const override { return 2; }
  Status weigh(const data::MicroBatch& batch, std::span<const float> log_probs, std::span<float> losses,
               std::span<float> factors) const override {
    for (size_t i = 0; i < log_probs.size(); ++i) {
      const double ratio = std::exp(static_cast<double>(log_probs[i]) - static_cast<double>(batch.signals[1][i]));
      factors[i] = static_cast<float>(ratio * static_cast<double>(batch.signals[0][i]));
      losses[i] = -factors[i];
    }
    return {};
  }
};

// Every second step the model says what it thinks of a document, and two steps are taken on that: the advantage of a
// token is how much likelier than the document's mean it was. `fails_at`: the power goes before that step.
class AskedBatches : public BatchSource {
 public:
  explicit AskedBatches(data::BatchStream stream, const recipes::Recipe& recipe, int64_t fails_at)
      : documents_(std::move(stream), recipe.data), fails_at_(fails_at) {}

  data::StreamRecord record() const override { return documents_.record(); }
  int64_t steps_per_epoch() const override { return documents_.steps_per_epoch(); }
  bool has_conversations() const override { return documents_.has_conversations(); }
  Result<TrainingRoom> largest(int64_t n_steps, const std::function<bool()>& should_stop) override {
    return documents_.largest(n_steps, should_stop);
  }

  Result<data::StepBatch> step(int64_t step, const ModelNow& now) override {
    if (step == fails_at_) return Error{Code::kUnavailable, "the power went"};
    if (step / 2 != asked_at_) {
      NARU_ASSIGN(data::StepBatch batch, documents_.step(step, now));
      for (data::MicroBatch& micro : batch.micro_batches) NARU_TRY(ask(micro, now.model));
      asked_ = std::move(batch);
      asked_at_ = step / 2;
      ++n_asked;
    }
    return asked_;
  }
  // What was asked last, where a step is left to take on it.
  std::string kept(int64_t next_step) const override {
    if (next_step / 2 != asked_at_) return {};
    Json micro_batches = Json::array();
    for (const data::MicroBatch& micro : asked_.micro_batches) {
      Json documents = Json::array();
      for (const data::DocumentRows& d : micro.documents) documents.push_back({d.row_begin, d.n_rows});
      micro_batches.push_back({{"ids", micro.ids},
                               {"positions", micro.positions},
                               {"targets", micro.targets},
                               {"weights", micro.weights},
                               {"signals", micro.signals},
                               {"documents", documents}});
    }
    const std::vector<uint8_t> bytes = Json::to_cbor(Json{{"asked_at", asked_at_},
                                                          {"n_tokens", asked_.n_tokens},
                                                          {"divisor", asked_.divisor},
                                                          {"micro_batches", micro_batches}});
    return {bytes.begin(), bytes.end()};
  }
  Status restore(int64_t step, std::string_view kept) override {
    asked_at_ = -1;
    asked_ = {};
    if (kept.empty()) return {};
    const Json json = Json::from_cbor(kept);
    asked_at_ = json["asked_at"];
    EXPECT_LE(asked_at_, step / 2);
    asked_.n_tokens = json["n_tokens"];
    asked_.divisor = json["divisor"];
    for (const Json& one : json["micro_batches"]) {
      data::MicroBatch& micro = asked_.micro_batches.emplace_back();
      micro.ids = one["ids"].get<std::vector<int32_t>>();
      micro.positions = one["positions"].get<std::vector<int32_t>>();
      micro.targets = one["targets"].get<std::vector<int32_t>>();
      micro.weights = one["weights"].get<std::vector<float>>();
      micro.signals = one["signals"].get<std::vector<std::vector<float>>>();
      for (const Json& d : one["documents"]) micro.documents.push_back({d[0], d[1]});
    }
    return {};
  }

  static inline std::atomic<int64_t> n_asked = 0;

 private:
  static Status ask(data::MicroBatch& micro, TrainableModel& model) {
    NARU_ASSIGN(const auto says, model.run(micro, {}, nullptr));
    double mean = 0;
    for (const float loss : says.losses) mean += static_cast<double>(loss) / static_cast<double>(says.losses.size());
    micro.signals.assign(2, std::vector<float>(micro.ids.size()));
    for (size_t i = 0; i < micro.ids.size(); ++i) {
      micro.signals[0][i] = static_cast<float>(mean - static_cast<double>(says.losses[i]));
      micro.signals[1][i] = -says.losses[i];
    }
    return {};
  }

  DocumentBatches documents_;
  int64_t fails_at_;
  int64_t asked_at_ = -1;  // step / 2
  data::StepBatch asked_;
};

TrainerParts asked_parts(const TrainerRig& rig, int64_t fails_at = -1) {
  TrainerParts parts;
  parts.objective = std::shared_ptr<const LogProbLoss>(std::make_shared<RatioLoss>());
  parts.batches = [&rig, fails_at](const recipes::Recipe& recipe,
                                   const TrainingModelFiles& files) -> Result<std::unique_ptr<BatchSource>> {
    NARU_ASSIGN(data::BatchStream stream,
                data::BatchStream::open(recipe, recipe.data, *files.tokenizer, nullptr, rig.path()));
    return std::unique_ptr<BatchSource>(std::make_unique<AskedBatches>(std::move(stream), recipe, fails_at));
  };
  return parts;
}

std::string finished_with(const TrainerRig& rig, const recipes::Recipe& recipe, TrainerParts parts,
                          TrainerEvents events = {}) {
  const auto trainer = rig.open(recipe, best_cpu(), std::move(events), {}, std::move(parts));
  EXPECT_TRUE(trainer.ok()) << (trainer.ok() ? "" : trainer.error().message);
  if (!trainer.ok()) return "not opened";
  const auto result = (*trainer)->run();
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? result->weights_sha256 : "failed";
}

recipes::Recipe asked_recipe(const TrainerRig& rig, const std::string& name) {
  recipes::Recipe recipe = rig.recipe(name, "v3.json");
  recipe.loss.bias_update = 0.01;
  recipe.checkpoint = {.every = 1, .keep = 2};
  return recipe;
}

// Asked to stop at the k-th question.
void stop(const TrainerRig& rig, const recipes::Recipe& recipe, int64_t k) {
  const auto trainer = rig.open(recipe, best_cpu(), stop_after(k), {}, asked_parts(rig));
  ASSERT_TRUE(trainer.ok()) << trainer.error().message;
  const auto result = (*trainer)->run();
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_FALSE(result->is_done);
}

TEST(RunParts, BatchesThatDependOnWeightsComeBackAfterAKill) {
  const TrainerRig rig;
  AskedBatches::n_asked = 0;
  const std::string wanted = finished_with(rig, asked_recipe(rig, "asked"), asked_parts(rig));
  ASSERT_EQ(wanted.size(), 64u);
  EXPECT_EQ(AskedBatches::n_asked, 3);
  EXPECT_NE(rig.finished(asked_recipe(rig, "plain"), best_cpu()), wanted);
  // Killed before a step: in the middle of what was asked, the weights of then are gone; before it is asked anew, they
  // are there. With checkpoints after every step and after some.
  for (const int64_t every : {1, 2, 3}) {
    for (int64_t at = 1; at < 6; ++at) {
      recipes::Recipe recipe = asked_recipe(rig, "killed-" + std::to_string(every) + "-" + std::to_string(at));
      recipe.checkpoint.every = every;
      const auto killed = rig.open(recipe, best_cpu(), {}, {}, asked_parts(rig, at));
      ASSERT_TRUE(killed.ok()) << killed.error().message;
      const auto result = (*killed)->run();
      ASSERT_FALSE(result.ok());
      EXPECT_NE(result.error().message.find("the power went"), std::string::npos) << result.error().message;
      const auto found = list_checkpoints(fs::path(recipe.output) / "checkpoints").value();
      EXPECT_EQ(found.empty() ? 0 : found[0].step, at / every * every);
      if (at / every > 0) {  // what was asked for is kept while a step on it is left
        EXPECT_EQ(fs::exists(found[0].folder / "batches.safetensors"), found[0].step % 2 == 1) << found[0].step;
      }
    }
  }
  for (const int64_t every : {1, 2, 3}) {
    for (int64_t at = 1; at < 6; ++at) {
      recipes::Recipe recipe = asked_recipe(rig, "killed-" + std::to_string(every) + "-" + std::to_string(at));
      recipe.checkpoint.every = every;
      EXPECT_EQ(finished_with(rig, recipe, asked_parts(rig)), wanted) << "killed at " << at << " of every " << every;
    }
  }
  // Stopped anywhere, in the middle of steps too.
  for (const int64_t k : {7, 12, 18}) {
    const recipes::Recipe recipe = asked_recipe(rig, "stopped-" + std::to_string(k));
    stop(rig, recipe, k);
    EXPECT_EQ(finished_with(rig, recipe, asked_parts(rig)), wanted) << k;
  }
}

TEST(RunParts, KeptBatchesAreOfTheRunsThatKeepThem) {
  const TrainerRig rig;
  const recipes::Recipe recipe = asked_recipe(rig, "kept");
  ASSERT_FALSE(rig.open(recipe, best_cpu(), {}, {}, asked_parts(rig, 3)).value()->run().ok());
  const auto refused = rig.open(recipe, best_cpu());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kCorrupt);
  EXPECT_NE(refused.error().message.find("bytes of batches"), std::string::npos) << refused.error().message;
}

// ---- several processes

// A float's bits after `groups` runs by the documented order (parts_test.cpp checks it with one process).
TEST(Peers, SumsOfAnyNumberOfProcessesAreThoseOfOne) {
  const Source& source = fixture_source("qwen2-gqa");
  // The sum of n micro-batches by `count` processes, as each of them has it.
  const auto sums_of = [&](int64_t count, int64_t n, int64_t groups) {
    test::Crowd crowd(count);
    std::vector<std::vector<float>> sums(static_cast<size_t>(count));
    std::atomic<int64_t> n_computed = 0;
    std::vector<std::thread> threads;
    for (int64_t rank = 0; rank < count; ++rank) {
      threads.emplace_back([&, rank] {
        const auto chip = test::make_chip("reference");
        TrainableModel model = make_model(*chip, source, {}, 8, 1);
        test::ThreadPeers peers(crowd, rank);
        GradientSum sum(model, peers);
        for (int64_t round = 0; round < 2; ++round) {  // what an earlier step left must not matter
          const auto result = sum.run(
              n, groups,
              [&](int64_t i, const GradientBuffer& grads) -> Status {
                n_computed += round;
                std::vector<float> values = floats_of(*chip, grads.all());
                for (size_t k = 0; k < values.size(); ++k) {
                  const auto block = draw(23, DrawPurpose::kTest, static_cast<uint32_t>(i), k % 61);
                  const double drawn = (uniform_53(block) - 0.5) * std::ldexp(1.0, static_cast<int>(block[3] % 24));
                  values[k] = contract::add(values[k], static_cast<float>(drawn));
                }
                return chip->copy_in(grads.all().address, values.data(), std::ssize(values) * 4);
              },
              as_it_went);
          NARU_CHECK(result.ok() && chip->wait().ok());
          sums[static_cast<size_t>(rank)] = floats_of(*chip, (*result)->all());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(n_computed, n) << "each micro-batch once";
    return sums;
  };
  for (const auto& [n, groups] :
       {std::pair{1, 1}, std::pair{1, 8}, std::pair{2, 8}, std::pair{5, 3}, std::pair{9, 8}, std::pair{16, 8}}) {
    const std::vector<float> wanted = sums_of(1, n, groups)[0];
    for (const int64_t count : {2, 3, 4, 9}) {
      for (const std::vector<float>& sum : sums_of(count, n, groups)) {
        EXPECT_TRUE(same_bits(sum, wanted)) << n << " in " << groups << " by " << count;
      }
    }
  }
}

MicroSums drawn_sums(uint64_t i) {
  const double x = uniform_53(draw(3, DrawPurpose::kTest, 1, i));
  const auto n = static_cast<int64_t>(i);
  return {.loss = x,
          .prediction_losses = {-x, x * x},
          .balance = 1 / x,
          .loads = {{n, 7}, {}},
          .policy = {.n_tokens = n + 9,
                     .n_compared = n + 5,
                     .n_changed = n + 4,
                     .n_clipped = n + 3,
                     .n_masked = n + 2,
                     .ratio_least = x / 2,
                     .ratio_most = x * 3,
                     .kl = x / 7}};
}

TEST(Peers, ResultsComeBackByIndexAndAnErrorIsThatOfAll) {
  for (const int64_t failing : {-1, 0, 2}) {
    test::Crowd crowd(3);
    std::vector<std::thread> threads;
    for (int64_t rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&, rank] {
        test::ThreadPeers peers(crowd, rank);
        std::vector<std::optional<MicroSums>> mine(7);
        for (size_t i = 0; i < mine.size(); ++i) {
          if (static_cast<int64_t>(i * 5 % 3) == rank) mine[i] = drawn_sums(i);
        }
        const Status own = rank == failing ? Status(Error{Code::kOutOfRange, "too much"}) : Status();
        const auto all = gather_sums(peers, std::move(mine), own);
        EXPECT_EQ(all.ok(), failing < 0);
        if (!all.ok()) {
          EXPECT_EQ(all.error().code, Code::kOutOfRange);
          const std::string from = rank == failing ? "" : "process " + std::to_string(failing) + ": ";
          EXPECT_EQ(all.error().message, from + "too much");
          return;
        }
        for (size_t i = 0; i < all->size(); ++i) {
          const MicroSums wanted = drawn_sums(i), &got = (*all)[i];
          EXPECT_EQ(got.loss, wanted.loss);
          EXPECT_EQ(got.balance, wanted.balance);
          EXPECT_EQ(got.prediction_losses, wanted.prediction_losses);
          EXPECT_EQ(got.loads, wanted.loads);
          EXPECT_EQ(policy_metrics(got.policy, 0, true), policy_metrics(wanted.policy, 0, true));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

// Says what it was told to, whatever is asked.
class Garbler : public test::ThreadPeers {
 public:
  Garbler(test::Crowd& crowd, std::string says) : ThreadPeers(crowd, 0), says_(std::move(says)) {}
  int64_t count() const override { return 2; }
  Result<std::vector<std::string>> gather(std::string mine) override { return std::vector{std::move(mine), says_}; }

 private:
  std::string says_;
};

TEST(Peers, WhatIsNoResultIsRefused) {
  test::Crowd crowd(1);
  std::string valid(8, '\0');
  for (const std::string& said : {std::string(), std::string("xxxxxxx"), valid + "\xff", valid + std::string(8, '\x7f'),
                                  valid + std::string(25, '\0'), std::string(8, '\1') + std::string(8, '\x55')}) {
    Garbler peers(crowd, said);
    std::vector<std::optional<MicroSums>> mine(2);
    mine[0] = drawn_sums(0);
    const auto all = gather_sums(peers, std::move(mine), {});
    ASSERT_FALSE(all.ok());
    EXPECT_EQ(all.error().code, Code::kCorrupt) << all.error().message;
  }
  Garbler silent(crowd, valid);
  std::vector<std::optional<MicroSums>> mine(2);
  mine[0] = drawn_sums(0);
  const auto all = gather_sums(silent, std::move(mine), {});
  ASSERT_FALSE(all.ok());
  EXPECT_NE(all.error().message.find("none computed number 1"), std::string::npos) << all.error().message;
}

}  // namespace
}  // namespace naru::train
