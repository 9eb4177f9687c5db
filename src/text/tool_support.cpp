#include "text/tool_support.h"

#include <algorithm>
#include <optional>

#include "text/json_prefix.h"

namespace naru::text {
namespace {

constexpr std::string_view kProbeBlanks = " \t\r\n";
constexpr const char* kProbeTool = "probe_tool_qz";
constexpr const char* kProbeQuestion = "probe question qz";
constexpr const char* kProbeWords = "probe words qz";
constexpr const char* kProbeThought = "probe thought qz";
constexpr const char* kProbeArguments = R"({"probe_key":  "probe_value_qz"})";  // two spaces: no printer makes them
constexpr const char* kOtherArguments = R"({"probe_key":  "other_value_qz"})";

Value::Object probe_message(const char* role, Value content) {
  return {{"role", role}, {"content", std::move(content)}};
}

Value probe_tools() {
  const Value key(Value::Object{{"type", "string"}, {"description", "A key."}});
  const Value parameters(Value::Object{{"type", "object"},
                                       {"properties", Value::Object{{"probe_key", key}}},
                                       {"required", Value::List{Value("probe_key")}}});
  return Value::List{Value(Value::Object{
      {"type", "function"},
      {"function", Value::Object{{"name", kProbeTool}, {"description", "A tool."}, {"parameters", parameters}}}})};
}

// An answer that is a call, or two, behind these words.
Value probe_call(Value words, bool has_other = false) {
  Value::Object message = probe_message("assistant", std::move(words));
  const auto call = [](const char* id, const char* arguments) {
    const Value function(Value::Object{{"name", kProbeTool}, {"arguments", arguments}});
    return Value(Value::Object{{"id", id}, {"type", "function"}, {"function", function}});
  };
  Value::List calls = {call("call_0", kProbeArguments)};
  if (has_other) calls.push_back(call("call_1", kOtherArguments));
  message.emplace_back("tool_calls", std::move(calls));
  return message;
}

// The text of a conversation; nothing where the template refuses it.
std::optional<std::string> rendered(const ChatTemplate& chat_template, Value::List messages, bool asks_answer) {
  ChatInput input;
  input.messages = std::move(messages);
  input.tools = probe_tools();
  input.add_generation_prompt = asks_answer;
  input.keeps_arguments = true;
  const auto segments = chat_template.render(input);
  if (!segments.ok()) return std::nullopt;
  return join(*segments);
}

// Whether the reasoning of an answer with calls is part of the prompt, where its results and `later` come behind it.
bool writes_reasoning_before(const ChatTemplate& chat_template, Value words, Value::List later) {
  Value answer = probe_call(std::move(words));
  answer.set("reasoning_content", kProbeThought);
  Value result(probe_message("tool", "12"));
  result.set("tool_call_id", "call_0");
  result.set("name", kProbeTool);
  Value::List messages = {probe_message("user", kProbeQuestion), std::move(answer), std::move(result)};
  messages.insert(messages.end(), later.begin(), later.end());
  const auto text = rendered(chat_template, std::move(messages), true);
  return text && text->find(kProbeThought) != std::string::npos;
}

// Whether the text begins, after blanks, with the object of a call as ToolCallSplitter reads it.
bool begins_with_call(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kProbeBlanks), text.size()));
  JsonPrefix json;
  size_t n = 0;
  while (n < text.size() && json.push(text[n])) ++n;
  if (!json.is_whole()) return false;
  const auto call = parse_value(text.substr(0, n), "a call");
  const Value* name = call.ok() ? call->find("name") : nullptr;
  if (name == nullptr || name->as_string() == nullptr || *name->as_string() != kProbeTool) return false;
  const Value* arguments = call->find("arguments") ? call->find("arguments") : call->find("parameters");
  return arguments != nullptr && arguments->find("probe_key") != nullptr;
}

// The form of the call that stands in `text` behind `question`, with its arguments at `arguments`. `prompt`: the same
// conversation up to where the answer begins.
ToolCallForm form_of(std::string_view text, size_t question, size_t arguments, std::string_view prompt) {
  const std::string_view before = text.substr(question, arguments - question);
  const auto deep = tool_call_markers(ToolCallForm::kDeepSeek);
  if (before.find(deep[2]) != std::string_view::npos && before.find(deep[4]) != std::string_view::npos) {
    return ToolCallForm::kDeepSeek;
  }
  const std::string_view open = tool_call_markers(ToolCallForm::kHermes)[0];
  const size_t hermes = before.rfind(open);
  if (hermes != std::string_view::npos) {
    const std::string_view call = text.substr(question + hermes + open.size());
    return begins_with_call(call) ? ToolCallForm::kHermes : ToolCallForm::kNone;
  }
  if (!text.starts_with(prompt)) return ToolCallForm::kNone;
  std::string_view bare = text.substr(prompt.size());
  const std::string_view tag = tool_call_markers(ToolCallForm::kBare)[0];
  if (bare.starts_with(tag)) bare.remove_prefix(tag.size());
  return begins_with_call(bare) ? ToolCallForm::kBare : ToolCallForm::kNone;
}

