#include "cli/chat.h"

#include <fmt/format.h>

#include "cli/answer_view.h"
#include "cli/interrupts.h"
#include "cli/line_editor.h"
#include "cli/prompt.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

constexpr std::string_view kHelp =
    "  /clear       forget the conversation\n"
    "  /stats       numbers of the last answer, and how full the context is\n"
    "  /help        this list\n"
    "  /quit        leave (Ctrl-D too)\n"
    "  Ctrl-C       stop the answer; on an empty line, twice: leave\n"
    "  Alt-Enter    a new line in the message; pasted text keeps its lines\n"
    "  Up, Down     messages written before\n";

std::string format_count(int64_t n) {
  if (n >= 1000000000) return fmt::format("{:.1f} B", static_cast<double>(n) / 1e9);
  if (n >= 1000000) return fmt::format("{:.0f} M", static_cast<double>(n) / 1e6);
  return fmt::format("{}", n);
}

class Chat {
 public:
  Chat(const RunOptions& options, OpenModel& model, bool is_raw)
      : options_(options),
        model_(model),
        is_raw_(is_raw),
        editor_(">>> ", is_raw ? "a text to continue (/help)" : "a message (/help)") {
    forget();
  }

  Status run() {
    const NoEcho quiet;  // but in the editor, which has a mode of its own
    greet();
    int n_interrupts = 0;
    while (true) {
      std::string line;
      const LineEditor::Outcome outcome = editor_.read(line);
      if (is_asked_to_end()) return Error{Code::kCancelled, ""};
      if (outcome == LineEditor::Outcome::kEnd) return {};
      if (outcome == LineEditor::Outcome::kInterrupt) {
        if (++n_interrupts == 2) return Error{Code::kCancelled, ""};
        say("Ctrl-C again to leave, or /quit");
        continue;
      }
      n_interrupts = 0;
      if (line.find_first_not_of(" \t\n") == std::string::npos) continue;
      if (line[0] == '/' && line.find('\n') == std::string::npos) {
        if (line == "/quit" || line == "/exit" || line == "/bye") return {};
        take_command(line);
        continue;
      }
      NARU_TRY(answer(line));
    }
  }

 private:
  void say(std::string_view text) { write_err(fmt::format("{}\n", styled(one_line(text), Style::kDim, Stream::kErr))); }

  void greet() {
    const models::ModelPlan& plan = model_.engine->model();
    say(fmt::format("{} · {} parameters · context {} · {}{}", short_name(options_.model.path),
                    format_count(plan.n_parameters), model_.engine->context_tokens(),
                    options_.sampling.text(model_.engine->generation_config()), is_raw_ ? " · raw text" : ""));
  }

  void forget() {
    messages_.clear();
    if (options_.system && !is_raw_) messages_.push_back({"system", repaired(*options_.system, "--system")});
    n_context_ = 0;
  }

  void take_command(const std::string& line) {
    if (line == "/clear") {
      forget();
      say("the conversation is forgotten");
    } else if (line == "/help" || line == "/?") {
      write_err(std::string(kHelp));
    } else if (line == "/stats") {
      say(last_stats_.empty() ? "no answer yet" : last_stats_);
      say(fmt::format("context {} of {} tokens", n_context_, model_.engine->context_tokens()));
    } else {
      static constexpr std::string_view kCommands[] = {"/clear", "/stats", "/help", "/quit"};
      const auto near = nearest(line, kCommands);
      say(fmt::format("there is no {}; {}", line, near ? fmt::format("did you mean {}?", *near) : "see /help"));
    }
  }

  Result<Prompt> make_prompt(const std::string& line) {
    if (is_raw_) return encode_raw(*model_.engine, line);
    return render_chat(*model_.engine, messages_);
  }

  // An answer that fails costs its message, not the chat.
  Status answer(const std::string& line) {
    messages_.push_back({"user", line});
    auto made = make_answer(line);
    if (!made.ok()) {
      messages_.pop_back();
      if (reader_is_gone()) return std::move(made).error();
      write_err(fmt::format("{} {}\n", styled("naru:", Style::kRed, Stream::kErr), one_line(made.error().message)));
      if (made.error().code == Code::kOutOfRange) say("/clear begins a new conversation");
      return {};
    }
    messages_.push_back({"assistant", made->text});
    n_context_ = made->usage.prompt_tokens + made->usage.completion_tokens;
    last_stats_ = stats_line(*made, 0);
    if (made->reason == engine::FinishReason::kAborted) say("(stopped)");
    if (made->reason == engine::FinishReason::kLength) {
      const bool is_full = n_context_ >= model_.engine->context_tokens();
      say(is_full ? "(the context is full; /clear begins a new conversation)"
                  : fmt::format("(stopped at --max-tokens {})", options_.max_tokens));
    }
    if (options_.show_stats) say(last_stats_);
    write_err("\n");
    return {};
  }

  Result<engine::Answer> make_answer(const std::string& line) {
    NARU_ASSIGN(Prompt prompt, make_prompt(line));
    engine::Request request;
    request.ids = std::move(prompt.ids);
    request.sampling = options_.sampling.over(model_.engine->generation_config());
    request.max_tokens = options_.max_tokens;
    engine::TextOptions text_options;
    text_options.stop = options_.stop;
    text_options.split_reasoning = !is_raw_;
    text_options.starts_in_reasoning = prompt.starts_in_reasoning;
    forget_interrupts();
    StreamingView view(options_.hide_reasoning);
    auto answer = generate(*model_.engine, std::move(request), text_options, view);
    NARU_TRY(view.finish());
    if (!is_asked_to_end()) forget_interrupts();
    return answer;
  }

  const RunOptions& options_;
  OpenModel& model_;
  bool is_raw_;
  LineEditor editor_;
  std::vector<Message> messages_;
  std::string last_stats_;
  int64_t n_context_ = 0;
};

}  // namespace

Status chat(const RunOptions& options, OpenModel& model) {
  NARU_ASSIGN(const bool is_raw, decide_raw(options, *model.engine));
  return Chat(options, model, is_raw).run();
}

}  // namespace naru::cli
