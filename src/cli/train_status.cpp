#include "cli/train_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/memory.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "text/utf8.h"

namespace naru::cli {
namespace {

constexpr double kRedrawSeconds = 0.2;
constexpr double kSparseLineSeconds = 10;

// A part of the line. Where the line is too wide, parts of the highest rank leave first.
struct Part {
  int rank;
  std::string text;
};

std::string speed_text(double tokens_per_s) {
  if (!std::isfinite(tokens_per_s) || tokens_per_s < 0) return "-";
  if (tokens_per_s >= 1e6) return fmt::format("{:.2f} M", tokens_per_s / 1e6);
  if (tokens_per_s >= 1e4) return fmt::format("{:.1f} k", tokens_per_s / 1e3);
  return fmt::format("{:.0f} ", tokens_per_s);
}

// Widths are held where values move, so that the line does not jump.
std::vector<Part> parts_of(const TrainProgress& p) {
  const int width = static_cast<int>(fmt::formatted_size("{}", p.steps));
  std::vector<Part> parts = {
      {0, p.steps > 0 ? fmt::format("step {:>{}}/{}", p.step, width, p.steps) : fmt::format("step {}", p.step)},
      {1, fmt::format("loss {:.4f}", p.loss)},
      {6, fmt::format("lr {:.2e}", p.lr)},
      {5, fmt::format("grad {:.3g}", p.grad_norm)},
      {2, fmt::format("{}tokens/s", speed_text(p.tokens_per_s))}};
  if (p.peak_share > 0) parts.push_back({4, fmt::format("{:.0f} % of peak", 100 * p.peak_share)});
  if (p.memory_bytes > 0) parts.push_back({7, format_bytes(p.memory_bytes)});
  if (p.seconds_left >= 0)
    parts.push_back({3, format_seconds(p.seconds_left < 10 ? std::ceil(p.seconds_left) : p.seconds_left) + " left"});
  return parts;
}

std::string bar_of(const TrainProgress& p, int64_t columns) {
  if (p.steps <= 0 || columns < 6) return "";
  const double share = std::clamp(static_cast<double>(p.step) / static_cast<double>(p.steps), 0.0, 1.0);
  const auto full = static_cast<int64_t>(share * static_cast<double>(columns));
  std::string text;
  for (int64_t i = 0; i < columns; ++i) text += i < full ? "━" : "─";
  return text + "  ";
}

std::string joined(const std::vector<Part>& parts) {
  std::string line;
  for (const Part& part : parts) line += (line.empty() ? "" : "  ") + part.text;
  return line;
}

std::string one_line(const std::string& text) {
  std::string line = without_controls(text::repair_utf8(text));
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

std::string train_line(const TrainProgress& progress, int64_t columns) {
  std::vector<Part> parts = parts_of(progress);
  std::string line = joined(parts);
  while (display_columns(line) > columns && parts.size() > 1) {
    parts.erase(
        std::max_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.rank < b.rank; }));
    line = joined(parts);
  }
  if (display_columns(line) > columns) return line.substr(0, static_cast<size_t>(std::max<int64_t>(0, columns)));
  constexpr int64_t kBarColumnsMax = 24;
  return bar_of(progress, std::min(kBarColumnsMax, columns - display_columns(line) - 2)) + line;
}

std::string train_log_line(const TrainProgress& progress) {
  return joined(parts_of(progress));
}

TrainStatus::~TrainStatus() {
  finish(false);
}

void TrainStatus::draw() {
  // One column stays free: some terminals wrap when the last one is filled. One write: nothing is seen half-drawn.
  const std::string line = train_line(*last_, terminal_columns() - 1);
  write_err(fmt::format("\r{}\x1b[K", line));
  is_drawn_ = true;
}

void TrainStatus::update(const TrainProgress& progress) {
  const Clock::time_point now = Clock::now();
  const bool has_note = !progress.note.empty();
  last_ = progress;
  const double seconds = shown_ ? std::chrono::duration<double>(now - *shown_).count() : 1e9;
  if (has_note) note(progress.note);
  if (stderr_is_terminal()) {
    if (!has_note && seconds < kRedrawSeconds) return;
    draw();
  } else {
    if (!has_note && seconds < kSparseLineSeconds) return;
    write_err(train_log_line(progress) + "\n");
  }
  shown_ = now;
}

void TrainStatus::note(const std::string& text) {
  if (!is_drawn_) {
    write_err(one_line(text) + "\n");
    return;
  }
  // The line is wiped, the note takes its place, and the line comes again below, in one write.
  const std::string line = train_line(*last_, terminal_columns() - 1);
  write_err(fmt::format("\r\x1b[K{}\n{}", one_line(text), line));
}

void TrainStatus::finish(bool keep) {
  if (is_drawn_) write_err("\r\x1b[K");
  is_drawn_ = false;
  if (keep && last_) write_err(train_log_line(*last_) + "\n");
  last_.reset();
}

}  // namespace naru::cli
