// OpenAI's responses, inwards: what is taken, what is refused by the name of its field, and what is ignored and said.
#include "server/responses_request.h"

#include "server/responses_items.h"
#include "server/value_json.h"
#include "tests/server/dialect_events.h"

namespace naru::server {
namespace {

using dialect_test::Json;
using dialect_test::refusal_in;
using dialect_test::taken_request;

const std::string kInput = R"({"input":"Hi")";

AnswerRequest taken_items(const std::string& items, const std::string& more = "") {
  return taken_request(read_responses(R"({"input":)" + items + more + "}"));
}

Json echo_of(const AnswerRequest& request) {
  return Json::parse("{" + request.echo + "}");
}

// The shape that Codex sends.
TEST(ResponsesRequest, AnAgentsTurn) {
  const std::string sealed = seal_reasoning("They want ls.");
  const AnswerRequest r = taken_request(read_responses(R"({"model":"m","instructions":"You code.","stream":true,
    "input":[
      {"type":"message","role":"developer","content":[{"type":"input_text","text":"Sandbox: none."}]},
      {"type":"message","role":"user","content":[{"type":"input_text","text":"cwd"},{"type":"input_text","text":"/x"}]},
      {"role":"user","content":"List."},
      {"type":"reasoning","id":"rs_1","summary":[],"content":null,"encrypted_content":")" +
                                                       sealed + R"("},
      {"type":"message","role":"assistant","id":"msg_1","status":"completed","content":[{"type":"output_text",
        "text":"I look.","annotations":[],"logprobs":[]}]},
      {"type":"function_call","id":"fc_1","call_id":"call_1","name":"shell","arguments":"{\"command\":[\"ls\"]}"},
      {"type":"function_call","call_id":"call_2","name":"shell","arguments":"{}"},
      {"type":"function_call_output","call_id":"call_1","output":"a"},
      {"type":"function_call_output","call_id":"call_2","output":[{"type":"input_text","text":"b"}]}],
    "tools":[{"type":"function","name":"shell","description":"Runs.","strict":false,"parameters":{"type":"object"}},
      {"type":"web_search","external_web_access":false},
      {"type":"custom","name":"apply_patch","format":{}}],
    "tool_choice":"auto","parallel_tool_calls":false,"reasoning":{"effort":"medium","summary":"auto"},
    "store":false,"include":["reasoning.encrypted_content"],"prompt_cache_key":"k","client_metadata":{"a":"b"},
    "text":{"verbosity":"low"},"service_tier":"auto","temperature":0.5,"max_output_tokens":9})"));
  EXPECT_EQ(value_json(r.messages),
            R"([{"role": "system", "content": "You code.\n\nSandbox: none."}, {"role": "user", "content": "cwd\n/x"}, )"
            R"({"role": "user", "content": "List."}, )"
            R"({"role": "assistant", "content": "I look.", "reasoning_content": "They want ls.", "tool_calls": [)"
            R"({"id": "call_1", "type": "function", "function": {"name": "shell", )"
            R"("arguments": "{\"command\":[\"ls\"]}"}}, )"
            R"({"id": "call_2", "type": "function", "function": {"name": "shell", "arguments": "{}"}}]}, )"
            R"({"role": "tool", "tool_call_id": "call_1", "name": "shell", "content": "a"}, )"
            R"({"role": "tool", "tool_call_id": "call_2", "name": "shell", "content": "b"}])");
  EXPECT_EQ(value_json(r.tools), R"([{"type": "function", "function": {"name": "shell", "description": "Runs.", )"
                                 R"("parameters": {"type": "object"}}}])");
  EXPECT_TRUE(r.is_chat && r.is_streamed && !r.parallel_calls && r.seals_reasoning && !r.thinks && !r.top_logprobs);
  EXPECT_EQ(r.reasoning_effort, "high");
  EXPECT_EQ(r.max_tokens, 9);
  EXPECT_EQ(r.ignored, (std::vector<std::string>{"client_metadata", "prompt_cache_key", "reasoning.summary",
                                                 "service_tier", "text.verbosity", "tools[1]", "tools[2]"}));
  EXPECT_EQ(echo_of(r).dump(),
            R"({"instructions":"You code.","metadata":{},"tools":[{"type":"function","name":"shell",)"
            R"("description":"Runs.","strict":false,"parameters":{"type":"object"}}],"tool_choice":"auto",)"
            R"("parallel_tool_calls":false,"reasoning":{"effort":"medium","summary":null},)"
            R"("text":{"format":{"type":"text"}},"max_output_tokens":9,)"
            R"("top_logprobs":0})");
}

