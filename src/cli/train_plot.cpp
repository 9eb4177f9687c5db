#include "cli/train_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace naru::cli {
namespace {

constexpr int64_t kColumnsMin = 36;
constexpr int64_t kRowsMin = 4;
constexpr int64_t kDotsWide = 2, kDotsHigh = 4;  // of a braille character

// A picture of braille dots, of which some cells hold a mark in their place.
class DotCanvas {
 public:
  DotCanvas(int64_t columns, int64_t rows)
      : columns_(columns), rows_(rows), dots_(static_cast<size_t>(columns * rows), 0), marks_(dots_.size(), false) {}

  int64_t width() const { return columns_ * kDotsWide; }
  int64_t height() const { return rows_ * kDotsHigh; }

  // (0, 0) is the lowest dot on the left.
  void dot(int64_t x, int64_t y) {
    // Bits of U+2800 by row from the top: 0x01 0x08, 0x02 0x10, 0x04 0x20, 0x40 0x80.
    constexpr std::array<std::array<uint8_t, 2>, 4> kBits = {{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}};
    const int64_t down = height() - 1 - y;
    dots_[cell(x / kDotsWide, down / kDotsHigh)] |=
        kBits[static_cast<size_t>(down % kDotsHigh)][static_cast<size_t>(x % kDotsWide)];
  }

  // Dots between two points, of each column at least one.
  void line(std::pair<int64_t, int64_t> from, std::pair<int64_t, int64_t> to) {
    const int64_t n = std::max<int64_t>({1, to.first - from.first, std::abs(to.second - from.second)});
    for (int64_t i = 0; i <= n; ++i) {
      const double share = static_cast<double>(i) / static_cast<double>(n);
      dot(from.first + std::llround(share * static_cast<double>(to.first - from.first)),
          from.second + std::llround(share * static_cast<double>(to.second - from.second)));
    }
  }

  void mark(int64_t x, int64_t y) { marks_[cell(x / kDotsWide, (height() - 1 - y) / kDotsHigh)] = true; }

  PlotRow row(int64_t y) const {
    PlotRow spans;
    for (int64_t x = 0; x < columns_; ++x) {
      const size_t i = cell(x, y);
      const PlotInk ink = marks_[i] ? PlotInk::kAccuracy : PlotInk::kReward;
      if (spans.empty() || spans.back().ink != ink) spans.push_back({ink, ""});
      std::string& text = spans.back().text;
      if (marks_[i]) {
        text += "●";
      } else if (dots_[i] == 0) {
        text += ' ';
      } else {
        const uint32_t point = 0x2800 + dots_[i];
        for (const uint32_t byte : {0xe0 | point >> 12, 0x80 | (point >> 6 & 0x3f), 0x80 | (point & 0x3f)}) {
          text += static_cast<char>(byte);
        }
      }
    }
    return spans;
  }

 private:
  size_t cell(int64_t x, int64_t y) const { return static_cast<size_t>(y * columns_ + x); }
  int64_t columns_, rows_;
  std::vector<uint8_t> dots_;
  std::vector<bool> marks_;
};

struct Scale {
  double low = 0, high = 1;
  // The dot of a value, of `dots`.
  int64_t at(double value, int64_t dots) const {
    const double share = (value - low) / (high - low);
    return std::clamp<int64_t>(std::llround(share * static_cast<double>(dots - 1)), 0, dots - 1);
  }
};

// From 0 to 1 where that holds all of them, as most rewards are.
Scale scale_of(const TrainCurves::Points& points) {
  Scale scale;
  for (const auto& [step, value] : points) {
    scale.low = std::min(scale.low, value);
    scale.high = std::max(scale.high, value);
  }
  return scale;
}

// The step on the right: the last one of the run, or a half, a quarter, ... of it as long as the curve would be a
// sliver on the left.
int64_t right_step(int64_t steps, int64_t step, int64_t dots) {
  int64_t right = std::max<int64_t>(1, std::max(steps, step));
  while (right / 2 >= std::max(step, dots)) right = (right + 1) / 2;
  return right;
}

int64_t dot_of_step(int64_t step, int64_t right, int64_t dots) {
  return std::clamp<int64_t>(step * (dots - 1) / right, 0, dots - 1);
}

void draw_reward(DotCanvas& canvas, const TrainCurves::Points& points, const Scale& scale, int64_t right) {
  std::optional<std::pair<int64_t, int64_t>> before;
  for (size_t i = 0; i < points.size();) {
    const int64_t x = dot_of_step(points[i].first, right, canvas.width());
    double sum = 0, n = 0;  // of what falls on one column of dots: the mean
    for (; i < points.size() && dot_of_step(points[i].first, right, canvas.width()) == x; ++i, ++n) {
      sum += points[i].second;
    }
    const std::pair<int64_t, int64_t> here = {x, scale.at(sum / n, canvas.height())};
    if (before) canvas.line(*before, here);
    canvas.dot(here.first, here.second);
    before = here;
  }
}

std::string number_text(double value) {
  return std::abs(value) < 1000 && (value == 0 || std::abs(value) >= 0.01) ? fmt::format("{:.2f}", value)
                                                                           : fmt::format("{:.0e}", value);
}

// "reward 0.91 (0.40 at first)"
PlotRow legend(const TrainCurves& curves, size_t indent, int64_t columns) {
  const auto now_and_first = [&](std::string_view name, const auto& text) {
    const TrainCurves::Points& points = curves.of(name);
    std::string all = text(points.back().second);
    if (points.size() > 1) all += fmt::format(" ({} at first)", text(points.front().second));
    return all;
  };
  PlotRow row = {{PlotInk::kAxis, std::string(indent, ' ')},
                 {PlotInk::kReward, "⠤ reward " + now_and_first("reward", number_text)}};
  size_t width = indent + row.back().text.size() - 2;
  if (!curves.of("accuracy").empty()) {
    const auto share = [](double value) { return fmt::format("{:.0f} %", 100 * value); };
    PlotSpan span{PlotInk::kAccuracy, "● held-out right " + now_and_first("accuracy", share)};
    const size_t more = 3 + span.text.size() - 2;
    if (static_cast<int64_t>(width + more) <= columns) {
      row.push_back({PlotInk::kAxis, "   "});
      row.push_back(std::move(span));
      width += more;
    }
  }
  return static_cast<int64_t>(width) <= columns ? row : PlotRow{{PlotInk::kReward, "reward"}};
}

}  // namespace

