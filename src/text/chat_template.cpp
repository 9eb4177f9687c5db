// What a template is given, and what becomes of its output; the language itself is in text/jinja.
#include "text/chat_template.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/jinja/interpreter.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

constexpr size_t kTemplateBytesMax = 1 << 20;  // the longest of the known families has some 10 KB
constexpr int64_t kOutputBytesBase = 1 << 20;
constexpr int64_t kOutputBytesFactor = 4;
constexpr int64_t kWorkFactor = 32;  // of all strings made on the way, over one output

int64_t bytes_of(const Value& value, int depth = 0) {
  if (const std::string* text = value.as_string()) return static_cast<int64_t>(text->size());
  if (const WideNumber* number = value.as_wide()) return static_cast<int64_t>(number->text.size());
  int64_t n = 8;
  if (depth > jinja::kDataDepthMax) return n;  // refused when it is converted
  if (const auto* list = value.as_list()) {
    for (const Value& item : *list) n += bytes_of(item, depth + 1);
  }
  if (const auto* object = value.as_object()) {
    for (const auto& [key, item] : *object) n += static_cast<int64_t>(key.size()) + bytes_of(item, depth + 1);
  }
  return n;
}

// Reasoning comes under several names; transformers gives templates the first that is there as "reasoning_content",
// and as "thinking" where that name is not taken.
Value with_reasoning_names(const Value& message) {
  const Value* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const Value* found = message.find(name);
    if (!reasoning && found && !found->is_null()) reasoning = found;
  }
  if (!reasoning) return message;
  Value::Object object;
  if (!message.find("thinking")) object.emplace_back("thinking", *reasoning);
  object.insert(object.end(), message.as_object()->begin(), message.as_object()->end());
  Value named(std::move(object));
  named.set("reasoning_content", *reasoning);
  return named;
}

// What an assistant says is from outside, its tags of reasoning are not: they become the control tokens that the model
// writes, as in the official library. Other control tokens can no more be forged there than in any message.
Result<jinja::Val> with_trusted_tags(const jinja::Val& message) {
  const jinja::Dict& dict = *message.dict();
  const jinja::Val* role = dict.find("role");
  if (!role || !role->text() || role->text()->bytes != "assistant") return message;
  std::vector<std::pair<jinja::TextPtr, jinja::Val>> entries = dict.entries;
  for (auto& [key, value] : entries) {
    if (key->bytes != "content" || !value.text()) continue;  // a field of its own needs no tags
    jinja::Text text;
    for (const Segment& segment : split_at_tags(value.text()->bytes)) text.append(segment.text, segment.is_content);
    value = jinja::Val(std::move(text));
  }
  return jinja::make_dict(std::move(entries));
}

// A copy in which the value of a key, where it is there, is what `change` makes of it.
template <typename Change>
Result<jinja::Val> with_changed(const jinja::Val& object, std::string_view key, const Change& change) {
  if (!object.dict() || !object.dict()->find(key)) return object;
  std::vector<std::pair<jinja::TextPtr, jinja::Val>> entries = object.dict()->entries;
  for (auto& [name, value] : entries) {
    if (name->bytes != key) continue;
    NARU_ASSIGN(value, change(value));
  }
  return jinja::make_dict(std::move(entries));
}

// The message with arguments that print as they were written (ChatInput::keeps_arguments).
Result<jinja::Val> with_written_arguments(const jinja::Val& message) {
  using jinja::Val;
  const auto object_of = [](const Val& arguments) -> Result<Val> {
    if (!arguments.text()) return arguments;
    return jinja::written_object(arguments.text()->bytes);
  };
  const auto call_of = [&](const Val& call) -> Result<Val> {
    return with_changed(call, "function",
                        [&](const Val& function) { return with_changed(function, "arguments", object_of); });
  };
  return with_changed(message, "tool_calls", [&](const Val& calls) -> Result<Val> {
    if (!calls.list()) return calls;
    std::vector<Val> changed;
    for (const Val& call : calls.list()->items) {
      NARU_ASSIGN(Val one, call_of(call));
      changed.push_back(std::move(one));
    }
    return jinja::make_list(std::move(changed));
  });
}

