#include "cli/answer_view.h"

#include <fmt/format.h>

#include "base/shown_text.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

constexpr std::string_view kWhite = " \t\r\n";

void show_prefill(std::unique_ptr<Progress>& progress, int64_t done, int64_t total) {
  if (!progress) progress = std::make_unique<Progress>("reading the prompt", Progress::Unit::kTokens);
  progress->update(done, total);
  if (done >= total) progress->clear();
}

std::string format_ms(double ms) {
  return ms < 1000 ? fmt::format("{:.0f} ms", ms) : format_seconds(ms / 1000);
}

}  // namespace

// A last column is left free: terminals differ in where the cursor stands behind it.
StreamingView::StreamingView(bool hide_reasoning) : hide_reasoning_(hide_reasoning), wrap_(terminal_columns() - 1) {}

void StreamingView::on_prefill(int64_t done, int64_t total) {
  show_prefill(progress_, done, total);
}

void QuietView::on_prefill(int64_t done, int64_t total) {
  show_prefill(progress_, done, total);
}

Status StreamingView::on_text(const engine::TextDelta& delta) {
  if (!delta.reasoning.empty()) NARU_TRY(write_reasoning(delta.reasoning));
  if (!delta.content.empty()) NARU_TRY(write_content(delta.content));
  return {};
}

Status StreamingView::put(std::string_view text) {
  if (text.empty()) return {};
  ends_in_newline_ = text.ends_with('\n');
  // A file or a pipe gets the answer as it is; a terminal only what it cannot act upon.
  return write_out(stdout_is_terminal() ? wrap_.push(without_controls(text)) : std::string(text));
}

void StreamingView::show_thinking() {
  constexpr int64_t kEach = 8;
  if (stderr_is_terminal() && n_hidden_ % kEach == 0) {
    write_err(
        fmt::format("\r{}\x1b[K", styled(fmt::format("thinking, {} tokens", n_hidden_), Style::kDim, Stream::kErr)));
  }
  ++n_hidden_;
}

Status StreamingView::write_reasoning(std::string_view text) {
  if (hide_reasoning_) {
    show_thinking();
    part_ = Part::kReasoning;
    return {};
  }
  if (part_ == Part::kNone) {
    part_ = Part::kReasoning;
    if (stdout_is_terminal()) {
      NARU_TRY(write_out(style_code(Style::kDim, Stream::kOut)));
      // The first line begins with text.
      const size_t first = text.find_first_not_of(kWhite);
      text.remove_prefix(first == std::string_view::npos ? text.size() : first);
    } else {
      NARU_TRY(put("<think>"));
    }
  }
  return put(text);
}

Status StreamingView::write_content(std::string_view text) {
  if (part_ == Part::kReasoning) {
    part_ = Part::kContent;
    if (hide_reasoning_) {
      if (stderr_is_terminal()) write_err("\r\x1b[K");
    } else if (stdout_is_terminal()) {
      NARU_TRY(write_out(style_code(Style::kPlain, Stream::kOut)));
      NARU_TRY(put(ends_in_newline_ ? "\n" : "\n\n"));
    } else {
      NARU_TRY(put("</think>"));
      is_white_skipped_ = true;  // the tags keep the text as it was made
    }
  } else if (part_ == Part::kNone) {
    part_ = Part::kContent;
    is_white_skipped_ = true;
  }
  if (!is_white_skipped_) {
    const size_t first = text.find_first_not_of(kWhite);
    if (first == std::string_view::npos) return {};
    is_white_skipped_ = true;
    text.remove_prefix(first);
  }
  return put(text);
}

Status StreamingView::finish() {
  if (part_ == Part::kReasoning) {
    if (hide_reasoning_ && stderr_is_terminal()) write_err("\r\x1b[K");
    if (!hide_reasoning_) NARU_TRY(write_out(style_code(Style::kPlain, Stream::kOut)));
    part_ = Part::kNone;
  }
  progress_.reset();
  return ends_in_newline_ ? Status() : put("\n");
}

std::string nothing_shown(const engine::Answer& answer, bool hides_reasoning) {
  const auto is_white = [](const std::string& text) { return text.find_first_not_of(kWhite) == std::string::npos; };
  if (!is_white(answer.text)) return {};
  if (hides_reasoning && !is_white(answer.reasoning)) {
    return fmt::format("{}, which --hide-reasoning does not show", answer.reason == engine::FinishReason::kStop
                                                                       ? "the answer is all reasoning"
                                                                       : "the answer ended inside its reasoning");
  }
  return answer.reason == engine::FinishReason::kStop || answer.reasoning.empty() ? "empty answer" : "";
}

std::string stats_line(const engine::Answer& answer, double load_ms) {
  const engine::Timings& t = answer.timings;
  std::string line;
  if (load_ms > 0) line += fmt::format("load {} · ", format_ms(load_ms));
  line += fmt::format("first token {} · prefill {:.1f} tokens/s ({}", format_ms(t.prefill_ms), t.prefill_tokens_per_s(),
                      answer.usage.prompt_tokens);
  if (answer.usage.cached_tokens > 0) line += fmt::format(", {} cached", answer.usage.cached_tokens);
  line += t.decoded > 0
              ? fmt::format(") · decode {:.1f} tokens/s ({})", t.decode_tokens_per_s(), answer.usage.completion_tokens)
              : fmt::format(") · {} tokens", answer.usage.completion_tokens);
  return line;
}

}  // namespace naru::cli
