#include "server/conversation.h"

#include <utility>

namespace naru::server {

using text::Value;

void Conversation::say(Turn& turn, std::string text, std::string_view between) {
  if (std::exchange(turn.has_content, true)) {
    turn.content += between;
    turn.content += text;
  } else {
    turn.content = std::move(text);
  }
}

Conversation::Turn& Conversation::assistant_turn() {
  if (!ends_with_assistant()) turns_.emplace_back("assistant");
  return turns_.back();
}

void Conversation::add_system(std::string text) {
  if (turns_.empty() || turns_.back().role != "system") turns_.emplace_back("system");
  say(turns_.back(), std::move(text), "\n\n");
}

void Conversation::add_user(std::string text) {
  turns_.emplace_back("user");
  say(turns_.back(), std::move(text), "");
}

void Conversation::join_users() {
  std::vector<Turn> joined;
  for (Turn& turn : turns_) {
    if (turn.role == "user" && !joined.empty() && joined.back().role == "user") {
      say(joined.back(), std::move(turn.content), "\n");
    } else {
      joined.push_back(std::move(turn));
    }
  }
  turns_ = std::move(joined);
}

void Conversation::add_assistant(std::string text) {
  say(assistant_turn(), std::move(text), "\n");
}

void Conversation::add_reasoning(std::string text) {
  if (ends_with_assistant() && (turns_.back().has_content || !turns_.back().calls.empty())) {
    turns_.emplace_back("assistant");
  }
  Turn& turn = assistant_turn();
  turn.reasoning = turn.reasoning ? *turn.reasoning + '\n' + text : std::move(text);
}

void Conversation::add_call(std::string id, std::string name, std::string arguments) {
  call_names_[id] = name;
  Value::Object function;
  function.emplace_back("name", std::move(name));
  function.emplace_back("arguments", std::move(arguments));
  Value::Object call;
  call.emplace_back("id", std::move(id));
  call.emplace_back("type", "function");
  call.emplace_back("function", std::move(function));
  assistant_turn().calls.push_back(std::move(call));
}

bool Conversation::add_result(const std::string& id, std::string text) {
  if (!call_names_.contains(id)) return false;
  turns_.emplace_back("tool");
  turns_.back().call_id = id;
  say(turns_.back(), std::move(text), "");
  return true;
}

Value::List Conversation::take_messages() {
  Value::List messages;
  for (Turn& turn : std::exchange(turns_, {})) {
    Value::Object message;
    message.emplace_back("role", turn.role);
    if (turn.role == "tool") {
      message.emplace_back("tool_call_id", turn.call_id);
      message.emplace_back("name", call_names_.at(turn.call_id));
    }
    message.emplace_back("content", std::move(turn.content));
    if (turn.reasoning) message.emplace_back("reasoning_content", std::move(*turn.reasoning));
    if (!turn.calls.empty()) message.emplace_back("tool_calls", std::move(turn.calls));
    messages.emplace_back(std::move(message));
  }
  return messages;
}

}  // namespace naru::server
