// Out of descriptors: those who are connected are served, those who come wait, and then are served too.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

#include "base/owned_fd.h"
#include "server/server.h"
#include "tests/server/service_rig.h"

namespace naru::server {
namespace {

OwnedFd connect_to(const std::string& address) {
  OwnedFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  return fd;
}

void ask_health(const OwnedFd& fd) {
  const std::string request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
}

bool hears_ok(const OwnedFd& fd, int wait_ms) {
  pollfd wait{fd.get(), POLLIN, 0};
  if (::poll(&wait, 1, wait_ms) <= 0) return false;
  char buffer[512];
  const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
  return n > 12 && std::string(buffer, 12) == "HTTP/1.1 200";
}

TEST(OutOfDescriptors, IsAWaitForThoseWhoComeOnly) {
  ServerOptions options;
  options.listen.port = 0;
  options.service.answering = {"tiny", 2, 4};
  auto server = Server::listen(options);
  ASSERT_TRUE(server.ok()) << server.error().message;
  std::promise<void> loaded;
  (*server)->start(open_fixture(), [&loaded] { loaded.set_value(); }, {});
  loaded.get_future().wait();
  const OwnedFd early = connect_to((*server)->address());
  ask_health(early);
  ASSERT_TRUE(hears_ok(early, 20000));
  OwnedFd late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{static_cast<rlim_t>(late.get()) + 8, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<OwnedFd> taken;
  for (int fd = ::dup(early.get()); fd >= 0; fd = ::dup(early.get())) taken.emplace_back(fd);
  sockaddr_in to{};
  socklen_t size = sizeof to;
  ASSERT_EQ(::getpeername(early.get(), reinterpret_cast<sockaddr*>(&to), &size), 0);
  ASSERT_EQ(::connect(late.get(), reinterpret_cast<sockaddr*>(&to), size), 0);  // the system takes it
  ask_health(late);
  EXPECT_FALSE(hears_ok(late, 150));
  ask_health(early);
  EXPECT_TRUE(hears_ok(early, 20000));
  taken.clear();
  EXPECT_TRUE(hears_ok(late, 20000));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace naru::server
