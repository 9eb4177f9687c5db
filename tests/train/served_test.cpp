// Served against trained: the losses of a trainable model are the log probabilities that the serving decoder gives to
// the same tokens, bit for bit, in every compute mode and form of attention; packing documents changes none of them.
#include "tests/train/rig.h"

namespace naru::train {
namespace {

// -log p of the next token by the decoder that serves the checkpoint, [n - 1].
std::vector<float> served_losses(const std::string& fixture, contract::Chip& chip,
                                 const TrainableModel::Options& options, const std::vector<int32_t>& ids) {
  models::Runner runner(models::fixture_model(fixture), chip,
                        {.compute = options.compute, .cache_dtype = {}, .is_latent_form = options.is_latent_form});
  NARU_CHECK(runner.is_ready());
  models::Matrix logits = runner.logits(ids, 64);
  std::vector<int32_t> targets(ids.begin() + 1, ids.end());
  targets.push_back(0);
  std::vector<float> losses(ids.size());
  const auto x = test::rows_on(chip, logits.values.data(), DType::kF32, logits.rows, logits.cols);
  const auto of = test::rows_on(chip, targets.data(), DType::kI32, logits.rows, 1);
  const auto out = test::rows_on(chip, losses.data(), DType::kF32, logits.rows, 1);
  test::check(chip.run(contract::LogProb{.logits = x.view, .targets = of.view, .out = out.view}));
  losses = floats_of(chip, out.view);
  losses.pop_back();
  for (float& loss : losses) loss = 0.0f - loss;
  return losses;
}

void check_fixture(const std::string& fixture, contract::Chip& chip, size_t n_ids) {
  const Source& source = fixture_source(fixture);
  const std::vector<int32_t> ids = slice(source.ids, 0, std::min(n_ids, source.ids.size()));
  const std::vector<int32_t> first = slice(source.ids, 3, 21), second = slice(source.ids, 11, 34);
  for (const TrainableModel::Options& options : all_options(source)) {
    const std::string name = name_of(fixture, options);
    const data::MicroBatch packed = batch_of({first, second, ids});
    TrainableModel model = make_model(chip, source, options, packed);
    const auto result = model.run(packed, {.divisor = divisor_of(packed)}, nullptr);
    ASSERT_TRUE(result.ok()) << name << ": " << result.error().message;
    const std::vector<float> served = served_losses(fixture, chip, options, ids);
    const size_t begin = first.size() + second.size();
    const std::vector<float> behind(result->losses.begin() + static_cast<std::ptrdiff_t>(begin),
                                    result->losses.end() - 1);
    EXPECT_TRUE(same_bits(behind, served)) << name << ": packed behind two documents";
    EXPECT_EQ(result->losses[first.size() - 1], 0.0f) << name;
    const auto alone = model.run(batch_of({ids}), {.divisor = 1}, nullptr);
    ASSERT_TRUE(alone.ok()) << name << ": " << alone.error().message;
    EXPECT_TRUE(same_bits({alone->losses.begin(), alone->losses.end() - 1}, served)) << name << ": alone";
    EXPECT_GT(norm_of(served), 1.0) << name;
  }
}

TEST(Served, EveryFixtureOnTheCpuChip) {
  for (const std::string& fixture : folder_fixtures()) check_fixture(fixture, best_cpu(), 70);
}

// Beyond the 512 rows of a run of the head and of a segment of attention.
TEST(Served, LongDocumentsOnTheCpuChip) {
  for (const char* fixture : {"llama-gqa", "v3-qlora"}) check_fixture(fixture, best_cpu(), 600);
}

TEST(Served, SomeFixturesOnTheReferenceChip) {
  const auto chip = test::make_chip("reference");
  for (const char* fixture : {"llama-odd", "qwen3-wide-head", "v2-lite", "v3-odd"}) check_fixture(fixture, *chip, 40);
}

// With gradients wanted, and with recompute, the losses are the same.
TEST(Served, GradientsChangeNoLoss) {
  for (const char* fixture : {"qwen2-gqa", "v3-f32"}) {
    const Source& source = fixture_source(fixture);
    const data::MicroBatch batch = batch_of({slice(source.ids, 0, 40), slice(source.ids, 5, 33)});
    for (TrainableModel::Options options : all_options(source)) {
      TrainableModel forward = make_model(best_cpu(), source, options, batch);
      const auto wanted = forward.run(batch, {.divisor = 1}, nullptr);
      ASSERT_TRUE(wanted.ok());
      for (const bool recompute : {false, true}) {
        options.recompute = recompute;
        TrainableModel model = make_model(best_cpu(), source, options, batch);
        EXPECT_TRUE(same_bits(gradients_of(model, batch).result.losses, wanted->losses)) << name_of(fixture, options);
      }
    }
  }
}

}  // namespace
}  // namespace naru::train
