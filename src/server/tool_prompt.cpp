#include "server/tool_prompt.h"

#include <fmt/format.h>

namespace naru::server {
namespace {

using text::Value;

bool has_calls(const Value& message) {
  const Value* calls = message.find("tool_calls");
  return calls != nullptr && calls->as_list() != nullptr && !calls->as_list()->empty();
}

const Value* function_of(const Value& call) {
  const Value* function = call.find("function");
  return function != nullptr ? function : &call;
}

// The name that the call with this id has, in any earlier message.
const Value* name_of_call(const Value::List& messages, size_t n_before, const Value* id) {
  if (id == nullptr || id->as_string() == nullptr) return nullptr;
  for (size_t i = n_before; i > 0; --i) {
    if (!has_calls(messages[i - 1])) continue;
    for (const Value& call : *messages[i - 1].find("tool_calls")->as_list()) {
      const Value* other = call.find("id");
      if (other == nullptr || other->as_string() == nullptr || *other->as_string() != *id->as_string()) continue;
      return function_of(call)->find("name");
    }
  }
  return nullptr;
}

// Messages as templates want them: an answer that is calls alone with the content that this one takes, results with
// the name of the tool that gave them.
void complete_messages(Value::List& messages, bool takes_null_content) {
  for (size_t i = 0; i < messages.size(); ++i) {
    Value& message = messages[i];
    const Value* role = message.find("role");
    if (role == nullptr || role->as_string() == nullptr) continue;
    if (has_calls(message)) {
      const Value* content = message.find("content");
      const bool is_empty = content == nullptr || content->is_null() ||
                            (content->as_string() != nullptr && content->as_string()->empty());
      if (is_empty) message.set("content", takes_null_content ? Value(nullptr) : Value(""));
    }
    if (*role->as_string() != "tool" || message.find("name") != nullptr) continue;
    if (const Value* name = name_of_call(messages, i, message.find("tool_call_id"))) message.set("name", Value(*name));
  }
}

Refusal no_tools(const std::string& param, const std::string& why) {
  return {400, fmt::format("rendering the conversation: {}", why), param, "unsupported_parameter", 0};
}

}  // namespace

std::optional<Refusal> prepare_tools(const AnswerRequest& request, const ModelFacts& model, text::ChatInput& input,
                                     engine::TextOptions& text) {
  const text::ToolSupport& support = model.tools;
  input.messages = request.messages;
  input.keeps_arguments = true;
  complete_messages(input.messages, support.takes_null_content);
  for (size_t i = 0; i < input.messages.size(); ++i) {
    if (!has_calls(input.messages[i])) continue;
    if (!support.writes_calls) {
      return no_tools(fmt::format("messages[{}].tool_calls", i),
                      "the model's chat template has no place for calls of tools; send their text as content, or serve "
                      "a model that was made for tools");
    }
    const Value* content = input.messages[i].find("content");
    const std::string* words = content != nullptr ? content->as_string() : nullptr;
    if (support.writes_calls_behind_words || words == nullptr || words->empty()) continue;
    return no_tools(fmt::format("messages[{}].content", i),
                    "the model's chat template leaves out the calls of an answer that has words too; send the content "
                    "null");
  }
  const Value::List* tools = request.tools.as_list();
  if (tools == nullptr || tools->empty()) return std::nullopt;
  if (!support.lists_tools) {
    return no_tools("tools",
                    "the model's chat template has no place for tools; describe them in a message, serve a model that "
                    "was made for tools, or start it with a --chat-template that lists them");
  }
  if (support.form == text::ToolCallForm::kNone) {
    return no_tools("tools",
                    "the model's chat template writes calls in a form that is not read here (read are those of Hermes "
                    "and Qwen, Llama 3, DeepSeek V3 and R1); describe the tools in a message, and read its answer");
  }
  input.tools = request.tools;
  text.calls.emplace();
  text.calls->form = support.form;
  text.calls->separator = support.separator;
  text.calls->calls_max = request.parallel_calls ? 0 : 1;
  for (const Value& tool : *tools) {
    const Value* name = function_of(tool)->find("name");
    if (name != nullptr && name->as_string() != nullptr) text.calls->names.push_back(*name->as_string());
  }
  return std::nullopt;
}

}  // namespace naru::server
