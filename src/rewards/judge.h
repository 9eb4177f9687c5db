// Judge: what answers are worth. A reward is a sum of parts, each with a name and a weight: a function of the problem
// and the answer alone.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/problems.h"
#include "recipes/recipe.h"

namespace naru::rewards {

// What is judged; it outlives the judging.
struct JudgedText {
  const data::Problem* problem = nullptr;
  std::string_view answer;  // without special tokens
  int64_t n_tokens = 0;
  bool is_cut = false;  // its length ended it
};

struct Judgement {
  bool is_right = false;      // what accuracy counts
  double reward = 0;          // the weighted sum of the parts
  std::vector<double> parts;  // before weighting, in the order of Judge::names()
};

class Judge {
 public:
  // What the recipe asks for: whether the answer is right, by its verifier, and the soft bound on its length.
  static Result<Judge> open(const recipes::Recipe& recipe);

  // Of the parts: "answer", "length".
  const std::vector<std::string>& names() const { return names_; }
  // As many as there are texts, in their order. kCancelled where should_stop says so.
  Result<std::vector<Judgement>> judge(const std::vector<JudgedText>& texts,
                                       const std::function<bool()>& should_stop = {}) const;

 private:
  std::vector<std::string> names_;
  int64_t max_tokens_ = 0, soft_tokens_ = 0;
};

}  // namespace naru::rewards
