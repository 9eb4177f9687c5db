// Prompts: what was typed or piped, and how a conversation becomes token ids through the model's chat template.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/message.h"
#include "cli/options.h"
#include "engine/engine.h"

namespace naru::cli {

struct Prompt {
  std::vector<int32_t> ids;
  bool starts_in_reasoning = false;  // the template already opened the model's reasoning
};

// Everything on standard input, at most kInputBytesMax.
inline constexpr int64_t kInputBytesMax = int64_t{1} << 30;
Result<std::string> read_standard_input();

// The prompt of the command line: what came through a pipe, then PROMPT. Nothing where a person sits at the terminal
// and gave none.
Result<std::optional<std::string>> gather_prompt(const RunOptions& options);

// Valid UTF-8; a note says where something was replaced.
std::string repaired(const std::string& text, std::string_view what);

// True too where the model has a template that cannot be used: render_chat() says why then.
bool has_chat_template(const engine::Engine& engine);

// Whether the model continues plain text: as --raw says, or because it has no chat template, with a note that says so.
// kUnsupported: --system without a template.
Result<bool> decide_raw(const RunOptions& options, const engine::Engine& engine);

// kUnsupported: no template, or one that cannot be done here; kInvalidArgument: the template refuses the conversation.
Result<Prompt> render_chat(const engine::Engine& engine, const std::vector<Message>& messages);
// The text alone, with what the tokenizer puts around any text.
Result<Prompt> encode_raw(const engine::Engine& engine, const std::string& text);

}  // namespace naru::cli