TEST(ResponsesRequest, WhatIsLeftOutIsLeftOpen) {
  const AnswerRequest r = taken_request(read_responses(kInput + R"(,"previous_response_id":null,"reasoning":null})"));
  EXPECT_EQ(value_json(r.messages), R"([{"role": "user", "content": "Hi"}])");
  EXPECT_FALSE(r.thinks || r.sampling.temperature || r.is_streamed || !r.parallel_calls || r.is_json ||
               r.seals_reasoning);
  EXPECT_TRUE(r.tools.is_null() && r.reasoning_effort.empty() && r.max_tokens == 0 && r.ignored.empty());
  EXPECT_EQ(echo_of(r)["parallel_tool_calls"], true);
}

TEST(ResponsesRequest, Choices) {
  const auto with = [](const std::string& more) { return taken_request(read_responses(kInput + "," + more + "}")); };
  EXPECT_EQ(with(R"("reasoning":{"effort":"none"})").thinks, false);
  EXPECT_EQ(with(R"("reasoning":{"effort":"minimal"})").reasoning_effort, "low");
  EXPECT_TRUE(with(R"("text":{"format":{"type":"json_object"}})").is_json);
  EXPECT_EQ(with(R"("top_logprobs":3)").top_logprobs, 3);
  EXPECT_FALSE(with(R"("top_logprobs":0)").top_logprobs);
  EXPECT_EQ(with(R"("include":["message.output_text.logprobs"])").top_logprobs, 0);
  EXPECT_EQ(with(R"("include":["file_search_call.results"])").ignored, std::vector<std::string>{"include[0]"});
  EXPECT_EQ(with(R"("store":true,"truncation":"disabled","background":false)").ignored,
            std::vector<std::string>{"store"});
  const AnswerRequest none = with(R"("tools":[{"type":"function","name":"f","parameters":null}],"tool_choice":"none")");
  EXPECT_TRUE(none.tools.is_null());
  EXPECT_EQ(echo_of(none)["tools"].size(), 1u);
  const std::string long_text(40000, 'x');
  const AnswerRequest huge = with(R"("instructions":")" + long_text + R"(","metadata":{"a":")" + long_text + R"("})");
  EXPECT_LT(huge.echo.size(), 1000u) << "a stream would repeat it three times";
}

// What one answer says comes back as one turn, and a thought begins another.
TEST(ResponsesRequest, ReasoningOfEveryForm) {
  const AnswerRequest r = taken_items(
      R"([{"type":"reasoning","summary":[{"type":"summary_text","text":"short"}],"content":[{"type":"reasoning_text","text":"long"}]},
          {"role":"assistant","content":"a"},
          {"type":"reasoning","summary":[{"type":"summary_text","text":"short"}]},
          {"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},
          {"type":"reasoning","summary":[],"encrypted_content":"gAAAA"},{"role":"user","content":"b"}])");
  EXPECT_EQ(value_json(r.messages), R"([{"role": "assistant", "content": "a", "reasoning_content": "long"}, )"
                                    R"({"role": "assistant", "content": "no", "reasoning_content": "short"}, )"
                                    R"({"role": "user", "content": "b"}])");
  EXPECT_EQ(r.ignored, std::vector<std::string>{"input[4].encrypted_content"});
}

TEST(ResponsesRequest, SealedReasoning) {
  for (const std::string text : {"", "a", "ab", "abc", "\xe2\x82\xac and \n"}) {
    EXPECT_EQ(open_sealed_reasoning(seal_reasoning(text)), text);
  }
  const std::string seal = seal_reasoning("");
  for (const std::string& sealed : {std::string(), std::string("YQ=="), seal + "Y", seal + "YQ=", seal + "YR==",
                                    seal + "====", seal + " YQ==", seal + "YQ==\n", seal + "/w==", seal + "?Q=="}) {
    EXPECT_FALSE(open_sealed_reasoning(sealed)) << sealed;
  }
}

