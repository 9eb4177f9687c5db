// Golden hashes of short runs (tests/fixtures/golden/training.txt, as tests/golden): the values after a few steps, on
// every chip of this machine.
#include "tests/golden/golden.h"
#include "tests/train/trainer_rig.h"
#include "train/gradient_sum.h"
#include "train/optimizer.h"

namespace naru::train {
namespace {

struct GoldenRun {
  std::string name, fixture;
  TrainableModel::Options options;
  recipes::OptimizerRecipe optimizer;
};

std::vector<GoldenRun> golden_runs() {
  const auto f32 = contract::ComputeMode::kF32, bf16 = contract::ComputeMode::kBF16;
  recipes::OptimizerRecipe adamw, muon;
  muon.kind = "muon";
  muon.lr = 0.01;
  const auto options = [](contract::ComputeMode compute, bool is_latent, bool recompute = false) {
    return TrainableModel::Options{.compute = compute, .is_latent_form = is_latent, .recompute = recompute, .lora = {}};
  };
  TrainableModel::Options with_adapters = options(f32, false);
  with_adapters.lora.rank = 4;
  return {{"v3/f32/expanded/adamw", "v3-f32", options(f32, false), adamw},
          {"v3/bf16/latent/recompute/adamw", "v3-odd", options(bf16, true, true), adamw},
          {"v3/f32/predictions/adamw", "v3-mtp", options(f32, false), adamw},
          {"llama/bf16/adamw", "llama-tied-llama3", options(bf16, false), adamw},
          {"v3/f32/latent/muon", "v3-qlora", options(f32, true), muon},
          {"qwen2/f32/lora", "qwen2-gqa", with_adapters, adamw}};
}

// Tokens drawn by counter, cut into documents.
data::MicroBatch drawn_batch(int64_t vocab, uint32_t step, uint64_t index) {
  std::vector<std::vector<int32_t>> documents;
  for (const size_t n : {9, 20}) {
    std::vector<int32_t> ids(n);
    for (size_t i = 0; i < n; ++i) {
      const double u = uniform_53(draw(17, DrawPurpose::kTest, step, index * 1000 + n * 31 + i));
      ids[i] = static_cast<int32_t>(u * u * static_cast<double>(vocab));
    }
    documents.push_back(ids);
  }
  return batch_of(documents);
}

std::string hash_of_run(const GoldenRun& run, contract::Chip& chip) {
  constexpr int64_t kMicroBatches = 4, kSteps = 3, kRunGroups = 3;
  const Source& source = fixture_source(run.fixture);
  const double balance = source.config.moe.experts > 0 ? 0.001 : 0;
  TrainableModel model = make_model(chip, source, run.options, drawn_batch(source.config.vocab, 0, 0), balance);
  Optimizer optimizer = Optimizer::create(run.optimizer, model).value();
  NoPeers alone;
  GradientSum sum(model, alone);
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto grads = sum.run(
        kMicroBatches, kRunGroups,
        [&](int64_t i, const GradientBuffer& into) -> Status {
          const data::MicroBatch batch =
              drawn_batch(source.config.vocab, static_cast<uint32_t>(step), static_cast<uint64_t>(i));
          const double n = divisor_of(batch) * kMicroBatches;
          NARU_TRY(model.run(batch, scale_of(model, std::vector(kMicroBatches, batch), n, balance), &into));
          return {};
        },
        as_it_went);
    NARU_CHECK(grads.ok(), grads.ok() ? "" : grads.error().message);
    const double norm = optimizer.gradient_norm(**grads).value();
    EXPECT_GT(norm, 0.01) << run.name;
    const Status updated = optimizer.update(**grads, run.optimizer.lr, norm > 1 ? 1 / norm : 1, step + 1);
    NARU_CHECK(updated.ok(), updated.ok() ? "" : updated.error().message);
    NARU_CHECK(model.refresh().ok() && chip.wait().ok());
  }
  std::vector<float> all;
  int64_t n_changed = 0;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const std::vector<float> values = floats_of(chip, model.values().view(static_cast<int64_t>(i)));
    const bool is_own = i < source.values.size();
    n_changed += is_own && !same_bits(values, source.values[i]) ? 1 : 0;
    all.insert(all.end(), values.begin(), values.end());
  }
  EXPECT_EQ(n_changed > 0, run.options.lora.rank == 0) << run.name;
  return hash_floats(all.data(), all.size());
}

GoldenHashes hashes_on(contract::Chip& chip) {
  GoldenHashes hashes;
  for (const GoldenRun& run : golden_runs()) hashes[run.name] = hash_of_run(run, chip);
  // The whole trainer: data, schedule, guard, routing biases, export.
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("golden", "v3.json");
  recipe.steps = 4;
  recipe.loss.bias_update = 0.01;
  hashes["trainer/v3/f32"] = rig.finished(recipe, chip);
  recipes::Recipe predicting = rig.recipe("golden-predictions", "v3-mtp.json");
  predicting.steps = 4;
  predicting.loss.mtp = 0.3;
  hashes["trainer/v3/predictions"] = rig.finished(predicting, chip);
  return hashes;
}

TEST(GoldenTraining, ReferenceChip) {
  const auto chip = test::make_chip("reference");
  const GoldenHashes hashes = hashes_on(*chip);
  if (is_writing_golden()) write_golden("training.txt", hashes);
  expect_golden("training.txt", hashes, "reference");
}

TEST(GoldenTraining, CpuChipAtEveryLevel) {
  for (const NamedChip& named : cpu_chips()) {
    if (test::is_level(named)) expect_golden("training.txt", hashes_on(*named.chip), named.name);
  }
}

}  // namespace
}  // namespace naru::train
