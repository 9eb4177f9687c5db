// Objectives of all three kinds: what they are given, what becomes of what they give, and that the gradient is that of
// the loss they state.
#include <cmath>

#include "tests/contract/cpu_chips.h"
#include "tests/train/rig.h"
#include "tests/train/rows_loss.h"
#include "train/objective.h"

namespace naru::train {
namespace {

contract::Chip& plain_chip() {
  static const auto kChip = test::make_chip("reference");
  return *kChip;
}

double drawn(uint32_t stream, uint64_t i) {
  return uniform_53(draw(29, DrawPurpose::kTest, stream, i));
}

// ---- objectives

// The loss -c log p of each row, c its signal.
class Scaled : public LogProbLoss {
 public:
  int64_t n_signals() const override { return 1; }
  Status weigh(const data::MicroBatch& batch, std::span<const float> log_probs, std::span<float> losses,
               std::span<float> factors) const override {
    seen.assign(log_probs.begin(), log_probs.end());
    for (size_t i = 0; i < log_probs.size(); ++i) {
      factors[i] = batch.signals[0][i];
      losses[i] = -factors[i] * log_probs[i];
    }
    return {};
  }
  mutable std::vector<float> seen;
};

// The clipped policy gradient with a k3 estimate of the KL to a reference: signals advantage, log p of the policy that
// wrote the token, log p of the reference.
struct PolicyGradient {
  double low = 0.2, high = 0.28, beta = 0.1;

  struct Row {
    double loss = 0, factor = 0;
    bool is_clipped = false;
  };
  Row row(double log_prob, double advantage, double old, double reference) const {
    const double ratio = std::exp(log_prob - old), x = std::exp(reference - log_prob);
    const double kept = std::clamp(ratio, 1 - low, 1 + high);
    Row result;
    result.is_clipped = kept * advantage < ratio * advantage;
    result.loss = -std::min(ratio * advantage, kept * advantage) + beta * (x - std::log(x) - 1);
    result.factor = (result.is_clipped ? 0 : ratio * advantage) + beta * (x - 1);
    return result;
  }
};

class PolicyGradientLoss : public LogProbLoss {
 public:
  int64_t n_signals() const override { return 3; }
  Status weigh(const data::MicroBatch& batch, std::span<const float> log_probs, std::span<float> losses,
               std::span<float> factors) const override {
    for (size_t i = 0; i < log_probs.size(); ++i) {
      const PolicyGradient::Row row =
          formula.row(log_probs[i], batch.signals[0][i], batch.signals[1][i], batch.signals[2][i]);
      losses[i] = static_cast<float>(row.loss);
      factors[i] = static_cast<float>(row.factor);
    }
    return {};
  }
  PolicyGradient formula;
};

// Cross entropy written by the objective itself.
class OwnCrossEntropy : public RowsLoss {
 public:
  int64_t n_signals() const override { return 0; }
  Status run(contract::Chip& chip, nn::Workspace&, const data::MicroBatch&, const LogitRows& rows) const override {
    return chip.run(contract::CrossEntropy{.logits = rows.logits,
                                           .targets = rows.targets,
                                           .weights = rows.weights,
                                           .loss = rows.losses,
                                           .dlogits = rows.to_gradient ? rows.logits : View{}});
  }
};

// The reverse KL to given rows of logits, over the whole vocabulary, on the host: sum over v of p (log p - log q).
class KlToRows : public RowsLoss {
 public:
  explicit KlToRows(std::vector<std::vector<float>> rows) : teacher(std::move(rows)) {}
  int64_t n_signals() const override { return 0; }
  Status run(contract::Chip& chip, nn::Workspace&, const data::MicroBatch&, const LogitRows& rows) const override {
    const auto n = static_cast<size_t>(rows.logits.rows), vocab = static_cast<size_t>(rows.logits.cols);
    std::vector<float> logits(n * vocab), weights(n), losses(n);
    NARU_TRY(chip.wait());
    NARU_TRY(chip.copy_out(logits.data(), rows.logits.address, static_cast<int64_t>(n * vocab) * 4));
    NARU_TRY(chip.copy_out(weights.data(), rows.weights.address, static_cast<int64_t>(n) * 4));
    for (size_t i = 0; i < n; ++i) {
      const size_t row = static_cast<size_t>(rows.begin) + i;
      if (row < kept.size())
        kept[row].assign(logits.begin() + static_cast<std::ptrdiff_t>(i * vocab),
                         logits.begin() + static_cast<std::ptrdiff_t>((i + 1) * vocab));
      if (teacher.empty()) continue;
      losses[i] = static_cast<float>(divergence(&logits[i * vocab], teacher[row], weights[i]));
    }
    NARU_TRY(chip.copy_in(rows.losses.address, losses.data(), static_cast<int64_t>(n) * 4));
    if (!rows.to_gradient) return {};
    return chip.copy_in(rows.logits.address, logits.data(), static_cast<int64_t>(n * vocab) * 4);
  }

