#include "server/server.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <mutex>
#include <new>
#include <set>
#include <thread>

#include "base/owned_fd.h"
#include "server/connection.h"

namespace naru::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;

constexpr auto kTick = std::chrono::milliseconds(250);
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

Error listen_error(Code code, std::string_view where, std::string_view found, std::string_view next) {
  return {code, fmt::format("listening on {}: {}; {}", where, found, next)};
}

// A name without a port, as it stands in an address: "[::1]".
std::string shown_host(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]", host) : host;
}

// The socket of a server that ended without taking it away is in nobody's hands.
Status remove_stale_socket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return listen_error(Code::kInvalidArgument, path, "there is a file of that name that is no socket",
                        "give a path where nothing is");
  }
  const OwnedFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno != ECONNREFUSED) {
    return listen_error(Code::kUnavailable, path, "another program listens there", "end it, or give another path");
  }
  ::unlink(path.c_str());
  return {};
}

}  // namespace

struct Server::State {
  explicit State(ServerOptions options_in) : options(std::move(options_in)), ended(::eventfd(0, EFD_CLOEXEC)) {}

  Status open();
  void make_service();  // once the address is known, which decides who may come
  Status open_socket();
  Status check_public(const tcp::endpoint& endpoint) const;
  template <typename Acceptor>
  void accept(Acceptor& from);
  bool has_room();  // for one more connection; makes some
  void tick();
  void look_at_deadlines();
  void run_network();
  void on_loaded(const Status& loaded);
  void hash_loaded();
  void run_hashes();
  void on_closed(Connection* connection);
  void drain();
  void end(Status why);

  ServerOptions options;
  std::string address;
  OwnedFd ended;
  asio::io_context network{1};
  asio::steady_timer ticker{network};
  asio::steady_timer pause{network};
  std::optional<tcp::acceptor> tcp_acceptor;
  std::optional<Local::acceptor> local_acceptor;
  std::set<std::shared_ptr<Connection>> connections;
  bool is_draining = false;
  bool has_ended = false;
  Service::Clock::time_point drain_end;
  Status why;
  std::mutex why_mutex;  // of `why`: whoever waits for `ended` is another thread
  std::function<void()> loaded_by_user;
  std::vector<HashFiles> hashes;  // of each model
  std::vector<bool> is_hashed;    // it is made, or will be
  std::mutex hash_mutex;
  std::deque<size_t> to_hash;  // models whose turn comes
  bool is_hashing = false;     // the thread goes on to the next one
  std::atomic<bool> is_stopping = false;
  std::unique_ptr<Service> service;
  std::unique_ptr<Connection::Shared> shared;
  std::thread hash_thread;
  std::thread network_thread;
};

// ---- listening

Status Server::State::check_public(const tcp::endpoint& endpoint) const {
  if (endpoint.address().is_loopback() || !options.service.access.keys.empty() || options.listen.needs_no_key)
    return {};
  return listen_error(Code::kInvalidArgument, shown_host(endpoint),
                      "others can reach this address, and there are no keys",
                      "give --keys FILE, or say that nobody needs one with --no-key");
}

Status Server::State::open_socket() {
  const std::string& path = options.listen.socket_path;
  if (options.listen.tls) {
    return listen_error(Code::kInvalidArgument, path, "TLS was asked for, and a Unix socket leaves the machine never",
                        "give no certificate, or an address");
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return listen_error(Code::kInvalidArgument, path, fmt::format("the path has {} bytes", path.size()),
                        fmt::format("give one of at most {}", sizeof(sockaddr_un::sun_path) - 1));
  }
  NARU_TRY(remove_stale_socket(path));
  SocketError error;
  local_acceptor.emplace(network);
  local_acceptor->open(Local(), error);
  const mode_t mask = ::umask(~options.listen.socket_mode & 0777);  // for this user alone, unless it was said
  if (!error) local_acceptor->bind(Local::endpoint(path), error);
  ::umask(mask);
  if (!error) local_acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return listen_error(Code::kUnavailable, path, error.message(), "give a path in a folder that may be written to");
  }
  address = "unix:" + path;
  options.service.access.checks_host = false;
  return {};
}

void Server::State::make_service() {
  service = std::make_unique<Service>(
      options.service, [this](std::function<void()> work) { asio::post(network, std::move(work)); },
      [this](const Status& loaded) { on_loaded(loaded); });
  shared = std::make_unique<Connection::Shared>(Connection::Shared{
      *service, options.service.deadlines, 0, false, [this](Connection* c) { on_closed(c); }, options.listen.tls});
}

