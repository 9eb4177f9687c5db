// Tools of earlier turns: whose name a result has, and that long conversations cost no more than their length.
#include "server/tool_prompt.h"

#include <fmt/format.h>

#include <ctime>

#include "server/ollama_request.h"
#include "tests/server/plain_model.h"

namespace naru::server {
namespace {

using text::Value;

// What this thread has worked: other threads and processes do not count.
double work_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

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

// The bound is one for work that grows with calls and results, not with their product, 128 million.
TEST(ToolPrompt, ManyCallsAndResultsAreNotSearchedThrough) {
  AnswerRequest request;
  request.is_chat = true;
  const std::string begin(60, 'c');
  for (int i = 0; i < 2000; ++i) {
    Value::List calls;
    for (int j = 0; j < 32; ++j) calls.push_back(call_of(begin + fmt::format("{}", i * 32 + j), "f"));
    request.messages.push_back(calls_message(std::move(calls)));
  }
  for (int i = 0; i < 2000; ++i) request.messages.push_back(result_message(begin));
  text::ChatInput input;
  engine::TextOptions unread;
  const ModelFacts facts = facts_with_calls();
  const double started = work_seconds();
  ASSERT_FALSE(prepare_tools(request, facts, input, unread));
  EXPECT_LT(work_seconds() - started, 0.5);
}

TEST(ToolPrompt, OllamaResultsAreNotSearchedForEither) {
  std::string calls;
  for (int i = 0; i < 128; ++i) calls += fmt::format(R"({}{{"function":{{"name":"f"}}}})", i == 0 ? "" : ",");
  std::string messages;
  for (int i = 0; i < 600; ++i) messages += R"({"role":"assistant","tool_calls":[)" + calls + "]},";
  for (int i = 0; i < 3000; ++i) messages += R"({"role":"tool","content":"","tool_name":"g"},)";
  messages.pop_back();
  const double started = work_seconds();
  const ReadRequest read = read_ollama_chat(R"({"messages":[)" + messages + "]}");
  EXPECT_TRUE(std::holds_alternative<AnswerRequest>(read));
  EXPECT_LT(work_seconds() - started, 1.0);
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
