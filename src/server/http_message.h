// HTTP messages as plain data: what was asked, and what is answered.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/refusal.h"

namespace naru::server {

struct HttpField {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method;
  std::string target;  // as it came: "/v1/models?x=1"
  bool is_http_1_0 = false;
  bool keeps_alive = true;
  bool expects_continue = false;
  int64_t body_bytes = 0;  // that the header announces; -1: comes in chunks
  std::vector<HttpField> fields;
  std::string body;

  std::string_view path() const { return std::string_view(target).substr(0, target.find('?')); }
  // The first field of that name (in lower case); nullptr where there is none.
  const std::string* find(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<HttpField> fields;
  bool is_head_only = false;  // the answer to HEAD: the fields of the body, and no body
};

enum class Framing : uint8_t {
  kLength,  // the body is whole
  kChunks,  // the body comes in chunks
  kClose,   // the body ends with the connection
};

// Status line and fields.
std::string head_of(const HttpResponse& response, Framing framing, bool keeps_alive);
// One chunk of a body; none is empty, for that would end it.
std::string chunk_of(std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

bool equal_ignoring_case(std::string_view a, std::string_view b);
std::string lower_case(std::string_view text);
// Bytes for %XX; nothing where a % is followed by anything else.
bool percent_decode(std::string_view text, std::string& out);

}  // namespace naru::server
