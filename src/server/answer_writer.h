// AnswerWriter: the events of one request as the bytes that its dialect answers with. Pure: it knows no socket, no
// clock and no engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/answer_event.h"
#include "server/answer_request.h"

namespace naru::server {

// What every answer of a request says of itself.
struct AnswerIdentity {
  std::string id;           // "chatcmpl-..."
  int64_t created = 0;      // seconds since 1970
  std::string model;        // the name it is served by
  std::string fingerprint;  // of model and numerics
};

class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  // Of a stream that has begun, or of a whole answer.
  virtual std::string_view content_type() const = 0;
  // The bytes to send now. A whole answer's come all with kDone. An error before anything was sent is none of a
  // writer's: it has a status of its own.
  virtual std::string take(const AnswerEvent& event) = 0;
  // What keeps a silent stream alive; empty: nothing may be sent.
  virtual std::string_view ping() const = 0;
};

}  // namespace naru::server
