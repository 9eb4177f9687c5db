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

constexpr double kStatusRedrawSeconds = 0.2;  // on a terminal
constexpr double kStatusLineSeconds = 10;     // elsewhere
constexpr int64_t kStatusBarColumnsMax = 24;
constexpr int64_t kBarColumnsMin = 6;
// Rows of a terminal, and those of the curve in it.
constexpr int kScreenRowsMin = 14, kHighScreenRows = 24;
constexpr int64_t kCurveRows = 6, kHighCurveRows = 10;
constexpr int64_t kCurveColumnsMax = 120;

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

// "812", "3.2k", "1.4M": of a rollout's answers and of the update on them, side by side.
std::string short_speed(double tokens_per_s) {
  if (tokens_per_s >= 999.5e3) return fmt::format("{:.1f}M", tokens_per_s / 1e6);
  if (tokens_per_s >= 999.5) return fmt::format("{:.1f}k", tokens_per_s / 1e3);
  return fmt::format("{:.0f}", tokens_per_s);
}

// As wide as its neighbours, so that the line does not jump.
std::string norm_text(double norm) {
  const bool is_plain = norm == 0 || (norm >= 1e-3 && norm < 1e4);
  return is_plain ? fmt::format("grad {:.3f}", norm) : fmt::format("grad {:.2e}", norm);
}

void add_rechecks(std::vector<Part>& parts, const TrainProgress& p) {
  if (p.recheck_differences > 0) parts.push_back({2, fmt::format("recheck {}", grouped(p.recheck_differences))});
}

std::string step_text(const TrainProgress& p) {
  const std::string step = grouped(p.step), steps = grouped(p.steps);
  return p.steps > 0 ? fmt::format("step {:>{}}/{}", step, steps.size(), steps) : "step " + step;
}

bool is_speed(double tokens_per_s) {
  return tokens_per_s > 0 && std::isfinite(tokens_per_s);
}

// Of runs with rollouts; short words, as all of it should stand on 80 columns.
std::vector<Part> rollout_parts(const TrainProgress& p) {
  std::vector<Part> parts = {{0, step_text(p)}};
  if (p.reverse_kl) parts.push_back({1, fmt::format("kl {:.4f}", *p.reverse_kl)});
  parts.push_back({p.reverse_kl ? 6 : 1, fmt::format("reward {:.3f}", *p.reward)});
  if (p.accuracy) {
    // Held-out problems are asked now and then: what is older than the rest of the line says of when it is.
    const bool is_older = p.accuracy_step && *p.accuracy_step < p.step;
    const std::string when = is_older ? fmt::format(" at {}", *p.accuracy_step) : "";
    parts.push_back({2, fmt::format("right {:.0f} %{}", 100 * *p.accuracy, when)});
  }
  if (p.answer_tokens) parts.push_back({4, fmt::format("len {:.1f}", *p.answer_tokens)});
  if (p.rollout_tokens_per_s && p.update_tokens_per_s) {
    parts.push_back(
        {5, fmt::format("{}+{} tok/s", short_speed(*p.rollout_tokens_per_s), short_speed(*p.update_tokens_per_s))});
  } else if (is_speed(p.tokens_per_s)) {
    parts.push_back({5, speed_text(p.tokens_per_s)});
  }
  if (p.seconds_left >= 0) parts.push_back({3, clock_text(p.seconds_left) + " left"});
  parts.push_back({7, norm_text(p.grad_norm)});
  add_rechecks(parts, p);
  if (p.memory_bytes > 0) parts.push_back({8, format_bytes(p.memory_bytes)});
  return parts;
}

// In the order they are shown. What is not known is left out; the loss and its like are shown even where they are no
// numbers any more.
std::vector<Part> parts_of(const TrainProgress& p) {
  if (p.reward) return rollout_parts(p);
  std::vector<Part> parts = {{0, step_text(p)},
                             {1, fmt::format("loss {:.4f}", p.loss)},
                             {6, fmt::format("lr {:.2e}", p.lr)},
                             {5, norm_text(p.grad_norm)}};
  add_rechecks(parts, p);
  if (is_speed(p.tokens_per_s)) parts.push_back({2, speed_text(p.tokens_per_s)});
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

std::string line_of(const std::vector<Part>& parts) {
  std::string line;
  for (const Part& part : parts) line += (line.empty() ? "" : "  ") + part.text;
  return line;
}

int64_t whole_seconds(double seconds) {
  constexpr double kShownMax = 86400.0 * 99999;
  return static_cast<int64_t>(std::ceil(std::clamp(seconds, 0.0, kShownMax)));
}

Style style_of(PlotInk ink) {
  return ink == PlotInk::kReward ? Style::kCyan : ink == PlotInk::kAccuracy ? Style::kGreen : Style::kDim;
}

}  // namespace

std::string clock_text(double seconds) {
  const int64_t whole = whole_seconds(seconds);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole % 3600 / 60, whole % 60);
  return time_left_text(seconds);
}

std::string time_left_text(double seconds) {
  const int64_t whole = whole_seconds(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} d {} h", whole / 86400, whole % 86400 / 3600);
}