  std::vector<std::vector<float>> teacher;            // [T][V]
  mutable std::vector<std::vector<float>> kept = {};  // the model's own, where there is a place for them

 private:
  static std::vector<double> log_softmax(const float* x, size_t n) {
    double most = -HUGE_VAL, sum = 0;
    for (size_t k = 0; k < n; ++k) most = std::max(most, static_cast<double>(x[k]));
    for (size_t k = 0; k < n; ++k) sum += std::exp(static_cast<double>(x[k]) - most);
    std::vector<double> y;
    for (size_t k = 0; k < n; ++k) y.push_back(static_cast<double>(x[k]) - most - std::log(sum));
    return y;
  }
  // The gradient takes the logits' place.
  static double divergence(float* x, const std::vector<float>& of, float weight) {
    const std::vector<double> p = log_softmax(x, of.size()), q = log_softmax(of.data(), of.size());
    double sum = 0;
    for (size_t k = 0; k < p.size(); ++k) sum += std::exp(p[k]) * (p[k] - q[k]);
    for (size_t k = 0; k < p.size(); ++k) {
      x[k] = static_cast<float>(static_cast<double>(weight) * std::exp(p[k]) * (p[k] - q[k] - sum));
    }
    return sum;
  }
};

// ---- what they are run on

// Documents of 40 tokens; rows with drawn weights, those of [off, off + n_off) without.
data::MicroBatch weighted_batch(const Source& source, int64_t n_documents, size_t off = 0, size_t n_off = 0) {
  std::vector<std::vector<int32_t>> documents;
  for (int64_t d = 0; d < n_documents; ++d) documents.push_back(slice(source.ids, static_cast<size_t>(d % 7), 40));
  data::MicroBatch batch = batch_of(documents);
  for (size_t i = 0; i < batch.weights.size(); ++i) {
    if (batch.weights[i] != 0) batch.weights[i] = static_cast<float>(drawn(1, i) * 3 - 1);
    if (i % 11 == 5 || (i >= off && i < off + n_off)) batch.weights[i] = 0;
  }
  return batch;
}

Gradients run_with(TrainableModel& model, const data::MicroBatch& batch, double divisor, const Objective& objective) {
  const GradientBuffer grads = zero_grads(model);
  Gradients out;
  auto result = model.run(batch, scale_of(model, {batch}, divisor, 0), &grads, objective);
  NARU_CHECK(result.ok(), result.ok() ? "" : result.error().message);
  out.result = std::move(*result);
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    out.grads.push_back(grads.holds(index) ? floats_of(model.chip(), grads.view(index)) : std::vector<float>{});
  }
  return out;
}

std::string grads_difference(const TrainableModel& model, const Gradients& a, const Gradients& b) {
  for (size_t i = 0; i < a.grads.size(); ++i) {
    if (!same_bits(a.grads[i], b.grads[i])) return model.parameters()[i].name;
  }
  return "";
}

// ---- cross entropy

TEST(Objective, WeightsCountAsTheyAre) {
  const Source& source = fixture_source("v3-mtp");
  const data::MicroBatch batch = batch_of({slice(source.ids, 0, 30), slice(source.ids, 5, 9)});
  TrainableModel model = make_model(best_cpu(), source, {}, batch);
  const auto weighted = [&](float weight, double divisor) {
    data::MicroBatch other = batch;
    for (float& w : other.weights) w *= weight;
    return run_with(model, other, divisor, {});
  };
  const Gradients one = weighted(1, 37);
  EXPECT_EQ(difference(model, weighted(4, 148), one), "");
  EXPECT_EQ(weighted(4, 148).result.sums.loss, 4 * one.result.sums.loss);
}

TEST(Objective, ARowThatCountsMinusOneTakesBackWhatItGave) {
  const Source& source = fixture_source("v3-odd");
  const data::MicroBatch batch = batch_of({slice(source.ids, 0, 30), slice(source.ids, 5, 9)});
  TrainableModel model = make_model(best_cpu(), source, {}, batch);
  data::MicroBatch row = batch, back = batch;
  for (size_t i = 0; i < batch.weights.size(); ++i) {
    row.weights[i] = i == 3 ? 1.0f : 0.0f;
    back.weights[i] = i == 3 ? -1.0f : 0.0f;
  }
  const Gradients forth = run_with(model, row, 1, {}), taken = run_with(model, back, 1, {});
  EXPECT_EQ(forth.result.sums.loss, -taken.result.sums.loss);
  for (size_t i = 0; i < forth.grads.size(); ++i) {
    for (size_t k = 0; k < forth.grads[i].size(); ++k) ASSERT_EQ(forth.grads[i][k], -taken.grads[i][k]);
  }
}

// ---- log-probabilities

TEST(Objective, EqualFactorsAreEqualBits) {
  for (const char* fixture : {"llama-odd", "v3-odd", "v3-mtp"}) {
    const Source& source = fixture_source(fixture);
    // 30 documents: three runs of the head, in the second of which no row counts.
    const data::MicroBatch weighted = weighted_batch(source, 30, kHeadRows, kHeadRows);
    for (const TrainableModel::Options& options : all_options(source)) {
      TrainableModel model = make_model(best_cpu(), source, options, weighted);
      data::MicroBatch batch = weighted;
      for (float& w : batch.weights) w = w == 0 ? 0.0f : 1.0f;
      if (source.config.mtp_layers > 0) batch.weights = weighted.weights;  // what prediction layers count by
      batch.signals = {weighted.weights};
      if (source.config.mtp_layers > 0) batch.signals[0].assign(batch.weights.size(), 1.0f);
      const auto loss = std::make_shared<Scaled>();
      const Gradients wanted = run_with(model, weighted, 321, {});
      const Gradients got = run_with(model, batch, 321, std::shared_ptr<const LogProbLoss>(loss));
      EXPECT_EQ(grads_difference(model, got, wanted), "") << name_of(fixture, options);
      // It read what cross entropy says of each row.
      for (size_t i = 0; i < loss->seen.size(); ++i) {
        ASSERT_EQ(loss->seen[i], weighted.weights[i] == 0 ? 0.0f : -wanted.result.losses[i]) << i;
      }
    }
  }
}

// Advantages of both signs, old and reference policies around the model's own.
data::MicroBatch policy_batch(const Source& source, TrainableModel& model) {
  data::MicroBatch batch = weighted_batch(source, 2);
  const auto says = model.run(batch, {}, nullptr);
  NARU_CHECK(says.ok());
  batch.signals.assign(3, std::vector<float>(batch.ids.size()));
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    batch.signals[0][i] = static_cast<float>(drawn(2, i) * 4 - 2);
    batch.signals[1][i] = -says->losses[i] + static_cast<float>(drawn(3, i) - 0.5);
    batch.signals[2][i] = -says->losses[i] + static_cast<float>(drawn(4, i) - 0.5);
  }
  return batch;
}

