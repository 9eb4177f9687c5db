#include "data/tool_calls.h"

#include <fmt/format.h>

#include <optional>

#include "data/turn.h"

namespace naru::data {
namespace {

using text::Segment;
using text::Value;

// In the template's own words: None in what somebody said is theirs.
int64_t count_none(const std::vector<Segment>& segments) {
  int64_t n = 0;
  for (const Segment& segment : segments) n += segment.is_content ? 0 : count_of(segment.text, "None");
  return n;
}

const Value::List* calls_of(const Value& message) {
  const Value* calls = message.find("tool_calls");
  return calls && calls->as_list() && !calls->as_list()->empty() ? calls->as_list() : nullptr;
}

Result<std::string> name_of(const Value& call, size_t message, size_t i, std::string_view place) {
  const Value* function = call.find("function");
  const Value* name = (function ? *function : call).find("name");
  if (name && name->as_string() && !name->as_string()->empty()) return *name->as_string();
  return Error{Code::kInvalidArgument,
               fmt::format("reading {}: messages[{}].tool_calls[{}] has no name, {{\"function\": {{\"name\": ..., "
                           "\"arguments\": ...}}}} was wanted; correct it",
                           place, message, i)};
}

void drop_key(Value& message, std::string_view key) {
  std::erase_if(*message.as_object(), [&](const auto& entry) { return entry.first == key; });
}

// The ways to say that there is no content, the line's own first.
std::vector<Value> forms_of(const Value& message) {
  std::vector<Value> forms{message};
  const Value* content = message.find("content");
  if (content && content->as_string()) return forms;
  if (!content) {
    forms.push_back(message);
    forms.back().set("content", nullptr);
  }
  forms.push_back(message);
  forms.back().set("content", "");
  return forms;
}

Status settle_message(Sample& sample, size_t message, const text::ChatTemplate& chat_template, std::string_view place) {
  std::vector<std::string> names;
  const Value::List calls = *calls_of(sample.messages[message]);
  for (size_t i = 0; i < calls.size(); ++i) {
    NARU_ASSIGN(names.emplace_back(), name_of(calls[i], message, i, place));
  }
  const std::vector<Value> forms = forms_of(sample.messages[message]);
  Sample trial = sample;
  const auto render = [&](const Value& form) {
    trial.messages[message] = form;
    return render_messages(trial, message + 1, false, chat_template, place);
  };
  // Without the calls, saying nothing: what a template that knows none would write.
  Value silent = forms.back();
  drop_key(silent, "tool_calls");
  const auto without = render(silent);
  const std::string text_without = without.ok() ? text::join(*without) : "";
  std::optional<Error> first_error;
  for (const Value& form : forms) {
    const auto segments = render(form);
    if (!segments.ok()) {
      if (!first_error) first_error = segments.error();
      continue;
    }
    const std::string text = text::join(*segments);
    bool is_good = !without.ok() || count_none(*segments) <= count_none(*without) || forms.size() == 1;
    for (const std::string& name : names) is_good = is_good && count_of(text, name) > count_of(text_without, name);
    if (!is_good) continue;
    sample.messages[message] = form;
    return {};
  }
  if (first_error && forms.size() == 1) return *first_error;
  return Error{
      Code::kInvalidArgument,
      fmt::format("reading {}: messages[{}] calls {}, and the chat template writes no calls of tools; take the "
                  "line out, or use a model whose template knows tools",
                  place, message, names[0])};
}

}  // namespace

Status settle_tool_calls(Sample& sample, const text::ChatTemplate& chat_template, std::string_view place) {
  for (size_t i = 0; i < sample.messages.size(); ++i) {
    if (calls_of(sample.messages[i])) NARU_TRY(settle_message(sample, i, chat_template, place));
  }
  if (!sample.tools.as_list() || sample.tools.as_list()->empty()) return {};
  Sample plain = sample;
  plain.tools = nullptr;
  const auto with = render_messages(sample, sample.messages.size(), false, chat_template, place);
  const auto without = render_messages(plain, sample.messages.size(), false, chat_template, place);
  if (!with.ok() || !without.ok() || text::join(*with) != text::join(*without)) return {};  // errors come again
  return Error{Code::kInvalidArgument,
               fmt::format("reading {}: it has \"tools\", and the chat template does not write them; take them out, or "
                           "use a model whose template knows tools",
                           place)};
}

}  // namespace naru::data
