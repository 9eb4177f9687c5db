// The parts of a step by themselves: schedule, guard, the order of gradient sums, AdamW and Muon.
#include <cmath>
#include <optional>
#include <set>

#include "tests/train/rig.h"
#include "train/gradient_sum.h"
#include "train/guard.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace naru::train {
namespace {

// ---- schedule

recipes::ScheduleRecipe schedule_of(const std::string& kind, int64_t warmup, int64_t decay = 0) {
  return {.kind = kind, .warmup_steps = warmup, .decay_steps = decay, .final_factor = 0.1};
}

TEST(Schedule, WarmsUpInEveryKind) {
  for (const char* kind : {"constant", "linear", "cosine", "wsd"}) {
    const recipes::ScheduleRecipe schedule = schedule_of(kind, 4, 10);
    for (int64_t step = 0; step < 4; ++step) {
      EXPECT_EQ(learning_rate_factor(schedule, step, 100), static_cast<double>(step + 1) / 4) << kind;
    }
    EXPECT_EQ(learning_rate_factor(schedule, 4, 100), 1.0) << kind;
    EXPECT_EQ(learning_rate_factor(schedule_of(kind, 0, 10), 0, 100), 1.0) << kind;
    EXPECT_GT(learning_rate_factor(schedule_of(kind, 200, 10), 99, 100), 0.49) << kind;  // never done warming up
  }
}

TEST(Schedule, EndsInEveryKind) {
  EXPECT_EQ(learning_rate_factor(schedule_of("constant", 4), 99, 100), 1.0);
  EXPECT_NEAR(learning_rate_factor(schedule_of("linear", 4), 99, 100), 0.1, 1e-15);
  EXPECT_NEAR(learning_rate_factor(schedule_of("cosine", 4), 99, 100), 0.1, 1e-15);
  EXPECT_NEAR(learning_rate_factor(schedule_of("wsd", 4, 20), 99, 100), 0.1, 1e-15);
  EXPECT_NEAR(learning_rate_factor(schedule_of("linear", 1), 50, 100), 1 - 0.9 * 0.5, 1e-15);
  EXPECT_NEAR(learning_rate_factor(schedule_of("cosine", 1), 50, 100), 0.55, 1e-15);
  EXPECT_EQ(learning_rate_factor(schedule_of("wsd", 4, 20), 79, 100), 1.0);
  EXPECT_NEAR(learning_rate_factor(schedule_of("wsd", 4, 20), 80, 100), 1 - 0.9 / 20, 1e-15);
  EXPECT_EQ(learning_rate_factor(schedule_of("wsd", 4, 0), 99, 100), 1.0);
  // All of the run decays.
  EXPECT_NEAR(learning_rate_factor(schedule_of("wsd", 0, 500), 0, 100), 1 - 0.9 / 100, 1e-15);
  for (const char* kind : {"constant", "linear", "cosine", "wsd"}) {
    EXPECT_EQ(learning_rate_factor(schedule_of(kind, 0), 0, 1), 1.0) << kind;  // one step
  }
}

TEST(Schedule, NeverRises) {
  for (const char* kind : {"constant", "linear", "cosine", "wsd"}) {
    for (int64_t step = 5; step < 100; ++step) {
      EXPECT_LE(learning_rate_factor(schedule_of(kind, 4, 30), step, 100),
                learning_rate_factor(schedule_of(kind, 4, 30), step - 1, 100))
          << kind << " " << step;
    }
  }
}

// ---- guard

// 50 norms around 1, by which the guard learns.
GuardState learnt(const recipes::GuardRecipe& guard) {
  GuardState state;
  for (int i = 0; i < 50; ++i) {
    const GuardDecision decision = judge_norm(guard, 0, i == 20 ? 1000 : i % 2 == 0 ? 0.9 : 1.1, state);
    EXPECT_EQ(decision.verdict, StepVerdict::kUpdate) << i << ": it judges before it has learnt";
    EXPECT_EQ(decision.scale, 1.0) << i;
    if (i == 20) state = {.n_seen = 21, .mean = 1, .variance = 0.01, .n_skipped_in_row = 0};
  }
  return state;
}

TEST(Guard, ClipsByTheRecipesNorm) {
  GuardState state;
  EXPECT_EQ(judge_norm({}, 1.0, 4.0, state).scale, 0.25);
  EXPECT_EQ(judge_norm({}, 1.0, 0.5, state).scale, 1.0);
  EXPECT_EQ(judge_norm({}, 0, 4.0, state).scale, 1.0);
  EXPECT_EQ(judge_norm({}, 1.0, 0.0, state).scale, 1.0);
  EXPECT_EQ(state.n_seen, 4);
}

TEST(Guard, ClipsToItsMeanThenSkipsThenRollsBack) {
  const recipes::GuardRecipe guard;
  GuardState state = learnt(guard);
  EXPECT_NEAR(state.mean, 1, 0.05);
  const double deviation = std::sqrt(state.variance);
  const double mean = state.mean;
  GuardState copy = state;
  const double high = mean + 4 * deviation;
  const GuardDecision clipped = judge_norm(guard, 0, high, copy);
  EXPECT_EQ(clipped.verdict, StepVerdict::kUpdate);
  EXPECT_NEAR(clipped.z, 4, 1e-9);
  EXPECT_EQ(clipped.scale, mean / high);
  EXPECT_GT(copy.mean, mean);

  const double far = mean + 7 * deviation;
  EXPECT_EQ(judge_norm(guard, 0, far, state).verdict, StepVerdict::kSkip);
  EXPECT_EQ(judge_norm(guard, 0, far, state).verdict, StepVerdict::kSkip);
  EXPECT_EQ(state.mean, mean) << "a skipped norm teaches nothing";
  copy = state;
  EXPECT_EQ(judge_norm(guard, 0, far, state).verdict, StepVerdict::kRollBack);
  EXPECT_EQ(judge_norm(guard, 0, far, state).verdict, StepVerdict::kSkip) << "counted from 0 again";
  // A good step in between.
  EXPECT_EQ(judge_norm(guard, 0, mean, copy).verdict, StepVerdict::kUpdate);
  EXPECT_EQ(judge_norm(guard, 0, far, copy).verdict, StepVerdict::kSkip);
  // Small norms are no danger.
  EXPECT_EQ(judge_norm(guard, 0, 0, copy).verdict, StepVerdict::kUpdate);
}

TEST(Guard, ZeroTurnsItOff) {
  const recipes::GuardRecipe off{.clip_z = 0, .skip_z = 0, .recheck_every = 0};
  GuardState state = learnt(off);
  const GuardDecision decision = judge_norm(off, 0, 1e6, state);
  EXPECT_EQ(decision.verdict, StepVerdict::kUpdate);
  EXPECT_EQ(decision.scale, 1.0);
}

// ---- gradient sum

float micro_gradient(int64_t micro, int64_t element) {
  const auto block = draw(23, DrawPurpose::kTest, static_cast<uint32_t>(micro), static_cast<uint64_t>(element));
  return static_cast<float>((uniform_53(block) - 0.5) * std::ldexp(1.0, static_cast<int>(block[3] % 24)));
}

// docs/arithmetic.md section 7: runs from n*i/groups to n*(i+1)/groups, each a chain from +0; runs by the aligned tree.
float documented_sum(int64_t n, int64_t groups, int64_t element) {
  std::vector<std::optional<float>> level;
  for (int64_t g = 0; g < groups; ++g) {
    std::optional<float> run;
    for (int64_t i = n * g / groups; i < n * (g + 1) / groups; ++i) {
      run = contract::add(run.value_or(0.0f), micro_gradient(i, element));
    }
    level.push_back(run);
  }
  while (level.size() > 1) {
    std::vector<std::optional<float>> next;
    for (size_t i = 0; i < level.size(); i += 2) {
      std::optional<float> sum = level[i];
      if (i + 1 < level.size() && level[i + 1]) sum = sum ? contract::add(*sum, *level[i + 1]) : *level[i + 1];
      next.push_back(sum);
    }
    level = std::move(next);
  }
  return *level[0];
}

TEST(GradientSum, AddsInTheDocumentedOrder) {
  const Source& source = fixture_source("qwen2-gqa");
  TrainableModel model = make_model(best_cpu(), source, {}, 8, 1);
  NoPeers alone;
  GradientSum sum(model, alone);  // one for all: what an earlier step left in its copies must not matter
  int64_t n_orders_that_matter = 0;
  for (const int64_t groups : {1, 3, 8}) {
    for (int64_t n = 1; n <= 9; ++n) {
      std::set<const ParameterBuffer*> copies;
      int64_t next = 0;
      const auto result = sum.run(
          n, groups,
          [&](int64_t i, const GradientBuffer& grads) -> Status {
            EXPECT_EQ(i, next++) << "micro-batches run in order";
            copies.insert(&grads);
            const View all = grads.all();
            std::vector<float> values = floats_of(best_cpu(), all);
            for (size_t k = 0; k < values.size(); ++k) {
              values[k] = contract::add(values[k], micro_gradient(i, static_cast<int64_t>(k % 61)));
            }
            set_floats(best_cpu(), all, values);
            return {};
          },
          as_it_went);
      ASSERT_TRUE(result.ok());
      EXPECT_EQ(next, n);
      EXPECT_LE(static_cast<int64_t>(copies.size()), GradientSum::copies(n, groups)) << n << " in " << groups;
      const std::vector<float> all = floats_of(best_cpu(), (*result)->all());
      for (int64_t k = 0; k < static_cast<int64_t>(all.size()); ++k) {
        const float wanted = documented_sum(n, groups, k % 61);
        ASSERT_EQ(std::bit_cast<uint32_t>(all[static_cast<size_t>(k)]), std::bit_cast<uint32_t>(wanted))
            << n << " in " << groups;
        if (k < 61 && documented_sum(n, 1, k) != wanted) ++n_orders_that_matter;
      }
    }
  }
  EXPECT_GT(n_orders_that_matter, 100) << "the values do not tell orders apart";
}

TEST(GradientSum, PassesErrorsOn) {
  TrainableModel model = make_model(best_cpu(), fixture_source("qwen2-gqa"), {}, 8, 1);
  NoPeers alone;
  GradientSum sum(model, alone);
  const auto result = sum.run(
      5, 3,
      [&](int64_t i, const GradientBuffer&) -> Status {
        if (i == 3) return Error{Code::kCancelled, "enough"};
        return {};
      },
      as_it_went);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message, "enough");
}

