// The curve of reinforcement learning as a terminal shows it while it climbs: the reward of every rollout as a line of
// braille dots by the scale on the left, the share of held-out problems that are right as marks by the one on the
// right. Made by functions without state beside the points, so that it can be tested.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace naru::cli {

inline constexpr size_t kTrainPointsMax = 16384;  // of a curve; of a longer one every second point goes

// What was measured at which step, by name. Steps ascend.
class TrainCurves {
 public:
  using Points = std::vector<std::pair<int64_t, double>>;
  // A line of metrics.jsonl. Where its step is an earlier one than was known, the run went back: later points leave.
  void add(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  const Points& of(std::string_view name) const;  // empty: never measured
  std::optional<double> first(std::string_view name) const;
  std::optional<double> last(std::string_view name) const;
  // The k of the last pass_K that was measured with k > 1; 0: none.
  int64_t pass_k() const;

 private:
  std::map<std::string, Points, std::less<>> by_name_;
  int64_t step_ = -1;  // of the last line
};

// A run of cells of one style: what it stands for says which.
enum class PlotInk : uint8_t { kAxis, kReward, kAccuracy };
struct PlotSpan {
  PlotInk ink;
  std::string text;
};
using PlotRow = std::vector<PlotSpan>;

// `rows` rows of at most `columns` columns, the last of them a legend. Nothing where there is no room for a curve (less
// than 36 columns or 4 rows), or no reward yet.
std::vector<PlotRow> train_plot(const TrainCurves& curves, int64_t steps, int64_t columns, int64_t rows);

}  // namespace naru::cli
