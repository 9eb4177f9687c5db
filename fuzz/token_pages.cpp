// Pages of tokens and templates: whatever is asked of a tiny model, it is refused with a message that can be shown, or
// the page is JSON; and the tokens of a text are that text again.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "formats/utf8.h"
#include "server/model_facts.h"
#include "server/openai_answer.h"
#include "server/token_pages.h"
#include "text/byte_level.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

using namespace naru;
using namespace naru::server;

// A token for each byte, and the tags of reasoning.
text::Tokenizer make_tokenizer() {
  formats::TokenizerData data;
  for (int byte = 0; byte < 256; ++byte)
    data.vocab.push_back(text::token_of_bytes(std::string(1, static_cast<char>(byte))));
  for (const char* tag : {"<think>", "</think>", "<|end|>"}) {
    formats::AddedToken token;
    token.id = static_cast<int32_t>(data.vocab.size());
    token.text = tag;
    token.special = true;
    data.vocab.emplace_back();
    data.added_tokens.push_back(token);
  }
  formats::PreTokenizerStep step;
  step.kind = formats::PreTokenizerKind::kByteLevel;
  step.use_regex = true;
  data.pre_tokenizer = {step};
  data.decoder = "ByteLevel";
  return text::Tokenizer::create(std::move(data)).value();
}

const ModelFacts& tiny_model() {
  static const text::Tokenizer tokenizer = make_tokenizer();
  static const text::ChatTemplate chat =
      text::ChatTemplate::create(
          "{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}"
          "{% if add_generation_prompt %}A:{% if enable_thinking %}<think>{% endif %}{% endif %}",
          {})
          .value();
  static const ModelFacts facts = [] {
    ModelFacts made;
    made.name = "tiny";
    made.vocab = tokenizer.n_ids();
    made.context_tokens = 1 << 20;
    made.tokenizer = &tokenizer;
    made.chat_template = &chat;
    return made;
  }();
  return facts;
}

void check_refusal(const Refusal& refusal) {
  NARU_CHECK(refusal.status >= 400 && refusal.status < 500 && formats::is_valid_utf8(refusal.message), refusal.message);
  NARU_CHECK(nlohmann::json::accept(openai_error(refusal)));
}

// The page; nothing where it is refused.
nlohmann::json page_of(const Dialect& dialect, std::string_view body) {
  const ReadRequest read = dialect.read(body, {});
  if (const auto* refusal = std::get_if<Refusal>(&read)) {
    check_refusal(*refusal);
    return nullptr;
  }
  const auto made = std::get<PageRequest>(read).make(tiny_model());
  if (const auto* refusal = std::get_if<Refusal>(&made)) {
    check_refusal(*refusal);
    return nullptr;
  }
  const auto page = nlohmann::json::parse(std::get<std::string>(made), nullptr, false);
  NARU_CHECK(page.is_object(), std::get<std::string>(made));
  return page;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Dialect* dialects[] = {&kTokenize, &kDetokenize, &kApplyTemplate};
  page_of(*dialects[data[0] % 3], body);
  // The rest of the input as a text.
  const std::string text = text::repair_utf8(body);
  nlohmann::json ask = {{"content", text}};
  const auto tokens = page_of(kTokenize, ask.dump());
  if (tokens.is_null()) return 0;  // longer than a page may be
  NARU_CHECK(tokens["count"] == tokens["tokens"].size());
  const auto back = page_of(kDetokenize, nlohmann::json{{"tokens", tokens["tokens"]}}.dump());
  NARU_CHECK(back["content"] == text);
  return 0;
}
