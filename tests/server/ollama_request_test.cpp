// Ollama's requests: what is taken, what is refused by the name of its field, and what only asks for the model.
#include "server/ollama_request.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/ollama_pages.h"
#include "tests/server/plain_model.h"

namespace naru::server {
namespace {

AnswerRequest ollama_taken(const ReadRequest& read) {
  const auto* refusal = std::get_if<Refusal>(&read);
  EXPECT_EQ(refusal, nullptr) << refusal->message;
  const auto* request = std::get_if<AnswerRequest>(&read);
  EXPECT_NE(request, nullptr);
  return request ? *request : AnswerRequest();
}

std::string word_of(const text::Value& value, std::string_view name) {
  const text::Value* found = value.find(name);
  return found && found->as_string() ? *found->as_string() : "(none)";
}

TEST(OllamaChat, EverythingThatCanBeSaid) {
  const AnswerRequest r = ollama_taken(read_ollama_chat(R"({"model":"m:latest","messages":[
    {"role":"system","content":"Be brief."},
    {"role":"user","content":"Weather?","images":[]},
    {"role":"assistant","content":"","thinking":"why","tool_calls":[
      {"function":{"name":"rain","arguments":{"city":"Łódź","days":[1, 2.50],"big":18446744073709551616}}},
      {"id":"x7","type":"function","function":{"index":1,"name":"wind"}}]},
    {"role":"tool","content":"5","tool_name":"wind"},
    {"role":"tool","content":"wet","tool_name":"rain"}],
    "tools":[{"type":"function","function":{"name":"rain","description":"d","parameters":{"type":"object"}}},
             {"function":{"name":"wind"}}],
    "options":{"num_predict":5,"seed":3,"temperature":0.5,"top_k":7,"top_p":0.25,"min_p":0.125,"stop":["x"],
      "repeat_penalty":1.5,"presence_penalty":1,"frequency_penalty":-2,"num_ctx":512,"mirostat":2},
    "stream":false,"format":"json","think":"low","keep_alive":"5m","logprobs":true,"top_logprobs":2,"odd":1})"));
  EXPECT_EQ(r.model, "m");
  EXPECT_TRUE(r.is_chat && r.is_json && !r.is_streamed);
  ASSERT_EQ(r.messages.size(), 5u);
  const text::Value& call = r.messages[2].find("tool_calls")->as_list()->at(0);
  EXPECT_EQ(word_of(call, "id"), "call_0");
  EXPECT_EQ(word_of(*call.find("function"), "arguments"),
            R"({"city": "Łódź", "days": [1, 2.5], "big": 18446744073709551616})");
  EXPECT_EQ(word_of(*r.messages[2].find("tool_calls")->as_list()->at(1).find("function"), "arguments"), "{}");
  EXPECT_EQ(word_of(r.messages[2], "reasoning_content"), "why");
  // Results answer the call of their tool, in whichever order.
  EXPECT_EQ(word_of(r.messages[3], "tool_call_id"), "x7");
  EXPECT_EQ(word_of(r.messages[4], "tool_call_id"), "call_0");
  EXPECT_EQ(word_of(r.messages[4], "name"), "rain");
  ASSERT_EQ(r.tools.as_list()->size(), 2u);
  EXPECT_EQ(word_of(r.tools.as_list()->at(1), "type"), "function");
  const AskedSampling& s = r.sampling;
  EXPECT_EQ(s.temperature, 0.5);
  EXPECT_EQ(s.top_k, 7);
  EXPECT_EQ(s.top_p, 0.25);
  EXPECT_EQ(s.min_p, 0.125);
  EXPECT_EQ(s.repetition_penalty, 1.5);
  EXPECT_EQ(s.presence_penalty, 1);
  EXPECT_EQ(s.frequency_penalty, -2);
  EXPECT_EQ(s.seed, uint64_t{3});
  EXPECT_EQ(r.max_tokens, 5);
  EXPECT_EQ(r.context_wanted, 512);
  EXPECT_EQ(r.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(r.thinks, true);
  EXPECT_EQ(r.reasoning_effort, "low");
  EXPECT_EQ(r.top_logprobs, 2);
  EXPECT_EQ(r.ignored, (std::vector<std::string>{"keep_alive", "odd", "options.mirostat"}));
}

TEST(OllamaChat, WhatIsLeftOut) {
  const std::string messages = R"({"messages":[{"role":"user","content":"Hi"}])";
  const AnswerRequest r = ollama_taken(read_ollama_chat(messages + R"(,"format":"","tools":[],"options":{}})"));
  EXPECT_TRUE(r.is_streamed && !r.is_json && r.tools.is_null() && !r.thinks && !r.top_logprobs && r.ignored.empty());
  for (const char* none : {"-1", "-2", "0"}) {
    const std::string body = messages + R"(,"options":{"num_predict":)" + none + "}}";
    EXPECT_EQ(ollama_taken(read_ollama_chat(body)).max_tokens, 0);
  }
  EXPECT_EQ(ollama_taken(read_ollama_chat(messages + R"(,"think":false})")).thinks, false);
  EXPECT_EQ(ollama_taken(read_ollama_chat(messages + R"(,"think":true})")).reasoning_effort, "");
}

TEST(OllamaChat, WhatIsWrongIsRefusedByName) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> fields = {
      {"model", {"1", "[]", "{}", "true"}},
      {"messages", {"1", R"("a")", "{}"}},
      {"tools", {"1", R"("a")", "{}"}},
      {"tools[0]", {"[1]"}},
      {"tools[0].type", {R"([{"type":"x","function":{"name":"a"}}])", R"([{"type":1,"function":{"name":"a"}}])"}},
      {"tools[0].function", {"[{}]", R"([{"function":1}])"}},
      {"tools[0].function.name", {R"([{"function":{"name":1}}])", R"([{"function":{"name":""}}])"}},
      {"tools[0].function.description", {R"([{"function":{"name":"a","description":1}}])"}},
      {"tools[0].function.parameters", {R"([{"function":{"name":"a","parameters":"x"}}])"}},
      {"options", {"1", R"("a")", "[]"}},
      {"options.temperature", {R"({"temperature":"1"})", R"({"temperature":-1})"}},
      {"options.num_predict", {R"({"num_predict":-3})", R"({"num_predict":1.5})"}},
      {"options.num_ctx", {R"({"num_ctx":0})", R"({"num_ctx":"8"})"}},
      {"options.stop", {R"({"stop":1})", R"({"stop":[""]})"}},
      {"options.seed", {R"({"seed":"1"})"}},
      {"stream", {"1", R"("true")"}},
      {"format", {"1", "true", R"("xml")", "[]"}},
      {"think", {"1", R"("very")", "{}"}},
      {"keep_alive", {"true", "{}", "[]"}},
      {"logprobs", {"1"}},
      {"top_logprobs", {"1", "21", R"("1")"}},
  };
  for (const auto& [param, values] : fields) {
    const std::string name = param.substr(0, param.find_first_of(".["));
    for (const std::string& value : values) {
      const std::string body = (name == "messages" ? "{" : R"({"messages":[{"role":"user","content":"a"}],)") +
                               fmt::format(R"("{}":{}}})", name, value);
      const ReadRequest read = read_ollama_chat(body);
      const auto* refusal = std::get_if<Refusal>(&read);
      ASSERT_NE(refusal, nullptr) << body;
      EXPECT_EQ(refusal->param, param) << body;
      EXPECT_EQ(refusal->status, 400);
    }
  }
  const std::vector<std::pair<std::string, std::string>> messages = {
      {"1", "messages[0]"},
      {R"({"content":"a"})", "messages[0].role"},
      {R"({"role":"king","content":"a"})", "messages[0].role"},
      {R"({"role":"user","content":["a"]})", "messages[0].content"},
      {R"({"role":"user","content":"a","images":["aGk="]})", "messages[0].images"},
      {R"({"role":"user","content":"a","thinking":1})", "messages[0].thinking"},
      {R"({"role":"assistant","tool_calls":{}})", "messages[0].tool_calls"},
      {R"({"role":"assistant","tool_calls":[1]})", "messages[0].tool_calls[0]"},
      {R"({"role":"assistant","tool_calls":[{"function":{}}]})", "messages[0].tool_calls[0].function.name"},
      {R"({"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]})",
       "messages[0].tool_calls[0].function.arguments"},
      {R"({"role":"user","tool_calls":[{"function":{"name":"f"}}]})", "messages[0].tool_calls"},
      {R"({"role":"tool","tool_name":1})", "messages[0].tool_name"},
  };
  for (const auto& [message, param] : messages) {
    const ReadRequest read = read_ollama_chat(R"({"messages":[)" + message + "]}");
    const auto* refusal = std::get_if<Refusal>(&read);
    ASSERT_NE(refusal, nullptr) << message;
    EXPECT_EQ(refusal->param, param) << message;
  }
}