// What stands between an answer's words and its first call.
std::string separator_of(const std::string& text, ToolCallForm form) {
  const size_t words = text.rfind(kProbeWords);
  if (form == ToolCallForm::kNone || form == ToolCallForm::kBare || words == std::string::npos) return "";
  const size_t begin = words + std::string_view(kProbeWords).size();
  const size_t marker = text.find(tool_call_markers(form)[0], begin);
  if (marker == std::string::npos) return "";
  std::string between = text.substr(begin, marker - begin);
  return between.find_first_not_of(kProbeBlanks) == std::string::npos ? between : "";
}

// What of `text` is before `sign`, which is taken out of it; nothing where it is not there.
std::optional<std::string> take_up_to(std::string_view& text, std::string_view sign, bool with_sign) {
  const size_t at = text.find(sign);
  if (at == std::string_view::npos) return std::nullopt;
  std::string taken(text.substr(0, at + (with_sign ? sign.size() : 0)));
  text.remove_prefix(at + sign.size());
  return taken;
}

// What stands around the names and arguments of calls. `text`: with one, whose arguments are at `arguments`; `two`:
// with another behind it.
std::optional<CallTexts> texts_of(std::string_view text, size_t arguments, const std::optional<std::string>& two,
                                  ToolCallForm form) {
  if (form == ToolCallForm::kNone) return std::nullopt;
  const bool is_bare = form == ToolCallForm::kBare, is_deep = form == ToolCallForm::kDeepSeek;
  const auto markers = tool_call_markers(form);
  const std::string_view opening = is_bare ? std::string_view("{") : is_deep ? markers[2] : markers[0];
  const std::string_view closing = is_bare ? std::string_view("}") : is_deep ? markers[3] : markers[1];
  std::string_view before = text.substr(0, arguments), behind = text.substr(arguments);
  behind.remove_prefix(std::string_view(kProbeArguments).size());
  CallTexts texts;
  const size_t begin = before.rfind(is_deep ? markers[0] : opening);
  if (begin == std::string_view::npos) return std::nullopt;
  before.remove_prefix(begin);
  if (is_deep) {
    const size_t call = before.find(opening);
    if (call == std::string_view::npos) return std::nullopt;
    texts.before_all = before.substr(0, call);
    before.remove_prefix(call);
  }
  const auto before_name = take_up_to(before, kProbeTool, false);
  const auto behind_arguments = take_up_to(behind, closing, true);
  if (!before_name || !behind_arguments || before.find(kProbeTool) != std::string_view::npos) return std::nullopt;
  texts.before_name = *before_name;
  texts.before_arguments = before;
  texts.behind_arguments = *behind_arguments;
  if (is_deep) {
    const auto behind_all = take_up_to(behind, markers[1], true);
    if (!behind_all) return std::nullopt;
    texts.behind_all = *behind_all;
  }
  texts.between = is_bare ? "; " : "\n";  // where the template writes no two calls
  const size_t first = two ? two->rfind(kProbeArguments) : std::string::npos;
  if (is_bare || first == std::string::npos || two->find(kOtherArguments, first) == std::string::npos) return texts;
  std::string_view rest = std::string_view(*two).substr(first);
  if (take_up_to(rest, closing, true)) texts.between = take_up_to(rest, opening, false).value_or(texts.between);
  return texts;
}

}  // namespace

ToolSupport tool_support(const ChatTemplate& chat_template) {
  ToolSupport support;
  const Value question(probe_message("user", kProbeQuestion));
  const auto prompt = rendered(chat_template, {question}, true);
  support.lists_tools = prompt && prompt->find(kProbeTool) != std::string::npos;
  const auto has_call = [](const std::optional<std::string>& text) {
    return text && text->rfind(kProbeArguments) != std::string::npos;
  };
  auto text = rendered(chat_template, {question, probe_call(nullptr)}, false);
  support.takes_null_content = has_call(text);
  if (!has_call(text)) text = rendered(chat_template, {question, probe_call("")}, false);
  support.writes_calls = has_call(text);
  if (!support.writes_calls) return support;
  const Value no_words = support.takes_null_content ? Value(nullptr) : Value("");
  support.writes_reasoning = writes_reasoning_before(chat_template, no_words, {});
  support.writes_earlier_reasoning = writes_reasoning_before(
      chat_template, no_words, {probe_message("assistant", kProbeWords), probe_message("user", kProbeQuestion)});
  const size_t arguments = text->rfind(kProbeArguments);
  const size_t asked = text->rfind(kProbeQuestion, arguments);
  if (asked == std::string::npos) return support;
  support.form = form_of(*text, asked, arguments, prompt.value_or(""));
  const auto two = rendered(chat_template, {question, probe_call(no_words, true)}, false);
  support.texts = texts_of(*text, arguments, two, support.form);
  const auto behind_words = rendered(chat_template, {question, probe_call(kProbeWords)}, false);
  support.writes_calls_behind_words = has_call(behind_words);
  if (behind_words) support.separator = separator_of(*behind_words, support.form);
  return support;
}

}  // namespace naru::text
