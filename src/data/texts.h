// The texts of a recipe's training data before any tokenizer: what a new tokenizer is trained on.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "base/result.h"
#include "recipes/recipe.h"

namespace naru::data {

// Calls `visit` for every text of recipe.data, in the order of reading: the "text" or the contents (and reasoning) of
// the messages of every line, blocks of plain text files (line_reader.h), and problems as plain text, or for kind "sft"
// as question and answer. Weights do not count. Memory is bounded by the longest line. Errors are those of
// BatchStream::open, or what `visit` returns.
Status visit_texts(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder,
                   const std::function<Status(std::string_view)>& visit);

// The same of one file of lines of JSON, or of an array. `note` is told of what is left out, with its place.
Status visit_file_texts(const std::filesystem::path& path, const std::function<Status(std::string_view)>& visit,
                        const std::function<void(std::string_view)>& note);

}  // namespace naru::data
