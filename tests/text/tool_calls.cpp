// Calls of tools in an answer's text, in every form and at every cut: what is a call, what stays content, and which
// bytes are which.
#include "text/tool_calls.h"

#include <gtest/gtest.h>

#include "tests/text/fixtures.h"

namespace naru::text {
namespace {

struct CallSplit {
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;  // name, arguments
  bool operator==(const CallSplit&) const = default;
};

void PrintTo(const CallSplit& split, std::ostream* out) {
  *out << "'" << split.content << "'";
  for (const auto& [name, arguments] : split.calls) *out << " " << name << "(" << arguments << ")";
}

void add_delta(ToolCallDelta delta, CallSplit& split) {
  split.content += delta.content;
  for (ToolCall& call : delta.calls) {
    EXPECT_EQ(call.index, static_cast<int64_t>(split.calls.size()));
    split.calls.emplace_back(call.name, call.arguments);
  }
}

ToolCallOptions call_options(ToolCallForm form, std::string separator = "", int64_t calls_max = 0) {
  return {form, {"f", "get_weather"}, std::move(separator), calls_max};
}

CallSplit split_of(const ToolCallOptions& options, const std::vector<std::string_view>& parts) {
  ToolCallSplitter splitter(options);
  CallSplit split;
  for (const std::string_view part : parts) add_delta(splitter.push(part), split);
  add_delta(splitter.finish(), split);
  EXPECT_TRUE(splitter.finish().content.empty());
  return split;
}

// Whole, byte by byte, and cut at every place and every two places.
void expect_split(const ToolCallOptions& options, const std::string& text, const CallSplit& wanted) {
  const std::string_view all = text;
  EXPECT_EQ(split_of(options, {all}), wanted) << text;
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < all.size(); ++i) bytes.push_back(all.substr(i, 1));
  EXPECT_EQ(split_of(options, bytes), wanted) << text;
  for (size_t i = 0; i <= all.size(); ++i) {
    ASSERT_EQ(split_of(options, {all.substr(0, i), all.substr(i)}), wanted) << text << " cut at " << i;
    for (size_t j = i; all.size() < 90 && j <= all.size(); j += 7) {
      ASSERT_EQ(split_of(options, {all.substr(0, i), all.substr(i, j - i), all.substr(j)}), wanted) << i << " " << j;
    }
  }
}

TEST(ToolCalls, OfHermes) {
  const ToolCallOptions options = call_options(ToolCallForm::kHermes, "\n");
  const std::string call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":  1}}\n</tool_call>";
  const std::pair<std::string, std::string> made = {"f", "{\"a\":  1}"};
  expect_split(options, call, {"", {made}});
  expect_split(options, "\n\n" + call, {"", {made}});
  expect_split(options, "Let me see.\n" + call, {"Let me see.", {made}});
  expect_split(options, "Let me see.\n\n" + call + "\n", {"Let me see.\n", {made}});
  expect_split(options, call + "\n" + call, {"", {made, made}});
  expect_split(options, call + call + " and so", {" and so", {made, made}});
  expect_split(options, "no call \n", {"no call \n", {}});
  expect_split(options, " \n", {" \n", {}});
  // The order of keys, more keys, no arguments, an end without its marker, another name for the arguments.
  expect_split(options, R"(<tool_call>{"arguments":{"name":"x"},"id":7,"name":"f"}</tool_call>)",
               {"", {{"f", R"({"name":"x"})"}}});
  expect_split(options, R"(<tool_call>{"name":"f"}</tool_call>)", {"", {{"f", "{}"}}});
  expect_split(options, R"(<tool_call>{"name":"f","parameters":{}})", {"", {{"f", "{}"}}});
  expect_split(options, R"(<tool_call>{"name":"f","arguments":{}} x)", {" x", {{"f", "{}"}}});
  // Markers inside strings are what they are.
  expect_split(options, R"(<tool_call>{"name":"f","arguments":{"a":"</tool_call><tool_call>\"}"}}</tool_call>)",
               {"", {{"f", R"({"a":"</tool_call><tool_call>\"}"})"}}});
}

