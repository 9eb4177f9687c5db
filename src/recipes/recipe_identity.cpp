// Which run a recipe makes: the keys that decide its bits, compared one by one or as one hash.
#include <fmt/format.h>

#include <algorithm>

#include "base/sha256.h"
#include "recipes/recipe.h"
#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

std::string count_text(size_t n, std::string_view element) {
  return fmt::format("{} {}{}", n, element, n == 1 ? "" : "s");
}

// Ways to say one thing have one form: these seven are all that a model has that has them.
Recipe in_one_form(Recipe recipe) {
  const std::vector<std::string> kSeven = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  if (recipe.lora.targets == kSeven) recipe.lora.targets = {std::string(kAllTargets)};
  return recipe;
}

}  // namespace

std::vector<KeyDifference> recipe_differences(const Recipe& left, const Recipe& right) {
  Recipe a = in_one_form(left);
  Recipe b = in_one_form(right);
  std::vector<KeyDifference> found;
  for (const SectionRow& section : recipe_sections()) {
    if (section.list == nullptr || section.name == "validation") continue;
    const size_t there = section.list->size(a), here = section.list->size(b);
    if (there == here) continue;
    const std::string_view element = section.list->element;
    found.push_back({fmt::format("[[{}]]", section.name), count_text(there, element), count_text(here, element)});
  }
  for (const KeyRow& row : recipe_keys()) {
    if (!row.decides_bits) continue;
    const SectionRow* section = find_section(row.section);
    const auto list = section != nullptr ? section->list : nullptr;
    const size_t n = list != nullptr ? std::min(list->size(a), list->size(b)) : 1;
    for (size_t i = 0; i < n; ++i) {
      std::string one = value_text(row.field(a, i));
      std::string other = value_text(row.field(b, i));
      if (one != other) found.push_back({row.path(), std::move(one), std::move(other)});
    }
  }
  return found;
}

std::optional<std::string> recipe_difference(const Recipe& left, const Recipe& right) {
  const std::vector<KeyDifference> found = recipe_differences(left, right);
  if (found.empty()) return std::nullopt;
  const auto& [path, there, other] = found[0];
  if (path.starts_with("[[")) return fmt::format("{} in {} there and {} here", there, path, other);
  return fmt::format("{} is {} there and {} here", path, there, other);
}

std::string recipe_identity(const Recipe& recipe) {
  Recipe here = in_one_form(recipe);
  Recipe plain;
  // Sharing prompts is named though it is the default: a recipe without it has the bits that recipes without the key
  // had.
  plain.grpo.share_prompts = false;
  if (recipe.kind != RunKind::kGrpo) here.grpo.share_prompts = false;
  std::string text;
  for (const KeyRow& row : recipe_keys()) {
    if (!row.decides_bits) continue;
    const SectionRow* section = find_section(row.section);
    const auto list = section != nullptr ? section->list : nullptr;
    const size_t n = list != nullptr ? list->size(here) : 1;
    if (list != nullptr) list->resize(plain, n);
    for (size_t i = 0; i < n; ++i) {
      const std::string value = value_text(row.field(here, i));
      if (value != value_text(row.field(plain, i))) text += fmt::format("{}[{}] = {}\n", row.path(), i, value);
    }
  }
  text += fmt::format("{} sources\n", recipe.data.size());
  if (!recipe.reward.empty()) text += fmt::format("{} rewards\n", recipe.reward.size());
  if (!recipe.teacher.empty()) text += fmt::format("{} teachers\n", recipe.teacher.size());
  return sha256_hex(as_bytes(text));
}

}  // namespace naru::recipes
