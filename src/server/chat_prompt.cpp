#include "server/chat_prompt.h"

#include <fmt/format.h>

#include <utility>

#include "server/answer_form.h"
#include "server/call_id.h"
#include "server/tool_prompt.h"
#include "text/answer_start.h"
#include "text/chat_template.h"
#include "text/reasoning.h"

namespace naru::server {
namespace {

// What templates call the switch of reasoning: Qwen's and those like it, and DeepSeek's.
constexpr const char* kSwitches[] = {"enable_thinking", "thinking"};
constexpr const char* kEffort = "reasoning_effort";
constexpr std::string_view kNoEffort = "none";

bool is_same(const text::Value& a, const text::Value& b) {
  if (a.as_bool() && b.as_bool()) return *a.as_bool() == *b.as_bool();
  return a.as_string() && b.as_string() && *a.as_string() == *b.as_string();
}

// Sets a variable; one that the request has set itself must agree.
std::optional<Refusal> set_variable(text::Value::Object& settings, const char* name, text::Value value,
                                    std::string_view asked) {
  for (const auto& [key, set] : settings) {
    if (key != name) continue;
    if (is_same(set, value)) return std::nullopt;
    return Refusal{400,
                   fmt::format("reading the request: chat_template_kwargs.{} says something else than {}, and both set "
                               "one variable of the model's template; leave one out",
                               name, asked),
                   fmt::format("chat_template_kwargs.{}", name), "", 0};
  }
  settings.emplace_back(name, std::move(value));
  return std::nullopt;
}

// What was asked of reasoning and the template knows nothing of.
struct IgnoredReasoning {
  bool thinking = false;
  bool effort = false;
};

// What is asked of reasoning, as variables of the template.
std::optional<Refusal> set_reasoning(const AnswerRequest& request, const text::ChatTemplate& chat_template,
                                     text::Value::Object& settings, IgnoredReasoning& ignored) {
  const bool has_tools = !request.tools.is_null();
  const std::string& effort = request.reasoning_effort;
  const std::string_view asked = request.thinks ? request.names.thinking : request.names.effort;
  // An effort is one of thinking.
  std::optional<bool> thinks = request.thinks;
  if (!thinks && !effort.empty()) thinks = effort != kNoEffort;
  bool has_switch = false;
  for (const char* name : kSwitches) {
    if (!thinks || !chat_template.reads_variable(name, has_tools)) continue;
    has_switch = true;
    if (auto refusal = set_variable(settings, name, *thinks, asked)) return refusal;
  }
  ignored.thinking = request.thinks && !has_switch;
  if (effort == kNoEffort) {
    ignored.effort = !request.thinks && !has_switch;
  } else if (!effort.empty()) {
    ignored.effort = !chat_template.reads_variable(kEffort, has_tools);
    if (!ignored.effort) return set_variable(settings, kEffort, effort, request.names.effort);
  }
  return std::nullopt;
}

std::vector<std::string> names_of(const IgnoredReasoning& ignored, const FieldNames& names) {
  std::vector<std::string> list;
  if (ignored.thinking) list.emplace_back(names.thinking);
  // One field of a dialect may say both.
  if (ignored.effort && !(ignored.thinking && names.effort == names.thinking)) list.emplace_back(names.effort);
  return list;
}

Refusal about_messages(const Error& error, const FieldNames& names) {
  Refusal refusal = refusal_of(error);
  if (refusal.status < 500) refusal.param = names.messages;
  return refusal;
}

// Takes the message that the answer goes on from out of the conversation.
std::variant<text::AnswerStart, Refusal> take_start(text::Value::List& messages, const FieldNames& names) {
  const auto text_of = [&](const char* name) {
    const text::Value* value = messages.back().find(name);
    return value && value->as_string() ? *value->as_string() : std::string();
  };
  if (messages.empty() || text_of("role") != "assistant" || messages.back().find("tool_calls")) {
    return Refusal{400,
                   "reading the request: the answer is to go on where the last message ends, which must be an "
                   "assistant's, and without tool calls; correct it",
                   std::string(names.messages), "", 0};
  }
  text::AnswerStart start{text_of("reasoning_content"), text_of("content")};
  messages.pop_back();
  return start;
}

// A turn with calls that came back without its reasoning, where the template would show it: the model was trained to
// see it, and what is computed of the turn is not found again. One that had none is whole. Turns before `first` are not
// the template's.
std::optional<std::string> missing_reasoning(const AnswerRequest& request, const ModelFacts& model, size_t first) {
  if (request.thinks == false) return std::nullopt;
  size_t last_question = 0;
  const auto role_of = [&](size_t i) {
    const text::Value* role = request.messages[i].find("role");
    return role != nullptr && role->as_string() != nullptr ? *role->as_string() : std::string();
  };
  for (size_t i = 0; i < request.messages.size(); ++i) {
    if (role_of(i) == "user") last_question = i;
  }
  for (size_t i = first; i < request.messages.size(); ++i) {
    const text::Value& message = request.messages[i];
    const bool is_shown = i < last_question ? model.tools.writes_earlier_reasoning : model.tools.writes_reasoning;
    if (!is_shown || role_of(i) != "assistant" || calls_in(message) == nullptr) continue;
    const text::Value* reasoning = message.find("reasoning_content");
    if (reasoning != nullptr && reasoning->as_string() != nullptr && !reasoning->as_string()->empty()) continue;
    if (is_id_without_reasoning(first_call_id(message))) continue;
    const std::string place = request.names.has_places ? fmt::format("{}[{}]", request.names.messages, i)
                                                       : fmt::format("a turn in {}", request.names.messages);
    return fmt::format("{} calls tools and has no {}, which the model's template shows; send back what came with it",
                       place, request.names.reasoning);
  }
  return std::nullopt;
}

// The prompt's tokens behind a turn that is known, and what the template writes there; false where there is none, or
// where the template does not let it be put in.
bool render_replay(const AnswerRequest& request, const ModelFacts& model, const ReplaySource& replays,
                   const text::ChatInput& input, ChatPrompt& prompt, std::optional<Replay>& replay) {
  const std::vector<std::string> before = histories_of(request, model);
  prompt.history = before.back();
  replay = find_replay(request, before, replays);
  if (!replay) return false;
  auto behind = segments_behind(*replay, "mark" + prompt.history, model, input);
  if (!behind || !joined_behind(*replay->turn, model.tokenizer->encode_segments(*behind), model)) return false;
  prompt.segments = std::move(*behind);
  prompt.replayed_call = replay->call_id;
  return true;
}

}  // namespace

std::optional<Refusal> refuse_chat(const AnswerRequest& request, const ModelFacts& model) {
  const bool has_tools = !request.tools.is_null();
  if (model.tokenizer == nullptr || model.chat_template == nullptr || !model.chat_template->can_render(has_tools)) {
    const std::string why = model.template_status.ok() ? "the model has no chat template for such conversations"
                                                       : model.template_status.error().message;
    return Refusal{400,
                   fmt::format("rendering the conversation: {}; /v1/completions continues plain text, and so does "
                               "/api/generate with \"raw\": true",
                               why),
                   "", "no_chat_template", 0};
  }
  return refuse_tools(request, model);
}

std::variant<ChatPrompt, Refusal> render_chat(const AnswerRequest& request, const ModelFacts& model, bool opens_answer,
                                              engine::TextOptions* text, const ReplaySource* replays) {
  if (auto refusal = refuse_chat(request, model)) return *refusal;
  const text::Tokenizer& tokenizer = *model.tokenizer;
  ChatPrompt prompt;
  text::ChatInput input;
  engine::TextOptions unread;
  if (auto refusal = prepare_tools(request, model, input, text != nullptr ? *text : unread)) return *refusal;
  input.settings = request.template_settings;
  input.add_generation_prompt = opens_answer;
  IgnoredReasoning ignored;
  if (auto refusal = set_reasoning(request, *model.chat_template, input.settings, ignored)) return *refusal;
  std::optional<text::AnswerStart> start;
  if (request.continues_last) {
    if (request.has_form()) {
      return Refusal{400,
                     fmt::format("reading the request: {} asks for {}, and the last message for an answer that goes "
                                 "on where it ends, in the middle of one; leave one out",
                                 request.names.form, form_words(request)),
                     std::string(request.names.messages), "", 0};
    }
    auto taken = take_start(input.messages, request.names);
    if (auto* refusal = std::get_if<Refusal>(&taken)) return *refusal;
    start = std::move(std::get<text::AnswerStart>(taken));
  }
  std::optional<Replay> replay;
  if (replays == nullptr || !render_replay(request, model, *replays, input, prompt, replay)) {
    replay.reset();
    auto rendered = model.chat_template->render(input);
    if (!rendered.ok()) return about_messages(rendered.error(), request.names);
    prompt.segments = std::move(rendered).value();
  }
  if (auto warning = missing_reasoning(request, model, replay ? replay->message + 1 : 0)) {
    prompt.warnings.push_back(std::move(*warning));
  }
  bool goes_on_in_reasoning = false;
  if (start) {
    auto appended = text::append_answer_start(std::move(*start), tokenizer, prompt.segments);
    if (!appended.ok()) return about_messages(appended.error(), request.names);
    goes_on_in_reasoning = *appended;
  }
  prompt.ids = tokenizer.encode_segments(prompt.segments);
  prompt.opens_reasoning =
      start ? goes_on_in_reasoning : text::prompt_opens_reasoning(prompt.segments, prompt.ids, tokenizer);
  if (replay) {
    prompt.ids = *joined_behind(*replay->turn, prompt.ids, model);
    prompt.replayed_tokens = std::ssize(replay->turn->ids);
  }
  if (prompt.ids.empty()) {
    return Refusal{400,
                   "rendering the conversation: the model's chat template makes no text of it, some was wanted; "
                   "send it to /v1/completions as plain text",
                   std::string(request.names.messages), "", 0};
  }
  // Reasoning that comes anyhow was not asked for in vain, nor a bound of it.
  const bool is_heeded = prompt.opens_reasoning || request.reasoning_tokens_max > 0;
  if (request.thinks == true && is_heeded) ignored.thinking = false;
  prompt.ignored = names_of(ignored, request.names);
  return prompt;
}

}  // namespace naru::server
