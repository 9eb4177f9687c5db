#include "text/forms/json_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace naru::text {
namespace {

constexpr int kIndentMax = 64;
constexpr std::string_view kIntegerRegex = "-?(?:0|[1-9][0-9]{0,39})";
constexpr std::string_view kNumberRegex =
    "-?(?:(?:0|[1-9][0-9]{0,39})(?:\\.[0-9]{1,40})?"
    "|[0-9](?:\\.[0-9]{1,40})?[eE](?:\\+?(?:[0-9]{1,2}|[012][0-9]{2}|30[0-7])|-[0-9]{1,3}))";

// A tree of names by their characters.
struct NameTree {
  struct Node {
    std::map<uint32_t, size_t> next;
    bool is_name = false;
  };
  std::vector<Node> nodes{1};
  void add(std::string_view name) {
    size_t at = 0;
    for (const uint32_t character : characters_of(name)) {
      const auto [next, is_new] = nodes[at].next.try_emplace(character, nodes.size());
      at = next->second;
      if (is_new) nodes.emplace_back();
    }
    nodes[at].is_name = true;
  }
};

}  // namespace

std::string scalar_text(const Value& value) {
  if (const std::string* text = value.as_string()) return '"' + spelt(*text, Spelling::kJson) + '"';
  if (const bool* is_true = value.as_bool()) return *is_true ? "true" : "false";
  if (const int64_t* integer = value.as_int()) return fmt::format("{}", *integer);
  if (const double* number = value.as_double()) return fmt::format("{}", *number);
  if (const WideNumber* wide = value.as_wide()) return wide->text;
  return "null";
}

RegexAutomaton other_texts(std::span<const std::string> names) {
  NameTree tree;
  for (const std::string& name : names) tree.add(name);
  RegexAutomaton automaton;
  automaton.states.resize(tree.nodes.size() + 1);
  const auto other = static_cast<uint32_t>(tree.nodes.size());
  automaton.states[other].is_final = true;
  automaton.states[other].edges.emplace_back(CharacterRange{0, kLastCharacter}, other);
  for (size_t i = 0; i < tree.nodes.size(); ++i) {
    RegexAutomaton::State& state = automaton.states[i];
    state.is_final = !tree.nodes[i].is_name;
    std::vector<CharacterRange> taken;
    for (const auto& [character, next] : tree.nodes[i].next) {
      taken.push_back({character, character});
      state.edges.emplace_back(taken.back(), static_cast<uint32_t>(next));
    }
    for (const CharacterRange& range : other_characters(merged_ranges(taken))) state.edges.emplace_back(range, other);
  }
  return automaton;
}

RuleId JsonRules::blanks() {
  if (blanks_) return *blanks_;
  blanks_ = builder_.add_rule("white space");
  const NodeId start = builder_.rule(*blanks_).start, end = builder_.end_of(*blanks_);
  builder_.add_jump(start, end);
  builder_.add_byte(start, ' ', end);
  NodeId line = builder_.add_node();
  builder_.add_byte(start, '\n', line);
  for (int i = 0; i < kIndentMax; ++i) {
    builder_.add_jump(line, end);
    const NodeId next = builder_.add_node();
    builder_.add_byte(line, ' ', next);
    builder_.add_byte(line, '\t', next);
    line = next;
  }
  builder_.add_jump(line, end);
  return *blanks_;
}

void JsonRules::add_plain_ascii(NodeId from, NodeId to) {
  builder_.add_range(from, 0x20, 0x21, to);
  builder_.add_range(from, 0x23, 0x5B, to);
  builder_.add_range(from, 0x5D, 0x7F, to);
}

