#include "data/tool_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "data/turn.h"
#include "text/jinja/data.h"

namespace naru::data {
namespace {

using text::Segment;
using text::Value;

constexpr std::string_view kUseAnother =
    "take the line out, or use a model whose template knows tools (model.chat_template takes a template's file)";

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

std::string_view role_of(const Value& message) {
  return *message.find("role")->as_string();
}

// {"name": ..., "arguments": ...} of a call, which may stand in its "function".
const Value& function_of(const Value& call) {
  const Value* function = call.find("function");
  return function ? *function : call;
}

Result<std::string> name_of(const Value& call, size_t message, size_t i, std::string_view place) {
  const Value* name = function_of(call).find("name");
  if (name && name->as_string() && !name->as_string()->empty()) return *name->as_string();
  return Error{Code::kInvalidArgument,
               fmt::format("reading {}: messages[{}].tool_calls[{}] has no name, {{\"function\": {{\"name\": ..., "
                           "\"arguments\": ...}}}} was wanted; correct it",
                           place, message, i)};
}

void drop_key(Value& message, std::string_view key) {
  std::erase_if(*message.as_object(), [&](const auto& entry) { return entry.first == key; });
}

// As the templates' tojson writes it; "" where JSON cannot say it.
std::string json_text(const Value& value) {
  const auto given = text::jinja::from_outside(value);
  if (!given.ok()) return "";
  const auto text = text::jinja::to_json(*given, {}, static_cast<size_t>(16) << 20);
  return text.ok() ? text->bytes : "";
}

// The object that a text of arguments is; nothing where it is none.
std::optional<Value> object_of(const std::string& json) {
  auto parsed = text::parse_value(json, "");
  if (!parsed.ok() || !parsed->as_object()) return std::nullopt;
  return std::move(*parsed);
}

// How the arguments of all calls of a message are given to the template.
enum class Arguments : uint8_t { kAsGiven, kObjects, kTexts };

// Nothing where it would be as given.
std::optional<Value> with_arguments(const Value& message, Arguments form) {
  Value made = message;
  bool is_changed = false;
  Value::List calls = *calls_of(message);
  for (Value& call : calls) {
    Value function = function_of(call);
    const Value* arguments = function.find("arguments");
    if (!arguments) continue;
    std::optional<Value> other;
    if (form == Arguments::kObjects && arguments->as_string()) other = object_of(*arguments->as_string());
    if (form == Arguments::kTexts && arguments->as_object()) other = Value(json_text(*arguments));
    if (!other) continue;
    is_changed = true;
    function.set("arguments", std::move(*other));
    if (call.find("function")) {
      call.set("function", std::move(function));
    } else {
      call = std::move(function);
    }
  }
  if (!is_changed) return std::nullopt;
  made.set("tool_calls", Value(std::move(calls)));
  return made;
}

// The ways to say that there is no content, the line's own first.
std::vector<Value> contents_of(const Value& message) {
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

// One message with calls, and the forms in which the template may be given it.
class Settling {
 public:
  Settling(Sample& sample, size_t message, const text::ChatTemplate& chat_template, std::string_view place)
      : sample_(sample), trial_(sample), message_(message), chat_template_(chat_template), place_(place) {}

  Status run() {
    const Value own = sample_.messages[message_];
    const Value::List& calls = *calls_of(own);
    for (size_t i = 0; i < calls.size(); ++i) {
      NARU_ASSIGN(names_.emplace_back(), name_of(calls[i], message_, i, place_));
    }
    // Without the calls, saying nothing: what a template that knows none would write.
    Value silent = contents_of(own).back();
    drop_key(silent, "tool_calls");
    const auto without = render(silent);
    if (without.ok()) {
      text_without_ = text::join(*without);
      n_none_without_ = count_none(*without);
    }
    for (const Arguments form : {Arguments::kAsGiven, Arguments::kObjects, Arguments::kTexts}) {
      const auto message = form == Arguments::kAsGiven ? std::optional<Value>(own) : with_arguments(own, form);
      if (message) look_at(*message, form);
      if (best_rank_ == 0) break;
    }
    if (best_) {
      sample_.messages[message_] = std::move(*best_);
      return {};
    }
    if (first_error_) return *first_error_;
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: messages[{}] calls {}, and the chat template writes no calls of tools; {}",
                             place_, message_, names_[0], kUseAnother)};
  }

 private:
  Result<std::vector<Segment>> render(const Value& form) {
    trial_.messages[message_] = form;
    return render_messages(trial_, message_ + 1, false, chat_template_, place_);
  }

