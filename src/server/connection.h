// Connection: one socket, its requests one after the other, and their answers in that order. Everything it waits for
// has a deadline: tick() looks at them. What it reads ahead and what it keeps unsent is bounded.
//
// A client that closes its side, wholly or for sending only, has left: the answer that is being made for it stops.
#pragma once

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http_reader.h"
#include "server/service.h"
#include "server/tls.h"

namespace naru::server {

using Socket = boost::asio::generic::stream_protocol::socket;
using SocketError = boost::system::error_code;

class Connection final : public Responder, public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;
  // What all connections share.
  struct Shared {
    Service& service;
    Deadlines deadlines;
    int64_t body_bytes = 0;  // that are being received
    bool is_draining = false;
    std::function<void(Connection*)> closed;
    std::shared_ptr<const TlsContext> tls = nullptr;  // none: plain HTTP
  };

  Connection(Socket socket, Shared& shared);
  ~Connection() override;

  void start();
  void tick(Clock::time_point now);
  // Closes it unless a request is under way.
  void close_if_idle();
  // Since when it has waited for a whole header, or for its other side to close; nothing where it has a request.
  std::optional<Clock::time_point> waits_since() const;
  void close();

  void respond(HttpResponse response) override;
  void begin_stream(HttpResponse head) override;
  void stream(std::string bytes) override;
  void end_stream(bool keeps_alive) override;
  void abandon() override { close(); }

 private:
  enum class State : uint8_t {
    kReading,    // a request, or waiting for one
    kAnswering,  // somebody else is at it
    kSending,    // its answer is whole and not all sent
    kLingering,  // all is sent, and what comes is thrown away until the other side closes
    kClosed,
  };

  void read();
  void on_read(const SocketError& error, size_t n);
  // Bytes of TLS, opened; false where that was their end.
  bool unseal(std::string_view bytes, std::string& plain);
  void on_end();  // nothing more comes
  void go_on();   // with what was read
  void take_head();
  void take_request();
  void refuse(const Refusal& refusal);
  void send_whole(const HttpResponse& response, bool keeps_alive);
  void send(std::string bytes);
  void send_raw(std::string_view bytes);  // as they go over the wire
  void write();
  void on_written(const SocketError& error, size_t n);
  void after_answer();
  void linger();
  void count_body();
  bool keeps_alive() const { return keeps_alive_ && !shared_.is_draining; }

  Socket socket_;
  Shared& shared_;
  std::unique_ptr<TlsFilter> tls_;  // none: plain HTTP
  HttpReader reader_;
  State state_ = State::kReading;
  std::array<char, 16384> buffer_;
  bool is_reading_ = false;
  bool is_writing_ = false;
  bool has_ended_ = false;    // the other side sends nothing more
  bool keeps_alive_ = true;   // after the answer that is under way
  bool is_chunked_ = false;   // the stream that is being sent
  bool is_going_on_ = false;  // go_on() is on the stack
  bool is_tls_seen_ = false;  // its first byte was one of TLS
  AnswerId answer_ = 0;       // that is being made
  int64_t counted_body_ = 0;  // our part of Shared::body_bytes
  std::string unsent_;        // being written
  std::string waiting_;       // to be written after it
  Clock::time_point since_;   // the state, or the last byte of progress in it
  Clock::time_point header_since_;
};

}  // namespace naru::server
