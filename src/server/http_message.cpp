#include "server/http_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace naru::server {
namespace {

std::string_view reason_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
  }
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

bool percent_decode(std::string_view text, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    const char* begin = text.data() + i + 1;
    const char* end = text.data() + std::min(text.size(), i + 3);
    const auto [at, error] = std::from_chars(begin, end, value, 16);
    if (error != std::errc() || at != begin + 2) return false;
    out += static_cast<char>(value);
    i += 2;
  }
  return true;
}

const std::string* HttpRequest::find(std::string_view name) const {
  for (const HttpField& field : fields) {
    if (field.name == name) return &field.value;
  }
  return nullptr;
}

std::string head_of(const HttpResponse& response, Framing framing, bool keeps_alive) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_of(response.status));
  if (response.status != 204 && response.status != 304) {
    head += fmt::format("Content-Type: {}\r\n", response.content_type);
    if (framing == Framing::kLength) head += fmt::format("Content-Length: {}\r\n", response.body.size());
    if (framing == Framing::kChunks) head += "Transfer-Encoding: chunked\r\n";
  }
  for (const HttpField& field : response.fields) head += fmt::format("{}: {}\r\n", field.name, field.value);
  head += fmt::format("Connection: {}\r\n\r\n", keeps_alive ? "keep-alive" : "close");
  return head;
}

std::string chunk_of(std::string_view bytes) {
  NARU_CHECK(!bytes.empty());
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

}  // namespace naru::server