std::vector<Segment> segments_of(const jinja::Text& text) {
  std::vector<Segment> segments;
  size_t at = 0;
  const auto put = [&](size_t end, bool is_content) {
    if (end > at) segments.push_back({text.bytes.substr(at, end - at), is_content});
    at = end;
  };
  for (const auto& mark : text.marks) {
    put(mark.begin, false);
    put(mark.end, true);
  }
  put(text.bytes.size(), false);
  return segments;
}

Error no_template() {
  return {Code::kNotFound,
          "rendering a conversation: the model has no chat template (one named \"tool_use\" serves conversations with "
          "tools only); use --raw, give --chat-template, or take a model that was made for conversations"};
}

std::tm local_time() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return parts;
}

// The variables that a template knows its tokenizer's special tokens by.
std::vector<std::pair<std::string, std::string>> special_tokens_of(const formats::TokenizerData& data) {
  std::vector<std::pair<std::string, std::string>> variables;
  const auto put = [&](std::string name, const std::optional<int32_t>& id) {
    if (const auto text = id ? formats::token_text(data, *id) : std::nullopt) variables.emplace_back(name, *text);
  };
  put("bos_token", data.bos_id);
  put("eos_token", data.eos_id);
  put("unk_token", data.unk_id);
  put("pad_token", data.pad_id);
  for (const formats::NamedToken& token : data.other_roles) put(token.name, token.id);
  return variables;
}

}  // namespace

// A template as it is run.
struct ParsedTemplate {
  jinja::Template tree;
  int64_t n_bytes = 0;

  static Result<ParsedTemplate> parse(std::string_view text) {
    if (!is_valid_utf8(text)) {
      return Error{Code::kCorrupt, "reading the chat template: it is no valid UTF-8; get the model again"};
    }
    if (text.size() > kTemplateBytesMax) {
      return Error{
          Code::kResourceExhausted,
          fmt::format("reading the chat template: it has {} bytes, at most {} are taken; use a simpler template",
                      text.size(), kTemplateBytesMax)};
    }
    ParsedTemplate parsed;
    NARU_ASSIGN(parsed.tree, jinja::parse_template(text));
    parsed.n_bytes = static_cast<int64_t>(text.size());
    return parsed;
  }

  // Names that are assigned to are nodes too, and no reading.
  bool reads(std::string_view name) const {
    std::vector<bool> is_target(tree.nodes.size());
    for (const jinja::Node& node : tree.nodes) {
      using Kind = jinja::NodeKind;
      if (node.kind != Kind::kSet && node.kind != Kind::kSetBlock && node.kind != Kind::kFor) continue;
      const jinja::NodeId target = node.kids.front();
      is_target[static_cast<size_t>(target)] = true;
      for (const jinja::NodeId each : tree.at(target).kids) is_target[static_cast<size_t>(each)] = true;
    }
    for (size_t i = 0; i < tree.nodes.size(); ++i) {
      const jinja::Node& node = tree.nodes[i];
      if (node.kind == jinja::NodeKind::kName && node.text == name && !is_target[i]) return true;
    }
    return false;
  }
};

struct ChatTemplate::State {
  std::optional<ParsedTemplate> plain;
  std::optional<Result<ParsedTemplate>> with_tools;  // one that cannot be parsed costs conversations with tools alone
  std::vector<std::pair<std::string, std::string>> special_tokens;
};

