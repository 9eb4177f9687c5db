// Tools of earlier turns: whose name a result has.
#include "server/tool_prompt.h"

#include <fmt/format.h>

#include "server/ollama_request.h"
#include "tests/server/plain_model.h"

namespace naru::server {
namespace {

using text::Value;

Value call_of(const std::string& id, const std::string& name) {
  return Value::Object{
      {"id", id}, {"type", "function"}, {"function", Value::Object{{"name", name}, {"arguments", "{}"}}}};
}

Value calls_message(Value::List calls) {
  return Value::Object{{"role", "assistant"}, {"content", Value()}, {"tool_calls", std::move(calls)}};
}

Value result_message(const std::string& id) {
  return Value::Object{{"role", "tool"}, {"tool_call_id", id}, {"content", "1"}};
}

ModelFacts facts_with_calls() {
  ModelFacts facts;
  facts.tools.writes_calls = true;
  return facts;
}

std::string name_in(const Value& message) {
  const Value* name = message.find("name");
  return name != nullptr && name->as_string() != nullptr ? *name->as_string() : "(none)";
}

TEST(ToolPrompt, ResultsHaveTheNameOfTheirCall) {
  AnswerRequest request;
  request.is_chat = true;
  request.messages = {result_message("a"),
                      calls_message({call_of("a", "rain"), call_of("b", "wind")}),
                      result_message("b"),
                      result_message("a"),
                      calls_message({call_of("a", "snow")}),
                      result_message("a"),
                      result_message("x")};
  text::ChatInput input;
  engine::TextOptions unread;
  const ModelFacts facts = facts_with_calls();
  ASSERT_FALSE(prepare_tools(request, facts, input, unread));
  const char* const wanted[] = {"(none)", "(none)", "wind", "rain", "(none)", "snow", "(none)"};
  for (size_t i = 0; i < input.messages.size(); ++i) EXPECT_EQ(name_in(input.messages[i]), wanted[i]) << i;
}

TEST(ToolPrompt, OneMessageOfOllamaHasAsManyCallsAsOneOfOpenAi) {
  const auto body_of = [](int n) {
    std::string calls;
    for (int i = 0; i < n; ++i) calls += fmt::format(R"({}{{"function":{{"name":"f"}}}})", i == 0 ? "" : ",");
    return R"({"messages":[{"role":"assistant","tool_calls":[)" + calls + "]}]}";
  };
  EXPECT_TRUE(std::holds_alternative<AnswerRequest>(read_ollama_chat(body_of(128))));
  const ReadRequest read = read_ollama_chat(body_of(129));
  ASSERT_TRUE(std::holds_alternative<Refusal>(read));
  EXPECT_EQ(std::get<Refusal>(read).param, "messages[0].tool_calls");
}

}  // namespace
}  // namespace naru::server
