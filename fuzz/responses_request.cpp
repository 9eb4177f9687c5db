// The body of a request to OpenAI's responses: it is refused with a message that can be shown, or keeps to every bound;
// and what it becomes is written as an answer that is JSON again and repeats no long field.
#include "server/responses_request.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "formats/utf8.h"
#include "server/limits.h"
#include "server/openai_answer.h"
#include "server/responses_answer.h"
#include "server/responses_items.h"
#include "server/value_json.h"

namespace {

using namespace naru;
using namespace naru::server;
using Json = nlohmann::json;

std::string answer_of(const AnswerRequest& request, std::string_view text) {
  const auto writer = make_responses_writer({"resp_1", 1, request.model, "fp"}, request);
  AnswerEvent event;
  std::string bytes;
  for (const auto kind : {AnswerEvent::Kind::kBegin, AnswerEvent::Kind::kText, AnswerEvent::Kind::kText,
                          AnswerEvent::Kind::kEnd, AnswerEvent::Kind::kDone}) {
    event.kind = kind;
    event.reasoning = text.substr(0, 3);
    event.content = text.substr(0, 64);
    event.calls = {{0, "call_1", "f", std::string(text.substr(0, 32))}, {1, "call_2", "g", "{}"}};
    event.tokens = {{std::string(text.substr(0, 3)), -1.0f, {{"x", -2.0f}}, false}};
    bytes += writer->take(event);
  }
  return bytes;
}

void check_stream(std::string_view bytes) {
  int64_t n_events = 0;
  while (!bytes.empty()) {
    const size_t data = bytes.find("\ndata: "), end = bytes.find("\n\n");
    NARU_CHECK(bytes.starts_with("event: ") && data < end && end != std::string_view::npos);
    const Json json = Json::parse(bytes.substr(data + 7, end - data - 7));
    NARU_CHECK(bytes.substr(7, data - 7) == json["type"].get<std::string>());
    NARU_CHECK(json["sequence_number"] == n_events++);
    bytes.remove_prefix(end + 2);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  if (const auto opened = open_sealed_reasoning(body)) NARU_CHECK(seal_reasoning(*opened) == body);
  const ReadRequest read = read_responses(body);
  if (const auto* refusal = std::get_if<Refusal>(&read)) {
    NARU_CHECK(refusal->status >= 400 && refusal->status < 500 && formats::is_valid_utf8(refusal->message),
               refusal->message);
    NARU_CHECK(Json::accept(openai_error(*refusal)));
    return 0;
  }
  const AnswerRequest& request = std::get<AnswerRequest>(read);
  NARU_CHECK(request.is_chat && request.n == 1 && request.max_tokens >= 0 && !request.messages.empty());
  NARU_CHECK(static_cast<int64_t>(request.echo.size()) <= 4 * kEchoBytesMax);
  NARU_CHECK(Json::accept(value_json(request.messages)));
  // Numbers that no double holds are passed on as they are written, and are no JSON to this parser.
  if (!Json::accept(body)) return 0;
  NARU_CHECK(Json::accept(value_json(request.tools)));
  const std::string answer = answer_of(request, body);
  if (request.is_streamed) {
    check_stream(answer);
  } else {
    NARU_CHECK(Json::accept(answer));
  }
  return 0;
}