// The gradient is the sum over rows of factor * the gradient of one row's -log p, each made by itself.
TEST(Objective, PolicyGradientIsThatOfItsRows) {
  const Source& source = fixture_source("v3-odd");
  TrainableModel model = make_model(best_cpu(), source, {}, weighted_batch(source, 2));
  const data::MicroBatch batch = policy_batch(source, model);
  const auto loss = std::make_shared<PolicyGradientLoss>();
  const double divisor = 17;
  const Gradients got = run_with(model, batch, divisor, std::shared_ptr<const LogProbLoss>(loss));
  std::vector<std::vector<double>> wanted;
  for (const std::vector<float>& grad : got.grads) wanted.emplace_back(grad.size());
  double sum = 0;
  int64_t n_clipped = 0;
  for (size_t row = 0; row < batch.ids.size(); ++row) {
    if (batch.weights[row] == 0) continue;
    data::MicroBatch alone = batch;
    alone.signals.clear();
    alone.weights.assign(batch.weights.size(), 0.0f);
    alone.weights[row] = 1;
    const Gradients of_row = run_with(model, alone, 1, {});
    const PolicyGradient::Row row_of =
        loss->formula.row(-static_cast<double>(of_row.result.losses[row]), batch.signals[0][row], batch.signals[1][row],
                          batch.signals[2][row]);
    n_clipped += row_of.is_clipped ? 1 : 0;
    sum += static_cast<double>(batch.weights[row]) * row_of.loss;
    const double times = static_cast<double>(batch.weights[row]) * row_of.factor / divisor;
    for (size_t i = 0; i < wanted.size(); ++i) {
      for (size_t k = 0; k < wanted[i].size(); ++k) wanted[i][k] += times * static_cast<double>(of_row.grads[i][k]);
    }
  }
  EXPECT_GT(n_clipped, 5);
  EXPECT_NEAR(got.result.sums.loss, sum, 1e-5 * std::abs(sum));
  double total = 0;
  for (const std::vector<float>& grad : got.grads) total += norm_of(grad);
  for (size_t i = 0; i < wanted.size(); ++i) {
    std::vector<float> error(wanted[i].size());
    for (size_t k = 0; k < error.size(); ++k) {
      error[k] = static_cast<float>(static_cast<double>(got.grads[i][k]) - wanted[i][k]);
    }
    EXPECT_LE(norm_of(error), 1e-5 * norm_of(got.grads[i]) + 1e-7 * total) << model.parameters()[i].name;
  }
}

