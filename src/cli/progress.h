// Progress of long work on standard error: a bar with speed and time left where that is a terminal, one line now and
// then where it is not. Quick work shows nothing. No bar outlives the object.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/shown_text.h"  // format_seconds: of what took long

namespace naru::cli {

class Progress {
 public:
  enum class Unit : uint8_t { kBytes, kTokens, kSteps };

  Progress(std::string label, Unit unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Draws at most ten times a second. A total of 0 is one that is not known.
  void update(int64_t done, int64_t total);
  // Takes the bar away.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(int64_t done, int64_t total, double seconds) const;
  std::string bar(int64_t done, int64_t total, int64_t columns) const;

  std::string label_;
  Unit unit_;
  Clock::time_point begin_;
  Clock::time_point drawn_;
  int64_t first_done_ = -1;  // where the first update stood: speed counts from there
  bool is_drawn_ = false;
};

// One bar at a time, by what it is about.
class ProgressBars {
 public:
  void update(std::string_view what, Progress::Unit unit, int64_t done, int64_t total);
  void clear();

 private:
  std::optional<Progress> bar_;
  std::string shown_;
};
// What tells the bars, which live as long, of steps.
std::function<void(std::string_view what, int64_t done, int64_t total)> shown_in(ProgressBars& bars);

}  // namespace naru::cli
