// Anthropic's requests: what is taken, what is refused by the name of its field, and what is ignored and said.
#include "server/anthropic_request.h"

#include <gtest/gtest.h>

#include "server/model_facts.h"
#include "server/value_json.h"
#include "tests/server/dialect_events.h"

namespace naru::server {
namespace {

using dialect_test::refusal_in;
using dialect_test::taken_request;

const std::string kHello = R"({"max_tokens":5,"messages":[{"role":"user","content":"Hi"}])";

std::string messages_json(const AnswerRequest& request) {
  return value_json(request.messages);
}

AnswerRequest taken_messages(const std::string& messages) {
  return taken_request(read_anthropic_messages(R"({"max_tokens":5,"messages":)" + messages + "}"));
}

std::string refused_param(const std::string& messages) {
  return refusal_in(read_anthropic_messages(R"({"max_tokens":5,"messages":)" + messages + "}")).param;
}

// The shape that Claude Code sends.
TEST(AnthropicRequest, AnAgentsTurn) {
  const AnswerRequest r = taken_request(read_anthropic_messages(R"({"model":"m","max_tokens":32000,"stream":true,
    "system":[{"type":"text","text":"You are brief.","cache_control":{"type":"ephemeral"}},{"type":"text","text":"cwd: /x"}],
    "messages":[
      {"role":"user","content":[{"type":"text","text":"<reminder>"},{"type":"text","text":"List.","cache_control":{"type":"ephemeral"}}]},
      {"role":"assistant","content":[{"type":"thinking","thinking":"They want ls.","signature":"abc"},
        {"type":"text","text":"I look."},
        {"type":"tool_use","id":"call_1","name":"Bash","input":{"command":"ls","n":1.0,"deep":{"a":[1,null,true]}}},
        {"type":"tool_use","id":"call_2","name":"Read","input":{}}]},
      {"role":"user","content":[
        {"type":"tool_result","tool_use_id":"call_1","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
        {"type":"tool_result","tool_use_id":"call_2","is_error":true,"content":"no file"},
        {"type":"text","text":"Go on."}]}],
    "tools":[{"name":"Bash","description":"Runs.","input_schema":{"type":"object","properties":{"command":{"type":"string"}}},
        "cache_control":{"type":"ephemeral"}},
      {"type":"custom","name":"mcp__x__Read","input_schema":{"type":"object"},"strict":true}],
    "tool_choice":{"type":"auto","disable_parallel_tool_use":true},
    "thinking":{"type":"enabled","budget_tokens":31999,"display":"summarized"},
    "output_config":{"effort":"xhigh"},"context_management":{"edits":[]},
    "temperature":1,"top_p":0.5,"top_k":7,"stop_sequences":["x","y"],"seed":3,
    "metadata":{"user_id":"u"},"service_tier":"auto","betas":["a"]})"));
  EXPECT_EQ(messages_json(r),
            R"([{"role": "system", "content": "You are brief.\ncwd: /x"}, )"
            R"({"role": "user", "content": "<reminder>\nList."}, )"
            R"({"role": "assistant", "content": "I look.", "reasoning_content": "They want ls.", "tool_calls": [)"
            R"({"id": "call_1", "type": "function", "function": {"name": "Bash", )"
            R"("arguments": "{\"command\": \"ls\", \"n\": 1.0, \"deep\": {\"a\": [1, null, true]}}"}}, )"
            R"({"id": "call_2", "type": "function", "function": {"name": "Read", "arguments": "{}"}}]}, )"
            R"({"role": "tool", "tool_call_id": "call_1", "name": "Bash", "content": "a\nb"}, )"
            R"({"role": "tool", "tool_call_id": "call_2", "name": "Read", "content": "Error: no file"}, )"
            R"({"role": "user", "content": "Go on."}])");
  EXPECT_EQ(value_json(r.tools),
            R"([{"type": "function", "function": {"name": "Bash", "description": "Runs.", )"
            R"("parameters": {"type": "object", "properties": {"command": {"type": "string"}}}}}, )"
            R"({"type": "function", "function": {"name": "mcp__x__Read", "parameters": {"type": "object"}}}])");
  EXPECT_TRUE(r.is_chat && r.is_streamed && !r.parallel_calls && r.thinks == true && !r.continues_last);
  EXPECT_EQ(r.reasoning_effort, "high");
  EXPECT_EQ(r.max_tokens, 32000);
  EXPECT_EQ(r.sampling.temperature, 1.0);
  EXPECT_EQ(r.sampling.top_p, 0.5);
  EXPECT_EQ(r.sampling.top_k, 7);
  EXPECT_EQ(r.sampling.seed, 3u);
  EXPECT_EQ(r.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(r.ignored, (std::vector<std::string>{"betas", "cache_control", "context_management", "metadata",
                                                 "service_tier", "thinking.display"}));
  EXPECT_EQ(r.strict_tools.size(), 1u);
}

TEST(AnthropicRequest, WhatIsLeftOutIsLeftOpen) {
  const AnswerRequest r =
      taken_request(read_anthropic_messages(kHello + R"(,"system":null,"tools":[],"thinking":null})"));
  EXPECT_EQ(messages_json(r), R"([{"role": "user", "content": "Hi"}])");
  EXPECT_FALSE(r.thinks || r.sampling.temperature || r.sampling.seed || r.is_streamed || !r.parallel_calls);
  EXPECT_TRUE(r.tools.is_null() && r.reasoning_effort.empty() && r.stop.empty() && r.ignored.empty());
}

TEST(AnthropicRequest, Turns) {
  const AnswerRequest prefill = taken_messages(
      R"([{"role":"system","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"1"},
          {"role":"user","content":[{"type":"text","text":"2"}]},{"role":"assistant","content":"It is ("}])");
  EXPECT_TRUE(prefill.continues_last);
  EXPECT_EQ(messages_json(prefill), R"([{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "1\n2"}, )"
                                    R"({"role": "assistant", "content": "It is ("}])");
  const AnswerRequest redacted = taken_messages(
      R"([{"role":"user","content":[]},{"role":"assistant","content":[{"type":"redacted_thinking","data":"x"}]},
          {"role":"user","content":""}])");
  EXPECT_EQ(messages_json(redacted), R"([{"role": "user", "content": ""}, {"role": "assistant", "content": ""}, )"
                                     R"({"role": "user", "content": ""}])");
  EXPECT_EQ(redacted.ignored, std::vector<std::string>{"messages[1].content[0].data"});
  // The line that is another one with each request.
  const AnswerRequest billed = taken_request(read_anthropic_messages(
      kHello +
      R"(,"system":[{"type":"text","text":"x-anthropic-billing-header: cch=1;"},{"type":"text","text":"a"}]})"));
  EXPECT_TRUE(messages_json(billed).starts_with(R"([{"role": "system", "content": "a"}, )"));
  EXPECT_EQ(billed.ignored, std::vector<std::string>{"x-anthropic-billing-header"});
  // Text before results stays before them.
  const AnswerRequest order = taken_messages(
      R"([{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{}}]},
          {"role":"user","content":[{"type":"text","text":"a"},{"type":"tool_result","tool_use_id":"1"}]}])");
  EXPECT_TRUE(messages_json(order).ends_with(
      R"({"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "1", "name": "f", "content": ""}])"));
}

