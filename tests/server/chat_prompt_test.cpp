// A request's prompt: what is asked of reasoning as the variables of the model's template, and answers that go on.
#include "server/chat_prompt.h"

#include "server/anthropic_request.h"
#include "server/call_id.h"
#include "server/ollama_request.h"
#include "server/openai_request.h"
#include "server/prepare.h"
#include "server/responses_request.h"
#include "tests/server/plain_model.h"

namespace naru::server {
namespace {

AnswerRequest asked_chat(text::Value::List more = {}) {
  AnswerRequest request;
  request.is_chat = true;
  request.messages = {text::Value::Object{{"role", "user"}, {"content", "Hi"}}};
  request.messages.insert(request.messages.end(), more.begin(), more.end());
  return request;
}

text::Value said_before(const char* content, const char* reasoning = nullptr) {
  text::Value::Object message{{"role", "assistant"}, {"content", content}};
  if (reasoning) message.emplace_back("reasoning_content", reasoning);
  return message;
}

struct Rendered {
  std::string text;
  std::vector<std::string> ignored;
  bool opens_reasoning = false;
};

Rendered rendered(const AnswerRequest& request, const PlainModel& model) {
  const auto made = render_chat(request, model.facts);
  if (const auto* refusal = std::get_if<Refusal>(&made)) return {"refused: " + refusal->param, {}, false};
  const ChatPrompt& prompt = std::get<ChatPrompt>(made);
  EXPECT_EQ(model.facts.tokenizer->decode(prompt.ids), text::join(prompt.segments));
  return {text::join(prompt.segments), prompt.ignored, prompt.opens_reasoning};
}

using Words = std::vector<std::string>;
const std::string kPlainPrompt = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";

TEST(ChatPrompt, TheSwitchOfEachFamily) {
  const PlainModel qwen(read_text_fixture("families/qwen3.jinja"));
  const PlainModel deepseek(
      "{% if not thinking is defined %}{% set thinking = false %}{% endif %}{{ messages[0].content }}"
      "{{ '<think>' if thinking else '</think>' }}");
  const PlainModel r1(read_text_fixture("families/deepseek_r1.jinja"));
  const PlainModel plain(kPlainChat);
  AnswerRequest on = asked_chat(), off = asked_chat();
  on.thinks = true;
  off.thinks = false;
  EXPECT_EQ(rendered(off, qwen).text, kPlainPrompt + "<think>\n\n</think>\n\n");
  EXPECT_EQ(rendered(on, qwen).text, kPlainPrompt);
  EXPECT_EQ(rendered(off, qwen).ignored, Words());
  EXPECT_EQ(rendered(on, deepseek).text, "Hi<think>");
  EXPECT_TRUE(rendered(on, deepseek).opens_reasoning);
  EXPECT_EQ(rendered(off, deepseek).text, "Hi</think>");
  EXPECT_EQ(rendered(asked_chat(), deepseek).text, "Hi</think>");
  // Nothing to switch: said, but where reasoning comes anyhow.
  EXPECT_EQ(rendered(off, plain).ignored, Words{"thinking"});
  EXPECT_EQ(rendered(on, plain).ignored, Words{"thinking"});
  EXPECT_EQ(rendered(asked_chat(), plain).ignored, Words());
  EXPECT_EQ(rendered(off, r1).ignored, Words{"thinking"});
  EXPECT_EQ(rendered(on, r1).ignored, Words());
}

TEST(ChatPrompt, EffortWhereTheTemplateKnowsIt) {
  const PlainModel effort("{{ messages[0].content }}{{ reasoning_effort | default('medium') }}");
  const PlainModel qwen(read_text_fixture("families/qwen3.jinja"));
  const PlainModel plain(kPlainChat);
  AnswerRequest request = asked_chat();
  EXPECT_EQ(rendered(request, effort).text, "Himedium");
  request.reasoning_effort = "max";
  EXPECT_EQ(rendered(request, effort).text, "Himax");
  EXPECT_EQ(rendered(request, effort).ignored, Words());
  EXPECT_EQ(rendered(request, qwen).text, kPlainPrompt);  // an effort is one of thinking
  EXPECT_EQ(rendered(request, qwen).ignored, Words{"reasoning_effort"});
  EXPECT_EQ(rendered(request, plain).ignored, Words{"reasoning_effort"});
  request.reasoning_effort = "none";
  EXPECT_EQ(rendered(request, qwen).text, kPlainPrompt + "<think>\n\n</think>\n\n");
  EXPECT_EQ(rendered(request, qwen).ignored, Words());
  EXPECT_EQ(rendered(request, effort).text, "Himedium");
  EXPECT_EQ(rendered(request, effort).ignored, Words{"reasoning_effort"});
}

TEST(ChatPrompt, OneVariableIsNotSetTwice) {
  const PlainModel qwen(read_text_fixture("families/qwen3.jinja"));
  AnswerRequest request = asked_chat();
  request.thinks = false;
  request.template_settings = {{"enable_thinking", false}};
  EXPECT_EQ(rendered(request, qwen).text, kPlainPrompt + "<think>\n\n</think>\n\n");
  request.template_settings = {{"enable_thinking", true}};
  EXPECT_EQ(rendered(request, qwen).text, "refused: chat_template_kwargs.enable_thinking");
}

TEST(ChatPrompt, GoesOnWhereTheLastMessageEnds) {
  const PlainModel qwen(read_text_fixture("families/qwen3.jinja"));
  AnswerRequest request = asked_chat({said_before("The answer")});
  request.continues_last = true;
  EXPECT_EQ(rendered(request, qwen).text, kPlainPrompt + "The answer");
  request.thinks = false;
  EXPECT_EQ(rendered(request, qwen).text, kPlainPrompt + "<think>\n\n</think>\n\nThe answer");
  request = asked_chat({said_before("", "Let me see")});
  request.continues_last = true;
  EXPECT_EQ(rendered(request, qwen).text, kPlainPrompt + "<think>\nLet me see");
  EXPECT_TRUE(rendered(request, qwen).opens_reasoning);
  request.thinks = false;
  EXPECT_EQ(rendered(request, qwen).text, "refused: messages");
  request = asked_chat({said_before("The answer")});
  request.continues_last = request.is_json = true;
  EXPECT_EQ(rendered(request, qwen).text, "refused: messages");
  request = asked_chat();
  request.continues_last = true;
  EXPECT_EQ(rendered(request, qwen).text, "refused: messages");
  request =
      asked_chat({text::Value::Object{{"role", "assistant"}, {"content", ""}, {"tool_calls", text::Value::List()}}});
  request.continues_last = true;
  EXPECT_EQ(rendered(request, qwen).text, "refused: messages");
}

// What is ignored, or "refused: " and the field.
Words said_of(const ReadRequest& read, const PlainModel& model) {
  const auto* request = std::get_if<AnswerRequest>(&read);
  EXPECT_NE(request, nullptr);
  if (request == nullptr) return {};
  auto made = prepare(*request, model.facts, 0, 0);
  if (const auto* refusal = std::get_if<Refusal>(&made)) return {"refused: " + refusal->param};
  return std::get<PreparedAnswer>(made).ignored;
}

TEST(Prepare, EachDialectIsToldByItsOwnNames) {
  const PlainModel plain(kPlainChat);
  const PlainModel strict("{{ raise_exception('no') }}");
  const auto responses = [](const std::string& more) {
    return read_responses(R"({"input":[{"type":"message","role":"user","content":"Hi"}])" + more + "}");
  };
  const auto ollama = [](const std::string& more) {
    return read_ollama_chat(R"({"messages":[{"role":"user","content":"Hi"}])" + more + "}");
  };
  const auto anthropic = [](const std::string& more) {
    return read_anthropic_messages(R"({"max_tokens":5,"messages":[{"role":"user","content":"Hi"}])" + more + "}");
  };
  EXPECT_EQ(said_of(responses(R"(,"reasoning":{"effort":"high"})"), plain), Words{"reasoning.effort"});
  EXPECT_EQ(said_of(responses(R"(,"reasoning":{"effort":"none"})"), plain), Words{"reasoning.effort"});
  EXPECT_EQ(said_of(responses(""), strict), Words{"refused: input"});
  EXPECT_EQ(said_of(responses(R"(,"ignore_eos":true,"text":{"format":{"type":"json_object"}})"), plain),
            Words{"refused: text.format"});
  const std::string call = R"({"type":"function_call","call_id":"a","name":"f","arguments":"{}"},)"
                           R"({"type":"function_call_output","call_id":"a","output":"1"})";
  EXPECT_EQ(said_of(read_responses(R"({"input":[)" + call + "]}"), plain), Words{"refused: input"});
  EXPECT_EQ(said_of(ollama(R"(,"think":true)"), plain), Words{"think"});
  EXPECT_EQ(said_of(ollama(R"(,"think":"high")"), plain), Words{"think"});
  EXPECT_EQ(said_of(ollama(""), strict), Words{"refused: messages"});
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  EXPECT_EQ(said_of(ollama(R"(,"format":"json",)" + tools), plain), Words{"refused: format"});
  EXPECT_EQ(said_of(read_ollama_generate(R"({"prompt":"Hi"})"), strict), Words{"refused: prompt"});
  EXPECT_EQ(said_of(anthropic(R"(,"thinking":{"type":"disabled"},"output_config":{"effort":"low"})"), plain),
            (Words{"thinking", "output_config.effort"}));
  const std::string blocks = R"({"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]})"
                             R"(,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"1"}]})";
  EXPECT_EQ(said_of(read_anthropic_messages(
                        R"({"max_tokens":5,"system":"s","messages":[{"role":"user","content":"Hi"},)" + blocks + "]}"),
                    plain),
            Words{"refused: messages"});
}

