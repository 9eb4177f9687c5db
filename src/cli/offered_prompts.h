// What a chat with a model of one's own may begin with: the prompts that the recipe of its run watches ([sample]); and
// with the built-in model, what it knows.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace naru::cli {

// Those of them that a chat can offer: of one short line each, a few at most, each once.
std::vector<std::string> offers_among(std::span<const std::string> prompts);

// Of RUN/model, by RUN/recipe.toml. None for any other model.
std::vector<std::string> offered_prompts(const std::string& model_path);

}  // namespace naru::cli
