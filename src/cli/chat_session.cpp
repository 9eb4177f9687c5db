#include "cli/chat_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/shown_text.h"
#include "cli/answer_view.h"
#include "cli/interrupts.h"
#include "cli/prompt.h"
#include "cli/sheet.h"
#include "cli/terminal.h"
#include "cli/word_wrap.h"
#include "data/limits.h"

namespace naru::cli {
namespace {

// The first words of a message, on one line.
std::string brief(const std::string& message) {
  constexpr size_t kBytesMax = 60;
  const std::string line = one_line(message);
  if (line.size() <= kBytesMax) return line;
  size_t end = kBytesMax;
  while ((static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
  return line.substr(0, end) + "...";
}

}  // namespace

void say_dimmed(std::string_view text) {
  std::string lines;
  for (const std::string& line : wrapped(one_line(text), columns_of(Stream::kErr))) lines += line + '\n';
  lines.pop_back();
  write_err(fmt::format("{}\n", styled(lines, Style::kDim, Stream::kErr)));
}

void say_error(const Error& error) {
  write_err(message_text("naru:", fmt::format(" {}", error.message), Style::kRed));
}

std::string counted_turns(size_t n) {
  return fmt::format("{} turn{}", n, n == 1 ? "" : "s");
}

void say_turns_left(size_t n, const std::string& what_is_full) {
  say_dimmed(fmt::format("(the oldest {} dropped out of {}; /clear starts over)", n == 1 ? "turn" : counted_turns(n),
                         what_is_full));
}

ChatSession::ChatSession(const RunOptions& options, AnswerSource& source)
    : options_(options), source_(source), is_raw_(source.is_raw()), settings_(source.settings()) {
  if (options.system && !is_raw_) conversation_.system = repaired(*options.system, "--system");
}

Status ChatSession::ask(const std::string& question) {
  if (is_raw_) conversation_.turns.clear();
  conversation_.turns.push_back({.question = question, .n_left_before = conversation_.n_left});
  NARU_ASSIGN(const bool is_answered, answer_last(0));
  if (!is_answered) conversation_.turns.pop_back();
  return {};
}

Status ChatSession::retry() {
  if (conversation_.empty()) {
    say_dimmed("there is no message to answer yet");
    return {};
  }
  if (settings_.sampling().temperature == 0) {
    say_dimmed("at temperature 0 the answer to a prompt is always the same (/set temperature 0.7, say)");
  }
  ChatTurn& turn = conversation_.turns.back();
  const uint32_t sample = turn.answer ? turn.sample + 1 : turn.sample;
  std::optional<std::string> before = std::exchange(turn.answer, std::nullopt);
  NARU_ASSIGN(const bool is_answered, answer_last(sample));
  if (!is_answered) turn.answer = std::move(before);
  return {};
}

void ChatSession::undo() {
  if (is_raw_ || conversation_.empty()) {
    say_dimmed(is_raw_ ? "nothing to take back: each text stands for itself" : "there is nothing to take back");
    return;
  }
  const ChatTurn last = std::move(conversation_.turns.back());
  conversation_.turns.pop_back();
  conversation_.n_left = last.n_left_before;
  n_context_ = 0;
  const size_t n = conversation_.turns.size();
  say_dimmed(
      fmt::format("taken back: \"{}\" ({} remain{})", brief(last.question), counted_turns(n), n == 1 ? "s" : ""));
}

void ChatSession::clear() {
  conversation_.turns.clear();
  conversation_.n_left = 0;
  n_context_ = 0;
}

Status ChatSession::require_template(std::string_view command) const {
  if (!is_raw_) return {};
  return Error{Code::kUnsupported,
               fmt::format("reading the command: {}: there is no conversation, each text is continued for itself; "
                           "start without --raw, with a model that has a chat template",
                           command)};
}

Status ChatSession::set_system(const std::string& text) {
  NARU_TRY(require_template("/system"));
  if (!text.empty()) NARU_TRY(source_.check_system(text));
  conversation_.system = text.empty() ? std::nullopt : std::optional<std::string>(text);
  return {};
}

Status ChatSession::save(const std::string& path, Existing existing) {
  NARU_TRY(require_template("/save"));
  if (conversation_.empty()) {
    return Error{Code::kInvalidArgument,
                 "reading the command: /save: nothing was said yet, one message at least was wanted; say something "
                 "first"};
  }
  size_t n_left_out = 0;
  NARU_TRY(save_conversation(conversation_, path, existing, &n_left_out));
  say_dimmed(fmt::format("saved {}: {}", counted_turns(conversation_.turns.size() - n_left_out), path));
  if (n_left_out > 0) {
    say_dimmed(fmt::format("the {} before them are not in it: a file has at most {} messages",
                           counted_turns(n_left_out), data::kDataMessagesMax));
  }
  return {};
}

Status ChatSession::load(const std::string& path) {
  NARU_TRY(require_template("/load"));
  NARU_ASSIGN(conversation_, load_conversation(path));
  n_context_ = 0;
  const bool has_answer = conversation_.empty() || conversation_.turns.back().answer;
  say_dimmed(fmt::format("loaded {}{}: {}{}", counted_turns(conversation_.turns.size()),
                         conversation_.system ? " and a system prompt" : "", path,
                         has_answer ? "" : " (the last message has no answer: /retry makes one)"));
  return {};
}

std::string ChatSession::stats() const {
  std::string text = last_stats_.empty() ? "no answer yet" : last_stats_;
  const int64_t n_max = source_.context_tokens();
  text += n_max > 0 ? fmt::format("\ncontext {} of {} tokens", n_context_, n_max)
                    : fmt::format("\ncontext {} tokens", n_context_);
  if (is_raw_) return text;
  text += fmt::format(", {}", counted_turns(conversation_.turns.size() - conversation_.n_left));
  if (conversation_.n_left > 0) text += fmt::format(" ({} older dropped)", conversation_.n_left);
  return text;
}

Result<bool> ChatSession::answer_last(uint32_t sample) {
  const size_t n_left_before = conversation_.n_left;
  auto made = make_answer(sample);
  if (!made.ok()) {
    conversation_.n_left = n_left_before;
    if (reader_is_gone()) return std::move(made).error();
    say_error(made.error());
    return false;
  }
  ChatTurn& turn = conversation_.turns.back();
  turn.answer = made->text;
  turn.reasoning = made->reasoning;
  turn.sample = sample;
  n_context_ = made->usage.prompt_tokens + made->usage.completion_tokens;
  last_stats_ = stats_line(*made, 0);
  say_how_it_ended(*made);
  if (options_.show_stats) say_dimmed(last_stats_);
  write_err("\n");
  return true;
}

void ChatSession::say_how_it_ended(const engine::Answer& answer) const {
  const std::string nothing = nothing_shown(answer, options_.hide_reasoning);
  if (answer.reason == engine::FinishReason::kAborted) say_dimmed("(stopped)");
  if (!nothing.empty() && answer.reason != engine::FinishReason::kAborted) say_dimmed(fmt::format("({})", nothing));
  if (answer.reason != engine::FinishReason::kLength) return;
  const int64_t n_max = settings_.max_tokens();
  if (n_max > 0 && answer.usage.completion_tokens >= n_max) {
    say_dimmed(fmt::format("(stopped at --max-tokens {})", n_max));
  } else {
    const int64_t n_context = source_.context_tokens();
    say_dimmed(n_context > 0 ? fmt::format("(stopped: the context of {} tokens is full; {})", n_context,
                                           is_raw_ ? "--context N makes it longer, where the model was made for more"
                                                   : "the next message makes room")
                             : std::string("(stopped: more tokens are not given)"));
  }
}

Result<engine::Answer> ChatSession::make_answer(uint32_t sample) {
  forget_interrupts();
  StreamingView view(options_.hide_reasoning);
  auto answer = source_.answer(conversation_, settings_, sample, view);
  NARU_TRY(view.finish());
  if (!is_asked_to_end()) forget_interrupts();
  return answer;
}

}  // namespace naru::cli
