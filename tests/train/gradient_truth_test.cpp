// Gradients are right: against PyTorch (tests/fixtures/train, made by tools/oracle/make_grad_fixtures.py), and against
// central differences of the loss, which need nobody's word.
#include "formats/tensor_file.h"
#include "tests/train/rig.h"

namespace naru::train {
namespace {

TEST(GradientTruth, EqualsPyTorch) {
  const std::filesystem::path folder = std::filesystem::path(NARU_TEST_DATA) / "train";
  const auto manifest = models::read_json(folder / "grads.json");
  ASSERT_EQ(manifest["models"].size(), 4u);
  for (const auto& [fixture, wanted] : manifest["models"].items()) {
    const Source& source = fixture_source(fixture);
    const auto files = formats::TensorFiles::open(folder / (fixture + ".safetensors"));
    ASSERT_TRUE(files.ok()) << files.error().message;
    const data::MicroBatch batch = batch_of({slice(source.ids, 0, wanted["tokens"].get<size_t>())});
    const double total = wanted["norm"], kept = wanted["kept"], loss = wanted["loss"];
    for (const TrainableModel::Options& options : all_options(source)) {
      if (options.compute != contract::ComputeMode::kF32) continue;
      TrainableModel model = make_model(best_cpu(), source, options, batch);
      const Gradients got = gradients_of(model, batch);
      EXPECT_NEAR(got.loss(), loss, 1e-5 * loss) << name_of(fixture, options);
      size_t n_compared = 0;
      for (size_t i = 0; i < source.parameters.size(); ++i) {
        const models::Parameter& parameter = source.parameters[i];
        const std::string where = name_of(fixture, options) + " " + parameter.name;
        if (!model.is_trained(static_cast<int64_t>(i))) continue;
        const formats::TensorEntry* entry = files->find(parameter.name);
        ASSERT_NE(entry, nullptr) << where;
        ++n_compared;
        const double norm = wanted["norms"][parameter.name];
        EXPECT_NEAR(norm_of(got.grads[i]), norm, 1e-4 * norm + 1e-8 * total) << where;
        const auto stride = static_cast<size_t>(std::ceil(static_cast<double>(parameter.n_elements()) / kept));
        std::vector<float> reference(static_cast<size_t>(entry->n_elements())), error;
        std::memcpy(reference.data(), files->bytes(*entry).data(), reference.size() * 4);
        ASSERT_EQ(reference.size(), (got.grads[i].size() + stride - 1) / stride) << where;
        for (size_t k = 0; k < reference.size(); ++k) error.push_back(got.grads[i][k * stride] - reference[k]);
        EXPECT_LE(norm_of(error), 1e-4 * norm_of(reference) + 1e-8 * total) << where;
      }
      EXPECT_EQ(n_compared, files->entries().size()) << fixture;
    }
  }
}

// The loss around the values that a direction of one parameter leads to.
class Slope {
 public:
  Slope(TrainableModel& model, const data::MicroBatch& batch, double balance)
      : model_(model), batch_(batch), balance_(balance), here_(gradients_of(model, batch, balance)) {}

  const Gradients& here() const { return here_; }

  // (loss(w + h d) - loss(w - h d)) / 2h. With a step so large that a token chooses other experts there is no slope;
  // then h is made smaller.
  double along(int64_t index, const std::vector<float>& direction, double& h) {
    const View view = model_.values().view(index);
    const std::vector<float> values = floats_of(model_.chip(), view);
    double slope = 0;
    for (int attempt = 0;; ++attempt, h /= 4) {
      std::vector<float> up = values, down = values;
      double wide = 0, square = 0;  // the step that was taken, after rounding
      for (size_t k = 0; k < values.size(); ++k) {
        up[k] += static_cast<float>(h) * direction[k];
        down[k] -= static_cast<float>(h) * direction[k];
        const auto d = static_cast<double>(direction[k]);
        wide += (static_cast<double>(up[k]) - static_cast<double>(down[k])) * d;
        square += d * d;
      }
      const Gradients above = at(view, up), below = at(view, down);
      slope = (above.loss() - below.loss()) / (wide / square);
      if (above.result.sums.loads == here_.result.sums.loads && below.result.sums.loads == here_.result.sums.loads)
        break;
      NARU_CHECK(attempt < 5, "experts change however small the step");
    }
    at(view, values);
    return slope;
  }

