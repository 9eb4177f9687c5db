// How answers look: on a terminal as they come, with the model's reasoning dimmed; through a pipe as plain text; and
// the line of numbers behind an answer.
#pragma once

#include <memory>
#include <string>

#include "cli/generate.h"
#include "cli/progress.h"
#include "cli/word_wrap.h"

namespace naru::cli {

// Writes an answer to standard output while it is made.
class StreamingView : public AnswerView {
 public:
  explicit StreamingView(bool hide_reasoning);

  void on_prefill(int64_t done, int64_t total) override;
  Status on_text(const engine::TextDelta& delta) override;
  Status finish() override;

 private:
  enum class Part : uint8_t { kNone, kReasoning, kContent };
  Status write_reasoning(std::string_view text);
  Status write_content(std::string_view text);
  Status put(std::string_view text);
  void show_thinking();

  bool hide_reasoning_;
  WordWrap wrap_;
  Part part_ = Part::kNone;
  bool is_white_skipped_ = false;  // white space between reasoning and content
  bool ends_in_newline_ = true;
  int64_t n_hidden_ = 0;  // pieces of hidden reasoning
  std::unique_ptr<Progress> progress_;
};

// Shows nothing but the progress of the prompt.
class QuietView : public AnswerView {
 public:
  void on_prefill(int64_t done, int64_t total) override;
  Status on_text(const engine::TextDelta&) override { return {}; }

 private:
  std::unique_ptr<Progress> progress_;
};

// Why an answer shows no text, or no more than its reasoning; empty where it shows some.
std::string nothing_shown(const engine::Answer& answer, bool hides_reasoning);

// "load 310 ms · first token 42 ms · prefill 1204.0 tokens/s (31, 12 cached) · decode 96.1 tokens/s (128)"
std::string stats_line(const engine::Answer& answer, double load_ms);

}  // namespace naru::cli
