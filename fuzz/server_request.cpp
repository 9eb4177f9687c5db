// The body of a request in each of OpenAI's forms: it is refused with a message that can be shown, or keeps to every
// bound; and what it becomes is written as an answer that is JSON again.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "formats/utf8.h"
#include "server/limits.h"
#include "server/openai_answer.h"
#include "server/openai_request.h"

namespace {

using namespace naru;
using namespace naru::server;

void check_json(std::string_view text) {
  NARU_CHECK(nlohmann::json::accept(text), text);
}

void check_answer(const AnswerRequest& request, std::string_view text) {
  const auto writer = make_openai_writer({"id", 1, request.model, "fp"}, request);
  AnswerEvent event;
  std::string bytes;
  for (const auto kind :
       {AnswerEvent::Kind::kBegin, AnswerEvent::Kind::kText, AnswerEvent::Kind::kEnd, AnswerEvent::Kind::kDone}) {
    event.kind = kind;
    event.content = text.substr(0, 64);  // maybe no characters at all
    event.tokens = {{std::string(text.substr(0, 3)), -1.0f, {{"x", -2.0f}}, false}};
    event.calls = {{0, "call_1", "f", std::string(text.substr(0, 9))}};
    bytes += writer->take(event);
  }
  if (!request.is_streamed) return check_json(bytes);
  size_t at = 0;
  while (bytes.compare(at, 12, "data: [DONE]") != 0) {
    const size_t end = bytes.find("\n\n", at);
    NARU_CHECK(end != std::string::npos && bytes.compare(at, 6, "data: ") == 0);
    check_json(std::string_view(bytes).substr(at + 6, end - at - 6));
    at = end + 2;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const ReadRequest read = data[0] % 2 ? read_openai_chat(body) : read_openai_completion(body);
  if (const auto* refusal = std::get_if<Refusal>(&read)) {
    NARU_CHECK(refusal->status >= 400 && refusal->status < 500 && formats::is_valid_utf8(refusal->message),
               refusal->message);
    check_json(openai_error(*refusal));
    return 0;
  }
  const AnswerRequest& request = std::get<AnswerRequest>(read);
  NARU_CHECK(request.n >= 1 && request.n <= kChoicesMax && request.n_prompts() >= 1);
  NARU_CHECK(static_cast<int64_t>(request.stop.size()) <= kStopsMax && request.max_tokens >= 0);
  NARU_CHECK(request.is_chat != request.messages.empty());
  check_answer(request, body);
  return 0;
}