// ---- optimizers

using Rows = std::vector<double>;  // row-major

Rows doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

GradientBuffer drawn_gradients(TrainableModel& model, uint32_t step) {
  GradientBuffer grads = zero_grads(model);
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const View view = grads.view(static_cast<int64_t>(i));
    std::vector<float> values;
    for (int64_t k = 0; k < view.rows * view.cols; ++k) {
      const double u = uniform_53(draw(31 + i, DrawPurpose::kTest, step, static_cast<uint64_t>(k)));
      values.push_back(static_cast<float>(u - 0.5));
    }
    set_floats(model.chip(), view, values);
  }
  return grads;
}

TEST(PredictionTargets, StayWithinTheirDocument) {
  data::MicroBatch batch = batch_of({{10, 11, 12, 13}, {20, 21}, {30}});
  batch.weights[2] = 0;
  const PredictionTargets first = prediction_targets(batch, 0), second = prediction_targets(batch, 1);
  EXPECT_EQ(first.ids, (std::vector<int32_t>{11, 12, 13, 13, 21, 21, 30}));
  EXPECT_EQ(first.targets, (std::vector<int32_t>{12, 13, 0, 0, 0, 0, 0}));
  EXPECT_EQ(first.weights, (std::vector<float>{1, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(second.ids, (std::vector<int32_t>{12, 13, 12, 13, 20, 21, 30}));
  EXPECT_EQ(second.weights, (std::vector<float>(7, 0)));
  batch.weights[2] = 1;
  data::StepBatch step;
  step.micro_batches = {batch, batch};
  EXPECT_EQ(prediction_divisors(step, 2), (std::vector<double>{4, 2}));
}

TEST(Optimizer, NormIsThatOfAllGradients) {
  TrainableModel model = make_model(best_cpu(), fixture_source("qwen2-gqa"), {}, 8, 1);
  Optimizer optimizer = Optimizer::create({}, model).value();
  const GradientBuffer grads = drawn_gradients(model, 0);
  double sum = 0;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const double norm = norm_of(floats_of(model.chip(), grads.view(static_cast<int64_t>(i))));
    sum += norm * norm;
  }
  EXPECT_NEAR(optimizer.gradient_norm(grads).value(), std::sqrt(sum), 1e-5 * std::sqrt(sum));
}

TEST(Optimizer, AdamWIsTheFormula) {
  const Source& source = fixture_source("qwen2-gqa");
  TrainableModel model = make_model(best_cpu(), source, {}, 8, 1);
  recipes::OptimizerRecipe recipe;
  recipe.lr = 0.02;
  recipe.beta1 = 0.8;
  recipe.beta2 = 0.9;
  recipe.eps = 1e-6;
  recipe.weight_decay = 0.3;
  Optimizer optimizer = Optimizer::create(recipe, model).value();
  std::vector<Rows> w, m, v;
  for (const auto& values : source.values) {
    w.push_back(doubles(values));
    m.emplace_back(values.size());
    v.emplace_back(values.size());
  }
  for (int64_t t = 1; t <= 3; ++t) {
    const GradientBuffer grads = drawn_gradients(model, static_cast<uint32_t>(t));
    const double scale = 0.5, lr = recipe.lr / static_cast<double>(t);
    ASSERT_TRUE(optimizer.update(grads, lr, scale, t).ok());
    for (size_t i = 0; i < w.size(); ++i) {
      const double decay = source.parameters[i].is_matrix() ? 0.3 : 0;  // neither norms, biases nor tables
      const std::vector<float> grad = floats_of(model.chip(), grads.view(static_cast<int64_t>(i)));
      for (size_t k = 0; k < w[i].size(); ++k) {
        const double g = scale * static_cast<double>(grad[k]);
        m[i][k] = 0.8 * m[i][k] + 0.2 * g;
        v[i][k] = 0.9 * v[i][k] + 0.1 * g * g;
        const double mh = m[i][k] / (1 - std::pow(0.8, t)), vh = v[i][k] / (1 - std::pow(0.9, t));
        w[i][k] = w[i][k] * (1 - lr * decay) - lr * mh / (std::sqrt(vh) + 1e-6);
      }
    }
  }
  for (size_t i = 0; i < w.size(); ++i) {
    const std::vector<float> values = floats_of(model.chip(), model.values().view(static_cast<int64_t>(i)));
    for (size_t k = 0; k < w[i].size(); ++k) {
      ASSERT_NEAR(static_cast<double>(values[k]), w[i][k], 2e-6) << source.parameters[i].name;
    }
  }
}

// a [m, k] times b [k, n].
Rows product(const Rows& a, const Rows& b, size_t m, size_t k, size_t n) {
  Rows out(m * n);
  for (size_t i = 0; i < m; ++i) {
    for (size_t l = 0; l < k; ++l) {
      for (size_t j = 0; j < n; ++j) out[i * n + j] += a[i * k + l] * b[l * n + j];
    }
  }
  return out;
}

Rows transposed(const Rows& a, size_t rows, size_t cols) {
  Rows out(a.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) out[j * rows + i] = a[i * cols + j];
  }
  return out;
}

// The Newton-Schulz steps in double.
Rows orthogonal(Rows x, size_t rows, size_t cols) {
  double square = 0;
  for (const double value : x) square += value * value;
  for (double& value : x) value /= std::sqrt(square);
  for (int step = 0; step < 10; ++step) {
    const double a = step < 8 ? 3.4445 : 2, b = step < 8 ? -4.7750 : -1.5, c = step < 8 ? 2.0315 : 0.5;
    const Rows gram = product(x, transposed(x, rows, cols), rows, cols, rows);
    const Rows square_gram = product(gram, gram, rows, rows, rows);
    Rows mixed(gram.size());
    for (size_t i = 0; i < gram.size(); ++i) mixed[i] = b * gram[i] + c * square_gram[i];
    const Rows next = product(mixed, x, rows, rows, cols);
    for (size_t i = 0; i < x.size(); ++i) x[i] = a * x[i] + next[i];
  }
  return x;
}

TEST(Optimizer, MuonMakesUpdatesOrthogonal) {
  const Source& source = fixture_source("llama-gqa");
  TrainableModel model = make_model(best_cpu(), source, {}, 8, 1), adamw = make_model(best_cpu(), source, {}, 8, 1);
  recipes::OptimizerRecipe recipe;
  recipe.kind = "muon";
  recipe.weight_decay = 0.1;
  recipe.momentum = 0.9;
  Optimizer optimizer = Optimizer::create(recipe, model).value();
  recipe.kind = "adamw";
  Optimizer other = Optimizer::create(recipe, adamw).value();
  std::vector<Rows> momentum;
  for (const auto& values : source.values) momentum.emplace_back(values.size());
  const double lr = 0.5;
  int64_t n_tall = 0, n_wide = 0;
  for (int64_t t = 1; t <= 2; ++t) {
    const GradientBuffer grads = drawn_gradients(model, static_cast<uint32_t>(t));
    std::vector<std::vector<float>> before;
    for (size_t i = 0; i < source.values.size(); ++i) {
      before.push_back(floats_of(model.chip(), model.values().view(static_cast<int64_t>(i))));
    }
    ASSERT_TRUE(optimizer.update(grads, lr, 0.7, t).ok() && other.update(grads, lr, 0.7, t).ok());
    for (size_t i = 0; i < source.values.size(); ++i) {
      const models::Parameter& parameter = source.parameters[i];
      const auto index = static_cast<int64_t>(i);
      const std::vector<float> after = floats_of(model.chip(), model.values().view(index));
      ASSERT_EQ(optimizer.is_muon(index), parameter.is_matrix()) << parameter.name;
      if (!optimizer.is_muon(index)) {
        EXPECT_TRUE(same_bits(after, floats_of(adamw.chip(), adamw.values().view(index)))) << parameter.name;
        continue;
      }
      EXPECT_FALSE(optimizer.second().holds(index));
      const auto rows = static_cast<size_t>(parameter.rows()), cols = static_cast<size_t>(parameter.cols());
      ++(rows > cols ? n_tall : n_wide);
      Rows x(after.size()), update(after.size());
      const double scale = 0.2 * std::sqrt(static_cast<double>(std::max(rows, cols)));
      const std::vector<float> grad = floats_of(model.chip(), grads.view(index));
      for (size_t k = 0; k < after.size(); ++k) {
        const double g = 0.7 * static_cast<double>(grad[k]);
        momentum[i][k] = 0.9 * momentum[i][k] + g;
        x[k] = g + 0.9 * momentum[i][k];
        update[k] = (static_cast<double>(before[i][k]) * (1 - lr * 0.1) - static_cast<double>(after[k])) / (lr * scale);
      }
      const bool is_tall = rows > cols;
      Rows wanted = is_tall ? transposed(orthogonal(transposed(x, rows, cols), cols, rows), cols, rows)
                            : orthogonal(x, rows, cols);
      for (size_t k = 0; k < update.size(); ++k) {
        ASSERT_NEAR(update[k], wanted[k], 2e-3) << parameter.name << " step " << t;
      }
      const size_t side = std::min(rows, cols);
      const Rows flat = is_tall ? transposed(update, rows, cols) : update;
      const Rows gram = product(flat, transposed(flat, side, std::max(rows, cols)), side, std::max(rows, cols), side);
      for (size_t r = 0; r < side; ++r) {
        for (size_t c = 0; c < side; ++c) {
          ASSERT_NEAR(gram[r * side + c], r == c ? 1 : 0, 0.02) << parameter.name << " " << r << " " << c;
        }
      }
    }
  }
  EXPECT_GT(n_tall, 0);
  EXPECT_GT(n_wide, 0);
}

// A matrix whose gradient is all zeros (an expert that no token chose) only decays.
TEST(Optimizer, MuonStandsAGradientOfZeros) {
  const Source& source = fixture_source("llama-gqa");
  TrainableModel model = make_model(best_cpu(), source, {}, 8, 1);
  recipes::OptimizerRecipe recipe;
  recipe.kind = "muon";
  recipe.weight_decay = 0.5;
  Optimizer optimizer = Optimizer::create(recipe, model).value();
  ASSERT_TRUE(optimizer.update(zero_grads(model), 0.5, 1, 1).ok());
  for (size_t i = 0; i < source.values.size(); ++i) {
    const std::vector<float> after = floats_of(model.chip(), model.values().view(static_cast<int64_t>(i)));
    const float keep = optimizer.is_muon(static_cast<int64_t>(i)) ? 0.75f : 1.0f;
    for (size_t k = 0; k < after.size(); ++k) ASSERT_EQ(after[k], source.values[i][k] * keep);
  }
}

}  // namespace
}  // namespace naru::train
