#include "text/forms/regex.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "text/utf8.h"

namespace naru::text {
namespace {

constexpr int kRegexDepthMax = 100;        // groups inside each other
constexpr size_t kRegexWorkMax = 1 << 19;  // parts and ranges, each as often as it is repeated
constexpr uint32_t kEndless = ~uint32_t{0};

struct RegexNode {
  enum class Kind : uint8_t { kSet, kSequence, kChoice, kRepeat, kBegin, kEnd };
  Kind kind = Kind::kSequence;
  std::vector<CharacterRange> set;
  std::vector<RegexNode> parts;
  uint32_t min = 0, max = 0;  // kEndless: any number
};
using RegexKind = RegexNode::Kind;

RegexNode set_node(std::vector<CharacterRange> ranges) {
  RegexNode node;
  node.kind = RegexKind::kSet;
  node.set = merged_ranges(std::move(ranges));
  return node;
}

const std::vector<CharacterRange> kDigitSet = {{'0', '9'}};
const std::vector<CharacterRange> kWordSet = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const std::vector<CharacterRange> kSpaceSet = {{9, 13},          {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                                               {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                                               {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const std::vector<CharacterRange> kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

class RegexParser {
 public:
  explicit RegexParser(std::string_view text) : text_(text), characters_(characters_of(text)) {}

  Result<RegexNode> parse() {
    RegexNode node = choice(0);
    if (!error_ && at_ < characters_.size()) fail("')' without its '('; write \\) for the character");
    if (error_) return *error_;
    return node;
  }

 private:
  bool more() const { return at_ < characters_.size() && !error_; }
  uint32_t peek() const { return at_ < characters_.size() ? characters_[at_] : 0; }
  bool take(char c) {
    if (!more() || peek() != static_cast<unsigned char>(c)) return false;
    ++at_;
    return true;
  }
  void fail(std::string_view what, Code code = Code::kInvalidArgument) {
    if (error_) return;
    size_t bytes = 0;
    for (size_t i = 0; i < std::min(at_, characters_.size()); ++i) bytes += code_point_at(text_.data() + bytes).bytes;
    error_ = Error{code, fmt::format("at byte {}: {}", bytes, what)};
  }
  void unsupported(std::string_view what) {
    fail(fmt::format("{} is not done; write the pattern without", what), Code::kUnsupported);
  }

  RegexNode choice(int depth) {
    RegexNode node;
    node.kind = RegexKind::kChoice;
    do {
      node.parts.push_back(sequence(depth));
    } while (take('|'));
    if (node.parts.size() == 1) return std::move(node.parts.front());
    return node;
  }

  RegexNode sequence(int depth) {
    RegexNode node;
    while (more() && peek() != '|' && peek() != ')') {
      RegexNode atom = this->atom(depth);
      if (more()) atom = repeated(std::move(atom));
      node.parts.push_back(std::move(atom));
    }
    return node;
  }

  RegexNode atom(int depth) {
    const uint32_t c = peek();
    ++at_;
    switch (c) {
      case '(': return group(depth);
      case '[': return bracket();
      case '.': return set_node(other_characters(kLineEnds));
      case '^':
      case '$': {
        RegexNode node;
        node.kind = c == '^' ? RegexKind::kBegin : RegexKind::kEnd;
        return node;
      }
      case '\\': return set_node(escape(false));
      case '*':
      case '+':
      case '?': --at_, fail("nothing is before it to be repeated; write a '\\' before the character"); return {};
      case '{':
      case '}':
      case ']': --at_, fail("a '\\' is wanted before this character"); return {};
      default: return set_node({{c, c}});
    }
  }

  RegexNode group(int depth) {
    if (depth >= kRegexDepthMax) fail(fmt::format("groups more than {} deep; write it flatter", kRegexDepthMax));
    if (take('?')) {
      if (take('<')) {
        if (peek() == '=' || peek() == '!') unsupported("a look behind");
        while (more() && peek() != '>') ++at_;
        if (!take('>')) fail("the name of a group has no end; write (?<name>...)");
      } else if (!take(':')) {
        unsupported(peek() == '=' || peek() == '!' ? "a look ahead" : "this kind of group");
      }
    }
    if (error_) return {};
    RegexNode node = choice(depth + 1);
    if (!take(')')) fail("a group has no ')'; close it, or write \\( for the character");
    return node;
  }

  RegexNode repeated(RegexNode atom) {
    uint32_t min = 0, max = kEndless;
    if (take('+')) {
      min = 1;
    } else if (take('?')) {
      max = 1;
    } else if (take('{')) {
      const auto low = number();
      if (!low) return fail("a number is wanted behind '{'; write \\{ for the character"), RegexNode();
      min = max = *low;
      if (take(',')) max = number().value_or(kEndless);
      if (!take('}')) fail("a '}' is wanted here");
      if (min > max) fail("the greater number is first; turn them around");
      if (min > kRegexRepeatMax || (max != kEndless && max > kRegexRepeatMax)) {
        fail(fmt::format("more than {} times; take fewer", kRegexRepeatMax), Code::kResourceExhausted);
      }
    } else if (!take('*')) {
      return atom;
    }
    take('?');
    if (atom.kind == RegexKind::kBegin || atom.kind == RegexKind::kEnd) fail("a repeated ^ or $; take one");
    if (more() && (peek() == '*' || peek() == '+' || peek() == '?')) fail("repeated twice; put the first in a group");
    RegexNode node;
    node.kind = RegexKind::kRepeat;
    node.min = min;
    node.max = max;
    node.parts.push_back(std::move(atom));
    return node;
  }

  std::optional<uint32_t> number() {
    std::optional<uint32_t> value;
    while (more() && peek() >= '0' && peek() <= '9') {
      value = std::min(value.value_or(0) * 10 + (peek() - '0'), uint32_t{1000000});
      ++at_;
    }
    return value;
  }

  std::optional<uint32_t> hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const uint32_t c = peek(), letter = c | 0x20;
      const bool is_digit = c >= '0' && c <= '9';
      if (!more() || (!is_digit && !(letter >= 'a' && letter <= 'f'))) return std::nullopt;
      value = value << 4 | (is_digit ? c - '0' : letter - 'a' + 10);
      ++at_;
    }
    return value;
  }

  uint32_t hex_escape(uint32_t kind) {
    std::optional<uint32_t> value;
    if (kind == 'u' && take('{')) {
      uint32_t code = 0;
      while (more() && peek() != '}' && code <= kLastCharacter) {
        const auto digit = hex(1);
        if (!digit) break;
        code = code << 4 | *digit;
        value = code;
      }
      if (!take('}')) value.reset();
    } else {
      value = hex(kind == 'x' ? 2 : 4);
      if (value && *value >= 0xD800 && *value < 0xDC00 && take('\\') && take('u')) {
        const auto low = hex(4);
        value = low && *low >= 0xDC00 && *low < 0xE000
                    ? std::optional(0x10000 + ((*value - 0xD800) << 10) + (*low - 0xDC00))
                    : std::nullopt;
      }
    }
    if (!value || *value > kLastCharacter || (*value >= 0xD800 && *value < 0xE000)) {
      fail("an escape of no character; write \\xHH, \\uHHHH or \\u{H...}");
    }
    return value.value_or(0);
  }

  // Behind a backslash.
  std::vector<CharacterRange> escape(bool is_in_class) {
    if (!more()) return fail("a '\\' at the end; write \\\\ for the character"), std::vector<CharacterRange>();
    const uint32_t c = peek();
    ++at_;
    const auto one = [](uint32_t character) { return std::vector<CharacterRange>{{character, character}}; };
    switch (c) {
      case 'd': return kDigitSet;
      case 'D': return other_characters(kDigitSet);
      case 'w': return kWordSet;
      case 'W': return other_characters(kWordSet);
      case 's': return kSpaceSet;
      case 'S': return other_characters(kSpaceSet);
      case 'n': return one('\n');
      case 'r': return one('\r');
      case 't': return one('\t');
      case 'f': return one('\f');
      case 'v': return one('\v');
      case 'x':
      case 'u': return one(hex_escape(c));
      case 'b':
        if (is_in_class) return one('\b');
        break;
      case '0':
        if (!(peek() >= '0' && peek() <= '9')) return one(0);
        break;
      default: break;
    }
    const bool is_word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_word) {
      at_ -= 2;
      unsupported(fmt::format("\\{}", static_cast<char>(c)));
    }
    return one(c);
  }

  RegexNode bracket() {
    const bool is_negated = take('^');
    std::vector<CharacterRange> ranges;
    while (more() && peek() != ']') {
      std::vector<CharacterRange> low = class_atom();
      if (peek() == '-' && at_ + 1 < characters_.size() && characters_[at_ + 1] != ']') {
        ++at_;
        const std::vector<CharacterRange> high = class_atom();
        const bool are_single =
            low.size() == 1 && high.size() == 1 && low[0].low == low[0].high && high[0].low == high[0].high;
        if (!are_single || low[0].low > high[0].low) {
          fail("a range whose ends are no characters in order; write the lesser first, or \\- for the character");
          break;
        }
        low[0].high = high[0].low;
      }
      ranges.insert(ranges.end(), low.begin(), low.end());
    }
    if (!take(']')) fail("a class has no ']'; close it, or write \\[ for the character");
    RegexNode node = set_node(std::move(ranges));
    if (is_negated) node.set = other_characters(node.set);
    return node;
  }

  std::vector<CharacterRange> class_atom() {
    const uint32_t c = peek();
    ++at_;
    if (c == '\\') return escape(true);
    return {{c, c}};
  }

  std::string_view text_;
  std::vector<uint32_t> characters_;
  size_t at_ = 0;
  std::optional<Error> error_;
};

class AutomatonMaker {
 public:
  explicit AutomatonMaker(GrammarBuilder* builder) : builder_(builder) { add(); }

  Result<RegexAutomaton> make(const RegexNode& root, RegexMatch match) {
    const uint32_t end = add();
    automaton_.states[end].is_final = true;
    alternatives(root, match == RegexMatch::kAnywhere, end);
    if (is_misplaced_) {
      return Error{Code::kUnsupported,
                   "^ and $ are read at the ends of the pattern or of one of its alternatives only; move them there"};
    }
    if (builder_ != nullptr && builder_->is_spent()) return builder_->full_error();
    if (is_full_) {
      return Error{Code::kResourceExhausted,
                   fmt::format("it comes to more than {} states; take smaller counts", kRegexStatesMax)};
    }
    return std::move(automaton_);
  }

 private:
  uint32_t add() {
    if (automaton_.states.size() >= kRegexStatesMax) {
      is_full_ = true;
      return 0;
    }
    automaton_.states.emplace_back();
    return static_cast<uint32_t>(automaton_.states.size() - 1);
  }
  void jump(uint32_t from, uint32_t to) { automaton_.states[from].jumps.push_back(to); }

  // Each with its own anchors.
  void alternatives(const RegexNode& node, bool searches, uint32_t end) {
    if (node.kind == RegexKind::kChoice) {
      for (const RegexNode& part : node.parts) alternatives(part, searches, end);
      return;
    }
    if (node.kind == RegexKind::kSequence && node.parts.size() == 1 &&
        (node.parts[0].kind == RegexKind::kChoice || node.parts[0].kind == RegexKind::kSequence)) {
      return alternatives(node.parts[0], searches, end);
    }
    std::vector<const RegexNode*> parts;
    if (node.kind == RegexKind::kSequence) {
      for (const RegexNode& part : node.parts) parts.push_back(&part);
    } else {
      parts.push_back(&node);
    }
    bool begins = !searches, ends = !searches;
    if (!parts.empty() && parts.front()->kind == RegexKind::kBegin) begins = true, parts.erase(parts.begin());
    if (!parts.empty() && parts.back()->kind == RegexKind::kEnd) ends = true, parts.pop_back();
    uint32_t from = add();
    jump(0, from);
    if (!begins) automaton_.states[from].edges.push_back({{0, kLastCharacter}, from});
    for (const RegexNode* part : parts) from = put(*part, from);
    if (!ends) {
      const uint32_t rest = add();
      jump(from, rest);
      automaton_.states[rest].edges.push_back({{0, kLastCharacter}, rest});
      from = rest;
    }
    jump(from, end);
  }

  // Adds the node's language behind `from`, and says where it ends.
  uint32_t put(const RegexNode& node, uint32_t from) {
    work_ += 1 + node.set.size();
    is_full_ = is_full_ || work_ > kRegexWorkMax || (builder_ != nullptr && !builder_->spend(1 + node.set.size()));
    if (is_full_) return from;
    switch (node.kind) {
      case RegexKind::kBegin:
      case RegexKind::kEnd: is_misplaced_ = true; return from;
      case RegexKind::kSet: {
        const uint32_t to = add();
        for (const CharacterRange& range : node.set) automaton_.states[from].edges.push_back({range, to});
        return to;
      }
      case RegexKind::kSequence:
        for (const RegexNode& part : node.parts) from = put(part, from);
        return from;
      case RegexKind::kChoice: {
        const uint32_t to = add();
        for (const RegexNode& part : node.parts) {
          const uint32_t begin = add();
          jump(from, begin);
          jump(put(part, begin), to);
        }
        return to;
      }
      case RegexKind::kRepeat: break;
    }
    for (uint32_t i = 0; i < node.min && !is_full_; ++i) from = put(node.parts[0], from);
    if (node.max == kEndless) {
      const uint32_t loop = add();
      jump(from, loop);
      jump(put(node.parts[0], loop), loop);
      const uint32_t to = add();
      jump(loop, to);
      return to;
    }
    const uint32_t to = add();
    for (uint32_t i = node.min; i < node.max && !is_full_; ++i) {
      jump(from, to);
      from = put(node.parts[0], from);
    }
    jump(from, to);
    return to;
  }

  GrammarBuilder* builder_;
  RegexAutomaton automaton_;
  size_t work_ = 0;
  bool is_full_ = false, is_misplaced_ = false;
};

}  // namespace

Result<RegexAutomaton> parse_regex(std::string_view regex, RegexMatch match, GrammarBuilder* builder) {
  if (regex.size() > kRegexBytesMax) {
    return Error{Code::kResourceExhausted,
                 fmt::format("it has {} bytes, at most {} are read; shorten it", regex.size(), kRegexBytesMax)};
  }
  if (!is_valid_utf8(regex)) return Error{Code::kInvalidArgument, "it is no valid UTF-8; correct its bytes"};
  NARU_ASSIGN(const RegexNode root, RegexParser(regex).parse());
  return AutomatonMaker(builder).make(root, match);
}

Result<RegexAutomaton> intersection(const RegexAutomaton& a, const RegexAutomaton& b, GrammarBuilder& builder) {
  RegexAutomaton both;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> states;
  std::vector<std::pair<uint32_t, uint32_t>> open;
  const auto state_of = [&](uint32_t x, uint32_t y) {
    const auto [at, is_new] = states.try_emplace({x, y}, static_cast<uint32_t>(both.states.size()));
    if (is_new) {
      both.states.emplace_back();
      open.emplace_back(x, y);
    }
    return at->second;
  };
  state_of(0, 0);
  size_t work = 0;
  while (!open.empty()) {
    const auto [x, y] = open.back();
    open.pop_back();
    const RegexAutomaton::State &from_a = a.states[x], &from_b = b.states[y];
    RegexAutomaton::State state;
    state.is_final = from_a.is_final && from_b.is_final;
    for (const uint32_t target : from_a.jumps) state.jumps.push_back(state_of(target, y));
    for (const uint32_t target : from_b.jumps) state.jumps.push_back(state_of(x, target));
    for (const auto& [range_a, target_a] : from_a.edges) {
      for (const auto& [range_b, target_b] : from_b.edges) {
        const CharacterRange range = {std::max(range_a.low, range_b.low), std::min(range_a.high, range_b.high)};
        if (range.low <= range.high) state.edges.emplace_back(range, state_of(target_a, target_b));
      }
    }
    const size_t steps = 4 + from_a.jumps.size() + from_b.jumps.size() + from_a.edges.size() * from_b.edges.size();
    work += steps;
    if (!builder.spend(2 * steps)) return builder.full_error();
    both.states[states[{x, y}]] = std::move(state);
    if (both.states.size() > kRegexStatesMax || work > kRegexWorkMax) {
      return Error{Code::kResourceExhausted,
                   fmt::format("two patterns at once come to more than {} states; take one", kRegexStatesMax)};
    }
  }
  return both;
}

void add_regex(GrammarBuilder& builder, NodeId from, const RegexAutomaton& automaton, const LengthBounds& bounds,
               Spelling spelling, NodeId to) {
  // A state and how many characters it took, no further than is counted.
  const uint64_t counted = bounds.max ? *bounds.max : bounds.min;
  std::map<std::pair<uint32_t, uint64_t>, NodeId> nodes;
  std::vector<std::pair<uint32_t, uint64_t>> open;
  const auto node_of = [&](uint32_t state, uint64_t n) {
    const auto [at, is_new] = nodes.try_emplace({state, n}, NodeId{0});
    if (is_new) {
      at->second = builder.add_node();
      open.emplace_back(state, n);
    }
    return at->second;
  };
  builder.add_jump(from, node_of(0, 0));
  while (!open.empty() && !builder.is_full()) {
    const auto [state, n] = open.back();
    open.pop_back();
    const NodeId node = nodes[{state, n}];
    if (automaton.states[state].is_final && n >= bounds.min) builder.add_jump(node, to);
    for (const uint32_t target : automaton.states[state].jumps) builder.add_jump(node, node_of(target, n));
    if (bounds.max && n == *bounds.max) continue;
    for (const auto& [range, target] : automaton.states[state].edges) {
      add_characters(builder, node, range, spelling, node_of(target, std::min(n + 1, counted)));
    }
  }
}

}  // namespace naru::text
