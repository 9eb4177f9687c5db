// RewardWorker: one process of a reward program, and the answer that it is at work on.
#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "rewards/child_process.h"
#include "rewards/reward_program.h"

namespace naru::rewards {

using RewardClock = std::chrono::steady_clock;

class RewardWorker {
 public:
  RewardWorker(const ChildPlan& plan, double seconds) : plan_(&plan), seconds_(seconds) {}

  bool is_free() const { return index_ < 0; }
  int64_t index() const { return index_; }  // of the question it is at work on
  RewardClock::time_point deadline() const { return deadline_; }

  // Gives it a question; the process is started where there is none, or the last one has ended or has said more than
  // it was asked.
  Status begin(int64_t index, std::string_view question, int64_t id);
  // What to wait for, and what was found.
  void add_polls(std::vector<pollfd>& polls) const;
  // Writes and reads what can be; the reply when it is there, or when there will be none.
  std::optional<ProgramReply> advance();
  // Asked to end: its input closes.
  void close_in();
  bool is_running() { return child_ && !child_->ended(); }
  void stop();  // at once; a question that it was at work on is dropped

 private:
  bool is_fit();  // for another question
  void write();
  // False at the end of what the process writes.
  bool read_out();
  void read_err();
  ProgramReply finish(ProgramReply reply);
  ProgramReply fail(std::string why);
  std::string how_it_ended();

  const ChildPlan* plan_;
  double seconds_;
  std::optional<ChildProcess> child_;
  int64_t index_ = -1, id_ = 0;
  std::string line_;  // to be written
  size_t written_ = 0;
  std::string out_, err_;  // what it wrote for this answer; of err_ the last bytes
  int64_t err_bytes_ = 0;
  bool is_err_open_ = false;
  RewardClock::time_point deadline_;
  double start_seconds_ = 0;  // in deadline_
  bool was_late_ = false;     // once: its processes get no more time to start
};

}  // namespace naru::rewards
