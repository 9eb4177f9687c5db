// What one sees while a model trains: on a terminal one line that is drawn over itself, of reinforcement learning under
// its curve (train_plot.h); elsewhere a plain line now and then. Notes stand above it. Texts are made by functions
// without state, so that they can be tested.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/train_plot.h"

namespace naru::cli {

struct TrainProgress {
  int64_t step = 0;
  int64_t steps = 0;  // 0: not known
  double loss = 0;
  double lr = 0;
  double grad_norm = 0;
  double tokens_per_s = 0;          // 0: not known yet
  double peak_share = 0;            // of this machine's measured peak, 0 to 1; 0: not known
  double seconds_left = -1;         // below 0: not known
  int64_t memory_bytes = 0;         // 0: not known
  int64_t recheck_differences = 0;  // results that rechecks threw away
  // Of the last rollout; nothing: the run has none.
  std::optional<double> reward = {}, reverse_kl = {}, answer_tokens = {};
  std::optional<double> rollout_tokens_per_s = {}, update_tokens_per_s = {};
  std::optional<double> accuracy = {};        // of held-out problems, 0 to 1, when they were asked last
  std::optional<int64_t> accuracy_step = {};  // which was then
};

// The line on a terminal: a bar, and what it stands beside. Together at most `columns` columns: where they are few, the
// bar shrinks first, then the least important parts go. The step is the last to go.
struct TrainLine {
  std::string bar;  // with the spaces behind it; empty where there is no room
  std::string text;
};
TrainLine train_line(const TrainProgress& progress, int64_t columns);
// All parts, for a log: "step 12/600  loss 2.1934  ...".
std::string train_log_line(const TrainProgress& progress);
// "8 s", "4 min 05 s", "2 h 10 min", "3 d 4 h"
std::string time_left_text(double seconds);
// "0:08", "4:05", "2:10:00", "3 d 4 h": the same where there is little room.
std::string clock_text(double seconds);

class TrainStatus {
 public:
  TrainStatus() = default;
  ~TrainStatus();
  TrainStatus(const TrainStatus&) = delete;
  TrainStatus& operator=(const TrainStatus&) = delete;

  // Call as often as you like: a terminal is drawn at most five times a second, elsewhere a line comes when ten seconds
  // have passed.
  void update(const TrainProgress& progress);
  // The curve above the line, where there is room for one; they live as long as this.
  void show_curves(const TrainCurves& curves) { curves_ = &curves; }
  // A message above the line, on a line of its own.
  void note(std::string_view line);
  // Takes all of it away, for other text; the next update draws it again.
  void clear();
  // Leaves the curve where it is, as it is by now, and takes the line away: for other text that goes below.
  void finish();
  // Somebody else wrote below the line: what is drawn stays, and the next update draws below.
  void let_be() { drawn_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  // What is drawn: a row and the columns that it takes.
  struct Row {
    std::string text;
    int64_t columns;
  };
  std::vector<Row> curve_rows() const;
  std::vector<Row> rows() const;
  std::string to_first_row() const;
  std::string erased() const;
  std::string joined(const std::vector<Row>& rows) const;
  void draw();

  const TrainCurves* curves_ = nullptr;
  std::optional<TrainProgress> last_;
  std::optional<Clock::time_point> shown_;
  std::vector<Row> drawn_;  // the cursor stands in the last one; empty: nothing is there
};

}  // namespace naru::cli