TEST(ToolCalls, WhatIsNoneStaysContent) {
  const ToolCallOptions options = call_options(ToolCallForm::kHermes, "\n");
  for (const std::string text :
       {R"(<tool_call>{"name":"g","arguments":{}}</tool_call>)",
        R"(<tool_call>{"name":"f","arguments":"{}"}</tool_call>)",
        R"(<tool_call>{"name":"f","arguments":[]}</tool_call>)", R"(<tool_call>{"name":1,"arguments":{}}</tool_call>)",
        R"(<tool_call>{"arguments":{}}</tool_call>)",
        R"(<tool_call>{"name":"f","name":"f","arguments":{}}</tool_call>)",
        R"(<tool_call>{"name":"f","arguments":{"a":1,}}</tool_call>)", R"(<tool_call>{{"name":"f"}}</tool_call>)",
        R"(<tool_call>f({})</tool_call>)", R"(a <tool_call> b)", "<tool_call>", "<tool_call>\n{\"name\": \"f\", ",
        "</tool_call>", "a </tool_call>", "<tool_cal", "<tool_call", "<<<", "<tool_call>\n\n"}) {
    expect_split(options, text, {text, {}});
  }
  // One that is none does not hide the next.
  const std::string good = R"(<tool_call>{"name":"f","arguments":{}}</tool_call>)";
  expect_split(options, "<tool_call>\n" + good, {"<tool_call>", {{"f", "{}"}}});
  expect_split(options, "<tool_call>{" + good, {"<tool_call>{", {{"f", "{}"}}});
  expect_split(options, "<tool_ca" + good, {"<tool_ca", {{"f", "{}"}}});
  expect_split(options, R"(<tool_call>{"name":"f","arguments":{}})" + good, {"", {{"f", "{}"}, {"f", "{}"}}});
  // No form, or no tools: nothing is looked for.
  expect_split(call_options(ToolCallForm::kNone), good, {good, {}});
  ToolCallOptions none = options;
  none.names.clear();
  expect_split(none, " " + good, {" " + good, {}});
}

TEST(ToolCalls, OfLlama) {
  const ToolCallOptions options = call_options(ToolCallForm::kBare);
  const std::string call = R"({"name": "f", "parameters": {"a": "é"}})";
  const std::pair<std::string, std::string> made = {"f", R"({"a": "é"})"};
  expect_split(options, call, {"", {made}});
  expect_split(options, "\n" + call + "\n", {"", {made}});
  expect_split(options, "<|python_tag|>" + call, {"", {made}});
  expect_split(options, call + "; " + call + " ;" + call, {"", {made, made, made}});
  expect_split(options, R"({"type":"function","name":"f","arguments":{}})", {"", {{"f", "{}"}}});
  for (const std::string& text : std::vector<std::string>{
           call + " is a call", "<< a", "<|python<|python_tag|>x", "a " + call, "{}", std::string("{\"name\": \"f\"}"),
           std::string("{\"name\": "), std::string("<|python_tag|>print(1)"),
           std::string("{\"name\": \"g\", \"parameters\": {}}"), std::string(" x \n")}) {
    expect_split(options, text, {text, {}});
  }
  expect_split(options, call + ";then " + call, {";then " + call, {made}});
}

TEST(ToolCalls, OfDeepSeek) {
  const ToolCallOptions options = call_options(ToolCallForm::kDeepSeek);
  const std::string v3 =
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>";
  const std::string v31 = "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"b\":\"<｜tool▁call▁end｜>\"}<｜tool▁call▁end｜>";
  const std::string begin = "<｜tool▁calls▁begin｜>", end = "<｜tool▁calls▁end｜>";
  const std::pair<std::string, std::string> first = {"get_weather", "{\"a\": 1}"},
                                            second = {"f", "{\"b\":\"<｜tool▁call▁end｜>\"}"};
  expect_split(options, begin + v3 + end, {"", {first}});
  expect_split(options, "Hm. " + begin + v3 + "\n" + v3 + end, {"Hm. ", {first, first}});
  expect_split(options, begin + v31 + v31 + end, {"", {second, second}});
  expect_split(options, v3, {"", {first}});
  for (const std::string& text :
       {begin, begin + "x",
        begin + "<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜>" + end,
        begin + "<｜tool▁call▁begin｜>f{}", begin + "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"b\":", end}) {
    expect_split(options, text, {text, {}});
  }
}

