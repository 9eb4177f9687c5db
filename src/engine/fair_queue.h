// FairQueue: things that wait, taken fairly between those whom they are for. Next is the user for whom the least was
// computed lately; of one user's things the one of the lowest priority number, and of those the first that came.
//
// What was computed is charged by whoever computes it, in any unit. "Lately": a user of whom nothing waits keeps no
// right to what it did not use. When something of it waits again, it starts where the user taken last stood (start-time
// fair queueing), so that neither its absence nor the load of others is held against anybody. What is computed while
// nothing waits delays nobody: it moves where the next ones start, and puts nobody behind (but for its last charge, and
// that until all is idle). No clock, no chance: the order is a function of the calls.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"

namespace naru::engine {

using UserId = uint64_t;

template <typename Item>
class FairQueue {
 public:
  void push(UserId user, int64_t priority, Item item) {
    Line one;  // what needs memory comes first: a line that stayed empty would break the queue
    one.emplace(Place{priority, next_place_}, std::move(item));
    if (!lines_.contains(user)) lift(user);
    lines_[user].merge(one);
    ++next_place_;
    ++size_;
  }

  bool empty() const { return size_ == 0; }
  int64_t size() const { return size_; }

  // Whose turn it is, and what; the same until the next call that changes the queue. It must not be empty.
  UserId next_user() const { return next_line()->first; }
  const Item& next() const { return next_line()->second.begin()->second; }
  Item& next() { return const_cast<Item&>(std::as_const(*this).next()); }

  Item pop() {
    const auto line = lines_.find(next_user());
    turn_ = std::max(turn_, used(line->first));
    return take(line, line->second.begin());
  }

  // So much was computed for the user.
  void charge(UserId user, int64_t amount) {
    if (empty()) turn_ = std::max(turn_, used(user));
    lift(user);
    used_[user] += amount;
  }

  // Nothing is computed for anybody. Where nothing waits either, all start level again.
  void rest() {
    if (!empty()) return;
    used_.clear();
    turn_ = 0;
  }

  // The first thing for which `is_it`, in no order that matters, out of the queue.
  template <typename Predicate>
  std::optional<Item> take_if(const Predicate& is_it) {
    for (auto line = lines_.begin(); line != lines_.end(); ++line) {
      for (auto at = line->second.begin(); at != line->second.end(); ++at) {
        if (is_it(at->second)) return take(line, at);
      }
    }
    return std::nullopt;
  }

  template <typename Function>
  void for_each(const Function& function) {
    for (auto& [user, line] : lines_) {
      for (auto& [place, item] : line) function(item);
    }
  }

 private:
  struct Place {
    int64_t priority = 0;
    uint64_t number = 0;  // in order of coming
    auto operator<=>(const Place&) const = default;
  };
  using Line = std::map<Place, Item>;  // never empty
  using Lines = std::map<UserId, Line>;

  // A user of whom something waits stands where it stands; others no further back than the last turn.
  int64_t used(UserId user) const {
    const auto at = used_.find(user);
    if (at == used_.end()) return turn_;
    return lines_.contains(user) ? at->second : std::max(turn_, at->second);
  }

  void lift(UserId user) {
    const int64_t now = used(user);
    std::erase_if(used_, [this](const auto& each) { return each.second <= turn_ && !lines_.contains(each.first); });
    used_[user] = now;
  }

  typename Lines::const_iterator next_line() const {
    NARU_CHECK(size_ > 0);
    auto best = lines_.begin();
    const auto rank = [this](typename Lines::const_iterator line) {
      return std::pair(used(line->first), line->second.begin()->first.number);
    };
    for (auto line = lines_.begin(); line != lines_.end(); ++line) {
      if (rank(line) < rank(best)) best = line;
    }
    return best;
  }

  Item take(typename Lines::iterator line, typename Line::iterator at) {
    Item item = std::move(at->second);
    line->second.erase(at);
    if (line->second.empty()) lines_.erase(line);
    --size_;
    return item;
  }

  Lines lines_;
  std::map<UserId, int64_t> used_;  // of those who wait, and of others who are ahead of the last turn
  int64_t turn_ = 0;                // where the user taken last stood
  int64_t size_ = 0;
  uint64_t next_place_ = 0;
};

}  // namespace naru::engine
