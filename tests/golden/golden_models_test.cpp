// Whole models: the logits of every fixture under every compute mode and form of attention, and greedy ids, on every
// chip of this machine, against the golden file.
#include <fmt/format.h>

#include "contract/rows.h"
#include "tests/golden/golden.h"
#include "tests/models/harness.h"

namespace naru::models {
namespace {

struct ModelCase {
  std::string name;
  std::string fixture;
  LoadOptions options;
};

std::vector<ModelCase> model_cases() {
  std::vector<ModelCase> cases;
  for (const std::string& fixture : fixture_names()) {
    const bool is_mla = fixture.find("v2") != std::string::npos || fixture.find("v3") != std::string::npos;
    for (const auto mode : {contract::ComputeMode::kF32, contract::ComputeMode::kBF16, contract::ComputeMode::kAuto}) {
      for (const bool is_latent : {true, false}) {
        if (!is_mla && !is_latent) continue;
        const std::string form = !is_mla ? "grouped" : is_latent ? "latent" : "expanded";
        cases.push_back({fmt::format("{}/{}/{}", fixture, compute_mode_name(mode), form),
                         fixture,
                         {.compute = mode, .cache_dtype = {}, .is_latent_form = is_latent}});
      }
    }
  }
  return cases;
}

int32_t best_id(const Matrix& logits, int64_t row) {
  const float* values = logits.values.data() + row * logits.cols;
  int64_t best = 0;
  for (int64_t i = 1; i < logits.cols; ++i) {
    if (contract::ranks_before(values[i], i, values[best], best)) best = i;
  }
  return static_cast<int32_t>(best);
}

// Logits of 40 tokens of the fixture fed in chunks; under auto also 4 greedy ids, each from the whole sequence anew.
void hash_case(const ModelCase& model_case, contract::Chip& chip, int64_t chunk, GoldenHashes& hashes) {
  Runner runner(fixture_model(model_case.fixture), chip, model_case.options);
  ASSERT_TRUE(runner.is_ready());
  auto ids = read_json(fixture_folder(model_case.fixture) / "ids.json").get<std::vector<int32_t>>();
  ids.resize(std::min<size_t>(ids.size(), 40));
  Matrix logits = runner.logits(ids, chunk);
  hashes[model_case.name + "/logits"] = hash_floats(logits.values.data(), logits.values.size());
  if (model_case.options.compute != contract::ComputeMode::kAuto) return;
  std::string text;
  for (int i = 0; i < 4; ++i) {
    ids.push_back(best_id(logits, logits.rows - 1));
    text += fmt::format("{} ", ids.back());
    logits = runner.logits(ids, chunk);
  }
  hashes[model_case.name + "/greedy"] = sha256_hex(as_bytes(text));
}

GoldenHashes hashes_on(contract::Chip& chip, int64_t chunk) {
  GoldenHashes hashes;
  for (const ModelCase& model_case : model_cases()) hash_case(model_case, chip, chunk, hashes);
  return hashes;
}

TEST(GoldenModels, ReferenceChip) {
  const auto chip = test::make_chip("reference");
  const GoldenHashes hashes = hashes_on(*chip, 40);
  if (is_writing_golden()) write_golden("models.txt", hashes);
  expect_golden("models.txt", hashes, "reference");
}

TEST(GoldenModels, CpuChipAtEveryLevel) {
  int64_t chunk = 5;
  for (const NamedChip& named : cpu_chips()) {
    if (!test::is_level(named)) continue;
    expect_golden("models.txt", hashes_on(*named.chip, chunk), fmt::format("{} in chunks of {}", named.name, chunk));
    chunk = chunk == 5 ? 32 : chunk == 32 ? 100 : 5;
  }
}

}  // namespace
}  // namespace naru::models