ChatTemplate::ChatTemplate(std::unique_ptr<State> state) : state_(std::move(state)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::create(std::string_view source,
                                          std::vector<std::pair<std::string, std::string>> special_tokens) {
  auto state = std::make_unique<State>();
  NARU_ASSIGN(state->plain, ParsedTemplate::parse(source));
  state->special_tokens = std::move(special_tokens);
  return ChatTemplate(std::move(state));
}

Result<ChatTemplate> ChatTemplate::create(const formats::TokenizerData& data) {
  auto state = std::make_unique<State>();
  if (data.chat_template) {
    NARU_ASSIGN(state->plain, ParsedTemplate::parse(*data.chat_template));
  }
  for (const formats::NamedTemplate& named : data.named_chat_templates) {
    if (named.name == "tool_use") state->with_tools = ParsedTemplate::parse(named.text);
  }
  if (!state->plain && !state->with_tools) return no_template();
  state->special_tokens = special_tokens_of(data);
  return ChatTemplate(std::move(state));
}

bool ChatTemplate::can_render(bool with_tools) const {
  return state_->plain || (with_tools && state_->with_tools);
}

bool ChatTemplate::reads_variable(std::string_view name, bool with_tools) const {
  if (!with_tools || !state_->with_tools) return state_->plain && state_->plain->reads(name);
  return state_->with_tools->ok() && state_->with_tools->value().reads(name);
}

Result<std::vector<Segment>> ChatTemplate::render(const ChatInput& input) const {
  const bool has_tools = !input.tools.is_null();
  if (!can_render(has_tools)) return no_template();
  const bool takes_named = has_tools && state_->with_tools;
  if (takes_named && !state_->with_tools->ok()) return state_->with_tools->error();
  const ParsedTemplate& source = takes_named ? state_->with_tools->value() : *state_->plain;
  int64_t input_bytes = source.n_bytes + bytes_of(input.tools) + bytes_of(input.documents);
  std::vector<std::pair<std::string, jinja::Val>> variables;
  for (const auto& [name, text] : state_->special_tokens) variables.emplace_back(name, jinja::Val::plain(text));
  std::vector<jinja::Val> messages;
  for (size_t i = 0; i < input.messages.size(); ++i) {
    if (!input.messages[i].as_object()) {
      return Error{Code::kInvalidArgument,
                   fmt::format("rendering the chat template: message {} is no object; send objects with \"role\" and "
                               "\"content\"",
                               i)};
    }
    input_bytes += bytes_of(input.messages[i]);
    NARU_ASSIGN(jinja::Val message, jinja::from_outside(with_reasoning_names(input.messages[i])));
    NARU_ASSIGN(message, with_trusted_tags(message));
    if (input.keeps_arguments) {
      NARU_ASSIGN(message, with_written_arguments(message));
    }
    messages.push_back(std::move(message));
  }
  NARU_ASSIGN(jinja::Val list, jinja::make_list(std::move(messages)));
  variables.emplace_back("messages", std::move(list));
  NARU_ASSIGN(jinja::Val tools, jinja::from_outside(input.tools));
  variables.emplace_back("tools", std::move(tools));
  NARU_ASSIGN(jinja::Val documents, jinja::from_outside(input.documents));
  variables.emplace_back("documents", std::move(documents));
  variables.emplace_back("add_generation_prompt", jinja::Val(input.add_generation_prompt));
  for (const auto& [name, value] : input.settings) {
    input_bytes += bytes_of(value);
    NARU_ASSIGN(jinja::Val setting, jinja::from_outside(value));
    variables.emplace_back(name, std::move(setting));
  }
  jinja::Limits limits;
  limits.output_bytes_max = kOutputBytesFactor * input_bytes + kOutputBytesBase;
  limits.work_bytes_max = kWorkFactor * limits.output_bytes_max;
  jinja::Interpreter interpreter(source.tree, std::move(variables), input.now ? *input.now : local_time(), limits);
  NARU_ASSIGN(const jinja::Text text, interpreter.run());
  return segments_of(text);
}

std::vector<Segment> split_at_tags(std::string_view said) {
  std::vector<Segment> segments;
  const auto put = [&](std::string_view text, bool is_content) {
    if (!text.empty()) segments.push_back({std::string(text), is_content});
  };
  size_t at = 0;
  for (size_t i = said.find('<'); i != std::string_view::npos; i = said.find('<', i + 1)) {
    for (const std::string_view tag : {kThinkOpen, kThinkClose}) {
      if (!said.substr(i).starts_with(tag)) continue;
      put(said.substr(at, i - at), true);
      put(tag, false);
      at = i + tag.size();
    }
  }
  put(said.substr(at), true);
  return segments;
}

std::string join(const std::vector<Segment>& segments) {
  std::string out;
  for (const Segment& segment : segments) out += segment.text;
  return out;
}

}  // namespace naru::text
