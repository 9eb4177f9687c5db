// OpenAI's responses, outwards: whole, and as a stream of semantic events.
#include "server/responses_answer.h"

#include "server/responses_items.h"
#include "tests/server/dialect_events.h"

namespace naru::server {
namespace {

using namespace dialect_test;

AnswerRequest response_request(bool is_streamed) {
  AnswerRequest request;
  request.is_chat = true;
  request.is_streamed = is_streamed;
  request.sampling.temperature = 0.5;
  request.echo = R"("tools":[],"parallel_tool_calls":true)";
  return request;
}

std::string response_bytes(const AnswerRequest& request, const std::vector<AnswerEvent>& events) {
  return written(*make_responses_writer({"resp_1a", 1700000000, "m", "fp_1"}, request), events);
}

std::vector<AnswerEvent> response_events(EndReason reason = EndReason::kToolCalls) {
  return {begins(),
          prefills(10),
          says("I ", ""),
          says("think.", "Le"),
          says("", "t me."),
          calls({{0, "call_a", "f", "{\"x\": "}}),
          calls({{0, "", "", "1.0}"}, {1, "call_b", "g", "{}"}}),
          ends(reason),
          is_done()};
}

TEST(ResponsesAnswer, Whole) {
  EXPECT_EQ(
      response_bytes(response_request(false), response_events()),
      R"({"id":"resp_1a","object":"response","created_at":1700000000,"status":"completed","model":"m",)"
      R"("system_fingerprint":"fp_1","background":false,"previous_response_id":null,"store":false,)"
      R"("service_tier":"default","truncation":"disabled","temperature":0.5,"top_p":null,"presence_penalty":null,)"
      R"("frequency_penalty":null,"max_tool_calls":null,"safety_identifier":null,"prompt_cache_key":null,)"
      R"("completed_at":1700000009,"error":null,"incomplete_details":null,"usage":{"input_tokens":10,)"
      R"("input_tokens_details":{"cached_tokens":4,"cache_write_tokens":0},"output_tokens":7,)"
      R"("output_tokens_details":{"reasoning_tokens":3},"total_tokens":17},"output":[)"
      R"({"id":"rs_1a0","type":"reasoning","status":"completed","summary":[],"encrypted_content":null,)"
      R"("content":[{"type":"reasoning_text","text":"I think."}]},)"
      R"({"id":"msg_1a1","type":"message","status":"completed","role":"assistant",)"
      R"("content":[{"type":"output_text","text":"Let me.","annotations":[],"logprobs":[]}]},)"
      R"({"id":"fc_1a2","type":"function_call","status":"completed","call_id":"call_a","name":"f",)"
      R"("arguments":"{\"x\": 1.0}"},)"
      R"({"id":"fc_1a3","type":"function_call","status":"completed","call_id":"call_b","name":"g","arguments":"{}"}],)"
      R"("tools":[],"parallel_tool_calls":true})");
}

TEST(ResponsesAnswer, Streamed) {
  const std::string bytes = response_bytes(response_request(true), response_events());
  const auto events = named_events(bytes);
  EXPECT_EQ(names_of(events), (std::vector<std::string>{"response.created",
                                                        "response.in_progress",
                                                        "response.output_item.added",
                                                        "response.content_part.added",
                                                        "response.reasoning_text.delta",
                                                        "response.reasoning_text.delta",
                                                        "response.reasoning_text.done",
                                                        "response.content_part.done",
                                                        "response.output_item.done",
                                                        "response.output_item.added",
                                                        "response.content_part.added",
                                                        "response.output_text.delta",
                                                        "response.output_text.delta",
                                                        "response.output_text.done",
                                                        "response.content_part.done",
                                                        "response.output_item.done",
                                                        "response.output_item.added",
                                                        "response.function_call_arguments.delta",
                                                        "response.function_call_arguments.delta",
                                                        "response.function_call_arguments.done",
                                                        "response.output_item.done",
                                                        "response.output_item.added",
                                                        "response.function_call_arguments.delta",
                                                        "response.function_call_arguments.done",
                                                        "response.output_item.done",
                                                        "response.completed"}));
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].data["sequence_number"], i);
  EXPECT_EQ(bytes.find("[DONE]"), std::string::npos);
  // Every piece once, byte for byte.
  const std::string whole = response_bytes(response_request(false), response_events());
  EXPECT_EQ(events.back().data["response"], Json::parse(whole));
  EXPECT_EQ(events.back().data["response"]["completed_at"], 1700000009);
  EXPECT_EQ(events[0].data["response"]["status"], "in_progress");
  EXPECT_TRUE(events[0].data["response"]["completed_at"].is_null());
  EXPECT_TRUE(events[0].data["response"]["usage"].is_null() && events[0].data["response"]["output"].empty());
  EXPECT_EQ(events[2].data["item"].dump(), R"({"id":"rs_1a0","type":"reasoning","status":"in_progress","summary":[],)"
                                           R"("encrypted_content":null,"content":[]})");
  EXPECT_EQ(events[3].data.dump(),
            R"({"type":"response.content_part.added","sequence_number":3,"item_id":"rs_1a0","output_index":0,)"
            R"("content_index":0,"part":{"type":"reasoning_text","text":""}})");
  EXPECT_EQ(events[11].data.dump(), R"({"type":"response.output_text.delta","sequence_number":11,"item_id":"msg_1a1",)"
                                    R"("output_index":1,"content_index":0,"delta":"Le","logprobs":[]})");
  EXPECT_EQ(events[19].data.dump(),
            R"({"type":"response.function_call_arguments.done","sequence_number":19,"item_id":"fc_1a2",)"
            R"("output_index":2,"name":"f","arguments":"{\"x\": 1.0}"})");
  for (size_t i = 0, n = 0; i < events.size(); ++i) {
    if (events[i].name != "response.output_item.done") continue;
    EXPECT_EQ(events[i].data["item"], events.back().data["response"]["output"][n++]);
  }
}

