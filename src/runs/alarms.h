// Alarms: that reinforcement learning goes wrong, in words, with what to try. A function of the lines of metrics.jsonl
// and of the recipe alone: a run that was interrupted says the same as one that was not. Each is raised once a run,
// when it begins; what is normal in a run that learns raises none.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "recipes/recipe.h"
#include "runs/metrics.h"

namespace naru::runs {

struct Alarm {
  int64_t step = 0;
  std::string kind;    // one word or two, as run.json has them: "entropy", "flat", ...
  std::string what;    // what is wrong, a sentence
  std::string advice;  // what to try: keys of the recipe and their values
};

// "step 40: ..., try ..." on one line.
std::string alarm_line(const Alarm& alarm);

class AlarmWatch {
 public:
  // Of a run that is no reinforcement learning there are none.
  explicit AlarmWatch(const recipes::Recipe& recipe);

  // The next line; what is raised by it. A line of an earlier step than the one before means that the run went back:
  // make a new watch then.
  std::vector<Alarm> add(const Metrics& line);
  // All so far, in order.
  const std::vector<Alarm>& all() const { return all_; }

 private:
  // The last values of a name: kWindow of them at most.
  struct Recent {
    std::deque<double> values;
    void add(std::optional<double> value);
    bool is_full() const;
    double mean() const;
    int64_t n_above(double bound) const;
  };
  struct Held {
    double accuracy = 0, reward = 0;  // of held-out problems, and the mean reward by then
  };
  void raise(const char* kind, std::string what, std::string advice);
  bool is_raised(std::string_view kind) const;
  void watch_rollout();
  void watch_reward();
  void watch_updates();
  void watch_held_out(double accuracy);

  recipes::Recipe recipe_;
  bool is_watching_ = false;
  int64_t step_ = 0;
  Recent reward_, right_, entropy_, flat_, cut_, kl_, ratio_;
  std::optional<double> first_entropy_;  // the mean of the first window
  std::optional<double> best_reward_;    // mean of a window
  double worst_reward_ = 0;              // the same, or 0 where all were more: what no answer is worth
  std::deque<double> reward_moves_;      // from one rollout to the next, the last ones
  std::optional<Held> best_held_;
  int64_t n_held_below_ = 0;
  std::vector<Alarm> all_;
};

}  // namespace naru::runs