TEST(AnthropicRequest, ThinkingAndTools) {
  const auto with = [](const std::string& more) { return taken_request(read_anthropic_messages(kHello + more)); };
  EXPECT_EQ(with(R"(,"thinking":{"type":"disabled"}})").thinks, false);
  EXPECT_EQ(with(R"(,"thinking":{"type":"adaptive"}})").thinks, true);
  EXPECT_EQ(with(R"(,"output_config":{"effort":"low"}})").reasoning_effort, "low");
  EXPECT_EQ(with(R"(,"output_config":{"effort":"max"}})").reasoning_effort, "max");
  const std::string tools = R"(,"tools":[{"name":"f","input_schema":{"type":"object"}}])";
  EXPECT_TRUE(with(tools + R"(,"tool_choice":{"type":"none"}})").tools.is_null());
  EXPECT_FALSE(with(tools + "}").tools.is_null());
  EXPECT_TRUE(with(tools + R"(,"tool_choice":{"type":"any"}})").must_call);
  const AnswerRequest named = with(tools + R"(,"tool_choice":{"type":"tool","name":"f"}})");
  EXPECT_TRUE(named.must_call && !named.parallel_calls && named.only_tool == "f");
  EXPECT_EQ(with(R"(,"tools":[{"name":"f","strict":true,"input_schema":{}}]})").strict_tools,
            std::vector<std::string>{"f"});
  const std::string format = R"({"type":"json_schema","schema":{"type":"null"}})";
  EXPECT_TRUE(with(R"(,"output_config":{"format":)" + format + "}}").form.has_value());
  EXPECT_TRUE(with(R"(,"output_format":)" + format + "}").form.has_value());
  EXPECT_EQ(
      refusal_in(read_anthropic_messages(kHello + R"(,"output_config":{"format":{"type":"json_schema"}}})")).param,
      "output_config.format.schema");
}

