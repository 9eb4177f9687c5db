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

// Of kind rejection; nothing of other kinds.
Status check_rejection(const Recipe& recipe, const PlaceOfKey& where);
// Of [grpo], [distill] and [[teacher]]: what their keys must be to each other, and to the run.
Status check_rollouts(const Recipe& recipe, const PlaceOfKey& where);

// Of [[reward]]: what its keys must be to each other, and to the run.
Status check_rewards(const Recipe& recipe, const PlaceOfKey& where);

// "PLACE: FOUND, WANTED was wanted; NEXT"
Error clash(const std::string& place, std::string_view found, std::string_view wanted, std::string_view next);

}  // namespace naru::recipes
