// The body of a request in Ollama's forms: it is refused with a message that can be shown, or keeps to every bound; and
// what it becomes is written as lines that are JSON again, whatever the answer says.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "formats/utf8.h"
#include "server/limits.h"
#include "server/model_facts.h"
#include "server/ollama_answer.h"
#include "server/ollama_pages.h"
#include "server/ollama_request.h"

namespace {

using namespace naru;
using namespace naru::server;

void check_json_object(std::string_view text) {
  NARU_CHECK(text.starts_with('{') && nlohmann::json::accept(text), text);
}

std::string write_answer(const AnswerRequest& request, bool is_chat, std::string_view text) {
  const AnswerIdentity identity{"id", 1, request.model, "fp"};
  const auto writer =
      is_chat ? make_ollama_chat_writer(identity, request) : make_ollama_generate_writer(identity, request);
  AnswerEvent event;
  std::string bytes;
  for (const auto kind : {AnswerEvent::Kind::kBegin, AnswerEvent::Kind::kText, AnswerEvent::Kind::kText,
                          AnswerEvent::Kind::kEnd, AnswerEvent::Kind::kDone}) {
    event.kind = kind;
    event.content = text.substr(0, 64);  // maybe no characters at all
    event.reasoning = event.content;
    event.calls = {{0, "a", event.content, std::string(text)}, {1, "b", "f", "{}"}};
    event.tokens = {{std::string(text.substr(0, 3)), -1.0f, {{"x", -2.0f}}, false}};
    bytes += writer->take(event);
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool is_chat = data[0] % 3 == 0;
  const ReadRequest read = is_chat            ? read_ollama_chat(body)
                           : data[0] % 3 == 1 ? read_ollama_generate(body)
                                              : kOllamaShow.read(body, {});
  if (const auto* refusal = std::get_if<Refusal>(&read)) {
    NARU_CHECK(refusal->status >= 400 && refusal->status < 500 && formats::is_valid_utf8(refusal->message),
               refusal->message);
    check_json_object(ollama_error(*refusal));
    return 0;
  }
  if (const auto* page = std::get_if<PageRequest>(&read)) {
    ModelFacts model;
    const auto made = page->make(model);
    NARU_CHECK(std::holds_alternative<std::string>(made));
    check_json_object(std::get<std::string>(made));
    return 0;
  }
  const AnswerRequest& request = std::get<AnswerRequest>(read);
  NARU_CHECK(request.n == 1 && request.n_prompts() == 1 && request.is_chat != request.messages.empty());
  NARU_CHECK(static_cast<int64_t>(request.stop.size()) <= kStopsMax && request.max_tokens >= 0);
  std::string bytes = write_answer(request, is_chat, body);
  if (!request.is_streamed) bytes += '\n';
  size_t at = 0;
  while (at < bytes.size()) {
    const size_t end = bytes.find('\n', at);
    NARU_CHECK(end != std::string::npos);
    check_json_object(std::string_view(bytes).substr(at, end - at));
    at = end + 1;
  }
  return 0;
}
