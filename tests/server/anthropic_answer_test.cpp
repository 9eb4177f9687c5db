// Anthropic's answers: whole, and as a stream of named events.
#include "server/anthropic_answer.h"

#include "tests/server/dialect_events.h"

namespace naru::server {
namespace {

using namespace dialect_test;

std::unique_ptr<AnswerWriter> anthropic_writer(bool is_streamed) {
  AnswerRequest request;
  request.is_chat = true;
  request.is_streamed = is_streamed;
  return make_anthropic_writer({"msg_1", 1700000000, "m", "fp_1"}, request);
}

std::string anthropic_bytes(bool is_streamed, const std::vector<AnswerEvent>& events) {
  return written(*anthropic_writer(is_streamed), events);
}

const std::string kAnthropicUsage =
    R"("usage":{"input_tokens":6,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":7,)"
    R"("output_tokens_details":{"thinking_tokens":3}})";

const std::vector<AnswerEvent>& an_agents_answer() {
  static const std::vector<AnswerEvent> events = {begins(),
                                                  prefills(10),
                                                  says("I ", ""),
                                                  says("think.", "Le"),
                                                  says("", "t me."),
                                                  calls({{0, "call_a", "f", "{\"x\": "}}),
                                                  calls({{0, "", "", "1.0}"}, {1, "call_b", "g", ""}}),
                                                  ends(EndReason::kToolCalls),
                                                  is_done()};
  return events;
}

TEST(AnthropicAnswer, Whole) {
  EXPECT_EQ(anthropic_bytes(false, an_agents_answer()),
            R"({"id":"msg_1","type":"message","role":"assistant","model":"m","stop_reason":"tool_use",)"
            R"("stop_sequence":null,)" +
                kAnthropicUsage +
                R"(,"content":[{"type":"thinking","thinking":"I think.","signature":"naru-unsigned"},)"
                R"({"type":"text","text":"Let me."},{"type":"tool_use","id":"call_a","name":"f","input":{"x": 1.0}},)"
                R"({"type":"tool_use","id":"call_b","name":"g","input":{}}]})");
  EXPECT_EQ(anthropic_writer(false)->content_type(), "application/json");
  EXPECT_EQ(anthropic_writer(false)->ping(), "");
}

TEST(AnthropicAnswer, Streamed) {
  const auto part = [](const std::string& name, const std::string& more) {
    return "event: " + name + "\ndata: {\"type\":\"" + name + "\"" + more + "}\n\n";
  };
  const auto delta = [&](int index, const std::string& more) {
    return part("content_block_delta", ",\"index\":" + std::to_string(index) + ",\"delta\":{" + more + "}");
  };
  const auto start = [&](int index, const std::string& more) {
    return part("content_block_start", ",\"index\":" + std::to_string(index) + ",\"content_block\":{" + more + "}");
  };
  const auto stop = [&](int index) { return part("content_block_stop", ",\"index\":" + std::to_string(index)); };
  EXPECT_EQ(
      anthropic_bytes(true, an_agents_answer()),
      part(
          "message_start",
          R"(,"message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,)"
          R"("stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":0,)"
          R"("cache_read_input_tokens":0,"output_tokens":0,"output_tokens_details":{"thinking_tokens":0}}})") +
          start(0, R"("type":"thinking","thinking":"","signature":"")") +
          delta(0, R"("type":"thinking_delta","thinking":"I ")") +
          delta(0, R"("type":"thinking_delta","thinking":"think.")") +
          delta(0, R"("type":"signature_delta","signature":"naru-unsigned")") + stop(0) +
          start(1, R"("type":"text","text":"")") + delta(1, R"("type":"text_delta","text":"Le")") +
          delta(1, R"("type":"text_delta","text":"t me.")") + stop(1) +
          start(2, R"("type":"tool_use","id":"call_a","name":"f","input":{})") +
          delta(2, R"("type":"input_json_delta","partial_json":"{\"x\": ")") +
          delta(2, R"("type":"input_json_delta","partial_json":"1.0}")") + stop(2) +
          start(3, R"("type":"tool_use","id":"call_b","name":"g","input":{})") + stop(3) +
          part("message_delta", R"(,"delta":{"stop_reason":"tool_use","stop_sequence":null},)" + kAnthropicUsage) +
          part("message_stop", ""));
  EXPECT_EQ(anthropic_writer(true)->content_type(), "text/event-stream; charset=utf-8");
  EXPECT_EQ(anthropic_writer(true)->ping(), part("ping", ""));
}

TEST(AnthropicAnswer, Ends) {
  const std::vector<std::tuple<EndReason, std::string, std::string>> cases = {
      {EndReason::kStop, "", R"("stop_reason":"end_turn","stop_sequence":null)"},
      {EndReason::kStop, "\n#", R"("stop_reason":"stop_sequence","stop_sequence":"\n#")"},
      {EndReason::kLength, "", R"("stop_reason":"max_tokens","stop_sequence":null)"},
      {EndReason::kToolCalls, "", R"("stop_reason":"tool_use","stop_sequence":null)"},
  };
  for (const auto& [reason, stop, said] : cases) {
    for (const bool is_streamed : {false, true}) {
      const std::string bytes = anthropic_bytes(is_streamed, {begins(), says("", "a"), ends(reason, stop), is_done()});
      EXPECT_NE(bytes.find(said), std::string::npos) << bytes;
    }
  }
  // An answer without a word, and one whose prompt nobody has counted aloud.
  const auto events = named_events(anthropic_bytes(true, {begins(), ends(EndReason::kStop), is_done()}));
  EXPECT_EQ(names_of(events), (std::vector<std::string>{"message_start", "message_delta", "message_stop"}));
  EXPECT_EQ(events[0].data["message"]["usage"]["input_tokens"], 10);
}

// A call that was cut off is no call: nobody can run it.
TEST(AnthropicAnswer, ACallThatWasCutOff) {
  for (const std::string input : {"{\"x\": [1", "[1]", "7", "{\"x\":\"\xff\"}"}) {
    const Json json = Json::parse(
        anthropic_bytes(false, {begins(), calls({{0, "call_a", "f", input}}), ends(EndReason::kLength), is_done()}));
    EXPECT_TRUE(json["content"].empty()) << input;
    EXPECT_EQ(json["stop_reason"], "max_tokens");
  }
}

TEST(AnthropicAnswer, Errors) {
  const std::vector<std::pair<int, std::string>> types = {{400, "invalid_request_error"},
                                                          {401, "authentication_error"},
                                                          {403, "permission_error"},
                                                          {404, "not_found_error"},
                                                          {413, "request_too_large"},
                                                          {429, "rate_limit_error"},
                                                          {500, "api_error"},
                                                          {503, "overloaded_error"},
                                                          {504, "timeout_error"},
                                                          {529, "overloaded_error"}};
  for (const auto& [status, type] : types) {
    EXPECT_EQ(anthropic_error({status, "why", "x", "y", 0}),
              R"({"type":"error","error":{"type":")" + type + R"(","message":"why"}})");
  }
  const auto events =
      named_events(anthropic_bytes(true, {begins(), says("", "a"), fails({503, "the server ends", "", "", 1})}));
  EXPECT_EQ(names_of(events),
            (std::vector<std::string>{"message_start", "content_block_start", "content_block_delta", "error"}));
  EXPECT_EQ(events.back().data["error"]["type"], "overloaded_error");
}

}  // namespace
}  // namespace naru::server