// A template that shows the reasoning of turns with calls: `earlier` behind a later question too.
std::string reasoning_source(bool earlier) {
  return std::string(
             "{{ tools | tojson if tools }}{% set ns = namespace(q=0) %}{% for m in messages %}"
             "{% if m.role == 'user' %}{% set ns.q = loop.index0 %}{% endif %}{% endfor %}"
             "{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content and ") +
         (earlier ? "true" : "loop.index0 > ns.q") +
         " %}({{ m.reasoning_content }}){% endif %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}<tool_call>"
         "{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson }}}</tool_call>"
         "{% endfor %}{% endfor %}{{ '<assistant>' if add_generation_prompt }}";
}

TEST(Prepare, WarnsWhereReasoningDidNotComeBack) {
  const auto warnings = [](const std::string& source, const std::string& body, bool is_anthropic = false) {
    PlainModel model(source);
    model.facts.tools = text::tool_support(*model.facts.chat_template);
    const ReadRequest read = is_anthropic ? read_anthropic_messages(body) : read_openai_chat(body);
    const auto* request = std::get_if<AnswerRequest>(&read);
    EXPECT_NE(request, nullptr) << (request ? "" : std::get<Refusal>(read).message);
    const auto made = prepare(*request, model.facts, 0, 0);
    EXPECT_TRUE(std::holds_alternative<PreparedAnswer>(made)) << std::get<Refusal>(made).message;
    return std::get<PreparedAnswer>(made).warnings;
  };
  const auto body = [](const std::string& more, const std::string& later = "", const std::string& fields = "") {
    return R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,)" + more +
           R"("tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
           R"({"role":"tool","tool_call_id":"a","content":"1"})" +
           later + "]" + fields + "}";
  };
  const std::string later = R"(,{"role":"assistant","content":"so"},{"role":"user","content":"And?"})";
  const Words missing = warnings(reasoning_source(true), body(""));
  ASSERT_EQ(missing.size(), 1u);
  EXPECT_EQ(missing[0],
            "messages[1] calls tools and has no reasoning_content, which the model's template shows; send back what "
            "came with it");
  EXPECT_EQ(warnings(reasoning_source(true), body("", later)).size(), 1u);
  EXPECT_EQ(warnings(reasoning_source(false), body("")).size(), 1u);
  // It came back; the template shows none of that turn, or of any; reasoning is off.
  EXPECT_EQ(warnings(reasoning_source(true), body(R"("reasoning_content":"why",)")), Words());
  EXPECT_EQ(warnings(reasoning_source(false), body("", later)), Words());
  EXPECT_EQ(warnings(read_text_fixture("families/qwen25.jinja"), body("")), Words());
  EXPECT_EQ(warnings(reasoning_source(true), body("", "", R"(,"thinking":{"type":"disabled"})")), Words());
  // It had none, as the id of this server says; "call_0" and its like are another's.
  const std::string id = draw_call_id(false);
  const auto body_of_call = [&](const std::string& call_id) {
    std::string text = body("");
    for (size_t at = text.find("\"a\""); at != std::string::npos; at = text.find("\"a\"")) {
      text.replace(at, 3, '"' + call_id + '"');
    }
    return text;
  };
  EXPECT_EQ(warnings(reasoning_source(true), body_of_call(id)), Words());
  for (const std::string& other : {draw_call_id(true), id.substr(2), std::string("call_0"), id + "_0"}) {
    EXPECT_EQ(warnings(reasoning_source(true), body_of_call(other)).size(), 1u) << other;
  }
  const Words blocks = warnings(
      reasoning_source(true),
      R"({"max_tokens":5,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"tool_use",)"
      R"("id":"a","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a",)"
      R"("content":"1"}]}]})",
      true);
  ASSERT_EQ(blocks.size(), 1u);
  EXPECT_TRUE(blocks[0].starts_with("a turn in messages calls tools and has no thinking block")) << blocks[0];
}

