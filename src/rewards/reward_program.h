// RewardProgram: a program of the user's that says what answers are worth, as a pool of processes. Each is given one
// line at a time and has its seconds for it; what it writes in return, or fails to, is its reply (reward_line.h). A
// process that failed an answer is ended, and another begins with the next one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/batches.h"
#include "recipes/recipe.h"
#include "rewards/reward_line.h"

namespace naru::rewards {

inline constexpr int64_t kRewardErrorBytesMax = 1 << 20;  // bytes of error output for one answer
// Answers that failed before the first that did not: more, and the program is taken to be broken.
inline constexpr int64_t kRewardFailuresMax = 32;
inline constexpr double kRewardStartSeconds = 30;  // for the first answer of a process, beside its seconds

struct ProgramReply {
  RewardReply reply;
  std::string failure;  // why there is none, with what the program said of it; "": there is one
};

class RewardProgram {
 public:
  // Relative paths count from `folder`, in which it runs. It is started once, and given no line: one that does not
  // end well then is refused, with what it says; so is one that writes without being asked. One that goes on is ended
  // after some seconds, and is no error.
  static Result<RewardProgram> open(const recipes::RewardRecipe& recipe, const std::filesystem::path& folder,
                                    const std::function<bool()>& should_stop = {});
  RewardProgram(RewardProgram&&) noexcept;
  RewardProgram& operator=(RewardProgram&&) noexcept;
  ~RewardProgram();

  // Files that the command names, beside a program of PATH.
  const std::vector<data::DataFile>& files() const;
  // What of the command and its files decides a reward.
  const std::string& identity() const;

  // As many replies as questions (reward_question), in their order, whichever process is the faster. kUnavailable where
  // none of kRewardFailuresMax answers got a reward; kCancelled where should_stop says so, within a tenth of a second.
  Result<std::vector<ProgramReply>> ask(const std::vector<std::string>& questions,
                                        const std::function<bool()>& should_stop = {});

 private:
  struct State;
  explicit RewardProgram(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace naru::rewards
