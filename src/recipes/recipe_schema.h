// The keys of a recipe as one table: where each lives, its type (that of its field in recipe.h), its range and what it
// means. Reading, refusing, overriding, writing and docs/recipes.md are all made from it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "recipes/recipe.h"

namespace naru::recipes {

inline constexpr int64_t kRecipeSourcesMax = 64;       // of [[data]], [[validation]], [[reward]], [[teacher]]
inline constexpr int64_t kRecipeListMax = 64;          // elements of a list
inline constexpr int64_t kRecipeTextBytesMax = 65536;  // bytes of one text
inline constexpr int64_t kRecipePathBytesMax = 4096;   // bytes of a path

// A field of a recipe; its type is the type of the key.
using Field = std::variant<std::string*, int64_t*, uint64_t*, double*, bool*, contract::ComputeMode*, RunKind*,
                           std::vector<std::string>*>;

// Of numbers.
struct Range {
  double low = 0;
  double high = 0;
  bool is_low_open = false;
  bool is_high_open = false;
};

enum class TextKind : uint8_t { kAny, kName, kPath };

struct KeyRow {
  std::string_view section;  // "" at the top
  std::string_view key;
  Field (*field)(Recipe& recipe, size_t index);  // index: in the sections that are lists
  std::string_view meaning;
  Range range = {};                              // numbers
  std::span<const std::string_view> words = {};  // texts that are one of these; empty: any
  TextKind text = TextKind::kAny;
  bool decides_bits = true;    // whether another value makes another run
  std::string_view next = {};  // what to do about a value that is none; empty: the docs are named

  std::string path() const;  // "optimizer.lr"
};

// What [[NAME]] is a list of.
struct SectionList {
  size_t (*size)(const Recipe& recipe);
  void (*resize)(Recipe& recipe, size_t n);
  std::string_view element;  // "source"
};

struct SectionRow {
  std::string_view name;
  const SectionList* list;  // null: a plain section
  std::string_view meaning;
};

std::span<const KeyRow> recipe_keys();
// Those of [grpo], [rejection], [[reward]], and of [distill] with [[teacher]], which are among them.
std::span<const KeyRow> grpo_keys();
std::span<const KeyRow> rejection_keys();
std::span<const KeyRow> reward_keys();
std::span<const KeyRow> distill_keys();
std::span<const SectionRow> recipe_sections();  // without the top

// With one element in every list.
Recipe one_of_each();

const SectionRow* find_section(std::string_view name);
const KeyRow* find_key(std::string_view section, std::string_view key);

// "a number above 0, at most 10", "one of adamw, muon"
std::string wanted_text(const KeyRow& row);
// The value as TOML.
std::string value_text(const Field& field);

// The tables of docs/recipes.md.
std::string recipe_keys_markdown();

}  // namespace naru::recipes
