// ServeLog: the lines of a server's log, written by a thread of its own, so that nobody waits for the disk, the
// terminal or the program that reads them. A line that cannot be written is lost, and the first loss is said; the
// server goes on.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/owned_fd.h"
#include "base/result.h"

namespace naru::cli {

inline constexpr int64_t kLogWaitingBytesMax = 4 << 20;  // of lines that wait to be written; more are lost

class ServeLog {
 public:
  // To a file, behind what it holds, or (empty) to standard error. kUnavailable: it cannot be opened.
  static Result<std::unique_ptr<ServeLog>> open(const std::string& path);
  // Writes what waits, for at most a second.
  ~ServeLog();
  ServeLog(const ServeLog&) = delete;
  ServeLog& operator=(const ServeLog&) = delete;

  // A line with its line break; from any thread, never waits.
  void write(std::string line);

 private:
  ServeLog(OwnedFd file, int fd, std::string name);
  void run();
  // False where it cannot be written, with why.
  bool put(const std::string& line, std::string& why);
  void lose(int64_t n, const std::string& why);
  void say_lost(const std::string& why) const;

  OwnedFd file_;  // none where it is standard error
  int fd_;
  std::string name_;
  std::mutex mutex_;
  std::condition_variable has_lines_;
  std::deque<std::string> lines_;
  int64_t waiting_bytes_ = 0;
  int64_t n_lost_ = 0;                             // in all
  std::chrono::steady_clock::time_point give_up_;  // where it is stopping
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace naru::cli
