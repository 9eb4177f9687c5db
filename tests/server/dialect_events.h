// Events made by hand for writers of dialects, and what their streams say.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "server/answer_writer.h"

namespace naru::server::dialect_test {

using Json = nlohmann::ordered_json;

inline AnswerEvent happens(AnswerEvent::Kind kind) {
  AnswerEvent e;
  e.kind = kind;
  return e;
}

inline AnswerEvent begins() {
  return happens(AnswerEvent::Kind::kBegin);
}

inline AnswerEvent prefills(int64_t prompt_tokens) {
  AnswerEvent e = happens(AnswerEvent::Kind::kPrefill);
  e.prompt_done = e.prompt_tokens = prompt_tokens;
  return e;
}

inline AnswerEvent says(std::string reasoning, std::string content, std::vector<AnswerToken> tokens = {}) {
  AnswerEvent e = happens(AnswerEvent::Kind::kText);
  e.reasoning = std::move(reasoning);
  e.content = std::move(content);
  e.tokens = std::move(tokens);
  return e;
}

inline AnswerEvent calls(std::vector<ToolCallPiece> pieces) {
  AnswerEvent e = happens(AnswerEvent::Kind::kText);
  e.calls = std::move(pieces);
  return e;
}

inline AnswerEvent ends(EndReason reason, std::string stop = "") {
  AnswerEvent e = happens(AnswerEvent::Kind::kEnd);
  e.reason = reason;
  e.stop = std::move(stop);
  return e;
}

// Of 10 tokens of the prompt 4 were cached; of 7 of the answer 3 are reasoning.
inline AnswerEvent is_done() {
  AnswerEvent e = happens(AnswerEvent::Kind::kDone);
  e.usage = {10, 4, 7, 3};
  e.time = 1700000009;
  return e;
}

inline AnswerEvent fails(Refusal refusal) {
  AnswerEvent e = happens(AnswerEvent::Kind::kError);
  e.error = std::move(refusal);
  return e;
}

inline std::string written(AnswerWriter& writer, const std::vector<AnswerEvent>& events) {
  std::string bytes;
  for (const AnswerEvent& e : events) bytes += writer.take(e);
  return bytes;
}

struct NamedEvent {
  std::string name;
  Json data;
};

// A stream of "event: NAME", "data: JSON" and an empty line, in which each event says its name once more.
inline std::vector<NamedEvent> named_events(const std::string& bytes) {
  std::vector<NamedEvent> events;
  for (size_t at = 0; at < bytes.size();) {
    const size_t data = bytes.find("\ndata: ", at), stop = bytes.find("\n\n", at);
    if (bytes.compare(at, 7, "event: ") != 0 || data == std::string::npos || stop == std::string::npos || data > stop) {
      ADD_FAILURE() << "no named event: " << bytes.substr(at);
      break;
    }
    NamedEvent event{bytes.substr(at + 7, data - at - 7), Json::parse(bytes.substr(data + 7, stop - data - 7))};
    EXPECT_EQ(event.data.value("type", ""), event.name);
    events.push_back(std::move(event));
    at = stop + 2;
  }
  return events;
}

inline std::vector<std::string> names_of(const std::vector<NamedEvent>& events) {
  std::vector<std::string> names;
  for (const NamedEvent& event : events) names.push_back(event.name);
  return names;
}

inline AnswerRequest taken_request(const ReadRequest& read) {
  const auto* request = std::get_if<AnswerRequest>(&read);
  const auto* refusal = std::get_if<Refusal>(&read);
  EXPECT_NE(request, nullptr) << (refusal ? refusal->message : "a page");
  return request ? *request : AnswerRequest();
}

inline Refusal refusal_in(const ReadRequest& read) {
  const auto* refusal = std::get_if<Refusal>(&read);
  EXPECT_NE(refusal, nullptr);
  return refusal ? *refusal : Refusal();
}

// A body with one field set to each wrong value: refused by the field's name, with a message that begins with it.
inline void expect_refused_by_name(const std::function<ReadRequest(std::string_view)>& read, const std::string& before,
                                   const std::vector<std::pair<std::string, std::vector<std::string>>>& fields) {
  for (const auto& [name, values] : fields) {
    for (const std::string& value : values) {
      const std::string body = before + ",\"" + name + "\":" + value + "}";
      const Refusal refusal = refusal_in(read(body));
      EXPECT_EQ(refusal.status, 400) << body;
      EXPECT_TRUE(refusal.param == name || refusal.param.starts_with(name + ".") ||
                  refusal.param.starts_with(name + "["))
          << body << "\n"
          << refusal.param << ": " << refusal.message;
      EXPECT_TRUE(refusal.message.starts_with("reading the request: " + refusal.param)) << refusal.message;
    }
  }
}

}  // namespace naru::server::dialect_test
