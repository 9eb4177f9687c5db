// What one sees while a model trains: on a terminal one line that is drawn over itself, elsewhere a plain line now and
// then. Notes stand above it. Texts are made by functions without state, so that they can be tested.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace naru::cli {

struct TrainProgress {
  int64_t step = 0;
  int64_t steps = 0;
  double loss = 0;
  double lr = 0;
  double grad_norm = 0;
  double tokens_per_s = 0;
  double peak_share = 0;     // of this machine's measured peak, 0 to 1; 0: not known
  int64_t memory_bytes = 0;  // 0: not known
  double seconds_left = -1;  // below 0: not known
  std::string note = {};     // a log event: a line of its own
};

// A line of at most `columns` columns: where they are few, the least important parts go first.
std::string train_line(const TrainProgress& progress, int64_t columns);
// All parts, for a log: "step 12/600  loss 2.1934  ...".
std::string train_log_line(const TrainProgress& progress);

class TrainStatus {
 public:
  TrainStatus() = default;
  ~TrainStatus();
  TrainStatus(const TrainStatus&) = delete;
  TrainStatus& operator=(const TrainStatus&) = delete;

  // Call as often as you like: a terminal is drawn at most five times a second, elsewhere a line comes at least every
  // ten seconds and with each note.
  void update(const TrainProgress& progress);
  // A message above the line, whole, whatever is drawn.
  void note(const std::string& text);
  // Takes the line away; the last state stays as a plain line where `keep` says so.
  void finish(bool keep);

 private:
  using Clock = std::chrono::steady_clock;
  void draw();

  std::optional<TrainProgress> last_;
  std::optional<Clock::time_point> shown_;
  bool is_drawn_ = false;
};

}  // namespace naru::cli
