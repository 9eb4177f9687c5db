// Deadlines of connections, on sockets: each phase that a client can hold the server in ends by itself.
#include "server/server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <future>
#include <thread>

#include "base/owned_fd.h"
#include "tests/engine/harness.h"

namespace naru::server {
namespace {

using Clock = std::chrono::steady_clock;

class Client {
 public:
  explicit Client(const std::string& address, int receive_bytes = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_bytes > 0) ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  bool send(const std::string& bytes) { return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0; }
  // Everything until the other side closes, at most for some seconds.
  std::string rest(int seconds_max = 20) {
    std::string all;
    char buffer[4096];
    const auto end = Clock::now() + std::chrono::seconds(seconds_max);
    while (Clock::now() < end) {
      pollfd wait{fd_.get(), POLLIN, 0};
      if (::poll(&wait, 1, 100) <= 0) continue;
      const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return all;
      all.append(buffer, static_cast<size_t>(n));
    }
    return all + " (still open)";
  }

 private:
  OwnedFd fd_;
};

std::unique_ptr<Server> start(const Deadlines& deadlines) {
  ServerOptions options;
  options.listen.port = 0;
  options.service.answering = {"tiny", 2, 4};
  options.service.deadlines = deadlines;
  auto server = Server::listen(options);
  EXPECT_TRUE(server.ok()) << server.error().message;
  std::promise<void> loaded;
  (*server)->start(
      [](const models::LoadProgress&) -> Result<ServedEngine> {
        ServedEngine served;
        served.chip = engine::make_chip("cpu");
        NARU_ASSIGN(served.engine, engine::Engine::open(engine::fixture_model("gguf-llama-f32"),
                                                        engine::small_options(128, 2), *served.chip));
        return served;
      },
      [&loaded] { loaded.set_value(); }, {});
  loaded.get_future().wait();
  return std::move(*server);
}

TEST(ServerDeadlines, EachPhaseEnds) {
  Deadlines deadlines;
  deadlines.header = deadlines.body = deadlines.idle = deadlines.write = seconds(1);
  const std::unique_ptr<Server> server = start(deadlines);
  const std::string& address = server->address();
  const auto begin = Clock::now();
  Client idle(address), header(address), body(address), between(address);
  header.send("GET /health HTTP/1.1\r\nHost: local");
  body.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf");
  between.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  // It asks and asks, and never reads.
  std::thread deaf([&] {
    Client client(address, 4096);
    const auto end = Clock::now() + std::chrono::seconds(20);
    while (client.send("GET /v1/server HTTP/1.1\r\nHost: localhost\r\n\r\n")) {
      ASSERT_LT(Clock::now(), end) << "a client that does not read is kept";
    }
  });
  EXPECT_EQ(idle.rest(), "");
  EXPECT_TRUE(header.rest().starts_with("HTTP/1.1 408 "));
  EXPECT_TRUE(body.rest().starts_with("HTTP/1.1 408 "));
  EXPECT_TRUE(between.rest().starts_with("HTTP/1.1 200 "));
  deaf.join();
  EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(900));
  server->drain();
  pollfd ended{server->ended_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 20000), 1);
  EXPECT_TRUE(server->status().ok());
}

TEST(ServerListen, WhatCannotBeListenedOn) {
  const auto refused = [](ListenOptions listen) {
    ServerOptions options;
    options.listen = std::move(listen);
    auto server = Server::listen(options);
    EXPECT_FALSE(server.ok());
    return server.ok() ? Code::kInternal : server.error().code;
  };
  EXPECT_EQ(refused({.host = "0.0.0.0", .port = 0, .socket_path = "", .needs_no_key = false}), Code::kInvalidArgument);
  EXPECT_EQ(refused({.host = "192.0.2.1", .port = 0, .socket_path = "", .needs_no_key = true}), Code::kUnavailable);
  EXPECT_EQ(refused({.host = "", .port = 0, .socket_path = std::string(200, 'a'), .needs_no_key = false}),
            Code::kInvalidArgument);
  EXPECT_EQ(refused({.host = "", .port = 0, .socket_path = "/nowhere/at/all.sock", .needs_no_key = false}),
            Code::kUnavailable);
}

}  // namespace
}  // namespace naru::server
