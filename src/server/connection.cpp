#include "server/connection.h"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <utility>

namespace naru::server {

Connection::Connection(Socket socket, Shared& shared)
    : socket_(std::move(socket)),
      shared_(shared),
      tls_(shared.tls ? std::make_unique<TlsFilter>(shared.tls) : nullptr),
      reader_(kBodyBytesMax),
      since_(Clock::now()),
      header_since_(since_) {}

Connection::~Connection() = default;

void Connection::start() {
  read();
}

// ---- reading

void Connection::read() {
  if (is_reading_ || has_ended_ || state_ == State::kClosed) return;
  // What is read ahead of an answer shows that the other side is still there; its amount is bounded.
  if (state_ != State::kReading && state_ != State::kLingering && reader_.n_held_bytes() > kPipelinedBytesMax) return;
  is_reading_ = true;
  socket_.async_read_some(boost::asio::buffer(buffer_),
                          [self = shared_from_this()](const SocketError& error, size_t n) {
                            self->is_reading_ = false;
                            self->on_read(error, n);
                          });
}

void Connection::on_read(const SocketError& error, size_t n) {
  if (state_ == State::kClosed) return;
  if (error) return on_end();
  if (state_ == State::kLingering) return read();
  std::string_view bytes(buffer_.data(), n);
  std::string plain;
  if (tls_) {
    if (!unseal(bytes, plain)) return;
    bytes = plain;
  }
  if (!bytes.empty()) {
    const bool was_between = reader_.is_between_requests();
    reader_.push(bytes);
    if (was_between) header_since_ = Clock::now();
    if (state_ == State::kReading) {
      count_body();
      go_on();
    }
  }
  if (tls_ && tls_->has_ended() && state_ != State::kClosed) return on_end();
  read();
}

bool Connection::unseal(std::string_view bytes, std::string& plain) {
  if (!is_tls_seen_ && !is_tls_begin(bytes)) {
    tls_.reset();
    refuse({400, "reading the request: it is plain HTTP, and this server speaks TLS; use https://", "", "", 0});
    return false;
  }
  is_tls_seen_ = true;
  const bool was_ready = tls_->is_ready();
  std::string out;
  const bool is_fine = tls_->take(bytes, plain, out);
  send_raw(out);
  if (state_ == State::kClosed) return false;
  if (!was_ready && tls_->is_ready()) since_ = Clock::now();
  if (is_fine) return true;
  if (state_ != State::kReading) {
    close();
  } else {  // what is wrong is on its way
    keeps_alive_ = false;
    state_ = State::kSending;
    count_body();
    write();
  }
  return false;
}

void Connection::on_end() {
  has_ended_ = true;
  // Whoever asked and closed its side may still read what is there.
  if (state_ != State::kSending) close();
}

void Connection::count_body() {
  const int64_t n = state_ == State::kReading ? reader_.n_body_bytes() : 0;
  shared_.body_bytes += n - counted_body_;
  counted_body_ = n;
}

// Requests that are answered at once follow each other here, not on the stack.
void Connection::go_on() {
  if (is_going_on_) return;
  is_going_on_ = true;
  while (state_ == State::kReading) {
    const HttpReader::State is = reader_.state();
    if (is == HttpReader::State::kRefused) {
      refuse(reader_.refusal());
    } else if (is == HttpReader::State::kHead) {
      take_head();
    } else if (is == HttpReader::State::kWhole) {
      take_request();
    } else if (shared_.body_bytes > kBodyBytesAllMax && is == HttpReader::State::kBody) {
      refuse({503,
              "reading the request: the bodies that are being received fill the memory meant for them; try again "
              "later",
              "", "overloaded", 1});
    } else {
      break;
    }
  }
  is_going_on_ = false;
}

void Connection::take_head() {
  const HttpRequest& head = reader_.head();
  keeps_alive_ = head.keeps_alive;
  auto answer = shared_.service.examine(head);
  if (!answer) {
    if (head.expects_continue && head.body_bytes != 0) send("HTTP/1.1 100 Continue\r\n\r\n");
    reader_.go_on();
    since_ = Clock::now();
    count_body();
    return;
  }
  // A body that nobody wants is not read: the connection ends with the answer.
  const bool has_body = head.body_bytes != 0;
  if (!has_body) {
    reader_.go_on();
    reader_.take();
  }
  send_whole(*answer, keeps_alive() && !has_body);
}

void Connection::take_request() {
  HttpRequest request = reader_.take();
  is_chunked_ = !request.is_http_1_0;
  state_ = State::kAnswering;
  count_body();
  since_ = header_since_ = Clock::now();
  const AnswerId id = shared_.service.handle(std::move(request), shared_from_this());
  if (state_ == State::kAnswering) answer_ = id;
  if (has_ended_ && state_ == State::kAnswering) close();
}

void Connection::refuse(const Refusal& refusal) {
  keeps_alive_ = false;
  shared_.service.refuse_unread(refusal);
  send_whole(shared_.service.refusal_response(refusal), false);
}

// ---- answering

void Connection::send_whole(const HttpResponse& response, bool stays) {
  keeps_alive_ = stays;
  state_ = State::kSending;
  count_body();
  since_ = Clock::now();
  std::string bytes = head_of(response, Framing::kLength, stays);
  if (!response.is_head_only && response.status != 204 && response.status != 304) bytes += response.body;
  send(std::move(bytes));
}

void Connection::respond(HttpResponse response) {
  if (state_ != State::kAnswering) return;
  answer_ = 0;
  send_whole(response, keeps_alive());
}

void Connection::begin_stream(HttpResponse head) {
  if (state_ != State::kAnswering) return;
  if (!is_chunked_) keeps_alive_ = false;
  since_ = Clock::now();
  send(head_of(head, is_chunked_ ? Framing::kChunks : Framing::kClose, keeps_alive()));
}

void Connection::stream(std::string bytes) {
  if (state_ != State::kAnswering || bytes.empty()) return;
  if (unsent_.empty()) since_ = Clock::now();
  send(is_chunked_ ? chunk_of(bytes) : std::move(bytes));
  if (static_cast<int64_t>(unsent_.size() + waiting_.size()) <= kUnsentBytesMax) return;
  shared_.service.count_limit("unsent_bytes");
  close();  // it reads too slowly
}

void Connection::end_stream(bool stays) {
  if (state_ != State::kAnswering) return;
  answer_ = 0;
  state_ = State::kSending;
  keeps_alive_ = keeps_alive() && stays;
  since_ = Clock::now();
  send(is_chunked_ ? std::string(kLastChunk) : std::string());
}

// ---- writing

void Connection::send(std::string bytes) {
  if (!tls_) return send_raw(bytes);
  send_raw(tls_->seal(bytes));
}

void Connection::send_raw(std::string_view bytes) {
  waiting_ += bytes;
  // Of answers that is looked at where they are made; TLS itself answers too, to whoever never reads.
  if (tls_ && state_ == State::kReading && static_cast<int64_t>(waiting_.size()) > kUnsentBytesMax) return close();
  write();
}

void Connection::write() {
  if (is_writing_ || state_ == State::kClosed) return;
  if (unsent_.empty()) unsent_ = std::exchange(waiting_, {});
  if (unsent_.empty()) {
    if (state_ == State::kSending) after_answer();
    return;
  }
  is_writing_ = true;
  socket_.async_write_some(boost::asio::buffer(unsent_),
                           [self = shared_from_this()](const SocketError& error, size_t n) {
                             self->is_writing_ = false;
                             self->on_written(error, n);
                           });
}

void Connection::on_written(const SocketError& error, size_t n) {
  if (state_ == State::kClosed) return;
  if (error) return close();
  since_ = Clock::now();
  if (n == unsent_.size()) {
    unsent_.clear();
  } else {
    unsent_.erase(0, n);
  }
  write();
}

void Connection::after_answer() {
  if (!keeps_alive()) {
    const std::string end = tls_ ? tls_->end() : "";
    return end.empty() ? linger() : send_raw(end);
  }
  state_ = State::kReading;
  since_ = header_since_ = Clock::now();
  go_on();
  if (has_ended_ && state_ == State::kReading) return close();
  read();
}

// Closing at once would reset the connection where bytes of the other side are still on the way, and the reset may
// overtake the answer.
void Connection::linger() {
  if (has_ended_) return close();
  SocketError ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  state_ = State::kLingering;
  since_ = Clock::now();
  read();
}

// ---- the end

void Connection::tick(Clock::time_point now) {
  const Deadlines& d = shared_.deadlines;
  if (state_ == State::kLingering && now - since_ > d.linger) return close();
  const bool is_unsent = !unsent_.empty();
  if ((state_ == State::kSending || state_ == State::kAnswering) && is_unsent && now - since_ > d.write) return close();
  if (state_ != State::kReading) return;
  if (tls_ && !tls_->is_ready()) {
    if (now - since_ > d.handshake) close();
  } else if (reader_.is_between_requests()) {
    if (now - since_ > d.idle) close();
  } else if (reader_.state() == HttpReader::State::kBody) {
    if (now - since_ > d.body) {
      refuse(
          {408,
           fmt::format("reading the request: its body was not whole after {} seconds; send it faster", d.body.count()),
           "", "", 0});
    }
  } else if (now - header_since_ > d.header) {
    refuse({408,
            fmt::format("reading the request: its header was not whole after {} seconds; send it faster",
                        d.header.count()),
            "", "", 0});
  }
}

void Connection::close_if_idle() {
  if (state_ == State::kReading && reader_.state() == HttpReader::State::kHeader) close();
}

std::optional<Connection::Clock::time_point> Connection::waits_since() const {
  const bool has_no_header = state_ == State::kReading && reader_.state() == HttpReader::State::kHeader;
  return has_no_header || state_ == State::kLingering ? std::optional(since_) : std::nullopt;
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  count_body();
  SocketError ignored;
  socket_.close(ignored);
  const auto self = shared_from_this();  // until the end of this
  if (const AnswerId answer = std::exchange(answer_, 0)) shared_.service.leave(answer);
  shared_.closed(this);
}

}  // namespace naru::server
