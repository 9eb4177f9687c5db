#include "cli/conversation.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/shown_text.h"
#include "cli/json_text.h"
#include "data/limits.h"
#include "data/sample.h"

namespace naru::cli {
namespace {

void add_message(std::string& line, std::string_view role, std::string_view content, std::string_view reasoning) {
  line += fmt::format("{}{{\"role\": \"{}\", \"content\": {}", line.empty() ? "" : ", ", role, json_string(content));
  if (!reasoning.empty()) line += fmt::format(", \"reasoning_content\": {}", json_string(reasoning));
  line += '}';
}

Error not_for_a_chat(std::string_view name, std::string_view key, std::string_view found, std::string_view wanted,
                     std::string_view next) {
  return {Code::kUnsupported, fmt::format("reading {}: {} is {}, {} was wanted; {}", name, key, found, wanted, next)};
}

// data::parse_sample() has checked it: an object with a role and, but for calls of tools, a content.
Status take_message(const text::Value& message, size_t i, std::string_view name, Conversation& conversation) {
  const std::string& role = *message.find("role")->as_string();
  const std::string place = fmt::format("messages[{}]", i);
  const text::Value* content = message.find("content");
  const text::Value* calls = message.find("tool_calls");
  if (calls != nullptr && !calls->is_null()) {
    return not_for_a_chat(name, place + ".tool_calls", "there", "a message of text alone",
                          "take it out: the chat calls no tools");
  }
  const std::string& text = *content->as_string();
  if (role == "system" && i == 0) {
    conversation.system = text;
  } else if (role == "user") {
    conversation.turns.push_back({.question = text});
  } else if (role == "assistant") {
    if (conversation.turns.empty() || conversation.turns.back().answer) {
      return not_for_a_chat(name, place + ".role", "'assistant'", "an answer behind each message of the user's",
                            "put what it answers before it");
    }
    conversation.turns.back().answer = text;
    const text::Value* reasoning = message.find("reasoning_content");
    if (reasoning != nullptr && reasoning->as_string()) conversation.turns.back().reasoning = *reasoning->as_string();
  } else {
    return not_for_a_chat(name, place + ".role", fmt::format("'{}'", role),
                          i == 0 ? "system or user" : "user or assistant", "take the message out");
  }
  return {};
}

}  // namespace

std::vector<Message> Conversation::messages_without(size_t n) const {
  std::vector<Message> messages;
  if (system) messages.push_back({"system", *system});
  for (size_t i = n; i < turns.size(); ++i) {
    messages.push_back({"user", turns[i].question});
    if (turns[i].answer) messages.push_back({"assistant", *turns[i].answer});
  }
  return messages;
}

std::string conversation_text(const Conversation& conversation, size_t* n_left_out) {
  const size_t n_turns_max = (static_cast<size_t>(data::kDataMessagesMax) - 1) / 2;
  *n_left_out = conversation.turns.size() - std::min(conversation.turns.size(), n_turns_max);
  std::string line;
  if (conversation.system) add_message(line, "system", *conversation.system, {});
  for (size_t i = *n_left_out; i < conversation.turns.size(); ++i) {
    const ChatTurn& turn = conversation.turns[i];
    add_message(line, "user", turn.question, {});
    if (turn.answer) add_message(line, "assistant", *turn.answer, turn.reasoning);
  }
  return fmt::format("{{\"messages\": [{}]}}\n", line);
}

Result<Conversation> parse_conversation(std::string_view text, std::string_view name) {
  NARU_ASSIGN(const data::Sample sample, data::parse_sample(text, name));
  if (!sample.is_chat) {
    return not_for_a_chat(name, "the line", "a text", "a conversation", "write {\"messages\": [...]}");
  }
  if (!sample.tools.is_null()) {
    return not_for_a_chat(name, "tools", "there", "a conversation without", "take them out: the chat calls no tools");
  }
  Conversation conversation;
  for (size_t i = 0; i < sample.messages.size(); ++i) {
    NARU_TRY(take_message(sample.messages[i], i, name, conversation));
  }
  return conversation;
}

Status save_conversation(const Conversation& conversation, const std::filesystem::path& path, Existing existing,
                         size_t* n_left_out) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path, existing));
  const std::string text = conversation_text(conversation, n_left_out);
  NARU_TRY(file.write(as_bytes(text)));
  return file.commit();
}

Result<Conversation> load_conversation(const std::filesystem::path& path) {
  NARU_ASSIGN(const std::string text, read_file(path, data::kDataLineBytesMax));
  return parse_conversation(text, without_controls_on_one_line(path.filename().string()));
}

}  // namespace naru::cli
