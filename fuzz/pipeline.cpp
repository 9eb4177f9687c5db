// A pipeline and an override: what is accepted has stages in an order in which they can run.
#include <cstddef>
#include <cstdint>
#include <set>

#include "base/check.h"
#include "formats/utf8.h"
#include "recipes/pipeline.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::recipes;
  // The first line is the override; the rest is the file.
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t newline = std::min(all.find('\n'), all.size());
  const std::string_view text = all.substr(std::min(newline + 1, all.size()));
  std::vector<std::string> overrides;
  if (newline > 0) overrides.emplace_back(all.substr(0, newline));
  const auto pipeline = parse_pipeline(text, "fuzz.toml", overrides);
  if (!pipeline.ok()) {
    NARU_CHECK(formats::is_valid_utf8(pipeline.error().message));
    return 0;
  }
  NARU_CHECK(!pipeline->stages.empty() && !pipeline->name.empty() && !pipeline->output.empty());
  for (size_t i = 0; i < pipeline->stages.size(); ++i) {
    const StageText& stage = pipeline->stages[i];
    NARU_CHECK(!stage.name.empty() && stage.name.find('/') == std::string::npos && !stage.recipe.empty());
    std::set<std::string> before;
    for (size_t k = 0; k < i; ++k) before.insert(pipeline->stages[k].name);
    NARU_CHECK(!before.contains(stage.name), stage.name);
    NARU_CHECK(stage.takes.empty() || before.contains(stage.takes), stage.name, stage.takes);
    NARU_CHECK(stage.teacher.empty() || before.contains(stage.teacher), stage.name, stage.teacher);
    for (const std::string& name : stage.data) NARU_CHECK(before.contains(name), stage.name, name);
  }
  for (const EvaluateRecipe& one : pipeline->evaluate) {
    NARU_CHECK(one.path.empty() != one.generator.empty() && !one.name.empty(), one.name);
    NARU_CHECK(one.samples >= 0 && one.max_tokens > 0 && one.problems.value_or(1) > 0, one.name);
  }
  return 0;
}
