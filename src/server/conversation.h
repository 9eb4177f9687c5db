// Conversation: what chat templates take, made of the pieces that dialects of blocks and items send: a text, a thought,
// a call of a tool, its result. Pieces of one turn of the assistant become one message.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/value.h"

namespace naru::server {

class Conversation {
 public:
  // Neighbouring system texts become one message, an empty line between them.
  void add_system(std::string text);
  void add_user(std::string text);
  // Goes on with the assistant's message before it; several texts of one are joined by line breaks.
  void add_assistant(std::string text);
  // Of the assistant, before what it said: behind a text or a call a new message begins.
  void add_reasoning(std::string text);
  // `arguments`: JSON text of an object.
  void add_call(std::string id, std::string name, std::string arguments);
  // False where no call of that id stands before it.
  bool add_result(const std::string& id, std::string text);

  // A text of the user that follows one belongs to the same message.
  void join_users();

  bool empty() const { return turns_.empty(); }
  size_t n_messages() const { return turns_.size(); }
  bool ends_with_assistant() const { return !turns_.empty() && turns_.back().role == "assistant"; }
  bool ends_with_calls() const { return !turns_.empty() && !turns_.back().calls.empty(); }

  // AnswerRequest::messages.
  text::Value::List take_messages();

 private:
  struct Turn {
    explicit Turn(std::string_view of) : role(of) {}
    std::string role;
    std::string content;
    bool has_content = false;
    std::optional<std::string> reasoning;
    text::Value::List calls;
    std::string call_id;  // that this is the result of
  };
  Turn& assistant_turn();
  static void say(Turn& turn, std::string text, std::string_view between);

  std::vector<Turn> turns_;
  std::map<std::string, std::string> call_names_;  // by id
};

}  // namespace naru::server
