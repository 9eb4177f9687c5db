// Queue: a thread that does jobs in the order in which they were given. After one failed the others are passed over,
// until somebody has been told of the failure.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/result.h"

namespace naru::distant {

class Queue {
 public:
  Queue() : thread_([this] { work(); }) {}
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // `bytes`: what the job holds; too many jobs or bytes on the way are waited for.
  void add(std::function<Status()> job, int64_t bytes = 0);
  // A job that is done whatever failed before it: giving memory back.
  void add_always(std::function<void()> job);
  // The failure of a job that is done already, if any; the queue goes on behind it.
  Status failure();
  // The same after all jobs are done.
  Status finish();
  // Waits for all jobs; a failure is kept for others.
  void settle();

 private:
  struct Job {
    std::function<Status()> run;
    bool is_always = false;
    int64_t bytes = 0;
  };
  void push(Job job);
  void work();

  std::mutex mutex_;
  std::condition_variable work_, done_;
  std::deque<Job> jobs_;
  int64_t bytes_ = 0;
  bool is_busy_ = false;
  bool is_ending_ = false;
  std::optional<Error> failure_;
  std::thread thread_;  // last: it uses all others
};

}  // namespace naru::distant
