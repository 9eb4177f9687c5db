// Grammar: what an answer may be, as rules over symbols. A rule is a graph of nodes: edges take a symbol, jumps take
// none, calls go through another rule and come back (a recursive transition network: Woods, 1970). Symbols are bytes,
// and the tokens that are signs by themselves whatever their bytes are.
//
// A grammar is made by a GrammarBuilder and never changed again. Every node of it says how much depth it takes to come
// to an end from there, so that nothing it accepts is a trap: what can be begun can be ended.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/result.h"

namespace naru::text {

using FormSymbol = uint16_t;
inline constexpr FormSymbol kOtherToken = 256;  // a control token that is none of these
inline constexpr FormSymbol kReasoningOpen = 257, kReasoningClose = 258;
inline constexpr FormSymbol kFirstCallMarker = 259;  // + index in tool_call_markers()
inline constexpr size_t kFormSymbols = 267;

using NodeId = uint32_t;
using RuleId = uint32_t;

inline constexpr size_t kFormNodesMax = 1 << 16;  // of one form: with its edges 4 MB, some 15 MB while it is built
inline constexpr size_t kFormEdgesMax = 1 << 18;
inline constexpr size_t kFormRulesMax = 1 << 13;
// Elementary steps of compiling one form, all of its schemas together: keywords read, values compared, states and ways
// of regular expressions and of the form. It bounds the time whatever the form is, and is the same everywhere.
inline constexpr uint64_t kFormWorkMax = 1 << 21;
inline constexpr uint16_t kFormDepthMax = 60;  // objects and arrays inside each other: a call's own make it 62 at most
inline constexpr uint16_t kNeverEnds = 0xFFFF;
inline constexpr RuleId kNoRule = ~RuleId{0};
inline constexpr uint8_t kPlainUnbounded = 255;

struct FormRange {
  FormSymbol low, high;
  NodeId target;
};
struct FormCall {
  RuleId rule;
  NodeId target;  // where it goes on behind the rule
};

struct FormRule {
  NodeId start = 0;
  bool is_container = false;  // counts as one of kFormDepthMax
  std::string place;          // of what it was made of, for messages: "#/properties/a"
};

class Grammar {
 public:
  struct Node {
    uint32_t ranges, calls, jumps;  // where they begin; they end where the next node's begin
    uint16_t need;                  // the least depth below this one to come to the rule's end; kNeverEnds
    bool is_final;                  // the rule may end here
    uint8_t plain_left;             // so many plain characters (token_trie.h) may come, and lead to such nodes again
    bool is_aside;                  // takes no plain character, or none but where one with a count does too
    NodeId twin;                    // goes on alike for as many bytes as the builder's window: itself, or one before it
  };

  std::span<const FormRange> ranges(NodeId node) const {
    return {ranges_.data() + nodes_[node].ranges, nodes_[node + 1].ranges - nodes_[node].ranges};
  }
  std::span<const FormCall> calls(NodeId node) const {
    return {calls_.data() + nodes_[node].calls, nodes_[node + 1].calls - nodes_[node].calls};
  }
  std::span<const NodeId> jumps(NodeId node) const {
    return {jumps_.data() + nodes_[node].jumps, nodes_[node + 1].jumps - nodes_[node].jumps};
  }
  const Node& node(NodeId id) const { return nodes_[id]; }
  const FormRule& rule(RuleId id) const { return rules_[id]; }
  size_t n_nodes() const { return nodes_.size() - 1; }
  size_t n_rules() const { return rules_.size(); }
  size_t bytes() const;  // that it takes

  // Symbols of one class are on the same edges everywhere.
  uint16_t class_of(FormSymbol symbol) const { return classes_[symbol]; }
  size_t n_classes() const { return n_classes_; }
  FormSymbol symbol_of(uint16_t symbol_class) const { return firsts_[symbol_class]; }

 private:
  friend class GrammarBuilder;
  std::vector<Node> nodes_;  // and one behind the last
  std::vector<FormRange> ranges_;
  std::vector<FormCall> calls_;
  std::vector<NodeId> jumps_;
  std::vector<FormRule> rules_;
  std::vector<uint16_t> classes_;
  std::vector<FormSymbol> firsts_;
  size_t n_classes_ = 0;
};

class GrammarBuilder {
 public:
  // `window`: the bytes of the longest token that will be tried.
  explicit GrammarBuilder(uint32_t window = 256) : window_(window) {}

  NodeId add_node();
  RuleId add_rule(std::string place);
  FormRule& rule(RuleId id) { return rules_[id]; }
  NodeId end_of(RuleId id) const { return ends_[id]; }

