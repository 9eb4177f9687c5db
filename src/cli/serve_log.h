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

  // Opens the file anew by its name, where it is one: what was renamed meanwhile gets the lines until now, and a new
  // file those from now on. kUnavailable: it cannot be opened, and the old one goes on.
  Status reopen();
  // A line with its line break; from any thread, never waits.
  void write(std::string line);

 private:
  ServeLog(OwnedFd file, std::string path);
  void run();
  int fd() const;
  // False where it cannot be written, with why.
  bool put(const std::string& line, std::string& why);
  void lose(int64_t n, const std::string& why);
  void say_lost(const std::string& why) const;

  const std::string path_;  // empty: standard error
  OwnedFd file_;            // none where it is; of the thread that writes
  std::mutex mutex_;
  OwnedFd next_file_;             // takes the place of file_,
  size_t lines_before_next_ = 0;  // behind so many of those that wait
  std::condition_variable has_lines_;
  std::deque<std::string> lines_;
  int64_t waiting_bytes_ = 0;
  int64_t n_lost_ = 0;                             // since the file was opened
  std::chrono::steady_clock::time_point give_up_;  // where it is stopping
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace naru::cli
