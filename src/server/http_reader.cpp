#include "server/http_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <utility>

#include "server/http_message.h"
#include "server/limits.h"

namespace naru::server {
namespace {

namespace http = boost::beast::http;
using ParserError = boost::beast::error_code;
using boost::beast::string_view;

constexpr std::string_view kHeaderEnd = "\r\n\r\n";
constexpr size_t kChunkLineBytes = 4096;  // size and extensions of one chunk, and each line behind the last one

}  // namespace

// Beast finds the parts of a message; they are kept as they come.
class HttpReader::Parser final : public http::basic_parser<true> {
 public:
  Parser(HttpRequest& request, int64_t body_bytes_max) : request_(request) {
    header_limit(static_cast<std::uint32_t>(kHeaderBytesMax));
    body_limit(static_cast<std::uint64_t>(body_bytes_max));
  }
  unsigned version() const { return version_; }
  uint64_t length_said() const { return content_length().value_or(0); }

 private:
  void on_request_impl(http::verb, string_view method, string_view target, int version, ParserError&) override {
    request_.method.assign(method.data(), method.size());
    request_.target.assign(target.data(), target.size());
    version_ = static_cast<unsigned>(version);
  }
  void on_response_impl(int, string_view, int, ParserError&) override {}
  void on_field_impl(http::field, string_view name, string_view value, ParserError&) override {
    if (is_in_body_) return;  // behind the last chunk: nobody asked for them
    request_.fields.push_back({lower_case({name.data(), name.size()}), std::string(value.data(), value.size())});
  }
  void on_header_impl(ParserError&) override { is_in_body_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, ParserError&) override {}
  std::size_t on_body_impl(string_view bytes, ParserError&) override {
    request_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, string_view, ParserError&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view bytes, ParserError&) override {
    request_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(ParserError&) override {}

  HttpRequest& request_;
  unsigned version_ = 0;
  bool is_in_body_ = false;
};

HttpReader::HttpReader(int64_t body_bytes_max) : body_bytes_max_(body_bytes_max) {}
HttpReader::~HttpReader() = default;

HttpReader::State HttpReader::push(std::string_view bytes) {
  if (state_ == State::kRefused) return state_;
  held_ += bytes;
  return advance();
}

HttpReader::State HttpReader::go_on() {
  NARU_CHECK(state_ == State::kHead);
  state_ = parser_->is_done() ? State::kWhole : State::kBody;
  return advance();
}

HttpRequest HttpReader::take() {
  NARU_CHECK(state_ == State::kWhole);
  HttpRequest request = std::exchange(request_, {});
  parser_.reset();
  state_ = State::kHeader;
  n_searched_ = 0;
  advance();
  return request;
}

HttpReader::State HttpReader::advance() {
  if (state_ == State::kHeader) return read_header();
  if (state_ == State::kBody) return read_body();
  return state_;
}

HttpReader::State HttpReader::refuse(int status, std::string message) {
  refusal_ = {status, std::move(message), "", "", 0};
  held_.clear();
  return state_ = State::kRefused;
}

bool HttpReader::is_well_formed(std::string_view header) {
  int64_t n_lines = 0;
  for (size_t i = 0; i < header.size(); ++i) {
    const char c = header[i];
    const bool is_line_end = c == '\r' && i + 1 < header.size() && header[i + 1] == '\n';
    if (c == '\0' || c == '\n' || (c == '\r' && !is_line_end)) {
      refuse(400, fmt::format("reading the request: byte {} of its header is {}, and lines end with CRLF and hold no "
                              "control characters; send well-formed HTTP/1.1",
                              i,
                              c == '\0'   ? "NUL"
                              : c == '\n' ? "a line feed alone"
                                          : "a carriage return alone"));
      return false;
    }
    if (!is_line_end) continue;
    ++i;
    ++n_lines;
    if (i + 1 < header.size() && (header[i + 1] == ' ' || header[i + 1] == '\t')) {
      refuse(400,
             "reading the request: a field of its header goes on in the next line, which nobody may send since "
             "RFC 7230; write it on one line");
      return false;
    }
  }
  if (n_lines - 2 <= kHeaderFieldsMax) return true;
  refuse(431, fmt::format("reading the request: its header has {} fields, at most {} are taken; send fewer",
                          n_lines - 2, kHeaderFieldsMax));
  return false;
}

HttpReader::State HttpReader::read_header() {
  while (held_.starts_with("\r\n")) {  // some clients end a body with one
    held_.erase(0, 2);
    n_searched_ = 0;
  }
  if (held_.starts_with('\x16')) {
    return refuse(400,
                  "reading the request: these are bytes of TLS, and this server speaks plain HTTP; use http://, or "
                  "start it with --tls-cert and --tls-key");
  }
  const size_t at = held_.find(kHeaderEnd, n_searched_ > kHeaderEnd.size() ? n_searched_ - kHeaderEnd.size() : 0);
  const size_t n = at == std::string::npos ? held_.size() : at + kHeaderEnd.size();
  if (static_cast<int64_t>(n) > kHeaderBytesMax) {
    return refuse(431, fmt::format("reading the request: its header has more than {} bytes, the most that is taken; "
                                   "send fewer or shorter fields",
                                   kHeaderBytesMax));
  }
  n_searched_ = held_.size();
  if (at == std::string::npos) {
    // A line feed alone would never end the header.
    const size_t line = held_.find('\n');
    if (line != std::string::npos && (line == 0 || held_[line - 1] != '\r')) is_well_formed(held_);
    return state_;
  }
  if (!is_well_formed(std::string_view(held_).substr(0, n))) return state_;
  request_ = {};
  parser_ = std::make_unique<Parser>(request_, std::numeric_limits<int64_t>::max());
  ParserError error;
  const size_t n_taken = parser_->put({held_.data(), n}, error);
  if (error == http::error::bad_version) {
    return refuse(505, "reading the request: its version of HTTP is not known here; send HTTP/1.1 or HTTP/1.0");
  }
  if (error || n_taken != n || !parser_->is_header_done()) {
    return refuse(400, fmt::format("reading the request: its header is no well-formed HTTP ({}); send HTTP/1.1",
                                   error ? error.message() : "it ends early"));
  }
  held_.erase(0, n);
  if (!take_fields()) return state_;
  return state_ = State::kHead;
}

bool HttpReader::take_fields() {
  const auto n_of = [&](std::string_view name) {
    return std::count_if(request_.fields.begin(), request_.fields.end(),
                         [&](const HttpField& field) { return field.name == name; });
  };
  if (parser_->version() != 11 && parser_->version() != 10) {
    refuse(505, "reading the request: its version of HTTP is not known here; send HTTP/1.1 or HTTP/1.0");
    return false;
  }
  request_.is_http_1_0 = parser_->version() == 10;
  const auto n_hosts = n_of("host");
  if (n_hosts > 1 || (n_hosts == 0 && !request_.is_http_1_0)) {
    refuse(400, fmt::format("reading the request: it has {} Host fields, and one was wanted", n_hosts));
    return false;
  }
  const std::string* coding = request_.find("transfer-encoding");
  if (coding && (!equal_ignoring_case(*coding, "chunked") || n_of("transfer-encoding") > 1 || request_.is_http_1_0 ||
                 n_of("content-length") > 0)) {
    refuse(400,
           "reading the request: its Transfer-Encoding is taken only as \"chunked\", once, without a "
           "Content-Length, in HTTP/1.1; send it so, or send a Content-Length");
    return false;
  }
  if (n_of("content-length") > 1) {
    refuse(400, "reading the request: it has several Content-Length fields, and one was wanted");
    return false;
  }
  if (!coding && parser_->length_said() > static_cast<uint64_t>(body_bytes_max_)) {
    refuse(413, fmt::format("reading the request: its body has {} bytes, at most {} are taken; send less",
                            parser_->length_said(), body_bytes_max_));
    return false;
  }
  request_.body_bytes = coding ? -1 : static_cast<int64_t>(parser_->length_said());
  request_.keeps_alive = parser_->keep_alive();
  const std::string* expected = request_.find("expect");
  request_.expects_continue = expected && equal_ignoring_case(*expected, "100-continue") && !request_.is_http_1_0;
  if (!request_.target.starts_with('/') && request_.target != "*") {
    refuse(400, "reading the request: its target is no path; send the path alone, as in GET /v1/models");
    return false;
  }
  return true;
}

HttpReader::State HttpReader::read_body() {
  // The last chunk without another before it: given "0\r\n" and then one byte more, the parser stops the program. Five
  // bytes are still to come wherever a chunk begins.
  const auto is_cut = [this](size_t at) {
    const std::string_view rest = std::string_view(held_).substr(at);
    return parser_->chunked() && rest.size() < kLastChunk.size() && rest.starts_with(kLastChunk.substr(0, 3));
  };
  size_t done = 0;
  bool wants_more = false;
  while (done < held_.size() && !parser_->is_done() && !wants_more && !is_cut(done)) {
    ParserError error;
    done += parser_->put({held_.data() + done, held_.size() - done}, error);
    wants_more = error == http::error::need_more;
    if (static_cast<int64_t>(request_.body.size()) > body_bytes_max_) {
      return refuse(413, fmt::format("reading the request: its body has more than {} bytes, the most that is taken; "
                                     "send less",
                                     body_bytes_max_));
    }
    if (error && !wants_more) {
      return refuse(400, fmt::format("reading the request: its body is no well-formed HTTP ({}); send HTTP/1.1",
                                     error.message()));
    }
  }
  held_.erase(0, done);
  if (parser_->is_done()) return state_ = State::kWhole;
  if (held_.size() > kChunkLineBytes) {
    return refuse(400, fmt::format("reading the request: the line before a chunk has more than {} bytes; send the "
                                   "chunk's size alone",
                                   kChunkLineBytes));
  }
  return state_;
}

}  // namespace naru::server
