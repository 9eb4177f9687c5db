// AskedProblems: the problems of a run of kind rejection, by number, in the order in which they are asked. Sources are
// dealt by their weights: of any first problems a source has its share to within one. A problem is a function of the
// recipe and its number.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/data_record.h"
#include "data/problems.h"
#include "recipes/recipe.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace naru::samples {

class AskedProblems {
 public:
  // kInvalidArgument: a file that is none of problems, or one without answers where they are needed, with its lines.
  static Result<AskedProblems> open(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder);

  int64_t size() const { return std::ssize(order_); }
  data::Problem at(int64_t number) const;
  int64_t held_bytes() const;
  // Of the sources: what the recipe says of them, and their files; what was asked is make_prompts()'s to say.
  data::StreamRecord record() const;
  std::vector<data::DataFile> files() const;

 private:
  struct Place {
    int32_t source = 0;
    int64_t number = 0;  // in the source
  };
  std::vector<data::ProblemSource> sources_;
  std::vector<Place> order_;
};

// What the model is given of each.
struct AskedPrompts {
  std::vector<std::vector<int32_t>> ids;
  std::vector<bool> opens_reasoning;
  int64_t longest = 0;
  std::string sha256;  // of all problems and their ids
};
struct PromptOptions {
  bool is_messages = true;  // the form of lines; else text, which problems that are conversations do not have
  std::function<bool(int64_t done, int64_t total)> go_on = {};  // false ends it: kCancelled
};
// `chat_template` null: as plain text.
Result<AskedPrompts> make_prompts(const AskedProblems& problems, const text::Tokenizer& tokenizer,
                                  const text::ChatTemplate* chat_template, const PromptOptions& options);

}  // namespace naru::samples
