// ProblemSource, ProblemMix: the problems of one source of a recipe, by number. A problem is a function of (source,
// seed, number): numbers count on beyond the last problem, and all are then met again. Those of a file come in an order
// of their own in each pass, shuffled by the seed; those of a generator as it makes them.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "data/data_record.h"
#include "data/generators.h"
#include "data/packing.h"
#include "text/chat_tokenizer.h"
#include "text/tokenizer.h"

namespace naru::data {

class ProblemSource {
 public:
  // A generator, or a .jsonl file of the user's own problems (problem_lines.h), which is read at once.
  // `needs_answers`: a line without one is refused. `recipe_folder`: where relative paths count from.
  static Result<ProblemSource> open(const recipes::SourceRecipe& source, uint64_t seed, Split split,
                                    const std::filesystem::path& recipe_folder, bool needs_answers = true);

  bool is_file() const { return !lines_.empty(); }
  int64_t size() const;              // different problems, at least one
  Problem at(int64_t number) const;  // number >= 0
  int64_t held_bytes() const;        // about what the problems take in memory

  // Of the first n_first problems' texts (of all of a file's), of its bytes, and of what the recipe says of the source.
  StreamRecord record(int64_t n_first) const;

 private:
  recipes::SourceRecipe source_;
  GeneratorOptions generator_;
  uint64_t seed_ = 0;
  Split split_ = Split::kTrain;
  int64_t n_generated_ = 0;
  std::vector<Problem> lines_;  // of a file; else empty
  DataFile file_;
  // The order of the pass that was asked for last.
  mutable int64_t pass_ = -1;
  mutable std::vector<int32_t> order_;
};

// The problems of several sources, dealt by weight: of any first ones a source has its share to within a few. Of one
// source they are its own.
class ProblemMix {
 public:
  // At least one source, each as above.
  static Result<ProblemMix> open(const std::vector<recipes::SourceRecipe>& sources, uint64_t seed, Split split,
                                 const std::filesystem::path& recipe_folder, bool needs_answers = true);

  bool has_file() const;
  int64_t size() const;              // first problems that have all of every source
  Problem at(int64_t number) const;  // number >= 0
  int64_t held_bytes() const;
  StreamRecord record(int64_t n_first) const;

 private:
  ProblemMix(std::vector<ProblemSource> sources, Mixture mixture)
      : sources_(std::move(sources)), mixture_(std::move(mixture)) {}

  std::vector<ProblemSource> sources_;
  Mixture mixture_;
};

// What of a problem is asked and what is right, for the hash of problems.
std::string asked_text(const Problem& problem);

// What the model is given: the problem's messages by the chat template, on a fixed day; without a template (null) its
// text, which the model goes on with. Problems that have "messages" need a template, and one token at least is made.
Result<text::ChatPrompt> problem_prompt(const Problem& problem, const text::Tokenizer& tokenizer,
                                        const text::ChatTemplate* chat_template);

}  // namespace naru::data
