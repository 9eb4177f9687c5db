// SampledTurns: turns in which a model called tools, kept as the tokens that were computed, so that a conversation that
// comes back goes on from them and not from what its template makes of the turn: white space, the order of keys and
// reasoning that a client left out would be other tokens, and none of what is computed would be found again.
//
// A turn is found by the id of its first call, among those of whoever asks, and is used where the conversation before
// it and the turn itself are what they were. Bounded: the oldest make room. Any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/value.h"

namespace naru::server {

// Without the white space around it.
std::string_view trimmed(std::string_view text);

struct SampledTurn {
  std::vector<int32_t> ids;  // the prompt, and what the model sampled behind it, up to its end token
  std::string before;        // what stood before the turn, as histories() says it
  std::string said;          // the turn, as said_in_turn() says it
  std::string reasoning;     // as it was given out
};

class SampledTurns {
 public:
  explicit SampledTurns(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // One that is larger than all may be is not kept.
  void keep(uint64_t scope, const std::string& call_id, SampledTurn turn);
  // nullptr: none is known, to this scope.
  std::shared_ptr<const SampledTurn> find(uint64_t scope, const std::string& call_id) const;
  int64_t bytes() const;

 private:
  using Key = std::pair<uint64_t, std::string>;
  struct Kept {
    std::shared_ptr<const SampledTurn> turn;
    int64_t bytes = 0;
  };
  int64_t bytes_max_;
  mutable std::mutex mutex_;
  std::map<Key, Kept> kept_;
  std::deque<Key> order_;  // the oldest first
  int64_t bytes_ = 0;
};

// Calls of an assistant's message; nullptr where it has none.
const text::Value::List* calls_in(const text::Value& message);
// The id of its first call; empty where it has none.
std::string first_call_id(const text::Value& message);
// An assistant's message with calls but for its reasoning, however a client writes it: without the blanks around its
// words, and with arguments as values.
std::string said_in_turn(const text::Value& message);
// Element i is a digest of all that stands before message i: `begin`, and the messages; the last one is of all. Of an
// assistant's turn with calls it is what said_in_turn() says.
std::vector<std::string> histories(std::string begin, const text::Value::List& messages);

}  // namespace naru::server