// All characters that are not ASCII, and all escapes; a pair of \u escapes is one.
void JsonRules::add_long_characters(NodeId from, NodeId to) {
  add_characters(builder_, from, {0x80, kLastCharacter}, Spelling::kText, to);
  const NodeId escape = builder_.add_node();
  builder_.add_byte(from, '\\', escape);
  for (const char c : std::string_view("\"\\/bfnrt")) builder_.add_byte(escape, c, to);
  const auto any_hex = [&](NodeId node, NodeId next) {
    builder_.add_range(node, '0', '9', next);
    builder_.add_range(node, 'a', 'f', next);
    builder_.add_range(node, 'A', 'F', next);
  };
  const auto two_hex = [&](NodeId next) {
    const NodeId second = builder_.add_node(), first = builder_.add_node();
    any_hex(second, next);
    any_hex(first, second);
    return first;
  };
  const NodeId last_two = two_hex(to);
  const NodeId digits = builder_.add_node(), last_three = builder_.add_node(), behind_d = builder_.add_node();
  builder_.add_byte(escape, 'u', digits);
  builder_.add_range(digits, '0', '9', last_three);
  for (const char base : {'a', 'A'}) {
    builder_.add_range(digits, static_cast<FormSymbol>(base), static_cast<FormSymbol>(base + 2), last_three);
    builder_.add_byte(digits, static_cast<char>(base + 3), behind_d);
    builder_.add_range(digits, static_cast<FormSymbol>(base + 4), static_cast<FormSymbol>(base + 5), last_three);
  }
  any_hex(last_three, last_two);
  builder_.add_range(behind_d, '0', '7', last_two);
  // D800 to DBFF, and then DC00 to DFFF.
  const NodeId second_digits = builder_.add_node(), second_d = builder_.add_node();
  for (const char base : {'a', 'A'}) {
    builder_.add_byte(second_digits, static_cast<char>(base + 3), second_d);
    builder_.add_range(second_d, static_cast<FormSymbol>(base + 2), static_cast<FormSymbol>(base + 5), last_two);
  }
  const NodeId pair = builder_.shared_tail('\\', '\\', builder_.shared_tail('u', 'u', second_digits));
  const NodeId first_two = two_hex(pair);
  builder_.add_range(behind_d, '8', '9', first_two);
  for (const char base : {'a', 'A'}) {
    builder_.add_range(behind_d, static_cast<FormSymbol>(base), static_cast<FormSymbol>(base + 1), first_two);
  }
}

RuleId JsonRules::string_rest() {
  if (string_rest_) return *string_rest_;
  string_rest_ = builder_.add_rule("a string");
  const NodeId start = builder_.rule(*string_rest_).start;
  add_plain_ascii(start, start);
  add_long_characters(start, start);
  builder_.set_plain(start, kPlainUnbounded);
  builder_.add_byte(start, '"', builder_.end_of(*string_rest_));
  return *string_rest_;
}

RuleId JsonRules::long_character() {
  if (long_character_) return *long_character_;
  long_character_ = builder_.add_rule("a character");
  add_long_characters(builder_.rule(*long_character_).start, builder_.end_of(*long_character_));
  builder_.set_aside(builder_.rule(*long_character_).start);
  return *long_character_;
}

void JsonRules::add_string(NodeId from, NodeId to) {
  const NodeId quote = builder_.add_node();
  builder_.add_byte(from, '"', quote);
  builder_.add_call(quote, string_rest(), to);
}

void JsonRules::add_counted_string(NodeId from, const LengthBounds& bounds, NodeId to) {
  const uint64_t last = bounds.max.value_or(bounds.min), window = builder_.window();
  if (!bounds.max && bounds.min == 0) return add_string(from, to);
  const NodeId first = builder_.add_node();
  builder_.add_byte(from, '"', first);
  NodeId node = first, first_whole = first;
  for (uint64_t n = 0; !builder_.is_full(); ++n) {
    const bool is_last = n == last;
    if (n == bounds.min) first_whole = node;
    if (n >= bounds.min) builder_.add_byte(node, '"', to);
    builder_.set_plain(node, bounds.max ? *bounds.max - n : uint64_t{kPlainUnbounded});
    if (n > bounds.min && *bounds.max - n >= window) builder_.set_twin(node, first_whole);
    if (n < bounds.min && bounds.min - n >= window) builder_.set_twin(node, first);
    if (is_last && bounds.max) return;
    const NodeId next = is_last ? node : builder_.add_node();
    add_plain_ascii(node, next);
    builder_.add_call(node, long_character(), next);
    if (is_last) return;
    node = next;
  }
}

void JsonRules::add_regex_string(NodeId from, const RegexAutomaton& automaton, const LengthBounds& bounds, NodeId to) {
  const NodeId begin = builder_.add_node(), end = builder_.add_node();
  builder_.add_byte(from, '"', begin);
  add_regex(builder_, begin, automaton, bounds, Spelling::kJson, end);
  builder_.add_byte(end, '"', to);
}

void JsonRules::add_other_key(NodeId from, std::span<const std::string> names, NodeId to) {
  NameTree tree;
  for (const std::string& name : names) tree.add(name);
  const NodeId other = builder_.add_node();
  add_characters(builder_, other, {0, kLastCharacter}, Spelling::kJson, other);
  builder_.set_plain(other, kPlainUnbounded);
  builder_.add_byte(other, '"', to);
  std::vector<NodeId> nodes;
  for (size_t i = 0; i < tree.nodes.size(); ++i) nodes.push_back(builder_.add_node());
  builder_.add_byte(from, '"', nodes[0]);
  for (size_t i = 0; i < tree.nodes.size() && !builder_.is_full(); ++i) {
    std::vector<CharacterRange> taken;
    for (const auto& [character, next] : tree.nodes[i].next) {
      taken.push_back({character, character});
      add_characters(builder_, nodes[i], taken.back(), Spelling::kJson, nodes[next]);
    }
    for (const CharacterRange& range : other_characters(merged_ranges(taken))) {
      add_characters(builder_, nodes[i], range, Spelling::kJson, other);
    }
    if (!tree.nodes[i].is_name) builder_.add_byte(nodes[i], '"', to);
  }
}

