// naru tokenize: text to token ids and back.
#include <fmt/format.h>

#include <charconv>

#include "base/shown_text.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/prompt.h"
#include "cli/terminal.h"
#include "cli/token_ids.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace naru::cli {
namespace {

constexpr size_t kWriteBytes = size_t{1} << 20;

// Text for standard output, written in large parts.
class Output {
 public:
  Status add(std::string_view text) {
    waiting_ += text;
    return waiting_.size() < kWriteBytes ? Status() : flush();
  }
  Status add_number(int32_t value) {
    char digits[16];
    const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
    return add({digits, static_cast<size_t>(end - digits)});
  }
  Status flush() {
    Status status = write_out(waiting_);
    waiting_.clear();
    return status;
  }

 private:
  std::string waiting_;
};

Status write_ids(const std::vector<int32_t>& ids, std::string_view separator, Output& out) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) NARU_TRY(out.add(separator));
    NARU_TRY(out.add_number(ids[i]));
  }
  return {};
}

// A piece is the text of one token; bytes that are no whole characters are shown as U+FFFD. Texts repeat, so each is
// made once.
Status write_pieces(const text::Tokenizer& tokenizer, const std::vector<int32_t>& ids, Output& out) {
  std::vector<std::string> made(static_cast<size_t>(tokenizer.n_ids()));
  for (size_t i = 0; i < ids.size(); ++i) {
    std::string& piece = made[static_cast<size_t>(ids[i])];
    if (piece.empty()) piece = json_string(text::repair_utf8(tokenizer.piece(ids[i])));
    if (i > 0) NARU_TRY(out.add(", "));
    NARU_TRY(out.add(piece));
  }
  return {};
}

Status encode(const TokenizeOptions& options, const text::Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int32_t> ids =
      tokenizer.encode(text, {.add_special = options.add_special, .parse_special = options.parse_special});
  Output out;
  if (!options.json) {
    NARU_TRY(write_ids(ids, " ", out));
    NARU_TRY(out.add("\n"));
    return out.flush();
  }
  NARU_TRY(out.add("{\"ids\": ["));
  NARU_TRY(write_ids(ids, ", ", out));
  NARU_TRY(out.add("],\n \"pieces\": ["));
  NARU_TRY(write_pieces(tokenizer, ids, out));
  NARU_TRY(out.add("]}\n"));
  return out.flush();
}

Status decode(const TokenizeOptions& options, const text::Tokenizer& tokenizer, const std::string& input) {
  NARU_ASSIGN(const std::vector<int32_t> ids, parse_ids(input, "standard input"));
  NARU_TRY(check_ids(ids, tokenizer.n_ids(), "standard input"));
  const std::string text = tokenizer.decode(ids);
  // A file or a pipe gets the text as it is.
  if (!options.json) return write_out(stdout_is_terminal() ? without_controls(text) : text);
  return write_out(fmt::format("{{\"text\": {}}}\n", json_string(text)));
}

}  // namespace

Status tokenize_command(const TokenizeOptions& options) {
  end_at_first_interrupt();
  NARU_ASSIGN(formats::TokenizerData data, read_tokenizer_data(options.path));
  NARU_ASSIGN(const text::Tokenizer tokenizer, text::Tokenizer::create(std::move(data)));
  if (stdin_is_terminal()) {
    print_note(options.decode ? "reading ids from the terminal; Ctrl-D ends them"
                              : "reading text from the terminal; Ctrl-D ends it");
  }
  NARU_ASSIGN(const std::string input, read_standard_input());
  return options.decode ? decode(options, tokenizer, input) : encode(options, tokenizer, input);
}

}  // namespace naru::cli
