// AnswerEvent: what happens to a request, in order: kBegin, then kPrefill and kText of its choices, kEnd of each, and
// kDone; or kError at any place, and nothing after it. Every dialect makes its own bytes of these.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/refusal.h"

namespace naru::server {

// A token with its probability. Its bytes may be a part of a character.
struct AnswerToken {
  struct Alternative {
    std::string bytes;
    float logprob = 0;
  };
  std::string bytes;
  float logprob = 0;
  std::vector<Alternative> top;  // best first
  bool is_reasoning = false;
};

// More of a call of a tool. Its first piece has id and name; the arguments' pieces, joined, are a JSON object.
struct ToolCallPiece {
  int64_t index = 0;  // of the call in its choice
  std::string id;     // "call_...": nobody can guess it
  std::string name;
  std::string arguments;
};

enum class EndReason : uint8_t { kStop, kLength, kToolCalls };

struct AnswerUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, that were not computed again
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;  // of the completion
  // Of the choice that took longest with each: until its first step, from there to its first token, and to its last.
  double queue_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
  int64_t replayed_tokens = 0;  // of the prompt, that stand in it as the model sampled them
};

struct AnswerEvent {
  enum class Kind : uint8_t {
    kBegin,    // it is in the engine's queue
    kPrefill,  // prompt_done of prompt_tokens of a choice are computed
    kText,  // more of a choice: reasoning before content before calls, of whole characters, maybe none; and the tokens
            // where their probabilities were asked for
    kEnd,   // a choice is whole
    kDone,  // all are, and `usage` is that of the request
    kError,
  };
  Kind kind = Kind::kText;
  int64_t choice = 0;
  std::string reasoning;
  std::string content;
  std::vector<ToolCallPiece> calls;
  std::vector<AnswerToken> tokens;
  bool ends_reasoning = false;  // with kText: behind its reasoning comes no more, though there be no content yet
  EndReason reason = EndReason::kStop;
  std::string stop;  // with kEnd: the stop string that ended the choice; empty: none did
  AnswerUsage usage;
  int64_t time = 0;  // with kDone: seconds since 1970
  int64_t prompt_done = 0;
  int64_t prompt_tokens = 0;
  Refusal error;
};

}  // namespace naru::server
