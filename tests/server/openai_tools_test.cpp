// Tools in OpenAI's chat: what a request may say of them, calls and results in its messages, and calls in answers.
#include "server/openai_tools.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/limits.h"
#include "server/openai_answer.h"
#include "server/openai_request.h"

namespace naru::server {
namespace {

const std::string kHi = R"("messages":[{"role":"user","content":"Hi"}])";

AnswerRequest read_tools_body(const std::string& body) {
  const ReadRequest read = read_openai_chat(body);
  const auto* request = std::get_if<AnswerRequest>(&read);
  EXPECT_NE(request, nullptr) << body << "\n" << std::get<Refusal>(read).message;
  return request ? *request : AnswerRequest();
}

Refusal refusal_of_body(const std::string& body) {
  const ReadRequest read = read_openai_chat(body);
  EXPECT_TRUE(std::holds_alternative<Refusal>(read)) << body;
  return std::holds_alternative<Refusal>(read) ? std::get<Refusal>(read) : Refusal();
}

std::string with_tools(const std::string& tools, const std::string& more = "") {
  return "{" + kHi + ",\"tools\":" + tools + (more.empty() ? "" : "," + more) + "}";
}

const std::string kTwoTools =
    R"([{"type":"function","function":{"name":"get_weather","description":"d","strict":true,)"
    R"("parameters":{"type":"object","properties":{"b":{},"a":{}}}}},{"type":"function","function":{"name":"now"}}])";

TEST(OpenAiTools, AreMadeWhatTemplatesTake) {
  const AnswerRequest r = read_tools_body(with_tools(kTwoTools, R"("parallel_tool_calls":false)"));
  ASSERT_TRUE(r.tools.as_list() && r.tools.as_list()->size() == 2);
  const text::Value& first = *r.tools.as_list()->at(0).find("function");
  EXPECT_EQ(*first.find("name")->as_string(), "get_weather");
  EXPECT_EQ(first.as_object()->at(2).first, "parameters");
  EXPECT_EQ(first.find("parameters")->find("properties")->as_object()->at(0).first, "b") << "in their order";
  EXPECT_EQ(first.find("strict"), nullptr);
  const text::Value& second = *r.tools.as_list()->at(1).find("function");
  EXPECT_TRUE(second.find("parameters")->as_object()) << "templates ask for it";
  EXPECT_EQ(second.find("description"), nullptr);
  EXPECT_FALSE(r.parallel_calls);
  EXPECT_EQ(r.strict_tools, std::vector<std::string>{"get_weather"});
  EXPECT_TRUE(r.ignored.empty());
  EXPECT_TRUE(read_tools_body(with_tools(kTwoTools)).parallel_calls);
  EXPECT_TRUE(read_tools_body(with_tools(kTwoTools, R"("tool_choice":"none")")).tools.is_null());
  EXPECT_FALSE(read_tools_body(with_tools(kTwoTools, R"("tool_choice":"auto")")).tools.is_null());
  EXPECT_TRUE(read_tools_body(with_tools("[]", R"("functions":[],"function_call":"auto")")).tools.is_null());
}

TEST(OpenAiTools, AreRefusedByTheirPlace) {
  const auto tool = [](const std::string& function) { return R"([{"type":"function","function":)" + function + "}]"; };
  const std::pair<std::string, std::string> cases[] = {
      {"[1]", "tools[0]"},
      {"[{}]", "tools[0].type"},
      {R"([{"type":"custom","custom":{}}])", "tools[0].type"},
      {R"([{"type":7}])", "tools[0].type"},
      {R"([{"type":"function"}])", "tools[0].function"},
      {tool("7"), "tools[0].function"},
      {tool("{}"), "tools[0].function.name"},
      {tool(R"({"name":7})"), "tools[0].function.name"},
      {tool(R"({"name":""})"), "tools[0].function.name"},
      {tool(R"({"name":"a b"})"), "tools[0].function.name"},
      {tool(R"({"name":")" + std::string(129, 'a') + "\"}"), "tools[0].function.name"},
      {tool(R"({"name":"f","description":1})"), "tools[0].function.description"},
      {tool(R"({"name":"f","parameters":[]})"), "tools[0].function.parameters"},
      {tool(R"({"name":"f","strict":1})"), "tools[0].function.strict"},
      {R"([{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"f"}}])",
       "tools[1].function.name"},
  };
  for (const auto& [tools, param] : cases) {
    const Refusal refusal = refusal_of_body(with_tools(tools));
    EXPECT_EQ(refusal.param, param) << tools << "\n" << refusal.message;
    EXPECT_EQ(refusal.status, 400);
  }
  std::string many;
  for (int64_t i = 0; i <= kToolsMax; ++i)
    many += R"(,{"type":"function","function":{"name":"f)" + std::to_string(i) + "\"}}";
  EXPECT_EQ(refusal_of_body(with_tools("[" + many.substr(1) + "]")).param, "tools");
  EXPECT_NE(refusal_of_body("{" + kHi + R"(,"functions":[{"name":"f"}]})").message.find("send \"tools\""),
            std::string::npos);
  EXPECT_EQ(refusal_of_body(R"({"messages":[{"role":"assistant","content":"x","function_call":{}}]})").param,
            "messages[0].function_call");
}

