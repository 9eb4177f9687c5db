#include "text/forms/number_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <tuple>

#include "text/forms/automaton_sink.h"

namespace naru::text {
namespace {

constexpr size_t kBoundDigitsMax = 18;
constexpr size_t kDigitsMax = 40;

// As json_rules.cpp has them, without an exponent.
std::string any_number(bool are_integers) {
  const std::string whole = fmt::format("-?(?:0|[1-9][0-9]{{0,{}}})", kDigitsMax - 1);
  return are_integers ? whole : whole + fmt::format("(?:\\.[0-9]{{1,{}}})?", kDigitsMax);
}

// The least integer that may come, and the greatest (none: as long as it likes): both of them magnitudes.
struct WholeRange {
  std::string low;
  std::optional<std::string> high;
};

int compare_whole(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

std::string next_whole(const std::string& a, int64_t step) {
  return fmt::format("{}", std::strtoll(a.c_str(), nullptr, 10) + step);
}

// A Sink is what nodes and the ways between them are added to: a grammar, or an automaton.
//
// Digits from `first` to `last`, each leading to its node; neighbours that lead to the same are one range.
template <typename Sink, typename NodeOfDigit>
void add_digit_ranges(Sink& builder, NodeId from, char first, char last, const NodeOfDigit& node_of) {
  for (char low = first; low <= last;) {
    const NodeId to = node_of(low);
    char high = low;
    while (high < last && node_of(static_cast<char>(high + 1)) == to) ++high;
    builder.add_range(from, static_cast<unsigned char>(low), static_cast<unsigned char>(high), to);
    low = static_cast<char>(high + 1);
  }
}

// Numbers of one length, digit by digit; those still equal to a bound so far are held by it.
template <typename Sink>
void add_same_length(Sink& builder, NodeId from, const std::string& low, const std::string& high, NodeId to) {
  std::map<std::pair<bool, bool>, NodeId> nodes = {{{true, true}, from}};
  for (size_t i = 0; i < low.size(); ++i) {
    std::map<std::pair<bool, bool>, NodeId> next;
    for (const auto& [held, node] : nodes) {
      const char first = held.first ? low[i] : '0', last = held.second ? high[i] : '9';
      add_digit_ranges(builder, node, first, last, [&, is_low = held.first, is_high = held.second](char digit) {
        const std::pair<bool, bool> now = {is_low && digit == low[i], is_high && digit == high[i]};
        const auto [at, is_new] = next.try_emplace(now, NodeId{0});
        if (is_new) at->second = i + 1 < low.size() ? builder.add_node() : to;
        return at->second;
      });
    }
    nodes = std::move(next);
  }
}

// All numbers of some lengths, without a zero before others: one chain, which may end from the shortest on.
template <typename Sink>
void add_lengths(Sink& builder, NodeId from, size_t shortest, size_t longest, NodeId to) {
  if (shortest > longest) return;
  NodeId node = builder.add_node();
  builder.add_jump(from, node);
  for (size_t n = 1; n <= longest; ++n) {
    const NodeId next = n < longest ? builder.add_node() : to;
    builder.add_range(node, n == 1 ? '1' : '0', '9', next);
    if (n >= shortest && n < longest) builder.add_jump(next, to);
    node = next;
  }
}

template <typename Sink>
void add_whole(Sink& builder, NodeId from, const WholeRange& range, NodeId to) {
  if (range.high && compare_whole(range.low, *range.high) > 0) return;
  const auto add_bounded = [&](const std::string& low, const std::string& high) {
    const NodeId begin = builder.add_node();
    builder.add_jump(from, begin);
    add_same_length(builder, begin, low, high, to);
  };
  const size_t n_low = range.low.size(), n_high = range.high ? range.high->size() : kDigitsMax + 1;
  if (n_low == n_high) return add_bounded(range.low, *range.high);
  add_bounded(range.low, std::string(n_low, '9'));
  add_lengths(builder, from, n_low + 1, n_high - 1, to);
  if (range.high) add_bounded("1" + std::string(n_high - 1, '0'), *range.high);
}

// What stands behind the whole part where that is equal to a bound's: nothing, or a point and digits.
template <typename Sink>
class FractionRule {
 public:
  FractionRule(Sink& builder, const NumberBound* low, const NumberBound* high, NodeId to)
      : builder_(builder), low_(low), high_(high), to_(to) {}

  void add(NodeId from) {
    if (may_end(0, low_ != nullptr, high_ != nullptr)) builder_.add_jump(from, to_);
    const NodeId point = node_of(0, low_ != nullptr, high_ != nullptr);
    builder_.add_byte(from, '.', point);
    for (size_t at = 0; at < kDigitsMax; ++at) {
      for (const bool holds_low : {false, true}) {
        for (const bool holds_high : {false, true}) {
          const auto found = nodes_.find({at, holds_low, holds_high});
          if (found != nodes_.end()) add_digits(at, holds_low, holds_high, found->second);
        }
      }
    }
  }

 private:
  static char digit_of(const NumberBound* bound, size_t at) {
    return at < bound->value.fraction.size() ? bound->value.fraction[at] : '0';
  }
  static bool is_equal_at(const NumberBound* bound, size_t n) { return n >= bound->value.fraction.size(); }

  // Behind n digits.
  bool may_end(size_t n, bool holds_low, bool holds_high) const {
    if (holds_low && (!is_equal_at(low_, n) || low_->is_exclusive)) return false;
    return !(holds_high && is_equal_at(high_, n) && high_->is_exclusive);
  }
  NodeId node_of(size_t n, bool holds_low, bool holds_high) {
    const auto [at, is_new] = nodes_.try_emplace({n, holds_low, holds_high}, NodeId{0});
    if (is_new) {
      at->second = builder_.add_node();
      if (n > 0 && may_end(n, holds_low, holds_high)) builder_.add_jump(at->second, to_);
    }
    return at->second;
  }
  void add_digits(size_t at, bool holds_low, bool holds_high, NodeId node) {
    const char first = holds_low ? digit_of(low_, at) : '0', last = holds_high ? digit_of(high_, at) : '9';
    add_digit_ranges(builder_, node, first, last, [&](char digit) {
      return node_of(at + 1, holds_low && digit == digit_of(low_, at), holds_high && digit == digit_of(high_, at));
    });
  }

  Sink& builder_;
  const NumberBound *low_, *high_;
  NodeId to_;
  std::map<std::tuple<size_t, bool, bool>, NodeId> nodes_;
};

// Magnitudes; the low bound is there.
template <typename Sink>
void add_magnitudes(Sink& builder, NodeId from, const NumberBound& low, const NumberBound* high, NodeId to) {
  const bool is_one = high != nullptr && low.value.whole == high->value.whole;
  const auto with_fraction = [&](const std::string& whole, const NumberBound* lower, const NumberBound* upper) {
    const NodeId behind = builder.add_node();
    builder.add_text(from, whole, behind);
    FractionRule(builder, lower, upper, to).add(behind);
  };
  if (is_one) return with_fraction(low.value.whole, &low, high);
  if (high != nullptr && compare_whole(low.value.whole, high->value.whole) > 0) return;
  with_fraction(low.value.whole, &low, nullptr);
  if (high != nullptr) with_fraction(high->value.whole, nullptr, high);
  WholeRange between = {next_whole(low.value.whole, 1), std::nullopt};
  if (high != nullptr) between.high = next_whole(high->value.whole, -1);
  const NodeId behind = builder.add_node();
  add_whole(builder, from, between, behind);
  FractionRule(builder, nullptr, nullptr, to).add(behind);
}

NumberBound magnitude_of(const NumberBound& bound) {
  NumberBound magnitude = bound;
  magnitude.value.is_negative = false;
  return magnitude;
}

bool is_below_zero(const NumberBound& bound) {
  return bound.value.is_negative && !bound.value.is_zero();
}

// The magnitude of the integer nearest to a bound that is allowed, on its inner side. `rounds_up`: a low bound of
// magnitudes.
std::string whole_inside(const NumberBound& bound, bool rounds_up) {
  const bool is_whole = bound.value.fraction.empty();
  if (rounds_up) return is_whole && !bound.is_exclusive ? bound.value.whole : next_whole(bound.value.whole, 1);
  return is_whole && bound.is_exclusive ? next_whole(bound.value.whole, -1) : bound.value.whole;
}

template <typename Sink>
void integers_between(Sink& builder, NodeId from, const NumberBounds& bounds, NodeId to) {
  const bool has_negative = !bounds.low || is_below_zero(*bounds.low);
  const bool has_positive = !bounds.high || !is_below_zero(*bounds.high);
  if (has_positive) {
    WholeRange range = {"0", std::nullopt};
    if (!has_negative) range.low = whole_inside(*bounds.low, true);
    if (bounds.high) range.high = whole_inside(*bounds.high, false);
    const bool is_none = range.high && range.high->starts_with('-');  // below 0, which is excluded
    if (!is_none) add_whole(builder, from, range, to);
  }
  if (!has_negative) return;
  WholeRange range = {"1", std::nullopt};
  if (!has_positive) range.low = whole_inside(magnitude_of(*bounds.high), true);
  if (bounds.low) range.high = whole_inside(magnitude_of(*bounds.low), false);
  const NodeId minus = builder.add_node();
  builder.add_byte(from, '-', minus);
  add_whole(builder, minus, range, to);
}

template <typename Sink>
void numbers_between(Sink& builder, NodeId from, const NumberBounds& bounds, NodeId to) {
  const bool has_negative = !bounds.low || is_below_zero(*bounds.low);
  const bool has_positive = !bounds.high || !is_below_zero(*bounds.high);
  const NumberBound zero;
  if (has_positive) {
    const NumberBound high = bounds.high.value_or(zero);
    add_magnitudes(builder, from, has_negative ? zero : *bounds.low, bounds.high ? &high : nullptr, to);
  }
  if (!has_negative) return;
  const NumberBound low = has_positive ? NumberBound{{}, true} : magnitude_of(*bounds.high);
  const NumberBound high = bounds.low ? magnitude_of(*bounds.low) : zero;
  const NodeId minus = builder.add_node();
  builder.add_byte(from, '-', minus);
  add_magnitudes(builder, minus, low, bounds.low ? &high : nullptr, to);
}

}  // namespace

std::optional<Decimal> decimal_of(const Value& value) {
  std::string text;
  if (const int64_t* integer = value.as_int()) text = fmt::format("{}", *integer);
  if (const double* number = value.as_double()) text = fmt::format("{}", *number);
  if (text.empty()) return std::nullopt;
  Decimal decimal;
  decimal.is_negative = text[0] == '-';
  if (decimal.is_negative) text.erase(0, 1);
  int64_t exponent = 0;
  if (const size_t at = text.find('e'); at != std::string::npos) {
    exponent = std::strtoll(text.c_str() + at + 1, nullptr, 10);
    text.resize(at);
  }
  const size_t point = std::min(text.find('.'), text.size());
  std::string digits = text.substr(0, point) + (point < text.size() ? text.substr(point + 1) : "");
  int64_t whole_digits = static_cast<int64_t>(point) + exponent;
  constexpr auto kMost = static_cast<int64_t>(kBoundDigitsMax);
  if (whole_digits > kMost || static_cast<int64_t>(digits.size()) - whole_digits > kMost + 1) return std::nullopt;
  if (whole_digits < 1) {
    digits.insert(0, static_cast<size_t>(1 - whole_digits), '0');
    whole_digits = 1;
  }
  if (static_cast<int64_t>(digits.size()) < whole_digits) digits.resize(static_cast<size_t>(whole_digits), '0');
  decimal.whole = digits.substr(0, static_cast<size_t>(whole_digits));
  decimal.fraction = digits.substr(static_cast<size_t>(whole_digits));
  decimal.whole.erase(0, std::min(decimal.whole.find_first_not_of('0'), decimal.whole.size() - 1));
  decimal.fraction.resize(decimal.fraction.find_last_not_of('0') + 1);
  return decimal;
}

int compare(const Decimal& a, const Decimal& b) {
  const bool a_below = a.is_negative && !a.is_zero(), b_below = b.is_negative && !b.is_zero();
  if (a_below != b_below) return a_below ? -1 : 1;
  int order = compare_whole(a.whole, b.whole);
  if (order == 0) order = a.fraction < b.fraction ? -1 : a.fraction > b.fraction ? 1 : 0;
  return a_below ? -order : order;
}

void add_integers_between(GrammarBuilder& builder, NodeId from, const NumberBounds& bounds, NodeId to) {
  integers_between(builder, from, bounds, to);
}

void add_numbers_between(GrammarBuilder& builder, NodeId from, const NumberBounds& bounds, NodeId to) {
  numbers_between(builder, from, bounds, to);
}

Result<RegexAutomaton> multiples_between(GrammarBuilder& builder, const NumberBounds& bounds, bool are_integers) {
  RegexAutomaton between;
  if (bounds.low || bounds.high) {
    AutomatonSink sink(between);
    const NodeId from = sink.add_node(), to = sink.add_node();
    are_integers ? integers_between(sink, from, bounds, to) : numbers_between(sink, from, bounds, to);
    between.states[to].is_final = true;
  } else {
    NARU_ASSIGN(between, parse_regex(any_number(are_integers), RegexMatch::kWhole, &builder));
  }
  return intersection(between, multiples_of(*bounds.multiple, builder), builder);
}

}  // namespace naru::text
