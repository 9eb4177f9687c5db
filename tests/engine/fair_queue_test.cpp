// Whose turn it is, by what was computed for each: no chance and no clock, so every order here is the only one.
#include "engine/fair_queue.h"

#include <gtest/gtest.h>

#include <new>
#include <string>
#include <vector>

namespace naru::engine {
namespace {

using Words = FairQueue<std::string>;

// Takes all, each costing `cost` of its user.
std::string taken(Words& queue, int64_t cost) {
  std::string all;
  while (!queue.empty()) {
    const UserId user = queue.next_user();
    all += queue.pop();
    queue.charge(user, cost);
  }
  return all;
}

TEST(FairQueue, OneUserIsServedInOrderOfComing) {
  Words queue;
  for (const char* word : {"a", "b", "c"}) queue.push(0, 0, word);
  EXPECT_EQ(queue.size(), 3);
  EXPECT_EQ(taken(queue, 10), "abc");
}

// Taking it into the queue is what there may be no memory for.
struct Heavy {
  explicit Heavy(bool is_held) : is_too_heavy(is_held) {}
  Heavy(Heavy&& other) : is_too_heavy(other.is_too_heavy) {
    if (is_too_heavy) throw std::bad_alloc();
  }
  bool is_too_heavy;
};

TEST(FairQueue, WhatFindsNoMemoryLeavesNothingBehind) {
  FairQueue<Heavy> queue;
  queue.push(1, 0, Heavy(false));
  queue.charge(1, 10);
  EXPECT_THROW(queue.push(2, 0, Heavy(true)), std::bad_alloc);
  EXPECT_EQ(queue.size(), 1);
  EXPECT_EQ(queue.next_user(), 1u) << "of the other one nothing waits";
}

TEST(FairQueue, AThousandOfOneDelayNobodysFirst) {
  Words queue;
  for (int i = 0; i < 1000; ++i) queue.push(1, 0, "a");
  for (int i = 0; i < 3; ++i) {
    queue.charge(1, 100);
    EXPECT_EQ(queue.pop(), "a");
  }
  queue.push(2, 0, "b");
  queue.push(2, 0, "b");
  queue.charge(1, 100);
  EXPECT_EQ(queue.pop(), "b");
  queue.charge(2, 100);
  EXPECT_EQ(queue.pop(), "a");  // level, and it came first
  queue.charge(1, 100);
  EXPECT_EQ(queue.pop(), "b");
}

TEST(FairQueue, TurnsAreByWhatWasComputedNotByNumber) {
  Words queue;
  for (int i = 0; i < 6; ++i) queue.push(1, 0, "l");
  for (int i = 0; i < 6; ++i) queue.push(2, 0, "s");
  std::string order;
  while (order.size() < 8) {
    const UserId user = queue.next_user();
    order += queue.pop();
    queue.charge(user, user == 1 ? 300 : 100);
  }
  EXPECT_EQ(order, "lssslsss");
}

TEST(FairQueue, AbsenceEarnsNothingAndCostsNothing) {
  Words queue;
  queue.push(2, 0, "x");
  EXPECT_EQ(queue.pop(), "x");
  for (int i = 0; i < 20; ++i) {  // the other was away, and computed nothing
    queue.push(1, 0, "a");
    EXPECT_EQ(queue.pop(), "a");
    queue.charge(1, 100);
  }
  for (int i = 0; i < 3; ++i) {
    queue.push(1, 0, "a");
    queue.push(2, 0, "b");
  }
  // One turn in advance, and not twenty.
  EXPECT_EQ(taken(queue, 100), "bababa");
  // What a user had when nobody else wanted anything is not held against it either.
  for (int i = 0; i < 50; ++i) {
    queue.push(1, 0, "a");
    queue.pop();
    queue.charge(1, 1000);
  }
  queue.push(2, 0, "b");
  queue.pop();
  queue.charge(2, 2000);
  queue.push(2, 0, "b");
  queue.push(1, 0, "a");
  EXPECT_EQ(queue.next_user(), 1u);
}

TEST(FairQueue, WhatIsComputedWhileNobodyWaitsPutsNobodyBehind) {
  for (const bool rests : {false, true}) {
    Words queue;
    queue.push(1, 0, "x");
    queue.pop();
    for (int i = 0; i < 30000; ++i) queue.charge(1, 1);  // after the last pop, a token at a time
    if (rests) {
      queue.charge(1, 30000);  // and at once
      queue.rest();
    }
    for (int i = 0; i < 3; ++i) queue.push(1, 0, "a");
    for (int i = 0; i < 3; ++i) queue.push(2, 0, "b");
    EXPECT_EQ(taken(queue, 500), rests ? "ababab" : "bababa");  // behind by the last token, at most
  }
  // Where somebody waits, what is computed counts, whoever calls it a rest.
  Words queue;
  queue.push(1, 0, "a");
  queue.push(2, 0, "b");
  queue.push(2, 0, "b");
  queue.charge(1, 1200);
  queue.rest();
  EXPECT_EQ(taken(queue, 500), "bba");
}

TEST(FairQueue, PriorityIsAmongTheThingsOfOneUser) {
  Words queue;
  queue.push(1, 5, "late");
  queue.push(1, -1, "soon");
  queue.push(1, 5, "later");
  queue.push(2, -100, "b");
  EXPECT_EQ(queue.pop(), "soon");
  queue.charge(1, 1);
  EXPECT_EQ(taken(queue, 1), "blatelater");
}

TEST(FairQueue, WhatIsTakenOutIsGone) {
  Words queue;
  queue.push(1, 0, "a");
  queue.push(2, 0, "b");
  queue.push(2, 0, "c");
  EXPECT_EQ(queue.take_if([](const std::string& word) { return word == "b"; }), "b");
  EXPECT_EQ(queue.take_if([](const std::string& word) { return word == "b"; }), std::nullopt);
  int64_t n = 0;
  queue.for_each([&](const std::string&) { ++n; });
  EXPECT_EQ(n, 2);
  EXPECT_EQ(taken(queue, 1), "ac");
}

}  // namespace
}  // namespace naru::engine