TEST(OpenAiTools, CallsAndResultsInMessages) {
  const std::string arguments = R"({ \"a\":1.0 })";
  const AnswerRequest r = read_tools_body(
      R"({"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","index":0,)"
      R"("function":{"name":"f","arguments":")" +
      arguments +
      R"("}}]},{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"12"}]},)"
      R"({"role":"assistant","content":"so","tool_calls":[]}]})");
  ASSERT_EQ(r.messages.size(), 3u);
  EXPECT_TRUE(r.messages[0].find("content")->is_null());
  const text::Value& call = r.messages[0].find("tool_calls")->as_list()->at(0);
  EXPECT_EQ(*call.find("id")->as_string(), "c1");
  EXPECT_EQ(*call.find("function")->find("arguments")->as_string(), R"({ "a":1.0 })") << "as it was sent";
  EXPECT_EQ(*r.messages[1].find("tool_call_id")->as_string(), "c1");
  EXPECT_EQ(*r.messages[1].find("content")->as_string(), "12");
  EXPECT_EQ(r.messages[2].find("tool_calls"), nullptr);
  EXPECT_TRUE(r.ignored.empty());
  const auto calls = [](const std::string& one, const std::string& role = "assistant") {
    return R"({"messages":[{"role":")" + role + R"(","content":"x","tool_calls":[)" + one + "]}]}";
  };
  const std::string place = "messages[0].tool_calls[0]";
  const std::pair<std::string, std::string> cases[] = {
      {calls("1"), place},
      {calls("{}"), place + ".id"},
      {calls(R"({"id":"c"})"), place + ".type"},
      {calls(R"({"id":"c","type":"function"})"), place + ".function"},
      {calls(R"({"id":"c","type":"function","function":{}})"), place + ".function.name"},
      {calls(R"({"id":"c","type":"function","function":{"name":"f"}})"), place + ".function.arguments"},
      {calls(R"({"id":"c","type":"function","function":{"name":"f","arguments":{}}})"), place + ".function.arguments"},
      {calls(R"({"id":"c","type":"function","function":{"name":"f","arguments":""}})", "user"),
       "messages[0].tool_calls"},
      {R"({"messages":[{"role":"assistant","content":null}]})", "messages[0].content"},
  };
  for (const auto& [body, param] : cases) EXPECT_EQ(refusal_of_body(body).param, param) << body;
}

TEST(OpenAiTools, JsonObjects) {
  EXPECT_TRUE(read_tools_body("{" + kHi + R"(,"response_format":{"type":"json_object"}})").is_json);
  EXPECT_FALSE(read_tools_body("{" + kHi + R"(,"response_format":{"type":"text"}})").is_json);
}

