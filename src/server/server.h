// Server: an address that is listened on, models behind it, and the thread between them.
//
// listen() takes the address, start() begins to load the model where there is one; until that is done requests are told
// so. The thread of the network, those of the engines and that which prepares prompts end with the object.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/service.h"

namespace naru::server {

class TlsContext;

struct ListenOptions {
  std::string host = "127.0.0.1";                   // a name or an address of this machine
  int64_t port = 8080;                              // 0: one that is free
  std::string socket_path;                          // a Unix socket in their place
  bool needs_no_key = false;                        // a public address without keys, said twice
  std::shared_ptr<const TlsContext> tls = nullptr;  // none: plain HTTP; not on a Unix socket
  uint32_t socket_mode = 0600;                      // of the Unix socket's file
};

struct ServerOptions {
  ListenOptions listen;
  ServiceOptions service;
  seconds drain{30};  // for answers that are under way when the server is to end
};

class Server {
 public:
  // kInvalidArgument: a public address without keys. kUnavailable: an address that cannot be had. kNotFound: a host
  // that is none.
  static Result<std::unique_ptr<Server>> listen(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // "http://127.0.0.1:8080", "https://..." with TLS, or "unix:/run/naru.sock"
  const std::string& address() const;

  // `loaded` is told on the network's thread each time when a model is there. The hashes of its files are made after
  // that, on a thread of its own, which is asked to stop when the server ends.
  void start(std::vector<ModelSource> models, std::function<void()> loaded);
  // Of the one model that the options name.
  void start(OpenEngine open, std::function<void()> loaded, HashFiles hash);

  // From now on these keys are the ones, and connections that come have this certificate (null: as before). What is
  // under way goes on, and so does each connection. Whether there are keys, and TLS, is decided by listen().
  void renew(std::vector<ApiKey> keys, std::shared_ptr<const TlsContext> tls);

  // Readable when the server has ended: drained, or without a model.
  int ended_fd() const;
  // Takes no more connections, and ends when all answers are whole, or time is over.
  void drain();
  // After the end: why, where it was no drain.
  Status status() const;

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace naru::server