TEST(AnthropicRequest, WrongTypesAreRefusedByName) {
  const std::vector<std::string> no_string = {"1", "true", R"(["a"])", "{}"};
  const std::vector<std::string> no_number = {R"("1")", "true", "[1]", "{}", "1e400", "-1"};
  dialect_test::expect_refused_by_name(
      read_anthropic_messages, kHello,
      {{"model", no_string},
       {"response_format", {R"({"type":"json_object"})", R"("x")"}},  // a form by another dialect's name
       {"format", {R"("json")"}},
       {"temperature", no_number},
       {"top_p", {R"("1")", "true", "[1]", "{}", "1.5"}},
       {"min_p", no_number},
       {"top_k", {R"("1")", "true", "[1]", "{}", "1.5", "-1", "2147483648"}},
       {"seed", {R"("1")", "1.5", "18446744073709551616"}},
       {"stream", {R"("true")", "1", "[]", "{}"}},
       {"cache_salt", no_string},
       {"stop_sequences", {"1", "true", "{}", "[1]", R"([""])"}},
       {"system", {"1", "true", "{}", "[1]", R"([{"text":"a"}])", R"([{"type":"image","source":{}}])"}},
       {"tools",
        {"1", "true", "{}", R"("x")", "[1]", "[{}]", R"([{"name":"f"}])", R"([{"input_schema":{}}])",
         R"([{"name":"f","input_schema":[]}])", R"([{"name":"a b","input_schema":{}}])",
         R"([{"name":"","input_schema":{}}])", R"([{"name":"f","input_schema":{},"description":1}])",
         R"([{"name":"f","input_schema":{}},{"name":"f","input_schema":{}}])",
         R"([{"type":"web_search_20250305","name":"web_search"}])", R"([{"type":"bash_20250124","name":"bash"}])"}},
       {"tool_choice",
        {"1", R"("auto")", "{}", R"({"type":1})", R"({"type":"x"})",
         R"({"type":"auto","disable_parallel_tool_use":1})"}},
       {"thinking", {"1", "true", "{}", R"({"type":"between_tools"})", R"({"type":"enabled","budget_tokens":"x"})"}},
       {"output_config", {"1", "[]", R"({"effort":1})", R"({"effort":"huge"})"}},
       {"output_format", {"1"}},
       {"container", {R"("c")"}},
       {"mcp_servers", {"1", R"([{"url":"x"}])"}}});
  for (const std::string value : {"0", "-1", R"("5")", "1.5", "null", "4294967296"}) {
    const std::string body = R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":)" + value + "}";
    EXPECT_EQ(refusal_in(read_anthropic_messages(body)).param, "max_tokens") << body;
  }
}

TEST(AnthropicRequest, MessagesAreRefusedByTheirPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"null", "messages"},
      {R"("hi")", "messages"},
      {"[]", "messages"},
      {"[1]", "messages[0]"},
      {R"([{"content":"x"}])", "messages[0].role"},
      {R"([{"role":"tool","content":"x"}])", "messages[0].role"},
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":7}])", "messages[0].content"},
      {R"([{"role":"user","content":["x"]}])", "messages[0].content[0]"},
      {R"([{"role":"user","content":[{"text":"x"}]}])", "messages[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"text"}]}])", "messages[0].content[0].text"},
      {R"([{"role":"user","content":[{"type":"image","source":{}}]}])", "messages[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"document","source":{}}]}])", "messages[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"thinking","thinking":"x"}]}])", "messages[0].content[0].type"},
      {R"([{"role":"assistant","content":[{"type":"server_tool_use"}]}])", "messages[0].content[0].type"},
      {R"([{"role":"assistant","content":[{"type":"thinking"}]}])", "messages[0].content[0].thinking"},
      {R"([{"role":"assistant","content":[{"type":"tool_use","name":"f","input":{}}]}])", "messages[0].content[0].id"},
      {R"([{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f"}]}])", "messages[0].content[0].input"},
      {R"([{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":"{}"}]}])",
       "messages[0].content[0].input"},
      {R"([{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{}}]}])", "messages"},
      {R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"9","content":"x"}]}])",
       "messages[0].content[0].tool_use_id"},
      {R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"9","content":[{"type":"image"}]}]}])",
       "messages[0].content[0].content[0].type"},
  };
  for (const auto& [messages, param] : cases) EXPECT_EQ(refused_param(messages), param) << messages;
  for (const std::string body : {"", "[]", "{", "\xff"}) {
    EXPECT_EQ(refusal_in(read_anthropic_messages(body)).code, "invalid_json") << body;
  }
}

// Counting takes what asking takes, but for what the answer is to be.
TEST(AnthropicRequest, Counting) {
  const ReadRequest read = read_anthropic_count(R"({"model":"m","messages":[{"role":"user","content":"Hi"}],"x":1})");
  const auto* page = std::get_if<PageRequest>(&read);
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(page->model, "m");
  EXPECT_EQ(page->ignored, std::vector<std::string>{"x"});
  EXPECT_EQ(std::get<Refusal>(page->make(ModelFacts())).status, 500) << "a model without a tokenizer";
  EXPECT_EQ(refusal_in(read_anthropic_count(R"({"messages":[]})")).param, "messages");
}

}  // namespace
}  // namespace naru::server