TEST(ToolCalls, TheAnswerEndsBehindAsManyAsMayBe) {
  const std::string hermes = R"(<tool_call>{"name":"f","arguments":{}}</tool_call>)";
  expect_split(call_options(ToolCallForm::kHermes, "", 1), hermes + hermes + " more", {"", {{"f", "{}"}}});
  const std::string bare = R"({"name":"f","parameters":{}})";
  expect_split(call_options(ToolCallForm::kBare, "", 1), bare + ";" + bare, {"", {{"f", "{}"}}});
  ToolCallSplitter splitter(call_options(ToolCallForm::kHermes, "", 1));
  EXPECT_TRUE(splitter.push("<tool_call>{\"name\":\"f\"").calls.empty());
  EXPECT_FALSE(splitter.is_full());
  EXPECT_EQ(splitter.push("}").calls.size(), 1u) << "given out once the object is whole";
  EXPECT_TRUE(splitter.is_full());
}

// Where markers are tokens their characters mean nothing, and the token means nothing else.
TEST(ToolCalls, MarkersThatAreTokens) {
  const std::string call = R"({"name":"f","arguments":{}})";
  const auto run = [](ToolCallForm form, const std::vector<std::optional<int32_t>>& tokens,
                      const std::vector<std::string>& parts, bool is_shown) {
    ToolCallSplitter splitter(call_options(form), tokens);
    CallSplit split;
    for (const std::string& part : parts) {
      const bool is_marker = part.size() == 1 && part[0] >= '0' && part[0] <= '9';
      add_delta(is_marker ? splitter.push_marker(static_cast<size_t>(part[0] - '0'), is_shown) : splitter.push(part),
                split);
    }
    add_delta(splitter.finish(), split);
    return split;
  };
  const std::vector<std::optional<int32_t>> both = {7, 8};
  EXPECT_EQ(run(ToolCallForm::kHermes, both, {"a", "0", call, "1"}, true), (CallSplit{"a", {{"f", "{}"}}}));
  const std::string spelled = "<tool_call>" + call + "</tool_call>";
  EXPECT_EQ(run(ToolCallForm::kHermes, both, {spelled}, true), (CallSplit{spelled, {}}));
  EXPECT_EQ(run(ToolCallForm::kHermes, both, {"0", R"({"name":")", "0", call}, true),
            (CallSplit{R"(<tool_call>{"name":")", {{"f", "{}"}}}));
  EXPECT_EQ(run(ToolCallForm::kHermes, both, {"0", "x", "1"}, true), (CallSplit{"<tool_call>x</tool_call>", {}}));
  // One of them alone, and one that gives no text where it begins no call.
  EXPECT_EQ(run(ToolCallForm::kHermes, {7, std::nullopt}, {"0", call + "</tool_call>"}, true),
            (CallSplit{"", {{"f", "{}"}}}));
  EXPECT_EQ(run(ToolCallForm::kBare, {7}, {"0", R"({"name":"f","parameters":{}})"}, false),
            (CallSplit{"", {{"f", "{}"}}}));
  EXPECT_EQ(run(ToolCallForm::kBare, {7}, {"0", "print(1)"}, false), (CallSplit{"print(1)", {}}));
  const Tokenizer tokenizer = make_tokenizer("qwen2");
  EXPECT_EQ(tool_call_tokens(tokenizer, ToolCallForm::kHermes).size(), 2u);
}

}  // namespace
}  // namespace naru::text
