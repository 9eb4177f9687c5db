// EngineTurn: one of several engines steps at a time, in the order in which they came. Each step has all threads of the
// machine; two at once would take them from each other.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace naru::server {

class EngineTurn {
 public:
  class Hold {
   public:
    // Waits for the turn. nullptr: nobody else is there.
    explicit Hold(EngineTurn* turn) : turn_(turn) {
      if (turn_ == nullptr) return;
      std::unique_lock lock(turn_->mutex_);
      const uint64_t own = turn_->next_++;
      turn_->has_ended_.wait(lock, [&] { return turn_->now_ == own; });
    }
    ~Hold() {
      if (turn_ == nullptr) return;
      {
        const std::lock_guard lock(turn_->mutex_);
        ++turn_->now_;
      }
      turn_->has_ended_.notify_all();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    EngineTurn* turn_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable has_ended_;
  uint64_t next_ = 0;  // ticket to be given out
  uint64_t now_ = 0;   // whose turn it is
};

}  // namespace naru::server
