// Buckets by a clock of the test's: what is refused, until when that is true, and who finds room in the queue.
#include "server/key_limits.h"

#include <gtest/gtest.h>

#include "server/access.h"

namespace naru::server {
namespace {

using std::chrono::milliseconds;
const TokenBucket::Time kStart = TokenBucket::Time() + std::chrono::hours(1);

int wait_of(const std::optional<Refusal>& refusal) {
  return refusal ? refusal->retry_after_seconds : 0;
}

TEST(KeyLimits, RequestsInATime) {
  KeyLimits limits(1, Rate{3, std::chrono::minutes(1)}, std::nullopt);
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(limits.refuse(kStart));
    limits.take_request();
  }
  const auto refusal = limits.refuse(kStart);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->status, 429);
  EXPECT_EQ(refusal->code, "request_rate_exceeded");
  EXPECT_EQ(refusal->retry_after_seconds, 20);  // one of three in a minute
  EXPECT_NE(refusal->message.find("3 in a minute"), std::string::npos) << refusal->message;
  // What was said is true: not a second before, and then.
  EXPECT_EQ(wait_of(limits.refuse(kStart + milliseconds(19500))), 1);
  EXPECT_FALSE(limits.refuse(kStart + std::chrono::seconds(20)));
  limits.take_request();
  EXPECT_EQ(wait_of(limits.refuse(kStart + std::chrono::seconds(20))), 20);
  // No more is saved than the rate's amount.
  const auto later = kStart + std::chrono::hours(5);
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(limits.refuse(later));
    limits.take_request();
  }
  EXPECT_EQ(wait_of(limits.refuse(later)), 20);
}

TEST(KeyLimits, TokensAreOwedWhenTheyAreKnown) {
  KeyLimits limits(1, std::nullopt, Rate{100, std::chrono::seconds(1)});
  ASSERT_FALSE(limits.refuse(kStart));
  limits.account()->tokens += 350;  // more than there were
  const auto refusal = limits.refuse(kStart);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->code, "token_rate_exceeded");
  EXPECT_EQ(refusal->retry_after_seconds, 3);  // 250 are owed, and one is wanted
  EXPECT_TRUE(limits.refuse(kStart + milliseconds(2400)));
  EXPECT_FALSE(limits.refuse(kStart + std::chrono::seconds(3)));
}

TEST(KeyLimits, TheLongerWaitIsSaid) {
  KeyLimits limits(1, Rate{1, std::chrono::seconds(1)}, Rate{10, std::chrono::minutes(1)});
  ASSERT_FALSE(limits.refuse(kStart));
  limits.take_request();
  EXPECT_EQ(limits.refuse(kStart)->code, "request_rate_exceeded");
  limits.account()->tokens += 10;
  EXPECT_EQ(limits.refuse(kStart)->code, "token_rate_exceeded");
  EXPECT_EQ(limits.refuse(kStart)->retry_after_seconds, 6);
  EXPECT_FALSE(KeyLimits(2, std::nullopt, std::nullopt).refuse(kStart));
}

// How many things each of some keys can put in, one after the other in turn, until nobody can.
std::vector<int64_t> filled(size_t n_keys, int64_t parallel, int64_t queue, bool is_shared) {
  std::vector<int64_t> own(n_keys);
  int64_t all = 0;
  for (bool has_grown = true; has_grown;) {
    has_grown = false;
    for (int64_t& each : own) {
      if (!has_room(each, all, 1, parallel, queue, is_shared)) continue;
      ++each, ++all;
      has_grown = true;
    }
  }
  return own;
}

TEST(KeyLimits, ShareOfTheQueue) {
  EXPECT_EQ(filled(1, 4, 512, false), std::vector<int64_t>{516});
  EXPECT_EQ(filled(1, 4, 512, true), std::vector<int64_t>{4 + 256});  // half is left to whoever comes
  const auto two = filled(2, 4, 512, true);
  EXPECT_LE(two[0] + two[1], 4 + 345);
  EXPECT_GE(two[0], 170);
  EXPECT_GE(two[1], 170);
  EXPECT_EQ(filled(1, 2, 0, true), std::vector<int64_t>{2});
  EXPECT_EQ(filled(1, 2, 0, false), std::vector<int64_t>{2});
  // One who comes when another has all that it can get finds room.
  EXPECT_TRUE(has_room(0, 260, 8, 4, 512, true));
  EXPECT_FALSE(has_room(260, 260, 1, 4, 512, true));
  EXPECT_FALSE(has_room(0, 0, 517, 4, 512, false));
}

TEST(KeyLimits, SettingsInTheFile) {
  const std::string a = "0123456789abcdef", b = "fedcba9876543210", c = "0011223344556677";
  const auto keys =
      parse_keys(a + " anna rate=60/m\ttokens=100000/h scope=team\n" + b + " scope=team\n" + c + "\n", "k");
  ASSERT_TRUE(keys.ok()) << keys.error().message;
  EXPECT_EQ((*keys)[0].name, "anna");
  EXPECT_EQ((*keys)[0].scope, "team");
  EXPECT_EQ((*keys)[0].requests->amount, 60);
  EXPECT_EQ((*keys)[0].requests->time.count(), 60);
  EXPECT_EQ((*keys)[0].tokens->amount, 100000);
  EXPECT_EQ((*keys)[0].tokens->time.count(), 3600);
  EXPECT_EQ((*keys)[1].name, "key-2");
  EXPECT_EQ((*keys)[1].scope, "team");
  EXPECT_FALSE((*keys)[1].requests || (*keys)[1].tokens);
  EXPECT_EQ((*keys)[2].scope, "key-3");
  for (const auto& [line, found] : std::vector<std::pair<std::string, std::string>>{
           {"anna rate=60", "k:1: what rate= says is no rate"},
           {"anna rate=60/w", "k:1: what rate= says is no rate"},
           {"anna rate=/m", "k:1: what rate= says is no rate"},
           {"anna rate=0/m", "k:1: what rate= says is no rate"},
           {"anna rate=-1/m", "k:1: what rate= says is no rate"},
           {"anna tokens=1e3/m", "k:1: what tokens= says is no rate"},
           {"anna tokens=1000000000001/m", "k:1: what tokens= says is no rate"},
           {"anna rate=1/m rate=2/m", "k:1: rate= stands twice"},
           {"anna scope=", "k:1: the scope"},
           {"anna scope=a scope=b", "k:1: scope= stands twice"},
           {"anna speed=1", "k:1: a setting behind the key is not known"},
           {"rate=60/m anna", "k:1: the name behind the key is none"}}) {
    const auto wrong = parse_keys(a + " " + line + "\n", "k");
    ASSERT_FALSE(wrong.ok()) << line;
    EXPECT_NE(wrong.error().message.find(found), std::string::npos) << wrong.error().message;
    EXPECT_EQ(wrong.error().message.find(a), std::string::npos);
  }
}

}  // namespace
}  // namespace naru::server
