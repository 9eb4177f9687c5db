// Ollama's answers, byte for byte: as lines, and as one object.
#include "server/ollama_answer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace naru::server {
namespace {

using Kind = AnswerEvent::Kind;

AnswerEvent ollama_event(Kind kind) {
  AnswerEvent e;
  e.kind = kind;
  return e;
}

AnswerEvent ollama_text(std::string reasoning, std::string content) {
  AnswerEvent e = ollama_event(Kind::kText);
  e.reasoning = std::move(reasoning);
  e.content = std::move(content);
  return e;
}

AnswerEvent ollama_calls(std::vector<ToolCallPiece> calls) {
  AnswerEvent e = ollama_event(Kind::kText);
  e.calls = std::move(calls);
  return e;
}

std::vector<AnswerEvent> ollama_ended(std::vector<AnswerEvent> events, EndReason reason = EndReason::kStop) {
  events.insert(events.begin(), ollama_event(Kind::kBegin));
  events.push_back(ollama_event(Kind::kEnd));
  events.back().reason = reason;
  events.push_back(ollama_event(Kind::kDone));
  events.back().usage = {.prompt_tokens = 10,
                         .cached_tokens = 4,
                         .completion_tokens = 7,
                         .queue_seconds = 0.25,
                         .prefill_seconds = 0.5,
                         .decode_seconds = 2};
  return events;
}

std::string ollama_write(bool is_chat, bool is_streamed, const std::vector<AnswerEvent>& events,
                         bool has_logprobs = false) {
  AnswerRequest request;
  request.is_streamed = is_streamed;
  if (has_logprobs) request.top_logprobs = 1;
  const AnswerIdentity identity{"id", 1700000000, "m", "fp"};
  const auto writer =
      is_chat ? make_ollama_chat_writer(identity, request) : make_ollama_generate_writer(identity, request);
  EXPECT_EQ(writer->content_type(), is_streamed ? "application/x-ndjson" : "application/json");
  EXPECT_EQ(writer->ping(), "");
  std::string bytes;
  for (const AnswerEvent& e : events) bytes += writer->take(e);
  return bytes;
}

const std::string kOllamaHead = R"({"model":"m","created_at":"2023-11-14T22:13:20.000000000Z",)";
const std::string kOllamaTimes =
    R"("total_duration":2750000000,"load_duration":250000000,"prompt_eval_count":10,"prompt_eval_duration":500000000,)"
    R"("eval_count":7,"eval_duration":2000000000})";

TEST(OllamaAnswer, ChatInLinesAndWhole) {
  const auto events = ollama_ended({ollama_text("why", "The \""), ollama_text("", ""), ollama_text("", "end\n")});
  const std::string message = kOllamaHead + R"("message":{"role":"assistant","content":)";
  EXPECT_EQ(ollama_write(true, true, events), message + R"("","thinking":"why"},"done":false})" + "\n" + message +
                                                  R"("The \""},"done":false})" + "\n" + message +
                                                  R"("end\n"},"done":false})" + "\n" + message +
                                                  R"(""},"done":true,"done_reason":"stop",)" + kOllamaTimes + "\n");
  EXPECT_EQ(ollama_write(true, false, events),
            message + R"("The \"end\n","thinking":"why"},"done":true,"done_reason":"stop",)" + kOllamaTimes);
}

TEST(OllamaAnswer, GenerateInLinesAndWhole) {
  const auto events = ollama_ended({ollama_text("", "a"), ollama_text("", "b")}, EndReason::kLength);
  EXPECT_EQ(ollama_write(false, true, events),
            kOllamaHead + R"("response":"a","done":false})" + "\n" + kOllamaHead + R"("response":"b","done":false})" +
                "\n" + kOllamaHead + R"("response":"","done":true,"done_reason":"length",)" + kOllamaTimes + "\n");
  EXPECT_EQ(ollama_write(false, false, events),
            kOllamaHead + R"("response":"ab","done":true,"done_reason":"length",)" + kOllamaTimes);
}

