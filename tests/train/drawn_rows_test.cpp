// Losses of log-probabilities under a temperature and kept tokens: the gradient through the whole model against one
// that is written down in double beside it, and what the plain case stays.
#include "train/drawn_rows.h"

#include <cmath>

#include "tests/train/rig.h"
#include "tests/train/rows_loss.h"
#include "train/objective.h"
#include "train/reference_policy.h"

namespace naru::train {
namespace {

double drawn_test(uint32_t stream, uint64_t i) {
  return uniform_53(draw(31, DrawPurpose::kTest, stream, i));
}

// -c log p of each row, c its signal.
class ScaledLogProb : public LogProbLoss {
 public:
  explicit ScaledLogProb(double temperature) : temperature_(temperature) {}
  int64_t n_signals() const override { return 1; }
  double temperature() const override { return temperature_; }
  Status weigh(const data::MicroBatch& batch, std::span<const float> log_probs, std::span<float> losses,
               std::span<float> factors) const override {
    for (size_t i = 0; i < log_probs.size(); ++i) {
      factors[i] = batch.signals[0][i];
      losses[i] = -factors[i] * log_probs[i];
    }
    return {};
  }

 private:
  double temperature_;
};

// The same by its own means: every row of logits on the host, in double.
class OwnDrawn : public RowsLoss {
 public:
  explicit OwnDrawn(double temperature) : temperature_(temperature) {}
  int64_t n_signals() const override { return 1; }
  Status run(contract::Chip& chip, nn::Workspace&, const data::MicroBatch& batch,
             const LogitRows& rows) const override {
    const auto n = static_cast<size_t>(rows.logits.rows), vocab = static_cast<size_t>(rows.logits.cols);
    std::vector<float> logits(n * vocab), weights(n), losses(n);
    NARU_TRY(chip.wait());
    NARU_TRY(chip.copy_out(logits.data(), rows.logits.address, std::ssize(logits) * 4));
    NARU_TRY(chip.copy_out(weights.data(), rows.weights.address, std::ssize(weights) * 4));
    for (size_t i = 0; i < n; ++i) {
      const size_t row = static_cast<size_t>(rows.begin) + i;
      if (batch.weights.empty() || row >= batch.weights.size() || batch.weights[row] == 0) {
        std::fill_n(&logits[i * vocab], vocab, 0.0f);
        continue;
      }
      losses[i] = static_cast<float>(of_row(&logits[i * vocab], vocab, batch, row, weights[i]));
    }
    NARU_TRY(chip.copy_in(rows.losses.address, losses.data(), std::ssize(losses) * 4));
    if (!rows.to_gradient) return {};
    return chip.copy_in(rows.logits.address, logits.data(), std::ssize(logits) * 4);
  }

