// What a server takes at most from those who talk to it, and how long it waits for them.
#pragma once

#include <chrono>
#include <cstdint>

namespace naru::server {

using std::chrono::seconds;

inline constexpr int64_t kHeaderBytesMax = 32 << 10;     // request line and fields
inline constexpr int64_t kHeaderFieldsMax = 100;         // of one request
inline constexpr int64_t kBodyBytesMax = 8 << 20;        // of one request
inline constexpr int64_t kBodyBytesAllMax = 512 << 20;   // of all that are being received or wait to be read
inline constexpr int64_t kPipelinedBytesMax = 64 << 10;  // read ahead of the request that is being answered
inline constexpr int64_t kUnsentBytesMax = 8 << 20;      // of a stream, that its reader has not taken
inline constexpr int64_t kConnectionsMax = 1024;
inline constexpr int64_t kSampledTurnsBytesMax = 64 << 20;  // of turns that are kept as they were sampled
inline constexpr int64_t kLoggedBodyBytesMax = 64 << 10;    // of one request, where prompts are logged

inline constexpr int64_t kMessagesMax = 4096;              // of one conversation
inline constexpr int64_t kMessagePartsMax = 16384;         // of one message
inline constexpr int64_t kToolsMax = 1024;                 // of one request
inline constexpr int64_t kToolNameBytesMax = 128;          // of one tool's name
inline constexpr int64_t kCallsMax = 128;                  // calls of tools in one message
inline constexpr int64_t kEchoBytesMax = 32 << 10;         // of one field that an answer repeats of its request
inline constexpr int64_t kPromptsMax = 16;                 // texts of one request to continue
inline constexpr int64_t kChoicesMax = 8;                  // `n`
inline constexpr int64_t kTopLogProbsAskedMax = 20;        // alternatives to one token
inline constexpr int64_t kStopsMax = 16;                   // stop strings of one request
inline constexpr int64_t kStopBytesMax = 256;              // of one of them
inline constexpr int64_t kLogitBiasMax = 1024;             // tokens with a bias
inline constexpr int64_t kTemplateSettingsMax = 64;        // chat_template_kwargs
inline constexpr int64_t kIgnoredFieldsShownMax = 16;      // names in the header that says them
inline constexpr int64_t kPageTokensMax = 1 << 20;         // that /tokenize says and /detokenize takes
inline constexpr int64_t kPageTextBytesAllMax = 16 << 20;  // of the text that /detokenize says
inline constexpr int64_t kQueueMax = 100000;               // of --queue
inline constexpr int64_t kParallelMax = 1024;              // of --parallel
inline constexpr int64_t kPromptRowsBeside = 48;           // tokens of prompts in a step beside answers' next tokens
inline constexpr int64_t kKeysMax = 1024;                  // in a file of keys
inline constexpr int64_t kKeyBytesMax = 512;               // of one of them
inline constexpr int64_t kKeysFileBytesMax = 1 << 20;
inline constexpr int64_t kModelsServedMax = 64;
inline constexpr int64_t kPriorityMax = 2147483647;
inline constexpr int64_t kDeadlineMsMax = 604800000;  // that a request gives its answer: a week

struct Deadlines {
  seconds handshake{5};  // of TLS, from the begin of a connection
  seconds header{5};     // from a request's first byte to the end of its header
  seconds body{30};      // from there to the end of its body
  seconds idle{60};      // of a connection between two requests
  seconds write{30};     // without the reader taking a byte
  seconds linger{2};     // for what is still sent to a connection that is to be closed
  seconds ping{15};      // of silence in a stream until a comment keeps it alive
  seconds answer{1800};  // of one answer, its time in the queue too
};

}  // namespace naru::server
