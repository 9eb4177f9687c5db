// Rollouts: an engine over the trainer's own decoder gives the trainer's log-probabilities, bit for bit, adapters
// apart; it packs nothing, and learns when the weights change. The same of adapters that went through PEFT's files.
#include <unistd.h>

#include "engine/scheduler.h"
#include "export/export.h"
#include "tests/train/adapter_rig.h"
#include "tests/train/rollout_rig.h"
#include "train/adapters.h"
#include "train/rollout.h"

namespace naru::train {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> adapted_fixtures() {
  return {"llama-odd", "qwen2-gqa", "qwen3-wide-head", "v2-lite", "v3-qlora", "v3-fused", "v3-odd"};
}

class Rollouts : public ::testing::TestWithParam<std::string> {};

TEST_P(Rollouts, HaveTheTrainersBits) {
  const Source& source = fixture_source(GetParam());
  const auto n_own = static_cast<int64_t>(source.parameters.size());
  const std::vector<int32_t> ids = slice(source.ids, 0, std::min<size_t>(70, source.ids.size()));
  for (const TrainableModel::Options& plain : all_options(source)) {
    for (const bool has_adapters : {false, true}) {
      const TrainableModel::Options options = has_adapters ? with_adapters(plain, source) : plain;
      const std::string name = name_of(GetParam(), options) + (has_adapters ? "/lora" : "");
      CountingChip chip(best_cpu());
      TrainableModel model = make_model(chip, source, options, batch_of({ids}));
      if (has_adapters) draw_adapters(model, n_own);
      const int64_t n_packs = chip.n_packs(), n_copied = chip.n_copied();
      const int64_t n_uses = chip.n_uses();
      const auto engine = borrow(model, 200, 8);
      EXPECT_EQ(chip.n_packs(), n_packs) << name;
      EXPECT_EQ(chip.n_copied(), n_copied) << name;
      EXPECT_EQ(chip.n_uses(), n_uses) << name << ": opening runs no kernel";
      EXPECT_EQ(engine->memory().weight_bytes, 0) << name;
      EXPECT_TRUE(same_bits(engine_losses(*engine, ids), trainer_losses(model, ids))) << name;
      // Answers of many prompts at once, by the scheduler: what it said of each token the trainer says too.
      std::vector<EngineAnswer> answers = sample_answers(*engine, source, 12, 24);
      int64_t n_compared = 0;
      for (const EngineAnswer& answer : answers) {
        const std::vector<float> losses = trainer_losses(model, answer.ids);
        ASSERT_EQ(losses.size() + 1, answer.n_prompt + answer.logprobs.size());
        for (size_t i = 0; i < answer.logprobs.size(); ++i, ++n_compared) {
          ASSERT_EQ(std::bit_cast<uint32_t>(0.0f - answer.logprobs[i]),
                    std::bit_cast<uint32_t>(losses[answer.n_prompt - 1 + i]))
              << name << " token " << i;
        }
      }
      EXPECT_GT(n_compared, 100) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Rollouts, ::testing::ValuesIn(adapted_fixtures()), [](const auto& fixture) {
  std::string name = fixture.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(Rollout, LearnsThatWeightsChanged) {
  const Source& source = fixture_source("v3-qlora");
  const auto n_own = static_cast<int64_t>(source.parameters.size());
  const std::vector<int32_t> ids = slice(source.ids, 0, 70);
  TrainableModel model = make_model(best_cpu(), source, with_adapters({}, source), batch_of({ids}));
  draw_adapters(model, n_own);
  const auto engine = borrow(model, 200, 2);
  const std::vector<float> before = engine_losses(*engine, ids);
  EXPECT_EQ(engine->stats().n_pages_cached, 2);
  draw_adapters(model, n_own, 4);
  engine->weights_changed();
  EXPECT_EQ(engine->stats().n_pages_cached, 0);
  const std::vector<float> after = engine_losses(*engine, ids);
  EXPECT_FALSE(same_bits(before, after));
  EXPECT_TRUE(same_bits(after, trainer_losses(model, ids)));
}

TEST(Rollout, RefusesToForgetWhatIsInUse) {
  const Source& source = fixture_source("llama-odd");
  TrainableModel model = make_model(best_cpu(), source, {}, batch_of({slice(source.ids, 0, 8)}));
  const auto engine = borrow(model, 64, 1);
  const auto session = engine->new_session();
  EXPECT_DEATH(engine->weights_changed(), "sessions or snapshots of the old weights");
}

// The state of an engine's step is what the prediction layers of the trainer read.
TEST(Rollout, GivesTheStateThatPredictionLayersRead) {
  const Source& source = fixture_source("v3-mtp");
  const std::vector<int32_t> ids = slice(source.ids, 0, 50);
  for (const TrainableModel::Options& options : all_options(source)) {
    const data::MicroBatch batch = batch_of({ids});
    TrainableModel model = make_model(best_cpu(), source, options, batch);
    const auto wanted = gradients_of(model, batch).result.prediction_losses;
    ASSERT_GE(wanted.size(), 1u);
    EXPECT_TRUE(same_bits(prediction_losses(model, ids), wanted[0])) << name_of("v3-mtp", options);
  }
}

// Adapters through files: written as PEFT has them, read beside the checkpoint that they belong to.
TEST(AdapterFiles, HaveTheTrainersBits) {
  const fs::path folder = fs::temp_directory_path() / ("naru-adapter-" + std::to_string(::getpid()));
  for (const char* fixture : {"llama-odd", "qwen2-gqa", "v2-lite", "v3-qlora"}) {
    const Source& source = fixture_source(fixture);
    const auto n_own = static_cast<int64_t>(source.parameters.size());
    const std::vector<int32_t> ids = slice(source.ids, 0, std::min<size_t>(60, source.ids.size()));
    for (const TrainableModel::Options& plain : all_options(source)) {
      const TrainableModel::Options options = with_adapters(plain, source);
      TrainableModel model = make_model(best_cpu(), source, options, batch_of({ids}));
      draw_adapters(model, n_own);
      const Status written = exports::export_adapter(adapter_of(model, n_own, options.lora), folder);
      ASSERT_TRUE(written.ok()) << written.error().message;
      auto files = models::open_model_files(models::fixture_model(fixture));
      ASSERT_TRUE(files.ok());
      auto adapter = models::open_adapter(folder);
      ASSERT_TRUE(adapter.ok()) << adapter.error().message;
      files->adapter = std::move(*adapter);
      engine::EngineOptions engine_options;
      engine_options.load.compute = options.compute;
      engine_options.load.is_latent_form = options.is_latent_form;
      engine_options.memory.context_tokens = 64;
      const auto engine = engine::Engine::open(std::move(*files), engine_options, best_cpu());
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      EXPECT_TRUE(same_bits(engine_losses(**engine, ids), trainer_losses(model, ids))) << name_of(fixture, options);
      // Opened again without it, the checkpoint is its own.
      EXPECT_FALSE(same_bits(engine_losses(**engine, ids),
                             trainer_losses(make_model(best_cpu(), source, plain, batch_of({ids})), ids)));
    }
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace naru::train
