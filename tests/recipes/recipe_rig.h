// What the tests of recipes share: a small recipe, reading one that is good, and the words of a refusal.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "formats/utf8.h"
#include "recipes/recipe.h"
#include "recipes/recipe_schema.h"

namespace naru::recipes {

inline const std::string kSmall = "steps = 10\n[model]\npath = \"m\"\n[[data]]\npath = \"a.txt\"\n";

inline Recipe parse_good(std::string_view text, const std::vector<std::string>& overrides = {}) {
  auto recipe = parse_recipe(text, "dir/small.toml", overrides);
  EXPECT_TRUE(recipe.ok()) << recipe.error().message;
  return recipe.ok() ? *recipe : Recipe();
}

inline std::string refusal(std::string_view text, const std::vector<std::string>& overrides = {}) {
  const auto recipe = parse_recipe(text, "small.toml", overrides);
  EXPECT_FALSE(recipe.ok()) << text;
  if (recipe.ok()) return "";
  EXPECT_EQ(recipe.error().code, Code::kInvalidArgument);
  EXPECT_TRUE(formats::is_valid_utf8(recipe.error().message));
  return recipe.error().message;
}

inline void expect_in(const std::string& message, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << part << "\n in " << message;
}

// Another value than the default for every key of the table, so that a row that points to the wrong field is seen.
inline void change(const KeyRow& row, const Field& field, std::mt19937_64& random) {
  if (auto* const* text = std::get_if<std::string*>(&field)) {
    **text = row.words.empty() ? fmt::format("{}-\"\\\t\x01한", row.key) : std::string(row.words.back());
    if (row.text != TextKind::kAny) **text = fmt::format("x'{}\"\\ é {}", row.key, random() % 100);
  } else if (auto* const* texts = std::get_if<std::vector<std::string>*>(&field)) {
    **texts = row.words.empty() ? std::vector<std::string>{"one\ntwo", "", "\"\\\"\x7f"}
                                : std::vector<std::string>{std::string(row.words.back())};
  } else if (auto* const* truth = std::get_if<bool*>(&field)) {
    **truth = !**truth;
  } else if (auto* const* mode = std::get_if<contract::ComputeMode*>(&field)) {
    **mode = contract::ComputeMode::kBF16;
  } else if (auto* const* kind = std::get_if<RunKind*>(&field)) {
    **kind = RunKind::kSft;
  } else if (auto* const* number = std::get_if<double*>(&field)) {
    std::uniform_real_distribution<double> any(row.range.low, row.range.high);
    **number = any(random);
  } else if (auto* const* whole = std::get_if<int64_t*>(&field)) {
    **whole = static_cast<int64_t>(row.range.high) - 1;
  } else if (auto* const* seed = std::get_if<uint64_t*>(&field)) {
    **seed = static_cast<uint64_t>(INT64_MAX);
  }
}

}  // namespace naru::recipes
