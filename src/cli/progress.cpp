#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/memory.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

constexpr double kQuietSeconds = 0.15;     // work that ends sooner shows nothing
constexpr double kRedrawSeconds = 0.1;     // on a terminal
constexpr double kSparseLineSeconds = 10;  // elsewhere
constexpr double kEstimateSeconds = 0.5;   // no time left before that
constexpr int64_t kBarColumnsMax = 30;

double seconds_between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

std::string amount(int64_t n, Progress::Unit unit) {
  return unit == Progress::Unit::kBytes ? format_bytes(n) : grouped(n);
}

}  // namespace

Progress::Progress(std::string label, Unit unit)
    : label_(one_line(label)), unit_(unit), begin_(Clock::now()), drawn_(begin_) {}

Progress::~Progress() {
  clear();
}

void Progress::clear() {
  if (is_drawn_) write_err("\r\x1b[K");
  is_drawn_ = false;
}

void Progress::update(int64_t done, int64_t total) {
  const Clock::time_point now = Clock::now();
  if (first_done_ < 0) {
    first_done_ = done;
    begin_ = drawn_ = now;
  }
  const double seconds = seconds_between(begin_, now);
  if (stderr_is_terminal()) {
    if (seconds < kQuietSeconds || (is_drawn_ && seconds_between(drawn_, now) < kRedrawSeconds)) return;
    const std::string words = line(done, total, seconds);
    const int64_t columns = terminal_columns() - 3 - display_columns(label_) - static_cast<int64_t>(words.size());
    write_err(fmt::format("\r{} {} {}\x1b[K", label_, bar(done, total, std::min(columns, kBarColumnsMax)),
                          styled(words, Style::kDim, Stream::kErr)));
    is_drawn_ = true;
  } else {
    if (seconds_between(drawn_, now) < kSparseLineSeconds) return;
    write_err(fmt::format("{}: {}\n", label_, line(done, total, seconds)));
  }
  drawn_ = now;
}

std::string Progress::line(int64_t done, int64_t total, double seconds) const {
  std::string text = amount(done, unit_);
  if (total > 0) {
    const double share = static_cast<double>(done) / static_cast<double>(total);
    text = fmt::format("{:3.0f} %  {} of {}", 100 * share, text, amount(total, unit_));
  }
  const auto moved = static_cast<double>(done - first_done_);
  if (seconds < kEstimateSeconds || moved <= 0) return text;
  const double speed = moved / seconds;
  if (unit_ == Unit::kBytes) text += fmt::format("  {}/s", format_bytes(static_cast<int64_t>(speed)));
  if (unit_ == Unit::kTokens) text += fmt::format(" tokens  {} tokens/s", grouped(static_cast<int64_t>(speed + 0.5)));
  if (done < total) text += fmt::format("  {} left", format_seconds(static_cast<double>(total - done) / speed));
  return text;
}

std::string Progress::bar(int64_t done, int64_t total, int64_t columns) const {
  if (columns < 5 || total <= 0) return "";
  const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  const auto full = static_cast<int64_t>(share * static_cast<double>(columns));
  std::string text;
  for (int64_t i = 0; i < columns; ++i) text += i < full ? "━" : "─";
  return text;
}

void ProgressBars::update(std::string_view what, Progress::Unit unit, int64_t done, int64_t total) {
  if (what != shown_) {
    bar_.reset();
    bar_.emplace(std::string(what), unit);
    shown_ = what;
  }
  bar_->update(done, total);
}

void ProgressBars::clear() {
  bar_.reset();
  shown_.clear();
}

std::function<void(std::string_view what, int64_t done, int64_t total)> shown_in(ProgressBars& bars) {
  return [&bars](std::string_view what, int64_t done, int64_t total) {
    bars.update(what, Progress::Unit::kSteps, done, total);
  };
}

}  // namespace naru::cli
