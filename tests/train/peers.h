// Processes that train together, for tests: two over a pair of sockets, and any number as threads of one process.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "train/peers.h"

namespace naru::test {

// Values by way of the host, in pieces of some rows.
template <typename Take>  // Status(const std::vector<float>& values)
Status send_values(contract::Chip& chip, View values, const Take& take) {
  NARU_TRY(chip.wait());
  constexpr int64_t kRows = 64;
  std::vector<float> piece;
  for (int64_t row = 0; row < values.rows; row += kRows) {
    const View part = values.slice_rows(row, std::min(kRows, values.rows - row));
    piece.resize(static_cast<size_t>(part.rows * part.cols));
    NARU_TRY(chip.copy_out(piece.data(), part.address, std::ssize(piece) * 4));
    NARU_TRY(take(piece));
  }
  return {};
}
template <typename Give>  // Status(std::vector<float>& values): fills them
Status receive_values(contract::Chip& chip, View values, const Give& give) {
  NARU_TRY(chip.wait());
  constexpr int64_t kRows = 64;
  std::vector<float> piece;
  for (int64_t row = 0; row < values.rows; row += kRows) {
    const View part = values.slice_rows(row, std::min(kRows, values.rows - row));
    piece.resize(static_cast<size_t>(part.rows * part.cols));
    NARU_TRY(give(piece));
    NARU_TRY(chip.copy_in(part.address, piece.data(), std::ssize(piece) * 4));
  }
  return {};
}

// This process and the one at the other end of a stream socket, which is closed with it.
class SocketPeers : public train::Peers {
 public:
  SocketPeers(int socket, int64_t rank) : socket_(socket), rank_(rank) {}
  ~SocketPeers() override { ::close(socket_); }
  SocketPeers(const SocketPeers&) = delete;
  SocketPeers& operator=(const SocketPeers&) = delete;

  int64_t rank() const override { return rank_; }
  int64_t count() const override { return 2; }

  Result<std::vector<std::string>> gather(std::string mine) override {
    std::string other;
    // One writes while the other reads.
    if (rank_ == 0) NARU_TRY(write_text(mine));
    NARU_TRY(read_text(other));
    if (rank_ == 1) NARU_TRY(write_text(mine));
    std::vector<std::string> all{std::move(mine), std::move(other)};
    if (rank_ == 1) std::swap(all[0], all[1]);
    return all;
  }
  Status send(int64_t, contract::Chip& chip, View values) override {
    return send_values(chip, values, [this](const std::vector<float>& v) { return write(v.data(), v.size() * 4); });
  }
  Status receive(int64_t, contract::Chip& chip, View values) override {
    return receive_values(chip, values, [this](std::vector<float>& v) { return read(v.data(), v.size() * 4); });
  }

 private:
  Status write_text(const std::string& text) {
    const auto n = static_cast<int64_t>(text.size());
    NARU_TRY(write(&n, sizeof n));
    return write(text.data(), text.size());
  }
  Status read_text(std::string& text) {
    int64_t n = 0;
    NARU_TRY(read(&n, sizeof n));
    text.resize(static_cast<size_t>(n));
    return read(text.data(), text.size());
  }
  Status write(const void* data, size_t n) {
    const auto* from = static_cast<const char*>(data);
    for (size_t done = 0; done < n;) {
      const ssize_t sent = ::send(socket_, from + done, n - done, MSG_NOSIGNAL);
      if (sent <= 0) return gone();
      done += static_cast<size_t>(sent);
    }
    return {};
  }
  Status read(void* data, size_t n) {
    auto* to = static_cast<char*>(data);
    for (size_t done = 0; done < n;) {
      const ssize_t got = ::recv(socket_, to + done, n - done, 0);
      if (got <= 0) return gone();
      done += static_cast<size_t>(got);
    }
    return {};
  }
  Error gone() const {
    return {Code::kUnavailable, "training together: process " + std::to_string(1 - rank_) +
                                    " has ended; see what it said, and start both again"};
  }

  int socket_;
  int64_t rank_;
};

// What threads that stand for processes share.
class Crowd {
 public:
  explicit Crowd(int64_t count) : count_(count), given_(static_cast<size_t>(count)) {}

  int64_t count() const { return count_; }

  std::vector<std::string> gather(int64_t rank, std::string mine) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return n_taking_ == 0; });
    given_[static_cast<size_t>(rank)] = std::move(mine);
    if (++n_given_ == count_) n_taking_ = count_, changed_.notify_all();
    changed_.wait(lock, [&] { return n_taking_ > 0; });
    std::vector<std::string> all = given_;
    if (--n_taking_ == 0) n_given_ = 0, changed_.notify_all();
    return all;
  }
  void send(int64_t from, int64_t to, std::vector<float> values) {
    const std::lock_guard lock(mutex_);
    queues_[{from, to}].push_back(std::move(values));
    changed_.notify_all();
  }
  std::vector<float> receive(int64_t from, int64_t to) {
    std::unique_lock lock(mutex_);
    std::deque<std::vector<float>>& queue = queues_[{from, to}];
    changed_.wait(lock, [&] { return !queue.empty(); });
    std::vector<float> values = std::move(queue.front());
    queue.pop_front();
    return values;
  }

 private:
  const int64_t count_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> given_;
  int64_t n_given_ = 0, n_taking_ = 0;
  std::map<std::pair<int64_t, int64_t>, std::deque<std::vector<float>>> queues_;
};

class ThreadPeers : public train::Peers {
 public:
  ThreadPeers(Crowd& crowd, int64_t rank) : crowd_(crowd), rank_(rank) {}

  int64_t rank() const override { return rank_; }
  int64_t count() const override { return crowd_.count(); }
  Result<std::vector<std::string>> gather(std::string mine) override { return crowd_.gather(rank_, std::move(mine)); }
  Status send(int64_t to, contract::Chip& chip, View values) override {
    return send_values(chip, values, [&](const std::vector<float>& v) -> Status {
      crowd_.send(rank_, to, v);
      return {};
    });
  }
  Status receive(int64_t from, contract::Chip& chip, View values) override {
    return receive_values(chip, values, [&](std::vector<float>& v) -> Status {
      v = crowd_.receive(from, rank_);
      return {};
    });
  }

 private:
  Crowd& crowd_;
  int64_t rank_;
};

}  // namespace naru::test