TEST(OpenAiTools, SchemasAndCallsThatMustCome) {
  const AnswerRequest schema = read_tools_body(
      "{" + kHi + R"(,"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,)" +
      R"("schema":{"type":"integer"}}}})");
  ASSERT_TRUE(schema.form && !schema.is_json && schema.has_form());
  EXPECT_EQ(*std::get<text::SchemaForm>(*schema.form).schema.find("type")->as_string(), "integer");
  EXPECT_TRUE(schema.ignored.empty());
  EXPECT_EQ(refusal_of_body("{" + kHi + R"(,"response_format":{"type":"json_schema","json_schema":{}}})").param,
            "response_format.json_schema.schema");
  const AnswerRequest required = read_tools_body(with_tools(kTwoTools, R"("tool_choice":"required")"));
  EXPECT_TRUE(required.must_call && required.only_tool.empty() && required.parallel_calls);
  const AnswerRequest named =
      read_tools_body(with_tools(kTwoTools, R"("tool_choice":{"type":"function","function":{"name":"now"}})"));
  EXPECT_TRUE(named.must_call && !named.parallel_calls);
  EXPECT_EQ(named.only_tool, "now");
  const AnswerRequest strict = read_tools_body(with_tools(
      R"([{"type":"function","function":{"name":"f","strict":true}},{"type":"function","function":{"name":"g"}}])"));
  EXPECT_EQ(strict.strict_tools, std::vector<std::string>{"f"});
  EXPECT_FALSE(strict.must_call);
}

AnswerEvent calls_event(std::vector<ToolCallPiece> calls, std::string content = "") {
  AnswerEvent event;
  event.content = std::move(content);
  event.calls = std::move(calls);
  return event;
}

std::string written_answer(bool is_streamed, const std::vector<AnswerEvent>& texts) {
  AnswerRequest request;
  request.is_chat = true;
  request.is_streamed = is_streamed;
  const auto writer = make_openai_writer({"id", 1, "m", "fp"}, request);
  std::string bytes;
  for (const AnswerEvent& event : texts) bytes += writer->take(event);
  AnswerEvent end;
  end.kind = AnswerEvent::Kind::kEnd;
  end.reason = EndReason::kToolCalls;
  bytes += writer->take(end);
  end.kind = AnswerEvent::Kind::kDone;
  return bytes + writer->take(end);
}

TEST(OpenAiTools, CallsInAWholeAnswer) {
  const auto whole = nlohmann::ordered_json::parse(written_answer(
      false,
      {calls_event({{0, "call_1", "f", "{\"a\":"}}), calls_event({{0, "", "", "1}"}, {1, "call_2", "g", "{}"}})}));
  EXPECT_EQ(
      whole["choices"][0]["message"].dump(),
      R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"call_1","type":"function",)"
      R"("function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"call_2","type":"function","function":{"name":"g",)"
      R"("arguments":"{}"}}]})");
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "tool_calls");
  const auto both =
      nlohmann::ordered_json::parse(written_answer(false, {calls_event({{0, "call_1", "f", "{}"}}, "see")}));
  EXPECT_EQ(both["choices"][0]["message"]["content"], "see");
}

TEST(OpenAiTools, CallsInAStream) {
  const std::string bytes = written_answer(
      true, {calls_event({{0, "call_1", "f", "{\"a\":1}"}}, "see"), calls_event({{1, "call_2", "g", "{}"}})});
  const std::string tail = R"(,"finish_reason":null,"logprobs":null}]})";
  const size_t content = bytes.find(R"("delta":{"content":"see"})" + tail);
  const size_t first = bytes.find(
      R"("delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]})" +
      tail);
  const size_t second = bytes.find(R"("delta":{"tool_calls":[{"index":1,"id":"call_2")");
  const size_t end = bytes.find(R"("delta":{},"finish_reason":"tool_calls")");
  EXPECT_TRUE(content < first && first < second && second < end && end != std::string::npos) << bytes;
}

}  // namespace
}  // namespace naru::server