TrainLine train_line(const TrainProgress& progress, int64_t columns) {
  std::vector<Part> parts = parts_of(progress);
  TrainLine line{"", line_of(parts)};
  // Every text of a part is ASCII: a byte is a column.
  while (static_cast<int64_t>(line.text.size()) > columns && parts.size() > 1) {
    parts.erase(
        std::max_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.rank < b.rank; }));
    line.text = line_of(parts);
  }
  const int64_t room = columns - static_cast<int64_t>(line.text.size());
  if (room < 0) line.text.resize(static_cast<size_t>(std::max<int64_t>(0, columns)));
  const int64_t bar_columns = std::min(kStatusBarColumnsMax, room - 2);
  if (progress.steps > 0 && bar_columns >= kBarColumnsMin) line.bar = bar_of(progress, bar_columns);
  return line;
}

std::string train_log_line(const TrainProgress& progress) {
  return line_of(parts_of(progress));
}

TrainStatus::~TrainStatus() {
  clear();
}

std::vector<TrainStatus::Row> TrainStatus::curve_rows() const {
  std::vector<Row> rows;
  const int height = terminal_height();
  if (curves_ == nullptr || height < kScreenRowsMin) return rows;
  const int64_t columns = std::min<int64_t>(kCurveColumnsMax, terminal_columns() - 1);
  const int64_t n = height >= kHighScreenRows ? kHighCurveRows : kCurveRows;
  for (const PlotRow& plot : train_plot(*curves_, last_ ? last_->steps : 0, columns, n)) {
    Row& row = rows.emplace_back();
    for (const PlotSpan& span : plot) {
      row.text += styled(span.text, style_of(span.ink), Stream::kErr);
      row.columns += display_columns(span.text);
    }
  }
  return rows;
}

std::vector<TrainStatus::Row> TrainStatus::rows() const {
  std::vector<Row> rows = curve_rows();
  // One column stays free: some terminals wrap when the last one is filled. So do two for the ^C of who interrupts.
  const TrainLine line = train_line(*last_, terminal_columns() - 3);
  rows.push_back({styled(line.bar, Style::kDim, Stream::kErr) + line.text, display_columns(line.bar + line.text)});
  return rows;
}

// From the last row that is drawn to where the first one begins. A terminal that has become narrower breaks rows.
std::string TrainStatus::to_first_row() const {
  const int64_t columns = std::max(1, terminal_columns());
  int64_t up = -1;
  for (const Row& row : drawn_) up += std::max<int64_t>(1, (row.columns + columns - 1) / columns);
  return up > 0 ? fmt::format("\r\x1b[{}A", up) : "\r";
}

// Takes all that is drawn away.
std::string TrainStatus::erased() const {
  const bool is_one = drawn_.size() == 1 && drawn_.front().columns <= terminal_columns();
  return to_first_row() + (is_one ? "\x1b[K" : "\x1b[J");
}

// What is left of a longer line goes last, so that nothing flickers.
std::string TrainStatus::joined(const std::vector<Row>& rows) const {
  std::string text;
  for (size_t i = 0; i < rows.size(); ++i) text += fmt::format("{}{}\x1b[K", i > 0 ? "\n" : "", rows[i].text);
  return text;
}

// One write: nothing is seen half-drawn.
void TrainStatus::draw() {
  std::vector<Row> rows = this->rows();
  // Rows are drawn over, unless some are no more, or were broken by a narrower terminal.
  const int columns = terminal_columns();
  const bool is_alike =
      drawn_.size() == rows.size() &&
      std::all_of(drawn_.begin(), drawn_.end(), [columns](const Row& row) { return row.columns <= columns; });
  const std::string begin = drawn_.empty() ? "\r" : is_alike ? to_first_row() : erased();
  write_err(begin + joined(rows));
  drawn_ = std::move(rows);
}

void TrainStatus::update(const TrainProgress& progress) {
  last_ = progress;
  const Clock::time_point now = Clock::now();
  const bool is_terminal = stderr_is_terminal();
  const double pause = is_terminal ? kStatusRedrawSeconds : kStatusLineSeconds;
  if (shown_ && std::chrono::duration<double>(now - *shown_).count() < pause) return;
  shown_ = now;
  if (!is_terminal) return write_err(train_log_line(progress) + "\n");
  draw();
}

void TrainStatus::note(std::string_view line) {
  std::string text;
  for (const std::string& part : wrapped(one_line(line), columns_of(Stream::kErr))) text += part + "\n";
  if (drawn_.empty()) return write_err(text);
  // The note takes the place of what is drawn, which comes again below, in one write.
  std::vector<Row> rows = this->rows();
  write_err(erased() + text + joined(rows));
  drawn_ = std::move(rows);
}

void TrainStatus::clear() {
  if (!drawn_.empty()) write_err(erased());
  drawn_.clear();
  if (stderr_is_terminal()) shown_.reset();
}

void TrainStatus::finish() {
  if (!stderr_is_terminal()) return;
  clear();
  const std::vector<Row> rows = curve_rows();
  if (!rows.empty()) write_err(joined(rows) + "\n");
}

}  // namespace naru::cli
