// Dialect: one form of asking and answering: OpenAI's chat completions, Anthropic's messages, ... Three pure functions
// around the one AnswerRequest and the one stream of AnswerEvents, so that all dialects share every rule between them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "server/answer_request.h"
#include "server/answer_writer.h"
#include "server/http_message.h"

namespace naru::server {

struct Dialect {
  std::string_view name;       // for logs and documents: "openai.chat"
  std::string_view id_prefix;  // of its answers' ids: "chatcmpl-"
  // What a body asks for. `head` has no body any more; its path and fields may say more.
  ReadRequest (*read)(std::string_view body, const HttpRequest& head) = nullptr;
  // Not called for a PageRequest.
  std::unique_ptr<AnswerWriter> (*make_writer)(AnswerIdentity identity, const AnswerRequest& request) = nullptr;
  // A refusal as a body.
  std::string (*error)(const Refusal& refusal) = nullptr;
};

}  // namespace naru::server