// Along its own gradient the stated loss falls as steeply as the gradient says.
void check_slope(const Source& source, TrainableModel& model, const data::MicroBatch& batch,
                 const Objective& objective) {
  constexpr double kDivisor = 10;
  const Gradients here = run_with(model, batch, kDivisor, objective);
  for (const std::string& name : {source.parameters.front().name, std::string("model.norm.weight")}) {
    const int64_t index = source.index_of(name);
    const View view = model.values().view(index);
    const std::vector<float> values = floats_of(model.chip(), view), &grad = here.grads[static_cast<size_t>(index)];
    const double norm = norm_of(grad), h = 2e-3;
    const auto loss_at = [&](double step) {
      std::vector<float> moved = values;
      for (size_t k = 0; k < moved.size(); ++k) {
        moved[k] = static_cast<float>(static_cast<double>(moved[k]) + step * static_cast<double>(grad[k]) / norm);
      }
      NARU_CHECK(model.chip().copy_in(view.address, moved.data(), static_cast<int64_t>(moved.size()) * 4).ok());
      NARU_CHECK(model.refresh().ok());
      const auto result = model.run(batch, {.divisor = kDivisor}, nullptr, objective);
      NARU_CHECK(result.ok());
      return result->sums.loss / kDivisor;
    };
    const double slope = (loss_at(h) - loss_at(-h)) / (2 * h);
    loss_at(0);
    EXPECT_GT(norm, 1e-3) << name;
    EXPECT_NEAR(slope, norm, 0.01 * norm) << name;
  }
}

TEST(Objective, PolicyGradientIsTheSlopeOfItsLoss) {
  const Source& source = fixture_source("llama-odd");
  TrainableModel model = make_model(best_cpu(), source, {}, weighted_batch(source, 2));
  auto loss = std::make_shared<PolicyGradientLoss>();
  loss->formula.low = loss->formula.high = 10;  // no corners on the way
  check_slope(source, model, policy_batch(source, model), std::shared_ptr<const LogProbLoss>(loss));
}

TEST(Objective, AFactorThatIsNoNumberIsAnError) {
  const Source& source = fixture_source("llama-odd");
  data::MicroBatch batch = weighted_batch(source, 1);
  TrainableModel model = make_model(best_cpu(), source, {}, batch);
  batch.signals = {std::vector<float>(batch.ids.size(), 1.0f)};
  const Objective objective = std::shared_ptr<const LogProbLoss>(std::make_shared<Scaled>());
  const GradientBuffer grads = zero_grads(model);
  batch.signals[0][5] = HUGE_VALF;  // a row that has no target
  EXPECT_TRUE(model.run(batch, {}, &grads, objective).ok());
  batch.signals[0][6] = HUGE_VALF;
  const auto result = model.run(batch, {}, &grads, objective);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kOutOfRange);
  EXPECT_NE(result.error().message.find("the factor of row 6 is inf"), std::string::npos) << result.error().message;
}

