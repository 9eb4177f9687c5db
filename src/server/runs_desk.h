// RunsDesk: reads training runs for those who ask over HTTP. Files are read on a thread of its own, so that a long one
// holds up no answer. What a run is, whoever starts the server knows: here it is JSON under a name.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"

namespace naru::server {

inline constexpr int64_t kRunsAskedMax = 64;  // questions about runs that may wait

// Both are called on one thread, never at once. kNotFound: no run has that name. Messages reach clients.
struct RunsSource {
  std::function<Result<std::string>()> list;                         // JSON of all; empty: no runs are shown
  std::function<Result<std::string>(const std::string& name)> read;  // JSON of one
};

class RunsDesk {
 public:
  using Done = std::function<void(Result<std::string> json)>;  // called on the desk's thread

  explicit RunsDesk(RunsSource source);
  ~RunsDesk();  // what waits is not answered

  // Of the run of that name; of all where it is empty. False: too many wait.
  bool ask(std::string name, Done done);

 private:
  struct Question {
    std::string name;
    Done done;
  };
  void work();
  void answer(const Question& question) const;

  RunsSource source_;
  std::mutex mutex_;
  std::condition_variable is_asked_;
  std::deque<Question> questions_;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace naru::server
