// Bits of gradients: the same on every chip, level and number of threads, with and without recompute; what packing and
// micro-batches promise (docs/arithmetic.md section 7); experts that nobody chose; adapters.
#include "tests/contract/cpu_chips.h"
#include "tests/train/adapter_rig.h"

namespace naru::train {
namespace {

const std::vector<std::string> kFixtures = {"llama-tied-llama3", "llama-odd", "qwen2-gqa", "qwen3-wide-head",
                                            "v2-group",          "v3-odd",    "v3-qlora",  "v3-mtp"};

contract::Chip& reference_chip() {
  static const auto kChip = test::make_chip("reference");
  return *kChip;
}

// Three documents, one of them of a single token, some targets masked out.
data::MicroBatch packed_batch(const Source& source) {
  data::MicroBatch batch = batch_of({slice(source.ids, 0, 35), slice(source.ids, 40, 1), slice(source.ids, 36, 22)});
  for (const size_t row : {2, 17, 40, 41}) batch.weights[row] = 0;
  return batch;
}

TEST(GradientBits, EqualOnEveryChip) {
  for (const std::string& fixture : kFixtures) {
    const Source& source = fixture_source(fixture);
    const data::MicroBatch batch = packed_batch(source);
    const double balance = source.config.moe.experts > 0 ? 0.01 : 0;
    for (const TrainableModel::Options& options : all_options(source)) {
      TrainableModel model = make_model(reference_chip(), source, options, batch, balance);
      const Gradients wanted = gradients_of(model, batch, balance);
      for (size_t i = 0; i < wanted.grads.size(); ++i) {
        EXPECT_TRUE(std::isfinite(norm_of(wanted.grads[i]))) << model.parameters()[i].name;
      }
      for (const auto& [name, chip] : test::cpu_chips()) {
        TrainableModel other = make_model(*chip, source, options, batch, balance);
        EXPECT_EQ(difference(model, gradients_of(other, batch, balance), wanted), "")
            << name_of(fixture, options) << " on " << name;
      }
    }
  }
}

TEST(GradientBits, RecomputeChangesNone) {
  for (const std::string& fixture : kFixtures) {
    const Source& source = fixture_source(fixture);
    const data::MicroBatch batch = packed_batch(source);
    const double balance = source.config.moe.experts > 0 ? 0.01 : 0;
    for (TrainableModel::Options options : all_options(source)) {
      TrainableModel kept = make_model(best_cpu(), source, options, batch, balance);
      options.recompute = true;
      TrainableModel again = make_model(best_cpu(), source, options, batch, balance);
      EXPECT_EQ(difference(kept, gradients_of(kept, batch, balance), gradients_of(again, batch, balance)), "")
          << name_of(fixture, options);
    }
  }
}

// Masked tokens are slots with dy = 0: a document without targets behind another changes no bit.
TEST(GradientBits, DocumentsWithoutTargetsAddNothing) {
  for (const std::string& fixture : kFixtures) {
    const Source& source = fixture_source(fixture);
    const data::MicroBatch alone = batch_of({slice(source.ids, 0, 35)});
    data::MicroBatch packed = batch_of({slice(source.ids, 0, 35), slice(source.ids, 36, 22)});
    std::fill(packed.weights.begin() + 35, packed.weights.end(), 0.0f);
    for (const TrainableModel::Options& options : all_options(source)) {
      TrainableModel model = make_model(best_cpu(), source, options, packed);
      const Gradients one = gradients_of(model, alone), two = gradients_of(model, packed);
      for (size_t i = 0; i < one.grads.size(); ++i) {
        EXPECT_TRUE(same_bits(one.grads[i], two.grads[i]))
            << name_of(fixture, options) << " " << model.parameters()[i].name;
      }
    }
  }
}

// One addition a micro-batch and use: where every parameter has one use, the gradient of two micro-batches is the sum
// of theirs. Packed into one micro-batch the dots run over all slots: the same but for rounding.
TEST(GradientBits, MicroBatchesAdd) {
  for (const char* fixture : {"llama-odd", "qwen2-gqa", "v2-group", "v3-odd"}) {
    const Source& source = fixture_source(fixture);
    const std::vector<int32_t> a = slice(source.ids, 0, 35), b = slice(source.ids, 36, 40);
    const data::MicroBatch packed = batch_of({a, b});
    for (const TrainableModel::Options& options : all_options(source)) {
      TrainableModel model = make_model(best_cpu(), source, options, packed);
      const double n = divisor_of(packed);
      const Gradients one = chained_gradients(model, {batch_of({a})}, n),
                      two = chained_gradients(model, {batch_of({b})}, n);
      const Gradients both = chained_gradients(model, {batch_of({a}), batch_of({b})}, n);
      const Gradients together = chained_gradients(model, {packed}, n);
      for (size_t i = 0; i < one.grads.size(); ++i) {
        std::vector<float> sum = one.grads[i], error;
        for (size_t k = 0; k < sum.size(); ++k) sum[k] = contract::add(sum[k], two.grads[i][k]);
        EXPECT_TRUE(same_bits(both.grads[i], sum)) << name_of(fixture, options) << " " << model.parameters()[i].name;
        for (size_t k = 0; k < sum.size(); ++k) error.push_back(sum[k] - together.grads[i][k]);
        EXPECT_LE(norm_of(error), 2e-5 * norm_of(sum) + 1e-9)
            << name_of(fixture, options) << " " << model.parameters()[i].name;
      }
    }
  }
}

TEST(GradientBits, UnusedExpertsAreExactlyZero) {
  for (const char* fixture : {"v2-group", "v3-odd", "v3-qlora"}) {
    const Source& source = fixture_source(fixture);
    data::MicroBatch batch = batch_of({slice(source.ids, 0, 3)});
    batch.weights.back() = 1;  // so that a gradient comes to every slot
    for (const TrainableModel::Options& options : all_options(source)) {
      TrainableModel model = make_model(best_cpu(), source, options, batch);
      const Gradients got = gradients_of(model, batch);
      int64_t n_unused = 0, n_used = 0,
              layer = source.config.layers - static_cast<int64_t>(got.result.sums.loads.size());
      for (const std::vector<int64_t>& loads : got.result.sums.loads) {
        for (size_t e = 0; e < loads.size(); ++e) {
          for (const char* part : {"gate_proj", "up_proj", "down_proj"}) {
            const std::string name =
                "model.layers." + std::to_string(layer) + ".mlp.experts." + std::to_string(e) + "." + part + ".weight";
            const std::vector<float>& grad = got.grads[static_cast<size_t>(source.index_of(name))];
            const bool is_zero = std::all_of(grad.begin(), grad.end(), [](float g) { return g == 0; });
            EXPECT_EQ(is_zero, loads[e] == 0) << name << " " << loads[e];
            ++(loads[e] == 0 ? n_unused : n_used);
          }
        }
        ++layer;
      }
      EXPECT_GT(n_unused, 0) << fixture;
      EXPECT_GT(n_used, 0) << fixture;
    }
  }
}

TEST(GradientBits, TheBalanceLossIsOnlyThereWhereItIsOn) {
  const Source& source = fixture_source("v3-qlora");
  const data::MicroBatch batch = packed_batch(source);
  TrainableModel model = make_model(reference_chip(), source, {}, batch, 1);
  const Gradients off = gradients_of(model, batch, 0), on = gradients_of(model, batch, 0.5);
  EXPECT_TRUE(off.result.balance.empty());
  const size_t n_layers = on.result.sums.loads.size();
  ASSERT_EQ(on.result.balance.size(), n_layers * batch.documents.size());
  for (const float loss : on.result.balance) EXPECT_GT(loss, 0.0f);
  for (size_t layer = 0; layer < n_layers; ++layer) {
    const int64_t number = source.config.layers - static_cast<int64_t>(n_layers - layer);
    const auto router =
        static_cast<size_t>(source.index_of("model.layers." + std::to_string(number) + ".mlp.gate.weight"));
    EXPECT_FALSE(same_bits(on.grads[router], off.grads[router])) << number;
  }
  EXPECT_TRUE(same_bits(on.result.losses, off.result.losses));
}

// ---- adapters

TEST(Adapters, GradientsAreEqualOnEveryChipAndOnlyTheirs) {
  for (const char* fixture : {"llama-odd", "qwen2-gqa", "v2-lite", "v3-qlora"}) {
    const Source& source = fixture_source(fixture);
    const auto n_own = static_cast<int64_t>(source.parameters.size());
    const data::MicroBatch batch = packed_batch(source);
    for (const TrainableModel::Options& plain : all_options(source)) {
      TrainableModel::Options options = with_adapters(plain, source);
      TrainableModel model = make_model(reference_chip(), source, options, batch);
      draw_adapters(model, n_own);
      const Gradients wanted = gradients_of(model, batch);
      ASSERT_GT(model.parameters().size(), source.parameters.size());
      for (size_t i = 0; i < wanted.grads.size(); ++i) {
        const std::string& name = model.parameters()[i].name;
        if (static_cast<int64_t>(i) < n_own) {
          EXPECT_TRUE(wanted.grads[i].empty()) << name;
          EXPECT_FALSE(model.is_trained(static_cast<int64_t>(i))) << name;
        } else {
          EXPECT_GT(norm_of(wanted.grads[i]), 0.0) << name;
        }
      }
      for (const auto& [name, chip] : test::cpu_chips()) {
        options.recompute = !options.recompute;  // on every other chip
        TrainableModel other = make_model(*chip, source, options, batch);
        draw_adapters(other, n_own);
        EXPECT_EQ(difference(model, gradients_of(other, batch), wanted), "")
            << name_of(fixture, options) << " on " << name;
      }
    }
  }
}

TEST(Adapters, UntrainedOnesChangeNoLoss) {
  const Source& source = fixture_source("qwen2-gqa");
  const data::MicroBatch batch = packed_batch(source);
  for (const TrainableModel::Options& options : all_options(source)) {
    TrainableModel plain = make_model(reference_chip(), source, options, batch);
    TrainableModel adapted = make_model(reference_chip(), source, with_adapters(options, source), batch);
    EXPECT_TRUE(same_bits(plain.run(batch, {}, nullptr)->losses, adapted.run(batch, {}, nullptr)->losses));
  }
}

// The merged matrix is W + (alpha / rank) B A, and a model of merged matrices gives the adapted model's losses.
TEST(Adapters, MergedValues) {
  for (const char* fixture : {"llama-odd", "v3-qlora"}) {
    const Source& source = fixture_source(fixture);
    const auto n_own = static_cast<int64_t>(source.parameters.size());
    const data::MicroBatch batch = packed_batch(source);
    const TrainableModel::Options options = with_adapters({}, source);
    TrainableModel adapted = make_model(best_cpu(), source, options, batch);
    draw_adapters(adapted, n_own);
    Source merged = source;
    int64_t n_changed = 0;
    for (int64_t i = 0; i < n_own; ++i) {
      std::vector<float>& value = merged.values[static_cast<size_t>(i)];
      ASSERT_TRUE(adapted.merged_value(i, value.data()).ok());
      const models::Parameter& p = source.parameters[static_cast<size_t>(i)];
      const std::string stem = p.name.substr(0, p.name.size() - std::string(".weight").size());
      int64_t a = -1;
      for (int64_t k = n_own; k < static_cast<int64_t>(adapted.parameters().size()); ++k) {
        if (adapted.parameters()[static_cast<size_t>(k)].name == stem + ".lora_A.weight") a = k;
      }
      if (a < 0) {
        EXPECT_TRUE(same_bits(value, source.values[static_cast<size_t>(i)])) << p.name;
        continue;
      }
      ++n_changed;
      const std::vector<float> va = floats_of(best_cpu(), adapted.values().view(a));
      const std::vector<float> vb = floats_of(best_cpu(), adapted.values().view(a + 1));
      for (int64_t r = 0; r < p.rows(); ++r) {
        for (int64_t c = 0; c < p.cols(); ++c) {
          double sum = 0;
          for (int64_t k = 0; k < 3; ++k) {
            sum += static_cast<double>(vb[static_cast<size_t>(r * 3 + k)]) *
                   static_cast<double>(va[static_cast<size_t>(k * p.cols() + c)]);
          }
          const auto at = static_cast<size_t>(r * p.cols() + c);
          const double wanted = static_cast<double>(source.values[static_cast<size_t>(i)][at]) + 2 * sum;
          ASSERT_NEAR(static_cast<double>(value[at]), wanted, 1e-6) << p.name << " " << r << " " << c;
        }
      }
    }
    EXPECT_GT(n_changed, 4);
    TrainableModel plain = make_model(best_cpu(), merged, {}, batch);
    const auto one = adapted.run(batch, {}, nullptr), two = plain.run(batch, {}, nullptr);
    const auto old = make_model(best_cpu(), source, {}, batch).run(batch, {}, nullptr);
    double moved = 0;
    for (size_t i = 0; i < one->losses.size(); ++i) {
      EXPECT_NEAR(one->losses[i], two->losses[i], 2e-4) << fixture << " row " << i;
      moved += std::abs(static_cast<double>(one->losses[i]) - static_cast<double>(old->losses[i]));
    }
    EXPECT_GT(moved, 0.1) << "the adapters hardly change the model";
  }
}

}  // namespace
}  // namespace naru::train
