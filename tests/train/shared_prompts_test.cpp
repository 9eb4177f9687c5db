// Answers to one prompt that share its rows: which rows are computed; the losses of whole rows to the bit, their
// gradients but for rounding; the same bits on every chip, and with recompute.
#include "train/shared_prompts.h"

#include <fstream>

#include "base/file.h"
#include "tests/contract/cpu_chips.h"
#include "tests/train/grpo_rig.h"

namespace naru::train {
namespace {

const std::vector<std::string> kModels = {"llama-odd", "qwen2-gqa", "v2-group", "v3-odd"};

std::vector<int32_t> appended(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Asked {
  size_t prompt = 0;  // tokens
  std::vector<int32_t> ids;
};

// A document each, of which the tokens behind the prompt are learnt.
data::MicroBatch asked_answers(const std::vector<Asked>& asked) {
  std::vector<std::vector<int32_t>> documents;
  for (const Asked& one : asked) documents.push_back(one.ids);
  data::MicroBatch batch = batch_of(documents);
  for (size_t d = 0; d < asked.size(); ++d) {
    const auto first = batch.weights.begin() + batch.documents[d].row_begin;
    std::fill(first, first + static_cast<std::ptrdiff_t>(asked[d].prompt) - 1, 0.0f);
  }
  return batch;
}

// Three answers to a prompt of more than a page, one of another, two of a short one, one whose prompt is one token.
data::MicroBatch asked_groups(const Source& source) {
  const std::vector<int32_t>& ids = source.ids;
  const std::vector<int32_t> longer = slice(ids, 0, 38), other = slice(ids, 1, 20), brief = slice(ids, 5, 3);
  return asked_answers({{38, appended(longer, slice(ids, 40, 9))},
                        {38, appended(longer, slice(ids, 50, 1))},
                        {38, appended(longer, slice(ids, 51, 4))},
                        {20, appended(other, slice(ids, 40, 5))},
                        {3, appended(brief, slice(ids, 44, 6))},
                        {3, appended(brief, slice(ids, 40, 30))},
                        {1, slice(ids, 7, 6)}});
}

TrainableModel::Options that_shares(TrainableModel::Options options) {
  options.shares_prompts = true;
  return options;
}

TEST(SharedPrompts, HaveTheRowsOfAPromptOnce) {
  const Source& source = fixture_source("llama-odd");
  data::MicroBatch batch = asked_groups(source);
  batch.signals = {batch.weights};
  for (size_t i = 0; i < batch.ids.size(); ++i) batch.signals[0][i] *= static_cast<float>(i);
  const SharedPrompts shared(batch, true);
  ASSERT_TRUE(shared.is_any());
  const data::MicroBatch& rows = shared.rows();
  const std::vector<int64_t> prefixes = {0, 37, 37, 0, 0, 2, 0};
  ASSERT_EQ(shared.prefixes().size(), prefixes.size());
  size_t row = 0;
  for (size_t d = 0; d < prefixes.size(); ++d) {
    EXPECT_EQ(shared.prefixes()[d].n_rows, prefixes[d]) << d;
    const data::DocumentRows &own = rows.documents[d], &whole = batch.documents[d];
    EXPECT_EQ(own.row_begin, static_cast<int64_t>(row)) << d;
    EXPECT_EQ(own.n_rows, whole.n_rows - prefixes[d]) << d;
    for (int64_t i = prefixes[d]; i < whole.n_rows; ++i, ++row) {
      const auto at = static_cast<size_t>(whole.row_begin + i);
      EXPECT_EQ(rows.ids[row], batch.ids[at]);
      EXPECT_EQ(rows.positions[row], i);
      EXPECT_EQ(rows.targets[row], batch.targets[at]);
      EXPECT_EQ(rows.weights[row], batch.weights[at]);
      EXPECT_EQ(rows.signals[0][row], batch.signals[0][at]);
    }
  }
  EXPECT_EQ(rows.ids.size(), row);
  EXPECT_EQ(shared.prefixes()[2].of, 0u);
  EXPECT_EQ(shared.prefixes()[5].of, 4u);
  EXPECT_EQ(shared.spread(shared.gather(batch.weights)), batch.weights);
  EXPECT_EQ(shared.gather(batch.signals[0]), rows.signals[0]);
  EXPECT_FALSE(SharedPrompts(batch, false).is_any());
  EXPECT_EQ(&SharedPrompts(batch, false).rows(), &batch);
}

// A token that counts, another token, or another length of the prompt: nothing to share.
TEST(SharedPrompts, OfOtherPromptsNothingIsShared) {
  const Source& source = fixture_source("llama-odd");
  const std::vector<int32_t> prompt = slice(source.ids, 0, 10);
  const auto two = [&](const std::vector<int32_t>& other, size_t n) {
    return asked_answers(
        {{10, appended(prompt, slice(source.ids, 20, 3))}, {n, appended(other, slice(source.ids, 30, 3))}});
  };
  EXPECT_TRUE(SharedPrompts(two(prompt, 10), true).is_any());
  std::vector<int32_t> changed = prompt;
  changed[8] += 1;
  EXPECT_FALSE(SharedPrompts(two(changed, 10), true).is_any());
  EXPECT_FALSE(SharedPrompts(two(prompt, 9), true).is_any());
  data::MicroBatch counted = two(prompt, 10);
  counted.weights[4] = 1;
  EXPECT_FALSE(SharedPrompts(counted, true).is_any());
  EXPECT_FALSE(SharedPrompts(batch_of({prompt, prompt}), true).is_any());
}

TEST(SharedPrompts, LossesAreThoseOfWholeRowsAndGradientsButForRounding) {
  for (const std::string& fixture : kModels) {
    const Source& source = fixture_source(fixture);
    const data::MicroBatch batch = asked_groups(source);
    for (const TrainableModel::Options& options : all_options(source)) {
      TrainableModel whole = make_model(best_cpu(), source, options, batch);
      TrainableModel model = make_model(best_cpu(), source, that_shares(options), batch);
      const Gradients wanted = gradients_of(whole, batch), got = gradients_of(model, batch);
      EXPECT_TRUE(same_bits(got.result.losses, wanted.result.losses)) << name_of(fixture, options);
      EXPECT_EQ(got.result.sums.loss, wanted.result.sums.loss);
      EXPECT_NE(difference(model, got, wanted), "") << "nothing was shared";
      const double limit = options.compute == contract::ComputeMode::kF32 ? 2e-5 : 2e-2;
      for (size_t i = 0; i < wanted.grads.size(); ++i) {
        std::vector<float> error;
        for (size_t k = 0; k < wanted.grads[i].size(); ++k) error.push_back(got.grads[i][k] - wanted.grads[i][k]);
        EXPECT_LE(norm_of(error), limit * norm_of(wanted.grads[i]) + 1e-9)
            << name_of(fixture, options) << " " << model.parameters()[i].name;
      }
    }
  }
}

TEST(SharedPrompts, EqualOnEveryChip) {
  const auto reference = test::make_chip("reference");
  for (const std::string& fixture : {std::string("qwen2-gqa"), std::string("v3-odd")}) {
    const Source& source = fixture_source(fixture);
    const data::MicroBatch batch = asked_groups(source);
    const double balance = source.config.moe.experts > 0 ? 0.01 : 0;
    for (const TrainableModel::Options& options : all_options(source)) {
      TrainableModel model = make_model(*reference, source, that_shares(options), batch, balance);
      const Gradients wanted = gradients_of(model, batch, balance);
      const auto expect_equal = [&](const std::string& name, contract::Chip& chip, bool recompute) {
        TrainableModel::Options same = that_shares(options);
        same.recompute = recompute;
        TrainableModel other = make_model(chip, source, same, batch, balance);
        EXPECT_EQ(difference(model, gradients_of(other, batch, balance), wanted), "")
            << name_of(fixture, options) << " on " << name;
      };
      for (const auto& [name, chip] : test::cpu_chips()) expect_equal(name, *chip, false);
      for (const auto& [name, chip] : test::other_chips()) expect_equal(name, *chip, false);
      expect_equal("the best, computed again", best_cpu(), true);
    }
  }
}

// They see a token beyond the row, which differs between answers.
TEST(SharedPrompts, ModelsWithPredictionLayersShareNothing) {
  const Source& source = fixture_source("v3-mtp");
  const data::MicroBatch batch = asked_groups(source);
  TrainableModel whole = make_model(best_cpu(), source, {}, batch);
  TrainableModel model = make_model(best_cpu(), source, that_shares({}), batch);
  EXPECT_EQ(difference(model, gradients_of(model, batch), gradients_of(whole, batch)), "");
}

// The rollout's log-probabilities are the trainer's either way; the weights differ by rounding.
TEST(SharedPrompts, RunsCompareEveryToken) {
  const GrpoRig rig;
  const auto weights = [&](const std::string& name, contract::Chip& chip, bool shares) {
    recipes::Recipe recipe = rig.grpo(name);
    recipe.batch.micro_rows = 8;
    recipe.grpo.share_prompts = shares;
    return rig.finished(recipe, chip);
  };
  const std::string shared = weights("shared", best_cpu(), true);
  EXPECT_EQ(weights("again", *test::make_chip("cpu", 1), true), shared);
  EXPECT_NE(weights("whole", best_cpu(), false), shared);
}

void take_key_out(const std::filesystem::path& run) {
  const std::filesystem::path path = run / "recipe.toml";
  std::string text = read_file(path, 1 << 20).value();
  const size_t at = text.find("share_prompts");
  ASSERT_NE(at, std::string::npos);
  text.erase(at, text.find('\n', at) + 1 - at);
  std::ofstream(path, std::ios::trunc) << text;
}

// A run whose recipe does not name the key shares none: it goes on as what it was, and as nothing else. To runs of
// other kinds the key says nothing.
TEST(SharedPrompts, RunsWithoutTheKeyGoOnAsTheyWere) {
  const GrpoRig rig("llama.json");
  recipes::Recipe recipe = rig.grpo("before");
  recipe.grpo.share_prompts = false;
  const std::string wanted = rig.finished(recipe, best_cpu());
  take_key_out(rig.run_folder("before"));
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
  recipe.grpo.share_prompts = true;
  const auto refused = rig.run(recipe, best_cpu());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("share_prompts"), std::string::npos) << refused.error().message;

  recipe = rig.recipe("text", "llama.json");
  const std::string of_text = rig.finished(recipe, best_cpu());
  take_key_out(rig.run_folder("text"));
  EXPECT_EQ(rig.finished(recipe, best_cpu()), of_text);
}

TEST(SharedPrompts, AreOfARecipesIdentityAndNoneIsThatOfBefore) {
  recipes::Recipe grpo, sft;
  grpo.kind = recipes::RunKind::kGrpo;
  const std::string shared = recipes::recipe_identity(grpo), of_sft = recipes::recipe_identity(sft);
  grpo.grpo.share_prompts = sft.grpo.share_prompts = false;
  EXPECT_NE(recipes::recipe_identity(grpo), shared);
  EXPECT_EQ(recipes::recipe_identity(sft), of_sft);
}

}  // namespace
}  // namespace naru::train
