// FormMatcher: a grammar's automaton, made state by state as answers come to it. A state is a list of places in the
// grammar with the calls that they are inside of; what follows from a symbol is kept, so that each is worked out once.
//
// What is allowed is a function of the grammar and the symbols so far alone, whatever was asked before: a list is in
// the order in which its places are found, and what is past kMatcherPlacesMax is dropped (so of very ambiguous forms
// the later alternatives are). Only places that take something are counted so; of all others, kMatcherLooksMax are
// looked through.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/forms/grammar.h"

namespace naru::text {

inline constexpr size_t kMatcherPlacesMax = 1024;
inline constexpr size_t kMatcherLooksMax = 4096;
inline constexpr size_t kMatcherBytesMax = 16 << 20;  // of states that are kept

class FormMatcher {
 public:
  using State = uint32_t;
  static constexpr State kDead = 0;

  explicit FormMatcher(std::shared_ptr<const Grammar> grammar);

  State begin(RuleId root);
  // kDead: the symbol may not come here.
  State step(State from, FormSymbol symbol) {
    const State known = next_[from * n_classes_ + grammar_->class_of(symbol)].to;
    return known != kUnknown ? known : make_step(from, symbol);
  }
  State step(State from, std::string_view bytes);

  bool may_end(State state) const { return states_[state].may_end; }
  // A walk's steps add what they cost to `work`, in places looked at: each once, and whether it is known by then or
  // not, so that a walk costs the same whatever was asked before it.
  void begin_walk();
  State step(State from, FormSymbol symbol, size_t& work) {
    const size_t at = from * n_classes_ + grammar_->class_of(symbol);
    if (next_[at].to == kUnknown) make_step(from, symbol);
    Next& next = next_[at];
    if (next.walk != walk_) {
      next.walk = walk_;
      work += next.effort * kEffortUnit;
    }
    return next.to;
  }
  // So many plain characters may come from here, and no more of them; kPlainUnbounded: any number. 0: nobody knows.
  uint8_t plain_left(State state) const { return states_[state].plain_left; }
  // A state that goes on alike for the bytes of one token, the same for many.
  State twin(State state);

  // Whether so much is kept that it should be forgotten.
  bool is_full() const { return bytes_ > kMatcherBytesMax; }
  size_t bytes() const { return bytes_ + found_.size() * sizeof(Slot); }  // that it keeps, about
  // Forgets all states: those from before are no longer valid; saved ones are.
  void forget();
  using Saved = std::vector<uint32_t>;
  void save(State state, Saved& saved) const;
  State restore(std::span<const uint32_t> saved);

 private:
  static constexpr uint32_t kUnknown = ~uint32_t{0};
  static constexpr uint32_t kNoFrame = 0;

  // Inside of which calls: where it goes on behind the innermost, and what that is inside of.
  struct Frame {
    NodeId back;
    uint32_t parent;
    uint16_t depth;
  };
  struct Place {
    NodeId node;
    uint32_t frame;
    bool operator==(const Place&) const = default;
  };
  struct Entry {
    uint32_t begin, n;  // in places_
    uint32_t n_ranges;  // of all of them
    bool may_end;
    uint8_t plain_left;
    State twin;  // kDead: not worked out
  };

  static constexpr size_t kEffortUnit = 8;
  struct Next {
    State to;
    uint16_t effort;  // in units, the last of them begun
    uint16_t walk;    // the last one that took this step
  };

  State make_step(State from, FormSymbol symbol);
  uint32_t frame_of(NodeId back, uint32_t parent, uint16_t depth);
  // Adds a place and what it jumps to, as far as it is not there.
  void close(Place place);
  // The state of the places that are kept.
  State intern();
  void weigh(Entry& entry) const;

  std::shared_ptr<const Grammar> grammar_;
  size_t n_classes_;
  std::vector<Frame> frames_;
  std::unordered_map<uint64_t, std::vector<uint32_t>> frame_ids_;
  std::vector<Place> places_;
  std::vector<Entry> states_;
  std::unordered_map<uint64_t, std::vector<State>> state_ids_;
  std::vector<Next> next_;  // of each state, by the symbol's class
  uint16_t walk_ = 1;
  size_t bytes_ = 0;
  // Of the state that is being made: the places found so far, as a table, and those to be looked at.
  struct Slot {
    uint32_t round = 0;
    Place place = {};
  };
  bool is_new(Place place);
  std::vector<Slot> found_;
  uint32_t round_ = 1;
  size_t n_found_ = 0;
  size_t n_looked_at_ = 0;
  std::vector<Place> open_;
  std::vector<Place> kept_;
  bool may_end_ = false;
};

}  // namespace naru::text