  // Keeps the first content with which the calls come out, where nothing better is known.
  void look_at(const Value& message, Arguments form) {
    const std::vector<Value> contents = contents_of(message);
    for (const Value& one : contents) {
      const auto segments = render(one);
      if (!segments.ok()) {
        if (!first_error_ && contents.size() == 1) first_error_ = segments.error();
        continue;
      }
      if (n_none_without_ && contents.size() > 1 && count_none(*segments) > *n_none_without_) continue;
      const std::string text = text::join(*segments);
      const bool has_names = std::all_of(names_.begin(), names_.end(), [&](const std::string& name) {
        return count_of(text, name) > count_of(text_without_, name);
      });
      if (!has_names) continue;
      // An object is what transformers' templates are written for, where nothing tells.
      const int rank = has_arguments(text, one) ? 0 : form == Arguments::kObjects ? 1 : 2;
      if (rank < best_rank_) {
        best_rank_ = rank;
        best_ = one;
      }
      return;
    }
  }

  // Whether the text says the arguments of all calls as JSON, and none of them as a text in quotation marks.
  bool has_arguments(const std::string& text, const Value& message) const {
    const auto has = [&](const std::string& part) {
      return !part.empty() && count_of(text, part) > count_of(text_without_, part);
    };
    const Value::List& calls = *calls_of(message);
    return std::all_of(calls.begin(), calls.end(), [&](const Value& call) {
      const Value* arguments = function_of(call).find("arguments");
      if (!arguments || arguments->is_null()) return true;
      const std::string* said = arguments->as_string();
      if (said) return said->empty() || (has(*said) && !has(json_text(*arguments)));
      return has(json_text(*arguments));
    });
  }

  Sample& sample_;
  Sample trial_;
  size_t message_;
  const text::ChatTemplate& chat_template_;
  std::string_view place_;
  std::vector<std::string> names_;
  std::string text_without_;
  std::optional<int64_t> n_none_without_;
  std::optional<Value> best_;
  int best_rank_ = 3;
  std::optional<Error> first_error_;
};

// Whether another content of messages[message] gives another text. True where the template refuses the other one.
bool is_written(const Sample& sample, size_t message, const std::string& text, const text::ChatTemplate& chat_template,
                std::string_view place) {
  const Value* content = sample.messages[message].find("content");
  if (!content || !content->as_string()) return true;
  Sample other = sample;
  other.messages[message].set("content", *content->as_string() + " naru");
  const auto segments = render_messages(other, other.messages.size(), false, chat_template, place);
  return !segments.ok() || text::join(*segments) != text;
}

}  // namespace

Status settle_tool_calls(Sample& sample, const text::ChatTemplate& chat_template, std::string_view place) {
  bool has_results = false;
  for (size_t i = 0; i < sample.messages.size(); ++i) {
    if (calls_of(sample.messages[i])) NARU_TRY(Settling(sample, i, chat_template, place).run());
    has_results |= role_of(sample.messages[i]) == "tool";
  }
  const bool has_tools = sample.tools.as_list() && !sample.tools.as_list()->empty();
  if (!has_tools && !has_results) return {};
  const auto with = render_messages(sample, sample.messages.size(), false, chat_template, place);
  if (!with.ok()) return {};  // the error comes again
  const std::string text = text::join(*with);
  for (size_t i = 0; has_results && i < sample.messages.size(); ++i) {
    if (role_of(sample.messages[i]) != "tool" || is_written(sample, i, text, chat_template, place)) continue;
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading {}: messages[{}] is what a tool gave, and the chat template does not write it; {}", place,
                    i, kUseAnother)};
  }
  if (!has_tools) return {};
  Sample plain = sample;
  plain.tools = nullptr;
  const auto without = render_messages(plain, sample.messages.size(), false, chat_template, place);
  if (!without.ok() || text::join(*without) != text) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("reading {}: it has \"tools\", and the chat template does not write them; take them out, or "
                           "use a model whose template knows tools (model.chat_template takes a template's file)",
                           place)};
}

std::string unwritten_note(const Sample& sample, const text::ChatTemplate& chat_template, std::string_view place) {
  std::optional<std::string> text;
  for (size_t i = 0; i < sample.messages.size(); ++i) {
    const std::string_view role = role_of(sample.messages[i]);
    if (role != "system" && role != "developer") continue;
    if (!text) {
      const auto segments = render_messages(sample, sample.messages.size(), false, chat_template, place);
      if (!segments.ok()) return "";
      text = text::join(*segments);
    }
    if (is_written(sample, i, *text, chat_template, place)) continue;
    return fmt::format("a message of role {} is not in it: the chat template does not write it", role);
  }
  return "";
}

}  // namespace naru::data