TEST(OllamaGenerate, EveryKindOfPrompt) {
  const AnswerRequest chat = ollama_taken(read_ollama_generate(R"({"prompt":"a","system":"s"})"));
  ASSERT_TRUE(chat.is_chat && chat.is_streamed && chat.messages.size() == 2);
  EXPECT_EQ(word_of(chat.messages[0], "role") + word_of(chat.messages[1], "content"), "systema");
  const AnswerRequest raw = ollama_taken(read_ollama_generate(R"({"prompt":"a","raw":true,"think":true})"));
  EXPECT_FALSE(raw.is_chat);
  EXPECT_EQ(std::get<std::string>(raw.prompts.at(0)), "a");
  EXPECT_EQ(raw.ignored, std::vector<std::string>{"think"});
  const AnswerRequest filled = ollama_taken(read_ollama_generate(R"({"prompt":"","suffix":"b"})"));
  EXPECT_FALSE(filled.is_chat);
  EXPECT_EQ(filled.suffix, "b");
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"({"prompt":1})", "prompt"},
      {R"({"prompt":"a","images":["aGk="]})", "images"},
      {R"({"prompt":"a","context":[1,2]})", "context"},
      {R"({"prompt":"a","template":"{{ .Prompt }}"})", "template"},
      {R"({"prompt":"a","raw":true,"system":"s"})", "system"},
      {R"({"prompt":"a","suffix":"b","system":"s"})", "system"},
      {R"({"prompt":"a","raw":1})", "raw"},
  };
  for (const auto& [body, param] : wrong) {
    const ReadRequest read = read_ollama_generate(body);
    const auto* refusal = std::get_if<Refusal>(&read);
    ASSERT_NE(refusal, nullptr) << body;
    EXPECT_EQ(refusal->param, param) << body;
  }
  EXPECT_TRUE(ollama_taken(read_ollama_generate(R"({"prompt":"a","context":[],"images":[],"template":""})")).is_chat);
}