void JsonRules::add_text_regex(NodeId from, std::string_view regex, NodeId to) {
  const auto automaton = parse_regex(regex, RegexMatch::kWhole);
  NARU_CHECK(automaton.ok(), "a regular expression of our own");
  add_regex(builder_, from, *automaton, {}, Spelling::kText, to);
}

RuleId JsonRules::number() {
  if (number_) return *number_;
  number_ = builder_.add_rule("a number");
  add_text_regex(builder_.rule(*number_).start, kNumberRegex, builder_.end_of(*number_));
  return *number_;
}

void JsonRules::add_number(NodeId from, NodeId to) {
  builder_.add_call(from, number(), to);
}

void JsonRules::add_integer(NodeId from, NodeId to) {
  if (!integer_) {
    integer_ = builder_.add_rule("an integer");
    add_text_regex(builder_.rule(*integer_).start, kIntegerRegex, builder_.end_of(*integer_));
  }
  builder_.add_call(from, *integer_, to);
}

void JsonRules::add_literal(NodeId from, const Value& value, NodeId to) {
  const Value::List* list = value.as_list();
  const Value::Object* object = value.as_object();
  if (list == nullptr && object == nullptr) return builder_.add_text(from, scalar_text(value), to);
  const size_t n = list != nullptr ? list->size() : object->size();
  NodeId node = builder_.add_node();
  builder_.add_byte(from, list != nullptr ? '[' : '{', node);
  for (size_t i = 0; i < n && !builder_.is_full(); ++i) {
    const NodeId item = builder_.add_node(), behind = builder_.add_node();
    add_blanks(node, item);
    if (list != nullptr) {
      add_literal(item, (*list)[i], behind);
    } else {
      const NodeId colon = builder_.add_node(), inner = builder_.add_node();
      builder_.add_text(item, scalar_text(Value((*object)[i].first)) + ":", colon);
      add_blanks(colon, inner);
      add_literal(inner, (*object)[i].second, behind);
    }
    node = behind;
    if (i + 1 < n) builder_.add_byte(behind, ',', node = builder_.add_node());
  }
  const NodeId close = builder_.add_node();
  add_blanks(node, close);
  builder_.add_byte(close, list != nullptr ? ']' : '}', to);
}

RuleId JsonRules::value() {
  if (value_) return *value_;
  value_ = builder_.add_rule("any value");
  const NodeId start = builder_.rule(*value_).start, end = builder_.end_of(*value_);
  add_string(start, end);
  add_number(start, end);
  for (const char* word : {"true", "false", "null"}) builder_.add_text(start, word, end);
  builder_.add_call(start, object(), end);
  builder_.add_call(start, array(), end);
  return *value_;
}

RuleId JsonRules::array() {
  if (array_) return *array_;
  array_ = builder_.add_rule("any array");
  builder_.rule(*array_).is_container = true;
  const NodeId open = builder_.add_node(), item = builder_.add_node(), behind = builder_.add_node();
  const NodeId comma = builder_.add_node(), close = builder_.add_node();
  builder_.add_byte(builder_.rule(*array_).start, '[', open);
  add_blanks(open, item);
  builder_.add_byte(item, ']', builder_.end_of(*array_));
  // An item behind a comma is wanted: the end of the array is only before the first.
  const NodeId next = builder_.add_node();
  builder_.add_jump(item, next);
  add_value(next, behind);
  builder_.add_byte(behind, ',', comma);
  add_blanks(comma, next);
  add_blanks(behind, close);
  builder_.add_byte(close, ']', builder_.end_of(*array_));
  return *array_;
}

RuleId JsonRules::object() {
  if (object_) return *object_;
  object_ = builder_.add_rule("any object");
  builder_.rule(*object_).is_container = true;
  const NodeId open = builder_.add_node(), first = builder_.add_node(), key = builder_.add_node();
  const NodeId colon = builder_.add_node(), before = builder_.add_node(), behind = builder_.add_node();
  const NodeId comma = builder_.add_node(), close = builder_.add_node(), inner = builder_.add_node();
  builder_.add_byte(builder_.rule(*object_).start, '{', open);
  add_blanks(open, first);
  builder_.add_byte(first, '}', builder_.end_of(*object_));
  builder_.add_jump(first, key);
  add_string(key, colon);
  builder_.add_byte(colon, ':', before);
  add_blanks(before, inner);
  add_value(inner, behind);
  builder_.add_byte(behind, ',', comma);
  add_blanks(comma, key);
  add_blanks(behind, close);
  builder_.add_byte(close, '}', builder_.end_of(*object_));
  return *object_;
}

}  // namespace naru::text