// A call comes whole, its arguments as an object.
TEST(OllamaAnswer, CallsComeWhole) {
  const auto events = ollama_ended(
      {ollama_text("", "x"), ollama_calls({{0, "call_1", "rain", "{\"city\":"}}),
       ollama_calls({{0, "", "", "\n \"a\\nb\", \"n\": 18446744073709551616}"}, {1, "call_2", "wind", ""}}),
       ollama_calls({{1, "", "", "{}"}})},
      EndReason::kToolCalls);
  const std::string message = kOllamaHead + R"("message":{"role":"assistant","content":)";
  const std::string rain =
      R"({"id":"call_1","function":{"index":0,"name":"rain","arguments":{"city":  "a\nb", "n": 18446744073709551616}}})";
  const std::string wind = R"({"id":"call_2","function":{"index":1,"name":"wind","arguments":{}}})";
  EXPECT_EQ(ollama_write(true, true, events),
            message + R"("x"},"done":false})" + "\n" + message + R"("","tool_calls":[)" + rain + R"(]},"done":false})" +
                "\n" + message + R"("","tool_calls":[)" + wind + R"(]},"done":false})" + "\n" + message +
                R"(""},"done":true,"done_reason":"stop",)" + kOllamaTimes + "\n");
  EXPECT_EQ(ollama_write(true, false, events), message + R"("x","tool_calls":[)" + rain + "," + wind +
                                                   R"(]},"done":true,"done_reason":"stop",)" + kOllamaTimes);
  // What is no object stays a text, and all of it is there.
  for (const char* odd : {"{\"a\":", "[1]", "nothing"}) {
    const auto line = ollama_write(true, false, ollama_ended({ollama_calls({{0, "i", "f", odd}})}));
    EXPECT_EQ(nlohmann::json::parse(line)["message"]["tool_calls"][0]["function"]["arguments"], odd);
  }
  const auto none = ollama_write(true, false, ollama_ended({ollama_calls({{0, "i", "f", ""}})}));
  EXPECT_EQ(nlohmann::json::parse(none)["message"]["tool_calls"][0]["function"]["arguments"], nlohmann::json::object());
}

TEST(OllamaAnswer, Probabilities) {
  AnswerEvent e = ollama_text("", "é");
  e.tokens = {{"\xc3", -0.5f, {{"\xc3", -0.5f}, {"x", -2.0f}}, false}, {"\xa9", -0.25f, {}, false}};
  const std::string logprobs =
      "\"logprobs\":[{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-0.5,\"bytes\":[195],\"top_logprobs\":[{\"token\":"
      "\"\xEF\xBF\xBD\",\"logprob\":-0.5,\"bytes\":[195]},{\"token\":\"x\",\"logprob\":-2.0,\"bytes\":[120]}]},"
      "{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-0.25,\"bytes\":[169]}]";
  const std::string line = kOllamaHead + R"("response":"é","done":false,)" + logprobs + "}\n";
  EXPECT_TRUE(ollama_write(false, true, ollama_ended({e}), true).starts_with(line));
  EXPECT_NE(ollama_write(false, false, ollama_ended({e}), true).find(R"("done":true,)" + logprobs), std::string::npos);
  EXPECT_EQ(ollama_write(false, false, ollama_ended({e})).find("logprobs"), std::string::npos);
}

TEST(OllamaAnswer, Errors) {
  AnswerEvent e = ollama_event(Kind::kError);
  e.error = {503, "no \"room\"", "", "overloaded", 1};
  EXPECT_EQ(ollama_write(true, true, {ollama_event(Kind::kBegin), e}), "{\"error\":\"no \\\"room\\\"\"}\n");
  EXPECT_EQ(ollama_error(e.error), R"({"error":"no \"room\""})");
}

}  // namespace
}  // namespace naru::server
