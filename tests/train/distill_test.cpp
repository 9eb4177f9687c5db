// On-policy distillation: its loss and its gradient against PyTorch in float64 (tools/oracle/make_distill_fixtures.py),
// on every chip with the same bits.
#include <cmath>

#include "tests/contract/cpu_chips.h"
#include "tests/train/rig.h"
#include "train/distill_loss.h"
#include "train/policy_loss.h"
#include "train/reverse_kl.h"

namespace naru::train {
namespace {

const nlohmann::json& distill_fixture() {
  static const nlohmann::json kJson =
      models::read_json(std::filesystem::path(NARU_TEST_DATA) / "train" / "distill.json");
  return kJson;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double v : values) most = std::max(most, std::abs(v));
  return most;
}

TEST(ReverseKl, EqualsPyTorchRowByRow) {
  ASSERT_GT(distill_fixture()["rows"].size(), 30u);
  ReverseKl kl;
  for (const nlohmann::json& json : distill_fixture()["rows"]) {
    const auto x = json["x"].get<std::vector<float>>();
    std::vector<float> sum(x.size()), out(x.size());
    double total = 0, log_sums = 0;
    for (const nlohmann::json& teacher : json["teachers"]) {
      const auto y = teacher["y"].get<std::vector<float>>();
      const auto weight = teacher["weight"].get<float>();
      for (size_t v = 0; v < y.size(); ++v) sum[v] = contract::fma(weight, y[v], sum[v]);
      log_sums += static_cast<double>(weight) * kl.log_sum(y).value();
      total += static_cast<double>(weight);
    }
    const auto row = kl.set(x, sum, total, log_sums);
    ASSERT_TRUE(row.ok()) << row.error().message;
    const double loss = json["loss"], entropy = json["entropy"];
    EXPECT_NEAR(row->loss, loss, 1e-5 * std::max(1.0, loss)) << x.size();
    EXPECT_NEAR(row->entropy, entropy, 1e-5 * std::max(1.0, entropy)) << x.size();
    const auto gradient = json["gradient"].get<std::vector<double>>();
    const double limit = 1e-5 * std::max(0.1, largest(gradient));
    kl.gradient(json["row_weight"].get<float>(), x, sum, out);
    for (size_t v = 0; v < x.size(); ++v) EXPECT_NEAR(out[v], gradient[v], limit) << x.size() << " " << v;
    // In place of the logits.
    std::vector<float> in_place = x;
    kl.gradient(json["row_weight"].get<float>(), in_place, sum, in_place);
    EXPECT_TRUE(same_bits(in_place, out));
  }
}

TEST(ReverseKl, OfEqualRowsIsNothing) {
  ReverseKl kl;
  const std::vector<float> x = {3, -1.5f, 0, 7.25f, 7.25f};
  const auto row = kl.set(x, x, 1, kl.log_sum(x).value());
  std::vector<float> out(x.size(), 1.0f);
  kl.gradient(2, x, x, out);
  EXPECT_EQ(row->loss, 0);
  EXPECT_EQ(out, std::vector<float>(x.size(), 0.0f));
}

TEST(ReverseKl, RowsThatAreNotFiniteAreErrors) {
  ReverseKl kl;
  for (const float bad : {HUGE_VALF, -HUGE_VALF, NAN}) {
    const std::vector<float> good = {1, 2, 3}, wrong = {1, bad, 3};
    EXPECT_EQ(kl.log_sum(wrong).error().code, Code::kOutOfRange);
    const auto of_student = kl.set(wrong, good, 1, 0), of_teacher = kl.set(good, wrong, 1, 0);
    ASSERT_FALSE(of_student.ok());
    EXPECT_NE(of_student.error().message.find("that of token 1"), std::string::npos) << of_student.error().message;
    ASSERT_FALSE(of_teacher.ok());
    EXPECT_NE(of_teacher.error().message.find("a teacher's"), std::string::npos) << of_teacher.error().message;
  }
}

// A student and its teachers on a chip, and a micro-batch of the student's documents.
class Lesson {
 public:
  struct Given {
    std::string teacher;
    double weight = 1;
  };
  Lesson(contract::Chip& chip, const std::string& student, const std::vector<Given>& given, data::MicroBatch batch,
         const TrainableModel::Options& options = {})
      : source_(fixture_source(student)), batch_(std::move(batch)) {
    const auto rows = std::ssize(batch_.ids), documents = std::ssize(batch_.documents);
    batch_.signals.assign(kPolicySignals, std::vector<float>(batch_.ids.size(), 0.0f));
    auto teachers = std::make_shared<std::vector<Teacher>>();
    for (const Given& one : given) {
      auto teacher = Teacher::of_files(one.teacher, one.weight,
                                       models::open_model_files(models::fixture_model(one.teacher)).value(), chip);
      NARU_CHECK(teacher.ok(), teacher.ok() ? "" : teacher.error().message);
      NARU_CHECK(teacher->load(chip, [] { return Status(); }).ok());
      NARU_CHECK(teacher->reserve(rows, documents).ok());
      teachers->push_back(std::move(*teacher));
    }
    objective_ = std::make_shared<DistillLoss>(teachers, 1.0);
    model_.emplace(TrainableModel::create(chip, source_.config, options, source_.reader(), 7).value());
    const auto room = measure_room(chip, source_.config, options, rows, documents, 0, objective_);
    NARU_CHECK(room.ok(), room.ok() ? "" : room.error().message);
    NARU_CHECK(model_->reserve(*room).ok());
  }

