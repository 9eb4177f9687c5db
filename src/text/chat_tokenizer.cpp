// See chat_tokenizer.h.
#include "text/chat_tokenizer.h"

#include <fmt/format.h>

#include "base/file.h"
#include "formats/utf8.h"
#include "text/reasoning.h"

namespace naru::text {

Result<ChatTokenizer> ChatTokenizer::create(formats::TokenizerData data) {
  auto made = ChatTemplate::create(data);
  NARU_ASSIGN(Tokenizer tokenizer, Tokenizer::create(std::move(data)));
  ChatTokenizer both{std::move(tokenizer), std::nullopt, {}};
  if (made.ok()) {
    both.chat_template = std::move(made).value();
  } else {
    both.template_status = std::move(made).error();
  }
  return both;
}

Result<ChatPrompt> encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer, const ChatInput& input) {
  NARU_ASSIGN(const std::vector<Segment> segments, chat_template.render(input));
  ChatPrompt prompt{tokenizer.encode_segments(segments)};
  prompt.opens_reasoning = prompt_opens_reasoning(segments, prompt.ids, tokenizer);
  return prompt;
}

Result<std::string> read_chat_template(const std::filesystem::path& path) {
  NARU_ASSIGN(const std::string file, read_file(path, formats::kChatTemplateBytesMax));
  std::string source(formats::without_byte_order_mark(file));
  const auto parsed = ChatTemplate::create(source, {});
  if (parsed.ok()) return source;
  return Error{parsed.error().code, fmt::format("reading {}: {}", path.string(), parsed.error().message)};
}

void replace_chat_template(formats::TokenizerData& data, std::string source) {
  data.chat_template = std::move(source);
  data.named_chat_templates.clear();
}

}  // namespace naru::text
