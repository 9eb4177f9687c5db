#include "cli/train_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/memory.h"
#include "base/shown_text.h"
#include "cli/sheet.h"
#include "cli/word_wrap.h"

namespace naru::cli {
namespace {

constexpr double kRedrawSeconds = 0.2;     // on a terminal
constexpr double kSparseLineSeconds = 10;  // elsewhere
constexpr int64_t kBarColumnsMax = 24;
constexpr int64_t kBarColumnsMin = 6;

// A part of the line. Where the line is too wide, parts of the highest rank leave first.
struct Part {
  int rank;
  std::string text;
};

std::string speed_text(double tokens_per_s) {
  if (tokens_per_s >= 1e6) return fmt::format("{:.2f} M tokens/s", tokens_per_s / 1e6);
  if (tokens_per_s >= 100) return grouped(std::llround(tokens_per_s)) + " tokens/s";
  return fmt::format("{:.0f} tokens/s", tokens_per_s);
}

// As wide as its neighbours, so that the line does not jump.
std::string norm_text(double norm) {
  const bool is_plain = norm == 0 || (norm >= 1e-3 && norm < 1e4);
  return is_plain ? fmt::format("grad {:.3f}", norm) : fmt::format("grad {:.2e}", norm);
}

// In the order they are shown. What is not known is left out; the loss and its like are shown even where they are no
// numbers any more.
std::vector<Part> parts_of(const TrainProgress& p) {
  const std::string step = grouped(p.step), steps = grouped(p.steps);
  std::vector<Part> parts = {
      {0, p.steps > 0 ? fmt::format("step {:>{}}/{}", step, steps.size(), steps) : "step " + step},
      p.reward ? Part{1, fmt::format("reward {:.3f}", *p.reward)} : Part{1, fmt::format("loss {:.4f}", p.loss)},
      {6, fmt::format("lr {:.2e}", p.lr)},
      {5, norm_text(p.grad_norm)}};
  if (p.answer_tokens) parts.push_back({3, fmt::format("{:.1f} tokens an answer", *p.answer_tokens)});
  if (p.tokens_per_s > 0 && std::isfinite(p.tokens_per_s)) parts.push_back({2, speed_text(p.tokens_per_s)});
  if (p.peak_share > 0) parts.push_back({4, fmt::format("{:.0f} % of peak", 100 * p.peak_share)});
  if (p.memory_bytes > 0) parts.push_back({7, format_bytes(p.memory_bytes)});
  if (p.seconds_left >= 0) parts.push_back({3, time_left_text(p.seconds_left) + " left"});
  return parts;
}

std::string bar_of(const TrainProgress& p, int64_t columns) {
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

}  // namespace

std::string time_left_text(double seconds) {
  constexpr double kShownMax = 86400.0 * 99999;
  const auto whole = static_cast<int64_t>(std::ceil(std::clamp(seconds, 0.0, kShownMax)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} d {} h", whole / 86400, whole % 86400 / 3600);
}

TrainLine train_line(const TrainProgress& progress, int64_t columns) {
  std::vector<Part> parts = parts_of(progress);
  TrainLine line{"", joined(parts)};
  // Every text of a part is ASCII: a byte is a column.
  while (static_cast<int64_t>(line.text.size()) > columns && parts.size() > 1) {
    parts.erase(
        std::max_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.rank < b.rank; }));
    line.text = joined(parts);
  }
  const int64_t room = columns - static_cast<int64_t>(line.text.size());
  if (room < 0) line.text.resize(static_cast<size_t>(std::max<int64_t>(0, columns)));
  const int64_t bar_columns = std::min(kBarColumnsMax, room - 2);
  if (progress.steps > 0 && bar_columns >= kBarColumnsMin) line.bar = bar_of(progress, bar_columns);
  return line;
}

std::string train_log_line(const TrainProgress& progress) {
  return joined(parts_of(progress));
}

TrainStatus::~TrainStatus() {
  clear();
}

std::string TrainStatus::drawn_line() const {
  // One column stays free: some terminals wrap when the last one is filled. So do two for the ^C of who interrupts.
  const TrainLine line = train_line(*last_, terminal_columns() - 3);
  return styled(line.bar, Style::kDim, Stream::kErr) + line.text;
}

void TrainStatus::update(const TrainProgress& progress) {
  last_ = progress;
  const Clock::time_point now = Clock::now();
  const bool is_terminal = stderr_is_terminal();
  const double pause = is_terminal ? kRedrawSeconds : kSparseLineSeconds;
  if (shown_ && std::chrono::duration<double>(now - *shown_).count() < pause) return;
  shown_ = now;
  if (!is_terminal) return write_err(train_log_line(progress) + "\n");
  // One write: nothing is seen half-drawn. What is left of a longer line goes last, so that nothing flickers.
  write_err(fmt::format("\r{}\x1b[K", drawn_line()));
  is_drawn_ = true;
}

void TrainStatus::note(std::string_view line) {
  std::string text;
  for (const std::string& part : wrapped(one_line(line), columns_of(Stream::kErr))) text += part + "\n";
  // The note takes the line's place, and the line comes again below, in one write.
  write_err(is_drawn_ ? fmt::format("\r\x1b[K{}{}", text, drawn_line()) : text);
}

void TrainStatus::clear() {
  if (is_drawn_) write_err("\r\x1b[K");
  is_drawn_ = false;
  if (stderr_is_terminal()) shown_.reset();
}

}  // namespace naru::cli
