// The body of a request in Anthropic's form: it is refused with a message that can be shown, or keeps to every bound;
// and what it becomes is written as an answer that is JSON again, its blocks in order.
#include "server/anthropic_request.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "formats/utf8.h"
#include "server/anthropic_answer.h"
#include "server/limits.h"
#include "server/value_json.h"

namespace {

using namespace naru;
using namespace naru::server;
using Json = nlohmann::json;

void check_refusal(const Refusal& refusal) {
  NARU_CHECK(refusal.status >= 400 && refusal.status < 500 && formats::is_valid_utf8(refusal.message), refusal.message);
  NARU_CHECK(Json::accept(anthropic_error(refusal)));
}

// An answer made of bytes of the body, which may be no characters at all, and no JSON where a call's input is.
std::string answer_of(const AnswerRequest& request, std::string_view text) {
  const auto writer = make_anthropic_writer({"msg_1", 1, request.model, "fp"}, request);
  AnswerEvent event;
  std::string bytes;
  for (const auto kind : {AnswerEvent::Kind::kBegin, AnswerEvent::Kind::kPrefill, AnswerEvent::Kind::kText,
                          AnswerEvent::Kind::kText, AnswerEvent::Kind::kEnd, AnswerEvent::Kind::kDone}) {
    event.kind = kind;
    event.reasoning = text.substr(0, 3);
    event.content = text.substr(0, 64);
    event.calls = {{event.choice, "call_1", "f", std::string(text.substr(0, 32))}, {1, "call_2", "g", "{}"}};
    event.stop = text.substr(0, 2);
    bytes += writer->take(event);
  }
  return bytes;
}

void check_stream(std::string_view bytes) {
  int64_t n_blocks = 0, n_open = 0;
  while (!bytes.empty()) {
    const size_t data = bytes.find("\ndata: "), end = bytes.find("\n\n");
    NARU_CHECK(bytes.starts_with("event: ") && data < end && end != std::string_view::npos);
    const Json json = Json::parse(bytes.substr(data + 7, end - data - 7));
    const std::string type = json["type"];
    NARU_CHECK(bytes.substr(7, data - 7) == type);
    if (type == "content_block_start") {
      NARU_CHECK(json["index"] == n_blocks++ && n_open++ == 0);
    }
    if (type == "content_block_stop") NARU_CHECK(--n_open == 0);
    bytes.remove_prefix(end + 2);
  }
  NARU_CHECK(n_open == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const ReadRequest counted = read_anthropic_count(body);
  if (const auto* refusal = std::get_if<Refusal>(&counted)) check_refusal(*refusal);
  const ReadRequest read = read_anthropic_messages(body);
  if (const auto* refusal = std::get_if<Refusal>(&read)) {
    check_refusal(*refusal);
    return 0;
  }
  const AnswerRequest& request = std::get<AnswerRequest>(read);
  NARU_CHECK(std::holds_alternative<PageRequest>(counted));
  NARU_CHECK(request.is_chat && request.n == 1 && request.max_tokens >= 1 && !request.messages.empty());
  NARU_CHECK(static_cast<int64_t>(request.stop.size()) <= kStopsMax);
  for (const text::Value& message : request.messages) {
    NARU_CHECK(message.find("role") != nullptr && message.find("content")->as_string() != nullptr);
  }
  // Numbers that no double holds are passed on as they are written, and are no JSON to this parser.
  const bool is_plain = Json::accept(body);
  NARU_CHECK(Json::accept(value_json(request.messages)));
  NARU_CHECK(!is_plain || Json::accept(value_json(request.tools)));
  const std::string answer = answer_of(request, body);
  if (request.is_streamed) {
    check_stream(answer);
  } else {
    NARU_CHECK(Json::accept(answer));
  }
  return 0;
}
