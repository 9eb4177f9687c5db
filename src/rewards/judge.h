// Judge: what answers are worth. A reward is a sum of parts, each with a name and a weight: a function of the problem
// and the answer alone. A program of the user's (reward_program.h) may be none: each of its rewards is stored before it
// is used, and read back when the same is asked again.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/batches.h"
#include "data/problems.h"
#include "recipes/recipe.h"

namespace naru::rewards {

// What is judged; it outlives the judging.
struct JudgedText {
  const data::Problem* problem = nullptr;
  std::string_view answer = {};  // without special tokens
  int64_t n_tokens = 0;
  bool begins_in_reasoning = false;  // the prompt ended with the opening tag
};

struct Judgement {
  bool is_right = false;      // what accuracy counts
  double reward = 0;          // the weighted sum of the parts
  std::vector<double> parts;  // before weighting, in the order of Judge::names()
  int64_t n_failures = 0;     // parts whose program gave no reward
};

struct JudgeOptions {
  std::vector<recipes::RewardRecipe> rewards = {};  // none: whether the answer is right
  int64_t max_tokens = 0, soft_tokens = 0;  // of answers (recipes::GrpoRecipe); a part "length" where soft_tokens > 0
  std::filesystem::path folder = {};        // where programs are run: the recipe's
};
// Of a recipe with rollouts, or of kind rejection.
JudgeOptions judge_options(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder);
// Whether a part compares with the problem's answer: then every problem needs one.
bool needs_answers(const std::vector<recipes::RewardRecipe>& rewards);

// What judging may need beside the texts. As it is: nothing is stored, and this process is alone.
struct JudgeCall {
  std::function<bool()> should_stop = {};             // asked often: kCancelled where it says so
  std::function<void(const std::string&)> note = {};  // one line: an answer for which a program gave no reward
  std::filesystem::path store = {};                   // the file in which rewards of programs are kept; "": nowhere
  // Of several processes that judge the same texts one asks the programs: what it says comes out at all.
  std::function<Result<std::string>(std::string)> say_to_all = {};
  bool is_asking = true;  // this is the one
};

class Judge {
 public:
  // Programs are started once, without work: one that is missing, or fails at once, is refused.
  static Result<Judge> open(JudgeOptions options, const std::function<bool()>& should_stop = {});
  Judge(Judge&&) noexcept;
  Judge& operator=(Judge&&) noexcept;
  ~Judge();

  // Of the parts.
  const std::vector<std::string>& names() const;
  bool has_programs() const;
  // The files of programs, which decide bits too.
  const std::vector<data::DataFile>& files() const;

  // As many as there are texts, in their order. kCancelled where should_stop says so.
  Result<std::vector<Judgement>> judge(const std::vector<JudgedText>& texts, const JudgeCall& call = {});
  // Whether each is right, and nothing else: by the first part of kind answer; without one by the first program, which
  // says "right", or gives at least 1.
  Result<std::vector<bool>> are_right(const std::vector<JudgedText>& texts, const JudgeCall& call = {});
  // Answers without a reward that the store counts: of all starts of a run.
  Result<int64_t> stored_failures(const std::filesystem::path& store);

 private:
  struct State;
  explicit Judge(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace naru::rewards