void TrainCurves::add(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  if (step < step_) {
    for (auto& [name, points] : by_name_) {
      while (!points.empty() && points.back().first > step) points.pop_back();
    }
  }
  step_ = step;
  for (const auto& [name, value] : values) {
    if (!std::isfinite(value)) continue;
    Points& points = by_name_[name];
    if (!points.empty() && points.back().first == step) points.pop_back();
    points.emplace_back(step, value);
    if (points.size() <= kTrainPointsMax) continue;
    size_t n = 0;
    for (size_t i = 0; i < points.size(); i += 2) points[n++] = points[i];
    points.resize(n);
  }
}

const TrainCurves::Points& TrainCurves::of(std::string_view name) const {
  static const Points kNone;
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? kNone : found->second;
}

std::optional<double> TrainCurves::first(std::string_view name) const {
  const Points& points = of(name);
  return points.empty() ? std::nullopt : std::optional(points.front().second);
}

std::optional<double> TrainCurves::last(std::string_view name) const {
  const Points& points = of(name);
  return points.empty() ? std::nullopt : std::optional(points.back().second);
}

int64_t TrainCurves::pass_k() const {
  constexpr std::string_view kPass = "pass_";
  for (const auto& [name, points] : by_name_) {
    if (!name.starts_with(kPass) || points.empty()) continue;
    int64_t k = 0;
    const auto [end, error] = std::from_chars(name.data() + kPass.size(), name.data() + name.size(), k);
    if (error == std::errc() && end == name.data() + name.size() && k > 1) return k;
  }
  return 0;
}

std::vector<PlotRow> train_plot(const TrainCurves& curves, int64_t steps, int64_t columns, int64_t rows) {
  const TrainCurves::Points& reward = curves.of("reward");
  const TrainCurves::Points& accuracy = curves.of("accuracy");
  if (reward.empty() || columns < kColumnsMin || rows < kRowsMin) return {};
  const Scale scale = scale_of(reward);
  const int64_t height = rows - 1;  // the legend stands below
  const std::array<std::string, 3> left = {number_text(scale.high), number_text((scale.low + scale.high) / 2),
                                           number_text(scale.low)};
  const std::array<std::string, 3> right = {" 100 %", "  50 %", "   0 %"};
  size_t left_width = 0;
  for (const std::string& label : left) left_width = std::max(left_width, label.size());
  const size_t right_width = accuracy.empty() ? 0 : right[0].size();
  const int64_t width = columns - static_cast<int64_t>(left_width + right_width) - 3;  // behind the axes

  DotCanvas canvas(width, height);
  const int64_t last = std::max(reward.back().first, accuracy.empty() ? 0 : accuracy.back().first);
  const int64_t end = right_step(steps, last, canvas.width());
  draw_reward(canvas, reward, scale, end);
  for (const auto& [step, value] : accuracy) {
    canvas.mark(dot_of_step(step, end, canvas.width()), Scale{}.at(value, canvas.height()));
  }

  std::vector<PlotRow> out;
  for (int64_t y = 0; y < height; ++y) {
    const int64_t label = y == 0 ? 0 : y == height - 1 ? 2 : 2 * y == height - 1 ? 1 : -1;
    const auto text = [label](const auto& labels) {
      return label < 0 ? std::string() : labels[static_cast<size_t>(label)];
    };
    PlotRow row = {{PlotInk::kAxis, fmt::format("{:>{}} {}", text(left), left_width, label < 0 ? "│" : "┤")}};
    for (PlotSpan& span : canvas.row(y)) row.push_back(std::move(span));
    if (!accuracy.empty()) {
      row.push_back({PlotInk::kAxis, fmt::format("{}{:<{}}", label < 0 ? "│" : "├", text(right), right_width)});
    }
    out.push_back(std::move(row));
  }
  out.push_back(legend(curves, left_width + 2, columns));
  return out;
}

}  // namespace naru::cli