 private:
  double of_row(float* x, size_t vocab, const data::MicroBatch& batch, size_t row, float weight) const {
    std::vector<bool> is_kept(vocab, batch.kept.rows() == 0);
    if (batch.kept.rows() > 0) {
      for (const int32_t id : batch.kept.ids(row, static_cast<int64_t>(vocab))) is_kept[static_cast<size_t>(id)] = true;
    }
    double sum = 0;
    for (size_t k = 0; k < vocab; ++k) sum += is_kept[k] ? std::exp(static_cast<double>(x[k]) / temperature_) : 0;
    const auto target = static_cast<size_t>(batch.targets[row]);
    const double factor = batch.signals[0][row];
    const double loss = -factor * (static_cast<double>(x[target]) / temperature_ - std::log(sum));
    for (size_t k = 0; k < vocab; ++k) {
      const double p = is_kept[k] ? std::exp(static_cast<double>(x[k]) / temperature_) / sum : 0;
      const double slope = is_kept[k] ? (p - (k == target ? 1 : 0)) / temperature_ : 0;
      x[k] = static_cast<float>(static_cast<double>(weight) * factor * slope);
    }
    return loss;
  }
  double temperature_;
};

// Documents of 40 tokens; `off` rows in the middle without a weight, so that a run of the head is left out.
data::MicroBatch drawn_batch(const Source& source, int64_t n_documents, bool keeps) {
  std::vector<std::vector<int32_t>> documents;
  for (int64_t d = 0; d < n_documents; ++d) documents.push_back(slice(source.ids, static_cast<size_t>(d % 7), 40));
  data::MicroBatch batch = batch_of(documents);
  batch.signals.resize(1);
  const auto vocab = static_cast<int64_t>(source.config.vocab);
  for (size_t i = 0; i < batch.weights.size(); ++i) {
    if (i % 11 == 5 || (i >= kHeadRows && i < 2 * kHeadRows)) batch.weights[i] = 0;
    if (batch.weights[i] != 0) batch.weights[i] = static_cast<float>(drawn_test(1, i) + 0.5);
    batch.signals[0].push_back(static_cast<float>(drawn_test(2, i) * 4 - 2));
    if (!keeps) continue;
    std::vector<int32_t> ids;
    for (int64_t id = 0; id < vocab; ++id) {
      if (id == batch.targets[i] || drawn_test(3, i * 1000 + static_cast<uint64_t>(id)) < (i % 3 == 0 ? 0.02 : 0.6)) {
        ids.push_back(static_cast<int32_t>(id));
      }
    }
    batch.weights[i] == 0 ? batch.kept.add_none() : batch.kept.add(ids, vocab);
  }
  return batch;
}

Gradients gradients_by(TrainableModel& model, const data::MicroBatch& batch, const Objective& objective) {
  const GradientBuffer grads = zero_grads(model);
  Gradients out;
  auto result = model.run(batch, scale_of(model, {batch}, 29, 0), &grads, objective);
  NARU_CHECK(result.ok(), result.ok() ? "" : result.error().message);
  out.result = std::move(*result);
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    out.grads.push_back(floats_of(model.chip(), grads.view(static_cast<int64_t>(i))));
  }
  return out;
}

TEST(DrawnRows, HaveTheGradientOfTheirDistribution) {
  const Source& source = fixture_source("llama-odd");
  for (const bool keeps : {false, true}) {
    const data::MicroBatch batch = drawn_batch(source, 30, keeps);
    TrainableModel model = make_model(best_cpu(), source, {}, batch);
    for (const double temperature : {1.0, 0.7, 2.0}) {
      if (temperature == 1 && !keeps) continue;
      const auto loss = std::make_shared<ScaledLogProb>(temperature);
      const Gradients got = gradients_by(model, batch, std::shared_ptr<const LogProbLoss>(loss));
      const Gradients wanted =
          gradients_by(model, batch, std::shared_ptr<const LogitsLoss>(std::make_shared<OwnDrawn>(temperature)));
      EXPECT_NEAR(got.result.sums.loss, wanted.result.sums.loss, 1e-5 * std::abs(wanted.result.sums.loss));
      for (size_t i = 0; i < got.grads.size(); ++i) {
        std::vector<float> error(got.grads[i].size());
        for (size_t k = 0; k < error.size(); ++k) error[k] = got.grads[i][k] - wanted.grads[i][k];
        EXPECT_GT(norm_of(wanted.grads[i]), 0) << model.parameters()[i].name;
        EXPECT_LE(norm_of(error), 1e-5 * norm_of(wanted.grads[i])) << model.parameters()[i].name << " " << temperature;
      }
    }
  }
}

// Near 1 the two ways of the head agree; at 1 it is the plain one, whose bits are cross entropy's.
TEST(DrawnRows, TheModelsOwnDistributionIsTheOpsOwn) {
  const Source& source = fixture_source("llama-odd");
  data::MicroBatch batch = drawn_batch(source, 2, false);
  TrainableModel model = make_model(best_cpu(), source, {}, batch);
  const auto by = [&](double temperature) {
    const auto loss = std::make_shared<ScaledLogProb>(temperature);
    return gradients_by(model, batch, std::shared_ptr<const LogProbLoss>(loss));
  };
  batch.signals[0].assign(batch.ids.size(), 1.0f);
  data::MicroBatch plain = batch;
  plain.signals.clear();
  const Gradients wanted = gradients_by(model, plain, {}), own = by(1), near = by(1 + 1e-6);
  EXPECT_EQ(own.grads, wanted.grads);
  EXPECT_NE(near.grads, wanted.grads);
  EXPECT_NEAR(near.result.sums.loss, wanted.result.sums.loss, 1e-4 * wanted.result.sums.loss);
}

// ---- the reference

TEST(ReferencePolicy, LeavesTheModelAsItWas) {
  const Source& source = fixture_source("v3-odd");
  data::MicroBatch batch = drawn_batch(source, 2, false);
  for (const int64_t rank : {0, 2}) {
    TrainableModel::Options options;
    options.lora.rank = rank;
    TrainableModel model = make_model(best_cpu(), source, options, batch);
    auto reference = ReferencePolicy::create(model);
    ASSERT_TRUE(reference.ok());
    EXPECT_EQ(reference->values().bytes() < model.values().bytes() / 4, rank > 0) << "adapters alone";
    const auto says = [&] {
      data::MicroBatch plain = batch;
      plain.signals.clear();
      return model.run(plain, {}, nullptr)->losses;
    };
    const std::vector<float> before = says();
    // Other values, among them some that an op would flush.
    const auto last = std::ssize(model.parameters()) - 1;
    std::vector<float> changed = floats_of(model.chip(), model.values().view(last));
    for (size_t k = 0; k < changed.size(); ++k) changed[k] += k % 2 == 0 ? 0.5f : -0.25f;
    changed[0] = 1e-42f;
    changed[1] = -0.0f;
    ASSERT_TRUE(model.chip().copy_in(model.values().view(last).address, changed.data(), std::ssize(changed) * 4).ok());
    ASSERT_TRUE(model.refresh().ok());
    const std::vector<float> here = says(), all = floats_of(model.chip(), model.values().all());
    ASSERT_NE(here, before);
    const std::string of_reference = reference->sha256(model.chip()).value();
    for (const bool is_stopped : {false, true}) {
      std::vector<data::StepBatch> batches(1);
      batches[0].micro_batches = {batch, batch};
      int64_t n_left = is_stopped ? 1 : 9;
      const Status status = reference->refer(model, 1, batches, [&] { return n_left-- <= 0; });
      EXPECT_EQ(status.ok(), !is_stopped);
      const auto& signal = batches[0].micro_batches[0].signals.at(1);
      for (size_t i = 0; i < signal.size(); ++i) {
        ASSERT_EQ(signal[i], batch.weights[i] == 0 ? 0.0f : -before[i]) << "what the first values said, " << i;
      }
      EXPECT_TRUE(same_bits(floats_of(model.chip(), model.values().all()), all));
      EXPECT_EQ(says(), here);
      EXPECT_EQ(reference->sha256(model.chip()).value(), of_reference);
    }
    ASSERT_TRUE(reference->renew(model).ok());
    EXPECT_NE(reference->sha256(model.chip()).value(), of_reference);
  }
}

}  // namespace
}  // namespace naru::train
