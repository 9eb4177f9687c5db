#include "cli/prompt.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/terminal.h"
#include "formats/utf8.h"
#include "text/chat_tokenizer.h"
#include "text/utf8.h"

namespace naru::cli {
namespace {

// A pipe that stays silent is no mistake, but a person should know what is waited for.
void wait_for_input() {
  constexpr int kPatienceMs = 3000;
  pollfd wait{STDIN_FILENO, POLLIN, 0};
  if (::poll(&wait, 1, kPatienceMs) == 0) {
    print_note("waiting for the rest of the prompt on standard input (close it, or give < /dev/null, to go without)");
  }
}

}  // namespace

std::string repaired(const std::string& text, std::string_view what) {
  if (text::is_valid_utf8(text)) return text;
  print_note(fmt::format("{} is not valid UTF-8: what is no character was replaced by U+FFFD", what));
  return text::repair_utf8(text);
}

Result<std::string> read_standard_input() {
  std::string text;
  constexpr size_t kStep = size_t{1} << 20;
  while (true) {
    const size_t size = text.size();
    text.resize(size + kStep);
    const ssize_t n = ::read(STDIN_FILENO, text.data() + size, kStep);
    const int error_number = errno;
    text.resize(size + static_cast<size_t>(n > 0 ? n : 0));
    if (n == 0) return text;
    if (n < 0 && error_number == EINTR && !is_interrupted()) continue;
    const bool is_early = n < 0 && (error_number == EAGAIN || error_number == EWOULDBLOCK);  // it does not block
    if (is_early && wait_to_read(STDIN_FILENO)) continue;
    if (is_early || (n < 0 && error_number == EINTR)) return Error{Code::kCancelled, ""};
    if (n < 0) {
      return Error{Code::kUnavailable, fmt::format("reading standard input: at byte {}: {}; give a file or a pipe",
                                                   size, std::strerror(error_number))};
    }
    if (static_cast<int64_t>(text.size()) > kInputBytesMax) {
      return Error{Code::kResourceExhausted,
                   fmt::format("reading standard input: it has more than {} bytes, the most that is read; give less",
                               kInputBytesMax)};
    }
  }
}

Result<std::optional<std::string>> gather_prompt(const RunOptions& options) {
  std::optional<std::string> prompt = options.prompt;
  if (!stdin_is_terminal()) {
    if (prompt) wait_for_input();
    NARU_ASSIGN(std::string piped, read_standard_input());
    if (!options.is_raw) {
      if (piped.ends_with('\n')) piped.pop_back();
      if (piped.ends_with('\r')) piped.pop_back();
      piped.erase(0, piped.size() - formats::without_byte_order_mark(piped).size());
    }
    if (!piped.empty()) prompt = prompt ? piped + "\n\n" + *prompt : std::move(piped);
    if (!prompt) prompt = "";
  }
  if (!prompt) return prompt;
  if (prompt->find_first_not_of(" \t\r\n") == std::string::npos && (!options.is_raw || prompt->empty())) {
    return Error{Code::kInvalidArgument,
                 "reading the prompt: it is empty, some text was wanted; give PROMPT, pipe text in, "
                 "or start in a terminal to chat"};
  }
  return std::optional<std::string>(repaired(*prompt, "the prompt"));
}

bool has_chat_template(const engine::Engine& engine) {
  const text::ChatTemplate* chat = engine.chat_template();
  if (chat != nullptr) return chat->can_render(false);
  return !engine.template_status().ok() && engine.template_status().error().code != Code::kNotFound;
}

Result<bool> decide_raw(const RunOptions& options, const engine::Engine& engine) {
  if (options.is_raw || has_chat_template(engine)) return options.is_raw;
  const std::string name = short_name(options.model.path);
  if (options.system) {
    return Error{Code::kUnsupported,
                 fmt::format("preparing the prompt: {}: it has no chat template, --system needs one; put the "
                             "instructions into the prompt and give --raw",
                             name)};
  }
  print_note(fmt::format(
      "{} has no chat template: it continues the prompt as plain text (--raw says so without this note)", name));
  return true;
}

Result<Prompt> render_chat(const engine::Engine& engine, const std::vector<Message>& messages) {
  if (engine.chat_template() == nullptr) return engine.template_status().error();
  text::ChatInput input;
  for (const Message& message : messages) {
    input.messages.emplace_back(text::Value::Object{{"role", message.role}, {"content", message.content}});
  }
  NARU_ASSIGN(text::ChatPrompt chat, text::encode_chat(*engine.chat_template(), *engine.tokenizer(), input));
  if (chat.ids.empty()) {
    return Error{Code::kUnsupported,
                 "preparing the prompt: the model's chat template makes no text of it, some was wanted; "
                 "give --raw to go without the template"};
  }
  return Prompt{std::move(chat.ids), chat.opens_reasoning};
}

Result<Prompt> encode_raw(const engine::Engine& engine, const std::string& text) {
  Prompt prompt;
  prompt.ids = engine.tokenizer()->encode(text, {.add_special = true, .parse_special = true});
  if (prompt.ids.empty()) {
    return Error{Code::kInvalidArgument,
                 "preparing the prompt: the tokenizer makes no token of it, one at least was "
                 "wanted; give more text"};
  }
  return prompt;
}

}  // namespace naru::cli
