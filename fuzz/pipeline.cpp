// A pipeline and an override: what is accepted has stages in an order in which they can run.
#include <cstddef>
#include <cstdint>

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
    bool is_before = stage.takes.empty();
    for (size_t k = 0; k < i; ++k) {
      NARU_CHECK(pipeline->stages[k].name != stage.name, stage.name);
      is_before = is_before || pipeline->stages[k].name == stage.takes;
    }
    NARU_CHECK(is_before, stage.name, stage.takes);
  }
  return 0;
}
