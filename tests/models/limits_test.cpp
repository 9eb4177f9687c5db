// Configs that are legal json and beyond what the arithmetic is defined for: refused while planning, never a CHECK.
#include <fmt/format.h>
#include <stdlib.h>

#include "chips/reference/reference_chip.h"
#include "tests/models/harness.h"

namespace naru::models {
namespace {

// The message of planning `fixture` with one key of its config set, or "" where it is accepted.
std::string plan_with(const std::string& fixture, const std::string& key, const nlohmann::json& value) {
  std::string pattern = (std::filesystem::temp_directory_path() / "naru-limits-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(pattern.data());
  std::filesystem::copy(fixture_model(fixture), folder, std::filesystem::copy_options::recursive);
  auto config = read_json(folder / "config.json");
  (config.contains("rope_parameters") && key == "rope_theta" ? config["rope_parameters"] : config)[key] = value;
  std::ofstream(folder / "config.json") << config;
  const auto chip = reference::make_reference_chip();
  const auto files = open_model_files(folder);
  std::string message = files.ok() ? "" : files.error().message;
  if (files.ok()) {
    const auto plan = plan_model(*files, *chip, {});
    if (!plan.ok()) message = plan.error().message;
  }
  std::filesystem::remove_all(folder);
  return message;
}

TEST(ModelLimits, RefusedWithAMessage) {
  EXPECT_EQ(plan_with("llama-gqa", "rms_norm_eps", 1e-5), "");
  EXPECT_NE(plan_with("llama-gqa", "head_dim", 4096).find("at most 2048 are supported"), std::string::npos);
  EXPECT_NE(plan_with("v3-f32", "kv_lora_rank", 4096).find("at most 2048 are supported"), std::string::npos);
  for (const double theta : {1e-310, 0.5, 0.0, -1.0, 1e300}) {
    EXPECT_NE(plan_with("llama-gqa", "rope_theta", theta).find("rope_theta"), std::string::npos) << theta;
  }
}

}  // namespace
}  // namespace naru::models
