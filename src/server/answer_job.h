// What goes from the network to the threads behind it, and what comes back.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/answer_event.h"
#include "server/dialect.h"
#include "server/key_limits.h"
#include "server/prepare.h"

namespace naru::server {

using AnswerId = uint64_t;

// A request whose body nobody has looked at.
struct AnswerJob {
  AnswerId id = 0;
  std::string body;
  const Dialect* dialect = nullptr;
  HttpRequest head;                     // without its body
  AnswerIdentity identity;              // its model and fingerprint are filled in
  std::string cache_scope;              // of whoever asks; empty: nobody in particular
  std::shared_ptr<KeyAccount> account;  // that what is computed is added to; null: nobody's
  std::chrono::steady_clock::time_point arrival;
  uint64_t seed = 0;             // where the request names none
  bool is_strict_model = false;  // another name than the model's is refused

  engine::UserId user() const { return account ? account->user : 0; }
};

// What is known of a request when its body was read.
struct AnswerPlan {
  std::unique_ptr<AnswerWriter> writer;
  bool is_streamed = false;
  uint64_t seed = 0;
  size_t model = 0;  // which of the models
  std::vector<std::string> ignored;
  std::vector<std::string> warnings;
  std::string replayed_call;  // as of PreparedAnswer
};

// Whose an answer is, and since when it is asked for.
struct Asker {
  std::shared_ptr<KeyAccount> account;
  std::chrono::steady_clock::time_point arrival;
};

// To the thread of an engine.
struct AnswerMail {
  AnswerId id = 0;
  std::optional<PreparedAnswer> prepared;  // absent: cancel it
  Asker asker;
};

struct AddressedEvent {
  AnswerId answer = 0;
  AnswerEvent event;
};

}  // namespace naru::server
