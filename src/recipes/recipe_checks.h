// What the keys of a recipe must be to each other; each by itself is checked against the table of keys before.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "recipes/recipe.h"

namespace naru::recipes {

// "reading recipe a.toml: line 3", of a key by its path, for messages.
using PlaceOfKey = std::function<std::string(std::string_view path)>;

Status check_together(const Recipe& recipe, const PlaceOfKey& where);

}  // namespace naru::recipes
