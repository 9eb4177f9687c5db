// Calls as forms: for every template that writes them, the form takes what the template writes and what the splitter
// reads, and nothing else.
#include "tests/text/fixtures.h"
#include "tests/text/forms_rig.h"
#include "text/tool_calls.h"
#include "text/tool_support.h"

namespace naru::text {
namespace {

struct CallTemplate {
  std::string name;
  ToolCallForm form;
  std::string two;  // two calls as the model writes them
};

const std::string kD = "\xef\xbd\x9c", kU = "\xe2\x96\x81";
const std::string kFence = "<" + kD + "tool" + kU + "call" + kU + "begin" + kD + ">function<" + kD + "tool" + kU +
                           "sep" + kD + ">f\n```json\n{\"a\": 1}\n```<" + kD + "tool" + kU + "call" + kU + "end" + kD +
                           ">";
const std::string kDeepCalls = "<" + kD + "tool" + kU + "calls" + kU + "begin" + kD + ">" + kFence + "\n" + kFence +
                               "<" + kD + "tool" + kU + "calls" + kU + "end" + kD + ">";
const std::string kHermesCall = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";

std::vector<CallTemplate> call_templates() {
  return {{"families/qwen25.jinja", ToolCallForm::kHermes, kHermesCall + "\n" + kHermesCall},
          {"families/qwen3.jinja", ToolCallForm::kHermes, kHermesCall + "\n" + kHermesCall},
          {"templates/chatml_tools.jinja", ToolCallForm::kHermes, ""},
          {"families/llama31.jinja", ToolCallForm::kBare, ""},
          {"templates/headers.jinja", ToolCallForm::kBare, ""},
          {"families/deepseek_v3.jinja", ToolCallForm::kDeepSeek, kDeepCalls},
          {"families/deepseek_r1.jinja", ToolCallForm::kDeepSeek, kDeepCalls},
          {"templates/markers.jinja", ToolCallForm::kDeepSeek, ""}};
}

std::string written_calls(const CallTexts& texts, const std::vector<std::pair<std::string, std::string>>& calls) {
  std::string text = texts.before_all;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (i > 0) text += texts.between;
    text += texts.before_name + calls[i].first + texts.before_arguments + calls[i].second + texts.behind_arguments;
  }
  return text + texts.behind_all;
}

size_t calls_read(ToolCallForm form, const std::string& text) {
  ToolCallSplitter splitter({form, {"f", "go"}, "", 0});
  size_t n = splitter.push(text).calls.size();
  return n + splitter.finish().calls.size();
}

TEST(CallForms, AreWhatTheTemplateWrites) {
  const Value schema = parse_value(R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],)"
                                   R"("additionalProperties":false})",
                                   "schema")
                           .value();
  for (const CallTemplate& each : call_templates()) {
    const ToolSupport support = tool_support(
        ChatTemplate::create(read_fixture(each.name), {{"bos_token", "<s>"}, {"eos_token", "</s>"}}).value());
    ASSERT_EQ(support.form, each.form) << each.name;
    ASSERT_TRUE(support.texts.has_value()) << each.name;
    CallsForm form;
    form.tools = {{"f", schema}, {"go", std::nullopt}};
    form.form = support.form;
    form.texts = *support.texts;
    const std::string one = written_calls(form.texts, {{"f", "{\"a\": 1}"}});
    const std::string other = written_calls(form.texts, {{"go", "{\"x\": [1, {}]}"}});
    const std::string both = written_calls(form.texts, {{"f", "{\"a\": 1}"}, {"go", "{}"}});
    const bool has_several = each.form != ToolCallForm::kBare;
    EXPECT_EQ(calls_read(each.form, one), 1u) << each.name << "\n" << one;
    FormRig must(form);
    EXPECT_TRUE(must.accepts(one)) << one << "\ntaken " << must.taken(one);
    EXPECT_TRUE(must.accepts(other)) << other;
    EXPECT_EQ(must.accepts(both), has_several) << both;
    if (has_several) {
      EXPECT_EQ(calls_read(each.form, both), 2u) << both;
    }
    if (!each.two.empty()) {
      EXPECT_TRUE(must.accepts(each.two)) << each.two << "\ntaken " << must.taken(each.two);
    }
    for (const auto& [name, arguments] : {std::pair{"f", "{\"a\": \"x\"}"}, {"f", "{}"}, {"g", "{}"}, {"go", "1"}}) {
      EXPECT_FALSE(must.accepts(written_calls(form.texts, {{name, arguments}}))) << each.name << name << arguments;
    }
    EXPECT_FALSE(must.accepts("words " + one) || must.accepts("words") || must.accepts(""));
    // Words may come instead, and what begins as a call is one.
    form.must_call = false;
    FormRig may(form);
    EXPECT_TRUE(may.accepts(one) && may.accepts("Some words. <b>x</b>") && may.accepts("")) << each.name;
    EXPECT_FALSE(may.accepts(written_calls(form.texts, {{"f", "{}"}}))) << each.name;
    if (has_several) {
      EXPECT_TRUE(may.accepts("Let me see.\n" + one + "\nSo.")) << each.name;
      EXPECT_FALSE(may.accepts("Let me see.\n" + one.substr(0, one.size() - 1))) << each.name;
    }
    form.is_one_only = form.must_call = true;
    FormRig single(form);
    EXPECT_TRUE(single.accepts(one) && !single.accepts(both)) << each.name;
  }
}

// Markers that are tokens come as tokens alone.
TEST(CallForms, MarkersThatAreTokens) {
  CallsForm form;
  form.tools = {{"f", std::nullopt}};
  form.form = ToolCallForm::kHermes;
  form.texts = {"", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "\n", ""};
  FormSigns signs;
  signs.marker_tokens = {true, true};
  FormRig rig(form, signs);
  EXPECT_EQ(rig.taken("<tool_call>"), 0u);
  FormMatcher& matcher = *rig.matcher;
  FormMatcher::State state = matcher.step(matcher.begin(rig.compiled.content), kFirstCallMarker);
  state = matcher.step(state, "\n{\"name\": \"f\", \"arguments\": {}}\n");
  ASSERT_NE(state, FormMatcher::kDead);
  EXPECT_EQ(matcher.step(state, "<"), FormMatcher::kDead);
  state = matcher.step(state, FormSymbol{kFirstCallMarker + 1});
  ASSERT_NE(state, FormMatcher::kDead);
  EXPECT_TRUE(matcher.may_end(state));
}

}  // namespace
}  // namespace naru::text
