#include "text/forms/multiples.h"

#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "text/forms/automaton_sink.h"
#include "text/forms/number_rules.h"

namespace naru::text {
namespace {

// Of decimal numbers by their digits: what is behind the point, if it is there, and the remainder so far. Digits that
// are not there count as zeros. States that go on alike are one: the multiples of 1000 need four, not a thousand.
class MultipleStates {
 public:
  explicit MultipleStates(const Multiple& multiple) : step_(multiple.step), scale_(multiple.scale) {
    const size_t n = static_cast<size_t>(step_) * (scale_ + 1);
    classes_.resize(n);
    for (size_t i = 0; i < n; ++i) classes_[i] = is_whole(i) ? 1 : 0;
    for (size_t n_classes = 0; n_classes < n_classes_;) {
      n_classes = n_classes_;
      split();
    }
  }
  size_t n_states() const { return classes_.size(); }
  size_t n_classes() const { return n_classes_; }
  uint32_t class_of(size_t state) const { return classes_[state]; }
  bool is_whole(size_t state) const {
    uint64_t left = state % step_;
    for (size_t i = state / step_; i < scale_; ++i) left = left * 10 % step_;
    return left == 0;
  }
  // Before the point all stay at place 0; the point itself moves to the first place behind it.
  size_t behind_digit(size_t state, size_t place, uint64_t digit) const {
    return place * step_ + (state % step_ * 10 + digit) % step_;
  }
  size_t place_of(size_t state) const { return state / step_; }

 private:
  // Of each class those that go on differently, apart.
  void split() {
    std::map<std::vector<uint32_t>, uint32_t> known;
    std::vector<uint32_t> next(classes_.size());
    for (size_t i = 0; i < classes_.size(); ++i) {
      std::vector<uint32_t> key = {classes_[i], static_cast<uint32_t>(place_of(i))};
      for (uint64_t digit = 0; digit < 10; ++digit) {
        if (place_of(i) == 0) key.push_back(classes_[behind_digit(i, 0, digit)]);
        if (place_of(i) < scale_) key.push_back(classes_[behind_digit(i, place_of(i) + 1, digit)]);
      }
      next[i] = known.try_emplace(std::move(key), static_cast<uint32_t>(known.size())).first->second;
    }
    classes_ = std::move(next);
    n_classes_ = known.size();
  }

  uint64_t step_;
  uint32_t scale_;
  std::vector<uint32_t> classes_;
  size_t n_classes_ = 2;
};

}  // namespace

std::optional<Multiple> multiple_of(const Value& value) {
  const auto decimal = decimal_of(value);
  if (!decimal || decimal->is_negative || decimal->is_zero()) return std::nullopt;
  Multiple multiple{0, static_cast<uint32_t>(decimal->fraction.size())};
  for (const char digit : decimal->whole + decimal->fraction) {
    multiple.step = multiple.step * 10 + static_cast<uint64_t>(digit - '0');
    if (multiple.step > kMultipleStatesMax) return std::nullopt;
  }
  if (multiple.step * (multiple.scale + 1) > kMultipleStatesMax) return std::nullopt;
  return multiple;
}

std::optional<Multiple> common_multiple(Multiple a, Multiple b) {
  if (a.scale > b.scale) std::swap(a, b);
  for (; a.scale < b.scale; ++a.scale) {
    a.step *= 10;
    if (a.step > kMultipleStatesMax) return std::nullopt;
  }
  const uint64_t step = std::lcm(a.step, b.step);
  if (step * (b.scale + 1) > kMultipleStatesMax) return std::nullopt;
  return Multiple{step, b.scale};
}

RegexAutomaton multiples_of(const Multiple& multiple, GrammarBuilder& builder) {
  const MultipleStates states(multiple);
  builder.spend(128 * states.n_states());
  RegexAutomaton automaton;
  AutomatonSink sink(automaton);
  const NodeId begin = sink.add_node(), first = sink.add_node();
  for (size_t i = 0; i < states.n_classes(); ++i) sink.add_node();
  const auto node_of = [&](size_t state) { return first + 1 + states.class_of(state); };
  sink.add_byte(begin, '-', first);
  sink.add_jump(begin, first);
  const auto add_digits = [&](NodeId from, size_t state, size_t place) {
    for (char digit = '0'; digit <= '9'; ++digit) {
      sink.add_byte(from, digit, node_of(states.behind_digit(state, place, static_cast<uint64_t>(digit - '0'))));
    }
  };
  add_digits(first, 0, 0);
  std::vector<bool> is_made(states.n_classes());
  for (size_t i = 0; i < states.n_states(); ++i) {
    const NodeId node = node_of(i);
    if (is_made[states.class_of(i)]) continue;
    is_made[states.class_of(i)] = true;
    automaton.states[node].is_final = states.is_whole(i);
    const size_t place = states.place_of(i);
    if (place == 0) add_digits(node, i, 0);
    if (place > 0 && place < multiple.scale) add_digits(node, i, place + 1);
    if (place > 0 || multiple.scale == 0) continue;
    const NodeId point = sink.add_node();
    sink.add_byte(node, '.', point);
    add_digits(point, i, 1);
  }
  return automaton;
}

}  // namespace naru::text
