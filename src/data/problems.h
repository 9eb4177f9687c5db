// ProblemSource: the problems of one source of a recipe, by number. A problem is a function of (source, seed, number):
// numbers count on beyond the last problem, which is then met again.
#pragma once

#include <filesystem>
#include <optional>

#include "data/data_record.h"
#include "data/generators.h"

namespace naru::data {

class ProblemSource {
 public:
  // A generator. `recipe_folder`: where relative paths count from.
  static Result<ProblemSource> open(const recipes::SourceRecipe& source, uint64_t seed, Split split,
                                    const std::filesystem::path& recipe_folder);

  int64_t size() const { return size_; }  // different problems, at least one
  Problem at(int64_t number) const;       // number >= 0

  // Of the first n_first problems' texts, and of what the recipe says of the source.
  StreamRecord record(int64_t n_first) const;

 private:
  recipes::SourceRecipe source_;
  GeneratorOptions generator_;
  uint64_t seed_ = 0;
  Split split_ = Split::kTrain;
  int64_t size_ = 0;
};

}  // namespace naru::data
