// Answers that a run keeps to be looked at: to prompts of its recipe (samples.jsonl), to held-out problems
// (problems.jsonl), and those of a rollout with their rewards (groups.jsonl).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace naru::runs {

inline constexpr size_t kKeptTextBytesMax =
    8192;                                        // of an answer, a prompt or a solution in these files; the rest is cut
inline constexpr int64_t kProblemsKept = 6;      // held-out problems whose answers are kept
inline constexpr int64_t kTimesKept = 20;        // of a run, about: validations and rollouts whose answers are kept
inline constexpr size_t kGroupAnswersKept = 32;  // of a group

struct Sample {
  int64_t step = 0;
  std::string prompt;
  std::string answer;
};

struct ProblemAnswer {
  int64_t step = 0;
  int64_t problem = 0;  // its number in its source
  std::string prompt, wanted;
  std::string answer;  // greedy
  bool is_right = false;
};

struct ShownAnswer {
  std::string text;
  int64_t tokens = 0;
  bool is_right = false, is_cut = false;
  double reward = 0, advantage = 0;
  std::vector<double> parts;  // of the reward, before weighting
};

// A problem and the answers of a rollout to it.
struct ShownGroup {
  int64_t step = 0;  // that the first update on it made
  int64_t problem = 0;
  std::string prompt, wanted;
  std::vector<std::string> part_names;
  std::vector<ShownAnswer> answers;
};

// Whether what is measured at `at` and every `every` is among the about kTimesKept times of `all` that are kept; the
// first (0) and the last (all) are not asked for.
inline bool is_kept_time(int64_t at, int64_t every, int64_t all) {
  const auto share = [all](int64_t x) { return x <= 0 ? 0 : x * kTimesKept / all; };
  return share(at) > share(at - every);
}

}  // namespace naru::runs