TEST(ResponsesAnswer, CutOff) {
  const auto events = named_events(response_bytes(response_request(true), response_events(EndReason::kLength)));
  EXPECT_EQ(events.back().name, "response.incomplete");
  const Json response = events.back().data["response"];
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_TRUE(response["completed_at"].is_null());
  EXPECT_EQ(response["output"][2]["status"], "completed");
  EXPECT_EQ(response["output"][3]["status"], "incomplete");
}

TEST(ResponsesAnswer, Errors) {
  const auto events = named_events(
      response_bytes(response_request(true), {begins(), says("", "a"), fails({503, "the server ends", "", "", 1})}));
  EXPECT_EQ(events.back().name, "response.failed");
  EXPECT_EQ(events.back().data["response"]["status"], "failed");
  EXPECT_EQ(events.back().data["response"]["error"].dump(), R"({"code":"server_error","message":"the server ends"})");
}

// Tokens of half a character, and of the markers around calls, have no text: they are told with the next that has.
TEST(ResponsesAnswer, Probabilities) {
  AnswerRequest request = response_request(true);
  request.top_logprobs = 1;
  const std::vector<AnswerEvent> said = {begins(),
                                         says("hm", "", {{"hm", -0.1f, {}, true}}),
                                         says("", "", {{"\xc3", -0.5f, {{"a", -0.25f}}, false}}),
                                         says("", "\xc3\xa4", {{"\xa4", -1.0f, {}, false}}),
                                         says("", "", {{"<call>", -2.0f, {}, false}}),
                                         ends(EndReason::kStop),
                                         is_done()};
  const std::string one =
      "{\"token\":\"\xef\xbf\xbd\",\"logprob\":-0.5,\"bytes\":[195],\"top_logprobs\":["
      "{\"token\":\"a\",\"logprob\":-0.25,\"bytes\":[97]}]},"
      "{\"token\":\"\xef\xbf\xbd\",\"logprob\":-1.0,\"bytes\":[164],\"top_logprobs\":[]}";
  const auto events = named_events(response_bytes(request, said));
  for (const NamedEvent& event : events) {
    if (!event.name.starts_with("response.output_text.")) continue;
    EXPECT_EQ(event.data["logprobs"].dump(), "[" + one + "]");
  }
  EXPECT_EQ(events.back().data["response"]["output"][1]["content"][0]["logprobs"].dump(), "[" + one + "]");
}

TEST(ResponsesAnswer, SealedReasoningComesBack) {
  AnswerRequest request = response_request(false);
  request.seals_reasoning = true;
  const Json json = Json::parse(response_bytes(request, response_events()));
  EXPECT_EQ(open_sealed_reasoning(json["output"][0]["encrypted_content"].get<std::string>()), "I think.");
}

}  // namespace
}  // namespace naru::server
