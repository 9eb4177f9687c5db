#include "cli/chat.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/shown_text.h"
#include "cli/builtin_words.h"
#include "cli/chat_commands.h"
#include "cli/chat_session.h"
#include "cli/history.h"
#include "cli/interrupts.h"
#include "cli/line_editor.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

// Lines as they are, dimmed; nothing in them moves the cursor.
void say_lines(std::string_view text) {
  write_err(fmt::format("{}\n", styled(without_controls(text), Style::kDim, Stream::kErr)));
}

// Lines of ours, which may break between words.
void say_each(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    say_dimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

class Chat {
 public:
  Chat(const RunOptions& options, AnswerSource& source)
      : options_(options),
        source_(source),
        offers_(source.offers()),
        session_(options, source),
        editor_(">>> ", hint(source.is_raw(), !offers_.empty()), history_,
                [this](std::string_view text) { return complete_chat(text, session_.settings().names()); }) {
    editor_.offer(offers_);
  }

  Status run() {
    open_history();
    greet();
    int n_interrupts = 0;
    while (true) {
      std::string line;
      const LineEditor::Outcome outcome = editor_.read(line);
      if (is_asked_to_end()) return Error{Code::kCancelled, ""};
      if (outcome == LineEditor::Outcome::kEnd) return {};
      if (outcome == LineEditor::Outcome::kInterrupt) {
        if (editor_.was_used()) n_interrupts = 0;
        if (++n_interrupts == 2) return Error{Code::kCancelled, ""};
        say_dimmed("Ctrl-C again to leave, or /quit");
        continue;
      }
      n_interrupts = 0;
      if (line.find_first_not_of(" \t\n") == std::string::npos) continue;
      if (const std::string* offered = picked(line)) {
        line = *offered;
        say_lines(line);
      }
      remember(line);
      if (!is_chat_command(line)) {
        NARU_TRY(session_.ask(line));
        continue;
      }
      const auto command = parse_chat_command(line);
      if (!command.ok()) {
        say_dimmed(command.error().message);
        continue;
      }
      if (command->verb == ChatVerb::kQuit) return {};
      NARU_TRY(take(*command));
    }
  }

 private:
  static std::string hint(bool is_raw, bool has_offers) {
    if (has_offers) return "a message, or Tab (/help)";
    return is_raw ? "a text to continue (/help)" : "a message (/help)";
  }

  // The offer that a number alone stands for, before anything was said.
  const std::string* picked(const std::string& line) const {
    const bool is_digit = line.size() == 1 && line[0] >= '1' && line[0] <= '9';
    const size_t i = is_digit ? static_cast<size_t>(line[0] - '1') : offers_.size();
    return i < offers_.size() && session_.conversation().turns.empty() ? &offers_[i] : nullptr;
  }

  void greet() {
    const std::string form = form_words(options_.form);
    say_dimmed(fmt::format("{} · {}{}{}", source_.title(), session_.settings().sampling_text(),
                           source_.is_raw() ? " · raw text" : "", form.empty() ? "" : " · answers are " + form));
    const bool is_builtin = options_.server.empty() && builtin::is_builtin_model(options_.model.path);
    if (is_builtin) say_dimmed("built in: " + builtin_words(*builtin::builtin_model()));
    for (size_t i = 0; i < offers_.size(); ++i) {
      if (i == 0) {
        say_dimmed(fmt::format("what {} (Tab picks one; as the first message its number does too):",
                               is_builtin || !options_.server.empty() ? "it can be asked" : "its recipe asks"));
      }
      say_lines(fmt::format("  {}  {}", i + 1, offers_[i]));
    }
    if (is_builtin) say_dimmed(fmt::format("a bigger one: {}", kBiggerModel));
    // Where the hint in the empty line cannot be told from what was typed, it is not there.
    if (style_code(Style::kDim, Stream::kErr).empty()) say_dimmed("/help lists what can be typed");
  }

  void open_history() {
    const auto path = history_path();
    if (!options_.has_history || !path) return;
    if (const Status opened = history_.open(*path); !opened.ok()) {
      print_note(fmt::format("this chat keeps no history: {}", opened.error().message));
    }
  }

  void remember(const std::string& line) {
    const Status added = history_.add(line);
    if (added.ok() || is_history_told_) return;
    is_history_told_ = true;  // once is enough
    print_note(added.error().message);
  }

  // An error is one that ends the chat; others are said.
  Status take(const ChatCommand& command) {
    switch (command.verb) {
      case ChatVerb::kRetry: return session_.retry();
      case ChatVerb::kUndo: session_.undo(); break;
      case ChatVerb::kClear:
        session_.clear();
        say_dimmed("the conversation is forgotten");
        break;
      case ChatVerb::kStats: say_each(session_.stats()); break;
      case ChatVerb::kHelp: write_err(chat_help()); break;
      case ChatVerb::kSystem: say_if_failed(take_system(command.argument)); break;
      case ChatVerb::kSet: say_if_failed(take_set(command.argument)); break;
      case ChatVerb::kSave: say_if_failed(take_save(command.argument)); break;
      case ChatVerb::kLoad: say_if_failed(take_load(command.argument)); break;
      case ChatVerb::kQuit: break;
    }
    return {};
  }

  static void say_if_failed(const Status& status) {
    if (!status.ok()) say_error(status.error());
  }

  Status take_system(const std::string& text) {
    if (!text.empty()) NARU_TRY(session_.set_system(text == "\"\"" ? std::string() : text));
    const std::optional<std::string>& system = session_.conversation().system;
    say_lines(system ? fmt::format("system: {}", *system) : "there is no system prompt");
    return {};
  }

  Status take_set(const std::string& words) {
    ChatSettings& settings = session_.settings();
    if (words.empty()) {
      write_err(settings.table());
      return {};
    }
    NARU_ASSIGN(const std::string set, settings.set(words));
    say_dimmed(set);
    return {};
  }

  Status take_save(const std::string& argument) {
    NARU_ASSIGN(const FileArgument file, parse_file_argument("/save", argument, true));
    return session_.save(file.path, file.is_forced ? Existing::kReplace : Existing::kRefuse);
  }

  Status take_load(const std::string& argument) {
    NARU_ASSIGN(const FileArgument file, parse_file_argument("/load", argument, false));
    return session_.load(file.path);
  }

  const RunOptions& options_;
  AnswerSource& source_;
  std::vector<std::string> offers_;
  ChatSession session_;
  History history_;
  bool is_history_told_ = false;
  LineEditor editor_;
};

}  // namespace

Status chat(const RunOptions& options, AnswerSource& source) {
  return Chat(options, source).run();
}

}  // namespace naru::cli
