// Logits of the reference chip in f32 against the official implementation's, on tiny checkpoints of every family and
// layout (tests/fixtures/models, written by tools/oracle): at most 2e-5 of the range of the logits.
#include <cmath>

#include "chips/reference/reference_chip.h"
#include "tests/models/harness.h"

namespace naru::models {
namespace {

class Truth : public ::testing::TestWithParam<std::string> {};

// The largest |logit - official| over the fixture's rows, as a share of their range.
double error_of(const Matrix& logits, const Matrix& wanted, const std::vector<int64_t>& rows) {
  double low = 1e30, high = -1e30, worst = 0;
  for (const float value : wanted.values) low = std::min<double>(low, value), high = std::max<double>(high, value);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (int64_t k = 0; k < wanted.cols; ++k) {
      const double got = logits.values[static_cast<size_t>(rows[i] * logits.cols + k)];
      worst = std::max(worst,
                       std::fabs(got - wanted.values[i * static_cast<size_t>(wanted.cols) + static_cast<size_t>(k)]));
    }
  }
  return worst / (high - low);
}

TEST_P(Truth, LogitsAreTheOfficialOnes) {
  const auto folder = fixture_folder(GetParam());
  const auto ids = read_json(folder / "ids.json").get<std::vector<int32_t>>();
  const auto rows = read_json(folder / "rows.json").get<std::vector<int64_t>>();
  const Matrix wanted = read_npy(folder / "logits.npy");
  const auto chip = reference::make_reference_chip();
  for (const bool is_latent : {true, false}) {
    Runner runner(fixture_model(GetParam()), *chip,
                  {.compute = contract::ComputeMode::kF32, .cache_dtype = {}, .is_latent_form = is_latent});
    ASSERT_TRUE(runner.is_ready());
    const Matrix logits = runner.logits(ids, static_cast<int64_t>(ids.size()));
    ASSERT_EQ(logits.rows, static_cast<int64_t>(ids.size()));
    ASSERT_EQ(logits.cols, wanted.cols);
    const double error = error_of(logits, wanted, rows);
    RecordProperty(is_latent ? "error_latent" : "error_expanded", std::to_string(error));
    EXPECT_LE(error, 2e-5) << (is_latent ? "latent" : "expanded");
    if (!runner.plan().config.is_mla()) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Truth, ::testing::ValuesIn(fixture_names()), [](const auto& fixture) {
  std::string name = fixture.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

}  // namespace
}  // namespace naru::models