TEST(ResponsesRequest, WrongTypesAreRefusedByName) {
  const std::vector<std::string> no_string = {"1", "true", R"(["a"])", "{}"};
  const std::vector<std::string> no_number = {R"("1")", "true", "[1]", "{}", "1e400", "-101"};
  const std::vector<std::string> no_integer = {R"("1")", "true", "[1]", "{}", "1.5", "-1"};
  const std::vector<std::string> no_bool = {R"("true")", "1", "[true]", "{}"};
  dialect_test::expect_refused_by_name(
      read_responses, kInput,
      {{"model", no_string},
       {"response_format", {R"({"type":"json_object"})", R"("x")"}},  // a form by another dialect's name
       {"format", {R"("json")"}},
       {"instructions", no_string},
       {"temperature", no_number},
       {"top_p", no_number},
       {"min_p", no_number},
       {"top_k", no_integer},
       {"presence_penalty", no_number},
       {"frequency_penalty", no_number},
       {"seed", {R"("1")", "1.5", "18446744073709551616"}},
       {"max_output_tokens", {R"("1")", "true", "[1]", "{}", "1.5", "0", "-1", "4294967296"}},
       {"top_logprobs", {R"("1")", "true", "[1]", "{}", "1.5", "-1", "21"}},
       {"stream", no_bool},
       {"store", no_bool},
       {"parallel_tool_calls", no_bool},
       {"background", {R"("true")", "1", "true"}},
       {"cache_salt", no_string},
       {"metadata", {"1", "[]", R"("x")"}},
       {"stream_options", {"1", "[]", R"({"include_obfuscation":1})"}},
       {"truncation", {"1", R"("auto")"}},
       {"previous_response_id", {"1", R"("resp_1")"}},
       {"conversation", {R"("c")", "{}"}},
       {"prompt", {R"({"id":"p"})"}},
       {"include", {"1", "{}", R"("x")", "[1]"}},
       {"reasoning", {"1", "[]", R"("x")", R"({"effort":1})", R"({"effort":"huge"})"}},
       {"text", {"1", "[]", R"({"format":1})", R"({"format":{}})", R"({"format":{"type":"x"}})"}},
       {"tools",
        {"1", "{}", "[1]", "[{}]", R"([{"type":1}])", R"([{"type":"function"}])",
         R"([{"type":"function","name":"f","parameters":1}])", R"([{"type":"function","name":"f","strict":1}])",
         R"([{"type":"function","function":{"name":"f"}}])", R"([{"type":"web_search"}])", R"([{"type":"mcp"}])",
         R"([{"type":"function","name":"f"},{"name":"g"}])",
         R"([{"type":"function","name":"f"},{"type":"function","name":"f"}])"}},
       {"tool_choice", {"1", R"("function")", R"("maybe")", R"({"type":"allowed_tools"})"}}});
  const Refusal stored = refusal_in(read_responses(kInput + R"(,"previous_response_id":"resp_1"})"));
  EXPECT_EQ(stored.code, "previous_response_not_found");
  EXPECT_NE(stored.message.find("send the whole conversation"), std::string::npos);
}

TEST(ResponsesRequest, ItemsAreRefusedByTheirPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"null", "input"},
      {"1", "input"},
      {"{}", "input"},
      {"[]", "input"},
      {"[1]", "input[0]"},
      {R"([{"type":"reasoning","summary":[]}])", "input"},
      {R"([{"content":"x"}])", "input[0].role"},
      {R"([{"role":"tool","content":"x"}])", "input[0].role"},
      {R"([{"role":"user"}])", "input[0].content"},
      {R"([{"role":"user","content":1}])", "input[0].content"},
      {R"([{"role":"user","content":[{"type":"input_image","image_url":"x"}]}])", "input[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"input_text"}]}])", "input[0].content[0].text"},
      {R"([{"type":"item_reference","id":"x"}])", "input[0].type"},
      {R"([{"type":"web_search_call","id":"x"}])", "input[0].type"},
      {R"([{"type":"function_call","name":"f","arguments":"{}"}])", "input[0].call_id"},
      {R"([{"type":"function_call","call_id":"1","name":"f","arguments":{}}])", "input[0].arguments"},
      {R"([{"type":"function_call","call_id":"1","name":"f","arguments":"{}"}])", "input"},
      {R"([{"type":"function_call_output","call_id":"1","output":"x"}])", "input[0].call_id"},
      {R"([{"type":"reasoning","content":[{"type":"text","text":"x"}]}])", "input[0].content[0].type"},
  };
  for (const auto& [items, param] : cases) {
    EXPECT_EQ(refusal_in(read_responses(R"({"input":)" + items + "}")).param, param) << items;
  }
  for (const std::string body : {"", "[]", "{", "\xff"}) {
    EXPECT_EQ(refusal_in(read_responses(body)).code, "invalid_json") << body;
  }
}

}  // namespace
}  // namespace naru::server