TEST(Prepare, ABudgetOfReasoningIsAConstraint) {
  const PlainModel plain(kPlainChat);
  AnswerRequest request = asked_chat();
  EXPECT_EQ(std::get<PreparedAnswer>(prepare(request, plain.facts, 0, 0)).prompts[0].constraint, nullptr);
  request.reasoning_tokens_max = 5;
  const PreparedAnswer made = std::get<PreparedAnswer>(prepare(request, plain.facts, 0, 0));
  EXPECT_NE(made.prompts[0].constraint, nullptr);
  EXPECT_TRUE(made.ignored.empty());
  PlainModel narrow(kPlainChat);
  narrow.facts.vocab = 10;  // logits without a place for the tag
  EXPECT_EQ(std::get<PreparedAnswer>(prepare(request, narrow.facts, 0, 0)).ignored, Words{"thinking.budget_tokens"});
}

TEST(Prepare, WhatIsIgnoredIsSaid) {
  const PlainModel plain(kPlainChat);
  AnswerRequest request = asked_chat();
  request.thinks = false;
  request.context_wanted = 257;
  const auto made = prepare(request, plain.facts, 0, 0);
  ASSERT_TRUE(std::holds_alternative<PreparedAnswer>(made));
  EXPECT_EQ(std::get<PreparedAnswer>(made).ignored, (Words{"thinking", "num_ctx"}));
}

