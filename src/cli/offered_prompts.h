// What a chat with a model of one's own may begin with: the prompts that the recipe of its run watches ([sample]); and
// with the built-in model, what it knows.
#pragma once

#include <string>
#include <vector>

namespace naru::cli {

// Of RUN/model, by RUN/recipe.toml: prompts of one short line, a few at most, each once. None for any other model.
std::vector<std::string> offered_prompts(const std::string& model_path);

}  // namespace naru::cli
