// A recipe and an override: what is accepted reads back as itself.
#include <cstddef>
#include <cstdint>

#include "formats/utf8.h"
#include "recipes/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::recipes;
  // The first line is the override; the rest is the file.
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t newline = std::min(all.find('\n'), all.size());
  const std::string_view text = all.substr(std::min(newline + 1, all.size()));
  std::vector<std::string> overrides;
  if (newline > 0) overrides.emplace_back(all.substr(0, newline));
  const auto recipe = parse_recipe(text, "fuzz.toml", overrides);
  if (!recipe.ok()) {
    NARU_CHECK(formats::is_valid_utf8(recipe.error().message));
    return 0;
  }
  NARU_CHECK((recipe->steps > 0) != (recipe->epochs > 0) && !recipe->data.empty());
  NARU_CHECK(recipe->batch.micro_rows >= 1 && recipe->batch.micro_rows <= recipe->batch.rows);
  const std::string written = recipe_text(*recipe);
  const auto back = parse_recipe(written, "back.toml", {});
  NARU_CHECK(back.ok(), back.ok() ? "" : back.error().message);
  NARU_CHECK(recipe_text(*back) == written && !recipe_difference(*recipe, *back));
  return 0;
}