TEST(Prepare, FillsInWhereTheVocabularyCan) {
  const PlainModel plain(kPlainChat);
  const PlainModel coder(kPlainChat, {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"});
  AnswerRequest request;
  request.prompts = {std::string("ab")};
  request.suffix = "cd";
  const auto refused = prepare(request, plain.facts, 0, 0);
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused));
  EXPECT_EQ(std::get<Refusal>(refused).param, "suffix");
  const auto text_of = [&](const AnswerRequest& r) {
    const auto made = prepare(r, coder.facts, 0, 0);
    if (const auto* refusal = std::get_if<Refusal>(&made)) return "refused: " + refusal->param;
    return coder.facts.tokenizer->decode(std::get<PreparedAnswer>(made).prompts.at(0).ids);
  };
  EXPECT_EQ(text_of(request), "<bos><fim_prefix>ab<fim_suffix>cd<fim_middle>");
  request.is_json = true;
  EXPECT_EQ(text_of(request), "refused: suffix");
  request.is_json = false;
  request.prompts = {std::vector<int32_t>{1, 2}};
  EXPECT_EQ(text_of(request), "refused: prompt");
  request.prompts = {std::string("ab")};
  request.suffix = "";
  EXPECT_EQ(text_of(request), "<bos>ab");
}

}  // namespace
}  // namespace naru::server