TEST(Ollama, WhoeverOnlyWantsTheModelHasIt) {
  const PlainModel model(kPlainChat);
  const auto page = [&](const ReadRequest& read) {
    const auto* asked = std::get_if<PageRequest>(&read);
    EXPECT_NE(asked, nullptr);
    return asked ? std::get<std::string>(asked->make(model.facts)) : "";
  };
  const std::string end = R"("done":true,"done_reason":"load"})";
  const std::string begin = R"({"model":"tiny","created_at":"2023-11-14T22:13:20.000000000Z",)";
  EXPECT_EQ(page(read_ollama_chat(R"({"model":"tiny"})")),
            begin + R"("message":{"role":"assistant","content":""},)" + end);
  EXPECT_EQ(page(read_ollama_chat(R"({"messages":[]})")),
            begin + R"("message":{"role":"assistant","content":""},)" + end);
  EXPECT_EQ(page(read_ollama_generate(R"({"model":"tiny","keep_alive":-1})")), begin + R"("response":"",)" + end);
  EXPECT_TRUE(std::holds_alternative<Refusal>(read_ollama_generate(R"({"stream":1})")));
}

TEST(OllamaPages, SayWhatTheModelIs) {
  const PlainModel model(read_text_fixture("families/qwen3.jinja"), {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"});
  const auto tags = nlohmann::json::parse(ollama_tags({{"tiny", &model.facts, "abc"}}))["models"][0];
  EXPECT_EQ(tags["name"], "tiny");
  EXPECT_EQ(tags["digest"], "abc");
  EXPECT_EQ(tags["details"]["parameter_size"], "134.52M");
  EXPECT_EQ(tags["details"]["quantization_level"], "Q4_0");
  EXPECT_FALSE(nlohmann::json::parse(ollama_tags({{"tiny", &model.facts, ""}}))["models"][0].contains("digest"));
  const auto running = nlohmann::json::parse(ollama_ps({{"tiny", &model.facts, ""}}))["models"][0];
  EXPECT_EQ(running["context_length"], 256);
  EXPECT_EQ(running["size_vram"], 0);
  const ReadRequest read = kOllamaShow.read(R"({"model":"tiny:latest","verbose":true})", {});
  const PageRequest& show = std::get<PageRequest>(read);
  EXPECT_EQ(show.model, "tiny");
  EXPECT_EQ(std::get<PageRequest>(kOllamaShow.read(R"({"name":"m:latest"})", {})).model, "m");
  EXPECT_EQ(show.ignored, std::vector<std::string>{"verbose"});
  const auto shown = nlohmann::json::parse(std::get<std::string>(show.make(model.facts)));
  EXPECT_EQ(shown["model_info"]["llama.context_length"], 256);
  EXPECT_EQ(shown["capabilities"], (nlohmann::json{"completion", "insert", "thinking"}));
  // Tools where requests with tools are taken: the template lists them, and its calls are of a form that is read.
  ModelFacts caller = model.facts;
  caller.tools = text::tool_support(*caller.chat_template);
  const auto words_of = [&] { return nlohmann::json::parse(std::get<std::string>(show.make(caller)))["capabilities"]; };
  EXPECT_EQ(words_of(), (nlohmann::json{"completion", "tools", "insert", "thinking"}));
  caller.tools.form = text::ToolCallForm::kNone;
  EXPECT_EQ(words_of(), shown["capabilities"]);
  EXPECT_EQ(ollama_version("1.2"), R"({"version":"0.12.11","naru":"1.2"})");
}

}  // namespace
}  // namespace naru::server
