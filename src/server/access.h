// Who may talk to the server: keys, the Host header, origins of web pages. All of it is decided before a request is
// looked at any further.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/http_message.h"
#include "server/key_limits.h"

namespace naru::server {

using KeyDigest = std::array<unsigned char, 32>;
KeyDigest digest_of_key(std::string_view key);

// A key as it is kept: nobody can read it back.
struct ApiKey {
  KeyDigest digest{};
  std::string name;              // for the log
  std::string scope;             // requests of one scope share a prefix cache; the name, where the file says no other
  std::optional<Rate> requests;  // it may have in a time
  std::optional<Rate> tokens;    // that may be computed for it
};

// Text of a file of keys: one a line, maybe with a name behind it, and with any of
//   rate=60/m  tokens=100000/m  scope=NAME      (s, m, h, d: a second, a minute, an hour, a day)
// Empty lines and those that begin with # are none. kInvalidArgument: no key at all, too many, a short one, one twice,
// a wrong setting, with its line. Messages never show a key, nor any other word of the file.
Result<std::vector<ApiKey>> parse_keys(std::string_view text, std::string_view file);
Result<std::vector<ApiKey>> read_keys(const std::string& path);

// The key with this text. Takes the same time whichever key it is, and whether there is one.
const ApiKey* find_key(const std::vector<ApiKey>& keys, std::string_view text);

struct AccessRules {
  std::vector<ApiKey> keys;          // empty: nobody needs one
  bool checks_host = true;           // only names of the loopback, and those below
  bool speaks_tls = false;           // so pages of its own are of https://
  std::vector<std::string> hosts;    // besides: names without a port
  std::vector<std::string> origins;  // of web pages that may ask: "https://example.org", or "*"
};

// Who asked, or why not.
struct Admission {
  std::optional<Refusal> refusal;
  const ApiKey* key = nullptr;  // nullptr where none is needed
};
Admission admit(const AccessRules& rules, const HttpRequest& head, bool is_public_route);

// The fields that let a web page of an allowed origin read the answer; none for others.
std::vector<HttpField> cross_origin_fields(const AccessRules& rules, const HttpRequest& head);

// What browsers send as Origin: http:// or https://, a host, and maybe a port.
bool is_origin(std::string_view text);

// A name or an address of this machine alone, without a port: "localhost", "127.0.0.1", "[::1]".
bool is_loopback_host(std::string_view host);

}  // namespace naru::server
