// HttpReader: the bytes of a connection as HTTP/1.1 requests, one after the other. It knows no socket and no clock.
//
// Stricter than the standard where programs in a row could read the same bytes in two ways: a length and chunks at
// once, any coding besides chunks, two hosts, folded fields, line ends that are not CRLF, and NUL are refused. What is
// held is bounded by limits.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/http_message.h"

namespace naru::server {

class HttpReader {
 public:
  enum class State : uint8_t {
    kHeader,   // wants the bytes of a header
    kHead,     // a header is whole and its body, if it has one, is not looked at yet: go_on(), or give up
    kBody,     // wants the bytes of a body
    kWhole,    // take() it
    kRefused,  // refusal(): nothing more can be read
  };

  explicit HttpReader(int64_t body_bytes_max);
  ~HttpReader();
  HttpReader(const HttpReader&) = delete;
  HttpReader& operator=(const HttpReader&) = delete;

  State state() const { return state_; }
  State push(std::string_view bytes);
  State go_on();
  // The request; the reader goes on with what came behind it.
  HttpRequest take();

  // In kHead: the request without its body.
  const HttpRequest& head() const { return request_; }
  const Refusal& refusal() const { return refusal_; }
  // Nothing of a next request is here.
  bool is_between_requests() const { return state_ == State::kHeader && held_.empty(); }
  int64_t n_held_bytes() const { return static_cast<int64_t>(held_.size()); }
  int64_t n_body_bytes() const { return static_cast<int64_t>(request_.body.size()); }

 private:
  class Parser;
  State advance();
  State read_header();
  State read_body();
  State refuse(int status, std::string message);
  bool is_well_formed(std::string_view header);
  bool take_fields();

  int64_t body_bytes_max_;
  State state_ = State::kHeader;
  std::string held_;       // bytes that are not parsed yet
  size_t n_searched_ = 0;  // of them, those without the end of a header
  std::unique_ptr<Parser> parser_;
  HttpRequest request_;
  Refusal refusal_;
};

}  // namespace naru::server
