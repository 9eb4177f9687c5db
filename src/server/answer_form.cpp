#include "server/answer_form.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/form_constraint.h"
#include "formats/utf8.h"
#include "server/value_json.h"
#include "text/forms/form.h"

namespace naru::server {
namespace {

using text::Value;
using MadeForm = std::variant<std::shared_ptr<engine::SharedForm>, Refusal>;

Refusal about_calls(std::string_view what) {
  return {400, fmt::format("reading the request: {}", what), "tool_choice", "", 0};
}

Refusal about_form(const Error& error, std::string param) {
  // One that is too large is so at any time.
  if (error.code == Code::kResourceExhausted) {
    return {400, error.message, std::move(param), std::string(kFormTooLarge), 0};
  }
  Refusal refusal = refusal_of(error);
  if (refusal.status < 500) refusal.status = 400, refusal.param = std::move(param);
  return refusal;
}

// The same for no two forms.
struct FormKey {
  std::string operator()(const text::SchemaForm& form) const { return "schema " + value_json(form.schema); }
  std::string operator()(const text::RegexForm& form) const { return "regex " + form.regex; }
  std::string operator()(const text::ChoiceForm& form) const {
    std::string key = "choice";
    for (const std::string& text : form.texts) key += fmt::format(" {}:{}", text.size(), text);
    return key;
  }
};

const std::string* text_field(const Value& object, std::string_view name) {
  const Value* value = object.find(name);
  return value != nullptr ? value->as_string() : nullptr;
}

// The tools that may be called, and the key of their form. `with_all`: those that are not strict follow their schemas
// too.
std::vector<text::FormTool> tools_of(const AnswerRequest& request, bool with_all, std::string& key) {
  std::vector<text::FormTool> tools;
  for (const Value& tool : *request.tools.as_list()) {
    const Value* function = tool.find("function");
    const std::string* name = function != nullptr ? text_field(*function, "name") : nullptr;
    if (name == nullptr || (!request.only_tool.empty() && *name != request.only_tool)) continue;
    const auto& strict = request.strict_tools;
    const bool has_schema = with_all || std::find(strict.begin(), strict.end(), *name) != strict.end();
    const Value* schema = has_schema ? function->find("parameters") : nullptr;
    tools.push_back({*name, schema != nullptr ? std::optional(*schema) : std::nullopt});
    key += fmt::format("{}{}:{}{}", schema ? '!' : '?', name->size(), *name, schema ? value_json(*schema) : "");
  }
  return tools;
}

MadeForm calls_form(const AnswerRequest& request, const ModelFacts& model, bool with_all) {
  if (request.tools.as_list() == nullptr) {
    return about_calls("a tool is to be called, and there are none; give tools, or leave tool_choice out");
  }
  if (!model.tools.texts) {
    return Refusal{
        400,
        "reading the request: calls of tools are to have a form, and how this model writes them could not be "
        "made out from its chat template; send tool_choice \"auto\" and no strict tools",
        "tools", "unsupported_parameter", 0};
  }
  text::CallsForm form;
  std::string key = fmt::format("calls {} {} ", request.must_call, request.parallel_calls);
  form.tools = tools_of(request, with_all, key);
  if (form.tools.empty()) {
    return about_calls(
        fmt::format("tool_choice names the tool {}, which is not among tools; give its name as it is "
                    "there",
                    formats::printable(request.only_tool, 60)));
  }
  form.form = model.tools.form;
  form.texts = *model.tools.texts;
  form.is_one_only = !request.parallel_calls;
  form.must_call = request.must_call;
  auto made = model.masks->form(key, form, form.form);
  // What is not strict is advice: it is followed where it can be.
  const bool is_other_time = !made.ok() && made.error().code == Code::kUnavailable;
  if (!made.ok() && with_all && !is_other_time) return calls_form(request, model, false);
  if (!made.ok()) return about_form(made.error(), "tools");
  return std::move(made).value();
}

}  // namespace

std::variant<std::shared_ptr<engine::SharedForm>, Refusal> answer_form(const AnswerRequest& request,
                                                                       const ModelFacts& model) {
  if (request.form) {
    const auto form = std::visit([](const auto& each) -> text::Form { return each; }, *request.form);
    auto made = model.masks->form(std::visit(FormKey(), *request.form), form, text::ToolCallForm::kNone);
    if (!made.ok()) return about_form(made.error(), std::string(request.names.form));
    return std::move(made).value();
  }
  const bool has_strict = !request.strict_tools.empty() && !request.tools.is_null();
  if (request.must_call || has_strict) return calls_form(request, model, request.must_call);
  return std::shared_ptr<engine::SharedForm>();
}

std::string_view form_words(const AnswerRequest& request) {
  if (request.is_json) return "one JSON object";
  if (!request.form) return "";
  constexpr std::string_view kWords[] = {"a value of a schema", "a text of a regular expression", "one of some texts"};
  return kWords[request.form->index()];
}

std::optional<Refusal> refuse_beside_form(const AnswerRequest& request) {
  const std::string_view form = form_words(request);
  const std::string param(request.must_call ? "tool_choice" : request.names.form);
  if (request.must_call && request.has_form()) {
    const std::string calls = request.only_tool.empty() ? "calls of tools alone" : "a call of one tool alone";
    return Refusal{400,
                   fmt::format("reading the request: tool_choice asks for an answer that is {}, and {} for one that is "
                               "{}, and no answer is both; to have calls leave {} out, to have that form leave "
                               "tool_choice and the tools out",
                               calls, request.names.form, form, request.names.form),
                   param, "", 0};
  }
  if (form.empty() && !request.must_call) return std::nullopt;
  std::string_view other;
  if (!request.tools.is_null() && !request.must_call) {
    other = "it has tools, and a call is none: leave the tools out, or the form";
  }
  if (request.ignores_end) other = "end tokens are to be ignored, and nothing follows it: leave one out";
  if (request.must_call && request.continues_last) {
    other = "it goes on where a message ends, and calls stand alone: leave one out";
  }
  if (other.empty()) return std::nullopt;
  return Refusal{
      400, fmt::format("reading the request: the answer is to be {}, but {}", form.empty() ? "a call" : form, other),
      param, "", 0};
}

}  // namespace naru::server
