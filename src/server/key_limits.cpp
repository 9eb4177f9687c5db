#include "server/key_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace naru::server {
namespace {

// As it stands in a file of keys.
std::string rate_words(const Rate& rate) {
  switch (rate.time.count()) {
    case 1: return fmt::format("{} in a second", rate.amount);
    case 60: return fmt::format("{} in a minute", rate.amount);
    case 3600: return fmt::format("{} in an hour", rate.amount);
    case 86400: return fmt::format("{} in a day", rate.amount);
    default: return fmt::format("{} in {} seconds", rate.amount, rate.time.count());
  }
}

Refusal rate_refusal(std::string_view what, const Rate& rate, double seconds, const char* code) {
  const auto wait = static_cast<int>(std::ceil(std::min(seconds, 1e9)));
  return {429,
          fmt::format("the key may have {} {}, and has had them; try again after {} s", what, rate_words(rate), wait),
          "", code, std::max(1, wait)};
}

}  // namespace

double TokenBucket::seconds_until(double amount, Time now) {
  const double per_second = static_cast<double>(rate_.amount) / static_cast<double>(rate_.time.count());
  if (last_ && now > *last_) {
    const double passed = std::chrono::duration<double>(now - *last_).count();
    level_ = std::min(static_cast<double>(rate_.amount), level_ + passed * per_second);
  }
  last_ = last_ ? std::max(*last_, now) : now;
  return level_ >= amount ? 0 : (amount - level_) / per_second;
}

KeyLimits::KeyLimits(engine::UserId user, const std::optional<Rate>& requests, const std::optional<Rate>& tokens)
    : account_(std::make_shared<KeyAccount>()) {
  account_->user = user;
  set_rates(requests, tokens);
}

void KeyLimits::set_rates(const std::optional<Rate>& requests, const std::optional<Rate>& tokens) {
  const auto set = [](const std::optional<Rate>& rate, std::optional<TokenBucket>& bucket, Rate& old) {
    if (rate && (!bucket || old != *rate)) bucket.emplace(*rate);
    if (!rate) bucket.reset();
    old = rate.value_or(Rate());
  };
  if (!tokens_) counted_tokens_ = account_->tokens.load(std::memory_order_relaxed);  // before there was a rate
  set(requests, requests_, request_rate_);
  set(tokens, tokens_, token_rate_);
}

std::optional<Refusal> KeyLimits::refuse(Time now) {
  if (tokens_) {
    const int64_t total = account_->tokens.load(std::memory_order_relaxed);
    tokens_->take(static_cast<double>(total - counted_tokens_));
    counted_tokens_ = total;
  }
  const double request_wait = requests_ ? requests_->seconds_until(1, now) : 0;
  const double token_wait = tokens_ ? tokens_->seconds_until(1, now) : 0;
  if (request_wait == 0 && token_wait == 0) return std::nullopt;
  return request_wait >= token_wait ? rate_refusal("requests", request_rate_, request_wait, "request_rate_exceeded")
                                    : rate_refusal("tokens", token_rate_, token_wait, "token_rate_exceeded");
}

void KeyLimits::take_request() {
  if (requests_) requests_->take(1);
}

bool has_room(int64_t own, int64_t all, int64_t n_more, int64_t parallel, int64_t queue, bool is_shared) {
  const int64_t free = parallel + queue - all;
  if (n_more > free) return false;
  const int64_t own_waiting = std::max<int64_t>(0, own + n_more - parallel);
  return !is_shared || own_waiting <= free - n_more + (own_waiting > 0 ? 1 : 0);
}

}  // namespace naru::server
