// What one key may take of the server, and has taken: requests and tokens in a time, by buckets that fill evenly.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/fair_queue.h"
#include "server/refusal.h"

namespace naru::server {

// "60/m": 60 in a minute, all at once or spread.
struct Rate {
  int64_t amount = 0;
  std::chrono::seconds time{1};
  bool operator==(const Rate&) const = default;
};
inline constexpr int64_t kRateAmountMax = 1000000000000;

// What a key has used. The thread of an engine adds to it, the network's reads it.
struct KeyAccount {
  engine::UserId user = 0;         // 0: nobody in particular
  std::atomic<int64_t> tokens{0};  // that were computed: prompts but for what was cached, and answers
};

// Holds at most a rate's amount, and gets as much in the rate's time.
class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit TokenBucket(const Rate& rate) : rate_(rate), level_(static_cast<double>(rate.amount)) {}

  // Below 0 what was taken is owed.
  void take(double amount) { level_ -= amount; }
  // Until it holds so much, if nobody takes of it; 0: it does.
  double seconds_until(double amount, Time now);

 private:
  Rate rate_;
  double level_;
  std::optional<Time> last_;
};

// Of the network's thread.
class KeyLimits {
 public:
  using Time = TokenBucket::Time;
  KeyLimits(engine::UserId user, const std::optional<Rate>& requests, const std::optional<Rate>& tokens);

  // Why a request cannot come now, and when it can. Tokens count when they are computed, so that one may begin while
  // any are left; what it takes beyond is owed.
  std::optional<Refusal> refuse(Time now);
  void take_request();
  // Other rates than before begin with full buckets; the same go on.
  void set_rates(const std::optional<Rate>& requests, const std::optional<Rate>& tokens);

  const std::shared_ptr<KeyAccount>& account() const { return account_; }
  int64_t n_answering = 0;  // its requests that are under way

 private:
  std::optional<TokenBucket> requests_, tokens_;
  Rate request_rate_, token_rate_;  // of those
  std::shared_ptr<KeyAccount> account_;
  int64_t counted_tokens_ = 0;  // of the account, that are out of the bucket
};

// Whether a key may hold one thing more of a queue of `queue` behind `parallel` places, where it holds `own` of the
// `all` that are there. Several keys share the queue: each may have waiting at most as much as is left free, so that
// whoever comes later finds room (one greedy key gets half of the queue, two get a third each, ...).
bool has_room(int64_t own, int64_t all, int64_t n_more, int64_t parallel, int64_t queue, bool is_shared);

}  // namespace naru::server
