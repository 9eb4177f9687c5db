// MODEL on the command line, and model.path and model.tokenizer of a recipe: a path, the name of a model that was
// pulled, or `builtin`. A path that is there wins.
#pragma once

#include <string>

#include "cli/command.h"
#include "recipes/recipe.h"

namespace naru::cli {

// The path of the model that was given. kNotFound, with how to pull it, where it has the form of a name and is neither
// a path nor pulled; what has not is left for whoever opens it.
Result<std::string> find_model_path(const std::string& given);

// Finds the pulled models that a recipe names as its model and its tokenizer. A model that is neither there nor pulled
// is kNotFound as above; a tokenizer is left for whoever opens it and knows how to make one.
Status find_recipe_models(recipes::ModelRecipe& model, const std::filesystem::path& recipe_folder);

// Likewise its teachers; one that is found already (pulled_path) is left as it is.
Status find_recipe_teachers(recipes::Recipe& recipe, const std::filesystem::path& recipe_folder);

// For an argument or a flag that takes a model; the folder of a run (run.json) stands for the model in it.
std::function<Status(const Given&)> set_model_path(std::string* path);

}  // namespace naru::cli
