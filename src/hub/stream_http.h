// One HTTP request over libcurl whose answer is taken while it comes: for servers that people name themselves. No
// redirect is followed, so a key goes nowhere but there.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace naru::hub {

inline constexpr int64_t kStreamErrorBytesMax = 64 << 10;  // read of the body of an error

struct StreamRequest {
  std::string address;                          // http or https
  std::string unix_socket;                      // a path, to be asked in the place of the address's host; empty: none
  std::string key;                              // of Authorization: Bearer; empty: none
  std::string body;                             // JSON, to be sent with POST; empty: GET
  bool is_direct = false;                       // through no proxy, whatever the environment says
  std::vector<std::string> wanted_fields = {};  // of the answer's header
  int64_t connect_seconds = 15;
  int64_t silence_seconds = 600;  // without a byte until it is given up
  std::function<bool()> go_on;    // called at least ten times a second; false stops; empty: goes on
  // Bytes of the body of an answer of status 200, as they come. An error ends the request, and is its own.
  std::function<Status(std::string_view bytes)> take;
};

struct StreamAnswer {
  int64_t status = 0;  // of HTTP; 0: it was stopped before there was one
  std::string content_type;
  std::vector<std::string> fields;  // the values of those that are wanted, in that order; empty: it has none
  std::string error_body;           // of another status than 200
  bool is_stopped = false;          // by go_on
};

// kUnavailable: it cannot be reached, or its answer broke off. kInvalidArgument: an address that is none.
Result<StreamAnswer> ask_streamed(const StreamRequest& request);

}  // namespace naru::hub
