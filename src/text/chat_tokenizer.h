// ChatTokenizer: what a model's tokenizer files make of texts and of conversations, in training and in use alike. The
// tokenizer and the chat template are made together, once, while the files' tables are whole; the tables are freed
// then.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/tokenizer_files.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace naru::text {

// A conversation as a model is given it.
struct ChatPrompt {
  std::vector<int32_t> ids;
  bool opens_reasoning = false;  // it ends inside reasoning that the template opened
};

struct ChatTokenizer {
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat_template;
  // Why there is no template: kNotFound where the files have none, else what is wrong with it.
  Status template_status;

  // Fails as Tokenizer::create() does; what is wrong with a template is kept for whoever needs one.
  static Result<ChatTokenizer> create(formats::TokenizerData data);
};

// Renders and encodes; nothing is put around it: a template writes BOS itself.
Result<ChatPrompt> encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer, const ChatInput& input);

// The text of a template file of the user's, known to be one; a byte order mark is no part of it.
Result<std::string> read_chat_template(const std::filesystem::path& path);

// A template of the user's takes the place of all that the files have.
void replace_chat_template(formats::TokenizerData& data, std::string source);

}  // namespace naru::text