 private:
  Gradients at(View view, const std::vector<float>& values) {
    set_floats(model_.chip(), view, values);
    NARU_CHECK(model_.refresh().ok());
    return gradients_of(model_, batch_, balance_);
  }

  TrainableModel& model_;
  const data::MicroBatch& batch_;
  double balance_;
  Gradients here_;
};

constexpr double kNoise = 4e-7;  // of a mean of f32 losses

// Every parameter along a direction that all of its elements share in, and along a single one.
void check_slopes(const std::string& fixture, const TrainableModel::Options& options, double balance,
                  bool keeps_routing = false) {
  const Source& source = fixture_source(fixture);
  data::MicroBatch batch = batch_of({slice(source.ids, 0, 13), slice(source.ids, 20, 11)});
  TrainableModel model = make_model(best_cpu(), source, options, batch, balance);
  if (keeps_routing) {
    const formats::MoeConfig& moe = source.config.moe;
    batch.experts = next_experts(model.choose_experts(batch).value(), moe.experts_per_token, moe.experts);
  }
  Slope slope(model, batch, balance);
  for (size_t i = 0; i < source.parameters.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    const std::vector<float>& grad = slope.here().grads[i];
    if (!model.is_trained(index) || norm_of(grad) == 0) continue;
    std::vector<float> shared(grad.size()), single(grad.size());
    size_t largest = 0;
    double along_shared = 0;
    for (size_t k = 0; k < grad.size(); ++k) {
      const double u = uniform_53(draw(5, DrawPurpose::kTest, static_cast<uint32_t>(i), k));
      shared[k] = static_cast<float>(grad[k] < 0 ? -u : u);
      along_shared += static_cast<double>(shared[k]) * static_cast<double>(grad[k]);
      const bool is_drawn = k % 3 == i % 3;  // among a third of the elements
      if (is_drawn && std::abs(grad[k]) > std::abs(grad[largest])) largest = k;
    }
    single[largest] = 1;
    // Steps that move the loss by about 1e-3, far above its rounding.
    double h = std::min(1e-3 / along_shared, 0.005);
    const double found = slope.along(index, shared, h);
    EXPECT_NEAR(found, along_shared, 0.01 * along_shared + kNoise / h) << source.parameters[i].name << " " << h;
    const auto g = static_cast<double>(grad[largest]);
    double step = std::min(1e-3 / std::abs(g), 0.02);
    const double slope_single = slope.along(index, single, step);
    EXPECT_NEAR(slope_single, g, 0.02 * std::abs(g) + kNoise / step)
        << source.parameters[i].name << "[" << largest << "]";
  }
}

TEST(GradientTruth, CentralDifferencesOfLlama) {
  check_slopes("llama-tied-llama3", {}, 0);
}

TEST(GradientTruth, CentralDifferencesOfQwen2AndQwen3) {
  check_slopes("qwen2-gqa", {}, 0);
  check_slopes("qwen3-wide-head", {}, 0);
}

TEST(GradientTruth, CentralDifferencesOfDeepseekV3WithBalance) {
  check_slopes("v3-qlora", {}, 0.02);
  check_slopes("v3-qlora",
               {.compute = contract::ComputeMode::kF32, .is_latent_form = true, .recompute = false, .lora = {}}, 0);
}

TEST(GradientTruth, CentralDifferencesOfPredictionLayers) {
  check_slopes("v3-mtp", {}, 0.02);
}

// With experts that routers would not choose.
TEST(GradientTruth, CentralDifferencesWithKeptRouting) {
  check_slopes("v3-qlora", {}, 0, true);
  check_slopes("v2-group", {}, 0.02, true);
}

TEST(GradientTruth, CentralDifferencesOfDeepseekV2WithBalance) {
  check_slopes("v2-group", {}, 0.02);
}

}  // namespace
}  // namespace naru::train