  void add_range(NodeId from, FormSymbol low, FormSymbol high, NodeId to);
  void add_byte(NodeId from, char byte, NodeId to) {
    const auto symbol = static_cast<unsigned char>(byte);
    add_range(from, symbol, symbol, to);
  }
  void add_text(NodeId from, std::string_view bytes, NodeId to);  // some bytes
  // Any of these texts, sorted, none twice and none empty; common beginnings share their nodes.
  void add_texts(NodeId from, std::span<const std::string> texts, NodeId to);
  void add_jump(NodeId from, NodeId to) {
    if (takes_edge()) nodes_[from].jumps.push_back(to);
  }
  void add_call(NodeId from, RuleId rule, NodeId to) {
    if (takes_edge()) nodes_[from].calls.push_back({rule, to});
  }
  void set_final(NodeId node) { nodes_[node].is_final = true; }
  void set_plain(NodeId node, uint64_t characters_left) {
    nodes_[node].plain_left = static_cast<uint8_t>(characters_left < 255 ? characters_left : 255);
  }
  void set_aside(NodeId node) { nodes_[node].is_aside = true; }
  void set_twin(NodeId node, NodeId twin) { nodes_[node].twin = twin; }
  // The one node that takes a symbol of the range to `to` and nothing else.
  NodeId shared_tail(FormSymbol low, FormSymbol high, NodeId to);
  NodeId shared_letter(char small, NodeId to);  // in either case

  uint32_t window() const { return window_; }
  // False where kFormWorkMax is used up: then it is full.
  bool spend(uint64_t steps) {
    work_left_ = steps < work_left_ ? work_left_ - steps : 0;
    is_full_ = is_full_ || work_left_ == 0;
    return work_left_ > 0;
  }
  bool is_spent() const { return work_left_ == 0; }
  bool is_full() const { return is_full_; }  // too many nodes or rules: what was added since is nothing

  // What being full means: "it is too large: ...".
  Error full_error() const;
  // kResourceExhausted: it is full. kInvalidArgument: a rule that calls itself before it has taken anything, or a rule
  // of `roots` that has no end. Messages are without their first part ("reading the schema: ").
  Result<std::shared_ptr<const Grammar>> finish(std::span<const RuleId> roots);

 private:
  struct Draft {
    std::vector<FormRange> ranges;
    std::vector<FormCall> calls;
    std::vector<NodeId> jumps;
    bool is_final = false;
    uint8_t plain_left = 0;
    bool is_aside = false;
    NodeId twin = 0;
  };
  bool takes_edge() {
    is_full_ = is_full_ || ++n_edges_ > kFormEdgesMax || !spend(1);
    return !is_full_;
  }
  void number_classes(Grammar& grammar) const;
  // By node: where it leads where nothing is taken there and there is one way on, else itself. Jumps are led there, and
  // those of no effect are taken out.
  std::vector<NodeId> shorten_jumps(const std::vector<uint16_t>& needs);
  // From each node to its rule's end by the least cost; kNeverEnds where no way leads there.
  struct Ways {
    struct Step {
      NodeId to;
      RuleId rule;  // of a call; kNoRule: an edge, a jump, or the end itself
    };
    std::vector<uint16_t> cost;
    std::vector<Step> first;  // of the way: to a node that was known before
  };
  // The cost of a call by that of its rule and that of where it goes on: no less than either.
  using CallCost = std::function<uint16_t(const FormRule& rule, uint16_t inside, uint16_t behind)>;
  Ways ways_from(const std::vector<uint16_t>& ends, const CallCost& of_call) const;
  std::vector<uint16_t> final_nodes() const;  // by node: 0, or kNeverEnds
  std::vector<uint16_t> needs() const;
  Status check_recursion() const;
  Status check_end(RuleId root, const std::vector<uint16_t>& needs) const;
  // Rules that would have no end though all that they call had one.
  std::vector<RuleId> contradictions() const;
  // The first contradiction on that way from the root to its end which meets the fewest of them, so that each one on it
  // stands in the way of every value. kNoRule: there is no end though all of them were met.
  RuleId to_blame(RuleId root, std::span<const RuleId> contradictions) const;

  uint32_t window_;
  std::vector<Draft> nodes_;
  std::vector<FormRule> rules_;
  std::vector<NodeId> ends_;
  std::map<std::tuple<FormSymbol, FormSymbol, NodeId>, NodeId> tails_;
  size_t n_edges_ = 0;
  uint64_t work_left_ = kFormWorkMax;
  bool is_full_ = false;
};

}  // namespace naru::text