// ---- rows of logits

TEST(Objective, CrossEntropyOfItsOwnIsCrossEntropy) {
  for (const char* fixture : {"llama-tied-llama3", "v3-mtp"}) {
    const Source& source = fixture_source(fixture);
    const data::MicroBatch batch = weighted_batch(source, 30, kHeadRows, kHeadRows);
    const Objective own = std::shared_ptr<const LogitsLoss>(std::make_shared<OwnCrossEntropy>());
    for (const TrainableModel::Options& options : all_options(source)) {
      TrainableModel model = make_model(best_cpu(), source, options, batch);
      const Gradients wanted = run_with(model, batch, 321, {}), got = run_with(model, batch, 321, own);
      EXPECT_EQ(difference(model, got, wanted), "") << name_of(fixture, options);
      EXPECT_EQ(got.result.sums.loss, wanted.result.sums.loss);
      EXPECT_TRUE(same_bits(model.run(batch, {}, nullptr, own)->losses, wanted.result.losses));
    }
  }
}

std::shared_ptr<KlToRows> kl_to_other_rows(TrainableModel& model, const data::MicroBatch& batch, double distance) {
  KlToRows own({});
  own.kept.resize(batch.ids.size());
  const std::shared_ptr<const LogitsLoss> reader(&own, [](const LogitsLoss*) {});
  NARU_CHECK(model.run(batch, {}, nullptr, reader).ok());
  for (size_t i = 0; i < own.kept.size(); ++i) {
    for (size_t k = 0; k < own.kept[i].size(); ++k) {
      own.kept[i][k] += static_cast<float>(distance * (drawn(9, i * 1000 + k) - 0.5));
    }
  }
  return std::make_shared<KlToRows>(std::move(own.kept));
}

TEST(Objective, ReverseKlToItselfIsNothing) {
  const Source& source = fixture_source("llama-odd");
  const data::MicroBatch batch = weighted_batch(source, 2);
  TrainableModel model = make_model(best_cpu(), source, {}, batch);
  const std::shared_ptr<const LogitsLoss> same = kl_to_other_rows(model, batch, 0),
                                          far = kl_to_other_rows(model, batch, 4);
  const Gradients nothing = run_with(model, batch, 10, same), something = run_with(model, batch, 10, far);
  EXPECT_LT(std::abs(nothing.result.sums.loss), 1e-9);
  for (size_t i = 0; i < nothing.grads.size(); ++i) {
    EXPECT_LE(norm_of(nothing.grads[i]), 1e-6 * norm_of(something.grads[i]));
  }
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    EXPECT_EQ(something.result.losses[i] > 0, batch.weights[i] != 0) << i;
  }
}

TEST(Objective, ReverseKlIsTheSlopeOfItsLoss) {
  const Source& source = fixture_source("llama-odd");
  const data::MicroBatch batch = weighted_batch(source, 2);
  TrainableModel model = make_model(best_cpu(), source, {}, batch);
  check_slope(source, model, batch, std::shared_ptr<const LogitsLoss>(kl_to_other_rows(model, batch, 4)));
}

// ---- chips

TEST(Objective, EqualOnEveryChip) {
  const Source& source = fixture_source("v3-odd");
  TrainableModel model = make_model(plain_chip(), source, {}, weighted_batch(source, 2));
  const data::MicroBatch by_policy = policy_batch(source, model);
  data::MicroBatch by_rows = by_policy;
  by_rows.signals.clear();
  const Objective policy = std::shared_ptr<const LogProbLoss>(std::make_shared<PolicyGradientLoss>());
  const Objective rows = std::shared_ptr<const LogitsLoss>(kl_to_other_rows(model, by_rows, 4));
  const Gradients one = run_with(model, by_policy, 10, policy), two = run_with(model, by_rows, 10, rows);
  for (const auto& [name, chip] : test::cpu_chips()) {
    TrainableModel other = make_model(*chip, source, {}, by_policy);
    EXPECT_EQ(difference(model, run_with(other, by_policy, 10, policy), one), "") << name;
    EXPECT_EQ(difference(model, run_with(other, by_rows, 10, rows), two), "") << name;
  }
}

}  // namespace
}  // namespace naru::train