  Result<TrainableModel::MicroResult> run(const GradientBuffer* grads) {
    return model_->run(batch_, {.divisor = divisor_of(batch_), .prediction_divisors = {}}, grads, objective_);
  }
  Gradients gradients() {
    const GradientBuffer grads = zero_grads(*model_);
    Gradients out;
    auto result = run(&grads);
    NARU_CHECK(result.ok(), result.ok() ? "" : result.error().message);
    out.result = std::move(*result);
    for (int64_t i = 0; i < std::ssize(model_->parameters()); ++i) {
      out.grads.push_back(grads.holds(i) ? floats_of(model_->chip(), grads.view(i)) : std::vector<float>{});
    }
    return out;
  }
  const Source& source() const { return source_; }
  TrainableModel& model() { return *model_; }
  data::MicroBatch& batch() { return batch_; }

 private:
  const Source& source_;
  data::MicroBatch batch_;
  Objective objective_;
  std::optional<TrainableModel> model_;
};

// Parameters within what the f32 sums of the model's own backward pass lose (GradientTruth has the same limit).
TEST(DistillLoss, ParametersHaveTheGradientOfPyTorch) {
  ASSERT_EQ(distill_fixture()["pairs"].size(), 2u);
  for (const nlohmann::json& pair : distill_fixture()["pairs"]) {
    const auto student = pair["student"].get<std::string>();
    std::vector<Lesson::Given> given;
    for (const nlohmann::json& teacher : pair["teachers"]) given.push_back({teacher["model"], teacher["weight"]});
    const std::vector<int32_t> ids = slice(fixture_source(student).ids, 0, pair["tokens"].get<size_t>());
    Lesson lesson(best_cpu(), student, given, batch_of({ids}));
    const Gradients got = lesson.gradients();
    const double loss = pair["loss"], total = pair["norm"];
    EXPECT_NEAR(got.result.sums.loss / divisor_of(lesson.batch()), loss, 1e-5 * loss) << student;
    size_t n_compared = 0;
    for (size_t i = 0; i < lesson.source().parameters.size(); ++i) {
      const models::Parameter& parameter = lesson.source().parameters[i];
      if (!lesson.model().is_trained(static_cast<int64_t>(i))) continue;
      ASSERT_TRUE(pair["parameters"].contains(parameter.name)) << student << " " << parameter.name;
      const nlohmann::json& wanted = pair["parameters"][parameter.name];
      const double norm = wanted["norm"];
      EXPECT_NEAR(norm_of(got.grads[i]), norm, 1e-4 * norm + 1e-8 * total) << student << " " << parameter.name;
      const auto values = wanted["values"].get<std::vector<float>>();
      const auto n = got.grads[i].size(), kept = pair["kept"].get<size_t>(), stride = (n + kept - 1) / kept;
      ASSERT_EQ(values.size(), (n + stride - 1) / stride);
      std::vector<float> error;
      for (size_t k = 0; k < values.size(); ++k) error.push_back(got.grads[i][k * stride] - values[k]);
      EXPECT_LE(norm_of(error), 1e-4 * norm_of(values) + 1e-8 * total) << student << " " << parameter.name;
      ++n_compared;
    }
    EXPECT_EQ(n_compared, pair["parameters"].size());
  }
}

// Documents of 40 tokens, some rows without weight, and a run of the head in which none has any.
data::MicroBatch lesson_batch(const Source& source, int64_t n_documents) {
  std::vector<std::vector<int32_t>> documents;
  for (int64_t d = 0; d < n_documents; ++d) documents.push_back(slice(source.ids, static_cast<size_t>(d % 7), 40));
  data::MicroBatch batch = batch_of(documents);
  for (size_t i = 0; i < batch.weights.size(); ++i) {
    const bool is_off = i % 11 == 5 || i / static_cast<size_t>(kHeadRows) == 1;
    batch.weights[i] = is_off || batch.weights[i] == 0 ? 0.0f : 0.25f + static_cast<float>(i % 5);
  }
  return batch;
}

TEST(DistillLoss, HasTheSameBitsOnEveryChip) {
  const auto plain = test::make_chip("reference");
  for (const auto compute : {contract::ComputeMode::kF32, contract::ComputeMode::kBF16}) {
    const TrainableModel::Options options{.compute = compute, .lora = {}};
    const auto gradients_on = [&](contract::Chip& chip) {
      Lesson lesson(chip, "llama-odd", {{"v3-odd", 0.5}, {"llama-odd", 0.25}},
                    lesson_batch(fixture_source("llama-odd"), 2), options);
      const Gradients first = lesson.gradients();
      return std::pair(first, difference(lesson.model(), lesson.gradients(), first));
    };
    const auto [wanted, differs] = gradients_on(*plain);
    EXPECT_EQ(differs, "") << "a second time";
    EXPECT_GT(wanted.result.sums.loss, 0.1);
    for (const auto& [name, chip] : test::cpu_chips()) {
      const auto [got, differs_there] = gradients_on(*chip);
      EXPECT_EQ(differs_there, "") << name;
      ASSERT_TRUE(same_bits(got.result.losses, wanted.result.losses)) << name;
      for (size_t i = 0; i < got.grads.size(); ++i) ASSERT_TRUE(same_bits(got.grads[i], wanted.grads[i])) << name;
      EXPECT_EQ(got.result.sums.policy.kl, wanted.result.sums.policy.kl) << name;
      EXPECT_EQ(got.result.sums.policy.entropy, wanted.result.sums.policy.entropy) << name;
    }
  }
}

// What a document says does not depend on what else the micro-batch holds.
TEST(DistillLoss, RowsDoNotSeeOtherDocuments) {
  const Source& source = fixture_source("llama-odd");
  Lesson many(best_cpu(), "llama-odd", {{"v3-odd", 1}}, lesson_batch(source, 30));
  const auto all = many.run(nullptr);
  ASSERT_TRUE(all.ok()) << all.error().message;
  data::MicroBatch first = batch_of({slice(source.ids, 0, 40)});
  first.weights.assign(many.batch().weights.begin(), many.batch().weights.begin() + 40);
  Lesson one(best_cpu(), "llama-odd", {{"v3-odd", 1}}, first);
  const auto alone = one.run(nullptr);
  ASSERT_TRUE(alone.ok()) << alone.error().message;
  const std::vector<float> head(all->losses.begin(), all->losses.begin() + 40);
  EXPECT_TRUE(same_bits(alone->losses, head));
  EXPECT_EQ(alone->sums.policy.n_tokens, std::ranges::count_if(first.weights, [](float w) { return w != 0; }));
  for (size_t i = 0; i < all->losses.size(); ++i) {
    EXPECT_EQ(all->losses[i] != 0, many.batch().weights[i] != 0) << i;
  }
}

TEST(DistillLoss, TeachersAddUp) {
  const data::MicroBatch batch = lesson_batch(fixture_source("llama-odd"), 2);
  const auto loss_of = [&](const std::vector<Lesson::Given>& given) {
    Lesson lesson(best_cpu(), "llama-odd", given, batch);
    return lesson.run(nullptr).value().sums.loss;
  };
  const double one = loss_of({{"v3-odd", 1}});
  EXPECT_GT(one, 0.1);
  EXPECT_NEAR(loss_of({{"v3-odd", 0.5}, {"v3-odd", 0.25}}), 0.75 * one, 1e-5 * one);
  EXPECT_NEAR(loss_of({{"llama-odd", 3}, {"v3-odd", 0.5}}), 0.5 * one, 1e-4 * one) << "itself is no distance";
}

TEST(DistillLoss, ComparesTheRolloutsBits) {
  Lesson lesson(best_cpu(), "llama-odd", {{"v3-odd", 1}}, lesson_batch(fixture_source("llama-odd"), 2));
  data::MicroBatch& batch = lesson.batch();
  data::MicroBatch plain = batch;
  plain.signals.clear();
  const auto negated = lesson.model().run(plain, {}, nullptr);
  ASSERT_TRUE(negated.ok()) << negated.error().message;
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    batch.signals[kOldLogProb][i] = -negated->losses[i];
    batch.signals[kOnPolicy][i] = batch.weights[i] != 0 ? 1.0f : 0.0f;
  }
  const auto same = lesson.run(nullptr);
  ASSERT_TRUE(same.ok()) << same.error().message;
  EXPECT_EQ(same->sums.policy.n_compared, same->sums.policy.n_tokens);
  EXPECT_EQ(same->sums.policy.n_changed, 0);
  batch.signals[kOldLogProb][7] = std::nextafter(batch.signals[kOldLogProb][7], 0.0f);
  const auto other = lesson.run(nullptr);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, Code::kInternal);
  EXPECT_EQ(other.error().failed.op, kChangedToken);
  EXPECT_NE(other.error().message.find("row 7 of a micro-batch"), std::string::npos) << other.error().message;
  batch.signals[kOnPolicy][7] = 0;  // of a later update
  const auto later = lesson.run(nullptr);
  ASSERT_TRUE(later.ok()) << later.error().message;
  EXPECT_EQ(later->sums.policy.n_changed, 1);
}

}  // namespace
}  // namespace naru::train
