// HTTP for pulls, over libcurl: several requests at once on one thread, each going on where it was cut, with pauses
// that grow, as often as is sensible.
//
// Redirects are followed here and not by the library: the token goes to the origin of the hub alone, and nothing goes
// from https to http. What a transfer means (where it goes on, whether a body is the right one) is its sink's to say.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::hub {

inline constexpr int64_t kRedirectsMax = 10;           // of one request
inline constexpr int64_t kRetryAfterSecondsMax = 120;  // the longest pause that a server may ask for
inline constexpr int64_t kTransfersAtOnceMax = 32;     // at once
inline constexpr int64_t kErrorBodyBytesMax = 4096;    // read of the body of an error

// What is known of an answer before its body comes.
struct AnswerHead {
  int64_t status = 0;        // 200, or to a request that goes on 206, or 416: the file ends before
  int64_t length = -1;       // of the body; -1: not said
  int64_t range_begin = -1;  // of a 206: the first byte, and the size of the whole; -1: not said
  int64_t range_total = -1;
};

class Sink {
 public:
  virtual ~Sink() = default;
  // Bytes that are there: the next request goes on behind them.
  virtual int64_t held() const = 0;
  virtual Status begin(const AnswerHead& head) = 0;
  virtual Status write(Bytes bytes) = 0;
  // The body ended where the server meant it to. False: there is more to ask for.
  virtual Result<bool> finish() = 0;
};

struct HttpRequest {
  std::string address;
  std::string what;    // behind "pulling " in messages: "owner/name: config.json"
  std::string accept;  // the header Accept; empty: anything
  Sink* sink = nullptr;
};

struct HttpOptions {
  std::string endpoint;  // whose origin gets the token
  bool is_hub = true;    // what it refuses is said as of a hub
  std::string token;     // empty: none
  int64_t at_once = 4;
  int64_t timeout_seconds = 60;  // without a byte until a transfer is given up, and to connect
  int64_t retries = 5;           // of a request that makes no progress
  std::function<bool()> go_on;   // called at least ten times a second; false stops
};

// Runs all requests; the first that fails stops the others, whose sinks keep what they have.
Status run_requests(std::span<const HttpRequest> requests, const HttpOptions& options);

}  // namespace naru::hub