Status Server::State::open() {
  if (ended.get() < 0)
    return listen_error(Code::kResourceExhausted, "an address", std::strerror(errno), "close programs");
  if (!options.listen.socket_path.empty()) return open_socket();
  const std::string& host = options.listen.host;
  SocketError error;
  tcp::resolver resolver(network);
  const std::string port = fmt::format("{}", options.listen.port);
  const auto found = resolver.resolve(host, port, tcp::resolver::passive, error);
  if (error || found.empty()) {
    return listen_error(Code::kNotFound, host, fmt::format("it is no address of this machine ({})", error.message()),
                        "give --host 127.0.0.1, 0.0.0.0 or a name of this machine");
  }
  tcp::endpoint endpoint = found.begin()->endpoint();
  for (const auto& each : found) {  // of both kinds, the one that clients try first
    if (!each.endpoint().address().is_v4()) continue;
    endpoint = each.endpoint();
    break;
  }
  NARU_TRY(check_public(endpoint));
  tcp_acceptor.emplace(network);
  tcp_acceptor->open(endpoint.protocol(), error);
  if (!error) tcp_acceptor->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) tcp_acceptor->bind(endpoint, error);
  if (!error) tcp_acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    const bool is_taken = error == asio::error::address_in_use;
    return listen_error(Code::kUnavailable, fmt::format("{}:{}", host, port), error.message(),
                        is_taken ? "end the program that listens there, or give --port 0 for a free one"
                                 : "give another --host or --port");
  }
  endpoint = tcp_acceptor->local_endpoint(error);
  AccessRules& access = options.service.access;
  access.checks_host = endpoint.address().is_loopback();
  access.hosts.push_back(host);
  access.speaks_tls = options.listen.tls != nullptr;
  address = fmt::format("{}://{}:{}", options.listen.tls ? "https" : "http", shown_host(endpoint), endpoint.port());
  return {};
}

// ---- connections

template <typename Acceptor>
void Server::State::accept(Acceptor& from) {
  from.async_accept([this, &from](const SocketError& error, auto socket) {
    if (error == asio::error::operation_aborted || is_draining) return;
    if (error) {  // out of descriptors, say: those who wait may be served when some are free again
      service->count_limit("accept");
      pause.expires_after(kAcceptPause);
      pause.async_wait([this, &from](const SocketError& stopped) {
        if (!stopped && !is_draining) accept(from);
      });
      return;
    }
    try {
      if (has_room()) {
        SocketError ignored;
        if constexpr (std::is_same_v<Acceptor, tcp::acceptor>) socket.set_option(tcp::no_delay(true), ignored);
        auto connection = std::make_shared<Connection>(Socket(std::move(socket)), *shared);
        connections.insert(connection);
        connection->start();
      }
    } catch (const std::bad_alloc&) {  // its socket is closed, or a deadline closes it
    }
    accept(from);
  });
}

// Where there are as many connections as there may be, the one that has waited longest without a request gives way: a
// crowd that only waits keeps nobody out.
bool Server::State::has_room() {
  if (static_cast<int64_t>(connections.size()) < kConnectionsMax) return true;
  service->count_limit("connections");
  std::shared_ptr<Connection> longest;
  for (const auto& each : connections) {
    const auto since = each->waits_since();
    if (since && (longest == nullptr || *since < *longest->waits_since())) longest = each;
  }
  if (longest == nullptr) return false;
  longest->close();
  return true;
}

void Server::State::on_closed(Connection* connection) {
  connections.erase(connection->shared_from_this());
}

void Server::State::tick() {
  try {
    look_at_deadlines();
  } catch (const std::bad_alloc&) {  // the next look comes
  }
  if (has_ended) return;
  ticker.expires_after(is_draining ? kTick / 10 : kTick);
  ticker.async_wait([this](const SocketError& stopped) {
    if (!stopped) tick();
  });
}

void Server::State::look_at_deadlines() {
  const auto now = Service::Clock::now();
  service->tick(now);
  const auto all = std::vector<std::shared_ptr<Connection>>(connections.begin(), connections.end());
  for (const auto& connection : all) connection->tick(now);
  if (is_draining) {
    if (now > drain_end) service->cancel_all();
    if (now > drain_end + options.service.deadlines.linger) {
      for (const auto& connection : all) connection->close();
    }
    if (connections.empty() && service->n_answering() == 0) end({});
  }
}

