// What templates make of tools: found by asking them, and the next turn's prompt begins with the bytes of this one.
#include "text/tool_support.h"

#include <gtest/gtest.h>

#include "tests/text/fixtures.h"

namespace naru::text {
namespace {

ChatTemplate template_of(const std::string& name) {
  return ChatTemplate::create(read_fixture(name), {{"bos_token", "<s>"}, {"eos_token", "</s>"}}).value();
}

TEST(ToolSupport, IsFoundOutOfTheTemplate) {
  struct Case {
    std::string name;
    ToolCallForm form;
    bool lists_tools;
    std::string separator;
  };
  for (const Case& c : {Case{"families/qwen25.jinja", ToolCallForm::kHermes, true, "\n"},
                        Case{"families/qwen3.jinja", ToolCallForm::kHermes, true, "\n"},
                        Case{"templates/chatml_tools.jinja", ToolCallForm::kHermes, true, "\n"},
                        Case{"families/llama31.jinja", ToolCallForm::kBare, true, ""},
                        Case{"templates/headers.jinja", ToolCallForm::kBare, true, ""},
                        Case{"families/deepseek_v3.jinja", ToolCallForm::kDeepSeek, false, ""},
                        Case{"families/deepseek_r1.jinja", ToolCallForm::kDeepSeek, false, ""},
                        Case{"templates/markers.jinja", ToolCallForm::kDeepSeek, false, ""}}) {
    const ToolSupport support = tool_support(template_of(c.name));
    EXPECT_EQ(support.form, c.form) << c.name;
    EXPECT_EQ(support.lists_tools, c.lists_tools) << c.name;
    EXPECT_EQ(support.separator, c.separator) << c.name;
    EXPECT_TRUE(support.writes_calls) << c.name;
  }
  for (const std::string name : {"families/chatml.jinja", "families/llama3.jinja", "families/deepseek_v2.jinja"}) {
    const ToolSupport support = tool_support(template_of(name));
    EXPECT_FALSE(support.lists_tools || support.writes_calls || support.form != ToolCallForm::kNone) << name;
  }
  // A form that is not read here, and content that must be a string.
  const auto made = [](const std::string& call) {
    return tool_support(
        ChatTemplate::create("{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}"
                             "<{{ m.role }}>{{ m.content + '' }}{% for c in m.tool_calls or [] %}" +
                                 call + "{% endfor %}{% endfor %}{{ '<assistant>' }}",
                             {})
            .value());
  };
  const ToolSupport listed = made("[{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments }}}]");
  EXPECT_TRUE(listed.lists_tools && listed.writes_calls && !listed.takes_null_content);
  EXPECT_EQ(listed.form, ToolCallForm::kNone);
  EXPECT_EQ(made("<tool_call>{{ c.function.name }}({{ c.function.arguments }})</tool_call>").form, ToolCallForm::kNone);
  EXPECT_EQ(made("<tool_call>{{ c.function | tojson }}</tool_call>").form, ToolCallForm::kHermes);
  EXPECT_EQ(
      made("\n<tool_call>\n{\"arguments\": {{ c.function.arguments }}, \"name\": {{ c.function.name | tojson }}}").form,
      ToolCallForm::kHermes);
  EXPECT_EQ(made("{{ c.function | tojson }}").form, ToolCallForm::kBare);
  EXPECT_EQ(made("<function={{ c.function.name }}>{{ c.function.arguments }}</function>").form, ToolCallForm::kNone);
  const ToolSupport items = made("{% for k, v in c.function.arguments | items %}{{ k }}={{ v }}{% endfor %}");
  EXPECT_TRUE(items.lists_tools);
  EXPECT_FALSE(items.writes_calls);
}

Value message_of(const std::string& role, Value content) {
  return Value::Object{{"role", role}, {"content", std::move(content)}};
}

ChatInput conversation() {
  ChatInput input;
  input.messages = {message_of("user", "How warm is it?")};
  input.tools =
      parse_value(R"([{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object",)"
                  R"("properties":{"a":{"type":"string"}}}}}])",
                  "tools")
          .value();
  input.keeps_arguments = true;
  std::tm now{};
  now.tm_year = 124;
  now.tm_mday = 1;
  input.now = now;
  return input;
}

// An answer of the model, split and sent back: the prompt of the next turn begins with the prompt of this one and the
// bytes that the model wrote behind it.
TEST(ToolSupport, TheNextTurnBeginsWithTheModelsOwnBytes) {
  const std::string arguments = "{ \"a\":\"\\u00e9 \xc3\xa9\",\n  \"b\": [1.50, 2e3]}";
  const std::string hermes = "<tool_call>\n{\"name\": \"f\", \"arguments\": " + arguments + "}\n</tool_call>";
  const std::pair<std::string, std::string> cases[] = {
      {"families/qwen25.jinja", hermes},
      {"families/qwen25.jinja", "Let me see.\n" + hermes + "\n" + hermes},
      {"families/qwen3.jinja", hermes + "\n" + hermes},
      {"templates/chatml_tools.jinja", "Let me see.\n" + hermes},
      {"families/llama31.jinja", "{\"name\": \"f\", \"parameters\": " + arguments + "}"},
      {"templates/headers.jinja", "{\"name\": \"f\", \"parameters\": " + arguments + "}"},
      {"families/deepseek_v3.jinja",
       "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n" + arguments +
           "\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```<｜tool▁call▁end｜>"
           "<｜tool▁calls▁end｜>"}};
  for (const auto& [name, said] : cases) {
    const ChatTemplate chat_template = template_of(name);
    const ToolSupport support = tool_support(chat_template);
    ChatInput input = conversation();
    const std::string prompt = join(chat_template.render(input).value());
    ToolCallSplitter splitter({support.form, {"f"}, support.separator, 0});
    ToolCallDelta answer = splitter.push(said);
    const ToolCallDelta rest = splitter.finish();
    answer.content += rest.content;
    answer.calls.insert(answer.calls.end(), rest.calls.begin(), rest.calls.end());
    ASSERT_FALSE(answer.calls.empty()) << name;
    Value content = answer.content;
    if (answer.content.empty()) content = support.takes_null_content ? Value(nullptr) : Value("");
    Value message = message_of("assistant", content);
    Value::List calls;
    for (const ToolCall& call : answer.calls) {
      const Value function(Value::Object{{"name", call.name}, {"arguments", call.arguments}});
      calls.emplace_back(Value::Object{{"id", "1"}, {"type", "function"}, {"function", function}});
    }
    message.set("tool_calls", calls);
    input.messages.push_back(message);
    input.messages.push_back(message_of("tool", "12"));
    const auto next = chat_template.render(input);
    ASSERT_TRUE(next.ok()) << name << ": " << next.error().message;
    EXPECT_TRUE(join(*next).starts_with(prompt + said)) << name << "\n" << join(*next) << "\nWANTED\n" << prompt + said;
  }
}

// However a template writes them; and nothing that it asks of them is lost.
TEST(ToolSupport, ArgumentsAreObjectsThatPrintAsTheyWereWritten) {
  const auto render = [](const std::string& expression, const std::string& arguments, bool keeps = true) {
    ChatInput input = conversation();
    Value message = message_of("assistant", "");
    const Value function(Value::Object{{"name", "f"}, {"arguments", arguments}});
    message.set("tool_calls", Value::List{Value(Value::Object{{"function", function}})});
    input.messages = {message};
    input.keeps_arguments = keeps;
    const std::string source = "{% set a = messages[0].tool_calls[0].function.arguments %}{{ " + expression + " }}";
    const auto segments = ChatTemplate::create(source, {}).value().render(input);
    return segments.ok() ? join(*segments) : "error: " + segments.error().message;
  };
  const std::string written = "{\"b\" : 1,\"a\":\"x\"}";
  for (const std::string expression : {"a | tojson", "a", "a | string", "'' + a", "a ~ ''", "a | tojson(indent=4)",
                                       "a if a is string else a | tojson", "a | trim"}) {
    EXPECT_EQ(render(expression, written), written) << expression;
  }
  EXPECT_EQ(render("[a] | tojson", written), "[" + written + "]");
  EXPECT_EQ(render("a.a ~ a['b'] ~ (a | length) ~ (a is mapping)", written), "x12True");
  EXPECT_EQ(render("(a | items | list)[0][0]", written), "b");
  // What is no object is kept too, with no fields.
  EXPECT_EQ(render("a | tojson", "{\"a\": "), "{\"a\": ");
  EXPECT_EQ(render("a.b is defined", "[1]"), "False");
  EXPECT_EQ(render("a | tojson", written, false), "\"{\\\"b\\\" : 1,\\\"a\\\":\\\"x\\\"}\"") << "as transformers";
  // It is from outside, whatever it says.
  ChatInput input = conversation();
  Value message = message_of("assistant", "");
  const Value function(Value::Object{{"name", "f"}, {"arguments", "{\"<|im_end|>\":1}"}});
  message.set("tool_calls", Value::List{Value(Value::Object{{"function", function}})});
  input.messages = {message};
  const auto segments =
      ChatTemplate::create("x{{ messages[0].tool_calls[0].function.arguments | tojson }}", {}).value().render(input);
  ASSERT_EQ(segments->size(), 2u);
  EXPECT_TRUE(segments->back().is_content);
}

}  // namespace
}  // namespace naru::text
