#include "server/tool_prompt.h"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <string>

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

// Names of calls by their ids; of two calls with one id the later counts.
using CallNames = std::map<std::string, Value, std::less<>>;

void add_names(const Value& message, CallNames& names) {
  for (const Value& call : *message.find("tool_calls")->as_list()) {
    const Value* id = call.find("id");
    const Value* name = function_of(call)->find("name");
    if (id != nullptr && id->as_string() != nullptr && name != nullptr) names.insert_or_assign(*id->as_string(), *name);
  }
}

// Messages as templates want them: an answer that is calls alone with the content that this one takes, results with
// the name of the tool that gave them.
void complete_messages(Value::List& messages, bool takes_null_content) {
  CallNames names;
  for (Value& message : messages) {
    const Value* role = message.find("role");
    if (role == nullptr || role->as_string() == nullptr) continue;
    const bool is_result = *role->as_string() == "tool" && message.find("name") == nullptr;
    if (has_calls(message)) {
      add_names(message, names);
      const Value* content = message.find("content");
      const bool is_empty = content == nullptr || content->is_null() ||
                            (content->as_string() != nullptr && content->as_string()->empty());
      if (is_empty) message.set("content", takes_null_content ? Value(nullptr) : Value(""));
    }
    const Value* id = is_result ? message.find("tool_call_id") : nullptr;
    if (id == nullptr || id->as_string() == nullptr) continue;
    if (const auto at = names.find(*id->as_string()); at != names.end()) message.set("name", at->second);
  }
}

Refusal no_tools(const std::string& param, const std::string& why) {
  return {400, fmt::format("rendering the conversation: {}", why), param, "unsupported_parameter", 0};
}

// A field of a message, as the dialect calls it.
std::string place_of(const FieldNames& names, size_t message, std::string_view field) {
  return names.has_places ? fmt::format("{}[{}].{}", names.messages, message, field) : std::string(names.messages);
}

// Calls of earlier turns are such as the model's template writes.
std::optional<Refusal> check_calls(const AnswerRequest& request, const text::ToolSupport& support) {
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const Value& message = request.messages[i];
    if (!has_calls(message)) continue;
    if (!support.writes_calls) {
      return no_tools(place_of(request.names, i, "tool_calls"),
                      "the model's chat template has no place for calls of tools; send their text as content, or serve "
                      "a model that was made for tools");
    }
    const Value* content = message.find("content");
    const std::string* words = content != nullptr ? content->as_string() : nullptr;
    if (support.writes_calls_behind_words || words == nullptr || words->empty()) continue;
    return no_tools(place_of(request.names, i, "content"),
                    "the model's chat template leaves out the calls of an answer that has words too; leave the words "
                    "out");
  }
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> refuse_tools(const AnswerRequest& request, const ModelFacts& model) {
  const Value::List* tools = request.tools.as_list();
  if (tools == nullptr || tools->empty()) return std::nullopt;
  if (!model.tools.lists_tools) {
    return no_tools("tools",
                    "the model's chat template has no place for tools; describe them in a message, serve a model that "
                    "was made for tools, or start it with a --chat-template that lists them");
  }
  if (model.tools.form == text::ToolCallForm::kNone) {
    return no_tools("tools",
                    "the model's chat template writes calls in a form that is not read here (read are those of Hermes "
                    "and Qwen, Llama 3, DeepSeek V3 and R1); describe the tools in a message, and read its answer");
  }
  return std::nullopt;
}

std::optional<Refusal> prepare_tools(const AnswerRequest& request, const ModelFacts& model, text::ChatInput& input,
                                     engine::TextOptions& text) {
  const text::ToolSupport& support = model.tools;
  if (auto refusal = check_calls(request, support)) return refusal;
  input.messages = request.messages;
  input.keeps_arguments = true;
  complete_messages(input.messages, support.takes_null_content);
  const Value::List* tools = request.tools.as_list();
  if (tools == nullptr || tools->empty()) return std::nullopt;
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