// Whatever found no memory is let go of by its deadline, and all others are served.
void Server::State::run_network() {
  for (;;) {
    try {
      network.run();
      return;
    } catch (const std::bad_alloc&) {
    }
  }
}

// ---- the model

void Server::State::on_loaded(const Status& loaded) {
  if (!loaded.ok()) {
    if (!is_draining) return end(loaded);
    return;
  }
  if (loaded_by_user) loaded_by_user();
  hash_loaded();
}

// One file after the other, each once: the disk has one head, and the threads are the engine's.
void Server::State::hash_loaded() {
  const std::lock_guard lock(hash_mutex);
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (is_hashed[i] || !hashes[i] || !service->is_known(i)) continue;
    is_hashed[i] = true;
    to_hash.push_back(i);
  }
  if (to_hash.empty() || is_hashing) return;
  if (hash_thread.joinable()) hash_thread.join();  // it has ended
  is_hashing = true;
  hash_thread = std::thread([this] { run_hashes(); });
}

void Server::State::run_hashes() {
  for (;;) {
    size_t model = 0;
    {
      const std::lock_guard lock(hash_mutex);
      is_hashing = !to_hash.empty() && !is_stopping;
      if (!is_hashing) return;
      model = to_hash.front();
      to_hash.pop_front();
    }
    auto made = hashes[model]([this] { return is_stopping.load(); });
    if (!made.ok()) continue;  // a file that changed: its hash stays unknown
    asio::post(network, [this, model, found = std::move(made).value()]() mutable {
      service->set_hashes(model, std::move(found));
    });
  }
}

// ---- the end

void Server::State::drain() {
  if (is_draining) return;
  is_draining = shared->is_draining = true;
  service->drain();
  drain_end = Service::Clock::now() + options.drain;
  SocketError ignored;
  if (tcp_acceptor) tcp_acceptor->close(ignored);
  if (local_acceptor) local_acceptor->close(ignored);
  const auto all = std::vector<std::shared_ptr<Connection>>(connections.begin(), connections.end());
  for (const auto& connection : all) connection->close_if_idle();
  tick();
}

void Server::State::end(Status status) {
  if (has_ended) return;
  has_ended = true;
  {
    const std::lock_guard lock(why_mutex);
    why = std::move(status);
  }
  const uint64_t one = 1;
  (void)!::write(ended.get(), &one, sizeof one);
  network.stop();
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  State& s = *state_;
  s.is_stopping = true;
  s.network.stop();
  if (s.network_thread.joinable()) s.network_thread.join();
  if (s.hash_thread.joinable()) s.hash_thread.join();
  if (s.local_acceptor) ::unlink(s.options.listen.socket_path.c_str());
}

Result<std::unique_ptr<Server>> Server::listen(ServerOptions options) {
  auto state = std::make_unique<State>(std::move(options));
  NARU_TRY(state->open());
  state->make_service();
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

const std::string& Server::address() const {
  return state_->address;
}
int Server::ended_fd() const {
  return state_->ended.get();
}
Status Server::status() const {
  const std::lock_guard lock(state_->why_mutex);
  return state_->why;
}

void Server::start(std::vector<ModelSource> models, std::function<void()> loaded) {
  State& s = *state_;
  s.loaded_by_user = std::move(loaded);
  for (const ModelSource& model : models) s.hashes.push_back(model.hash);
  s.is_hashed.resize(models.size());
  s.service->start(std::move(models));
  if (s.tcp_acceptor) s.accept(*s.tcp_acceptor);
  if (s.local_acceptor) s.accept(*s.local_acceptor);
  s.tick();
  s.network_thread = std::thread([&s] { s.run_network(); });
}

void Server::start(OpenEngine open, std::function<void()> loaded, HashFiles hash) {
  std::vector<ModelSource> models;
  models.push_back({state_->options.service.answering.model_name, std::move(open), std::move(hash), 0});
  start(std::move(models), std::move(loaded));
}

void Server::renew(std::vector<ApiKey> keys, std::shared_ptr<const TlsContext> tls) {
  asio::post(state_->network, [this, keys = std::move(keys), tls = std::move(tls)]() mutable {
    state_->service->set_keys(std::move(keys));
    if (tls != nullptr) state_->shared->tls = std::move(tls);
  });
}

void Server::drain() {
  asio::post(state_->network, [this] { state_->drain(); });
}

}  // namespace naru::server
