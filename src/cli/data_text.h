// What `naru data` shows of a recipe's data on a screen: tables of its sources, notes, and documents token by token.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/data.h"
#include "data/batches.h"
#include "data/ngram.h"
#include "recipes/recipe.h"
#include "text/tokenizer.h"

namespace naru::cli {

// The data of a recipe, read as training reads it.
struct RecipeData {
  recipes::Recipe recipe;
  std::string tokenizer_path;
  text::Tokenizer tokenizer;
  data::BatchStream training;
  std::optional<data::BatchStream> validation;
  std::optional<data::NgramBaseline> baseline;
};

// All sources of a stream together.
data::SourceStatistics sum_of(const std::vector<data::SourceStatistics>& sources);
// How much of its rows a source fills.
double fill_of(const data::SourceStatistics& s, int64_t context);
// The first `n_each` documents of every source, as indices for BatchStream::document.
std::vector<int64_t> shown_documents(const data::BatchStream& stream, int64_t n_each);

std::string data_text(const DataOptions& options, const RecipeData& data);

}  // namespace naru::cli
