#include "text/forms/grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

namespace naru::text {
namespace {

// A node before its end is known, in the order in which they become known (Knuth's generalisation of Dijkstra's
// algorithm, 1977).
using KnownNeed = std::pair<uint16_t, NodeId>;
using NeedQueue = std::priority_queue<KnownNeed, std::vector<KnownNeed>, std::greater<>>;

// Who leads to a node, and by what.
struct BackEdge {
  NodeId from;
  RuleId rule;  // of a call; kNoRule: an edge or a jump
};
constexpr RuleId kNoRule = ~RuleId{0};

}  // namespace

NodeId GrammarBuilder::add_node() {
  if (nodes_.size() >= kFormNodesMax) {
    is_full_ = true;
    return static_cast<NodeId>(nodes_.size() - 1);
  }
  nodes_.emplace_back();
  const auto id = static_cast<NodeId>(nodes_.size() - 1);
  nodes_.back().twin = id;
  return id;
}

RuleId GrammarBuilder::add_rule(std::string place) {
  if (rules_.size() >= kFormRulesMax) {
    is_full_ = true;
    return static_cast<RuleId>(rules_.size() - 1);
  }
  const NodeId start = add_node();
  const NodeId end = add_node();
  set_final(end);
  rules_.push_back({start, false, std::move(place)});
  ends_.push_back(end);
  return static_cast<RuleId>(rules_.size() - 1);
}

void GrammarBuilder::add_range(NodeId from, FormSymbol low, FormSymbol high, NodeId to) {
  if (takes_edge()) nodes_[from].ranges.push_back({low, high, to});
}

void GrammarBuilder::add_text(NodeId from, std::string_view bytes, NodeId to) {
  for (size_t i = 0; i < bytes.size() && !is_full_; ++i) {
    const NodeId next = i + 1 < bytes.size() ? add_node() : to;
    add_byte(from, bytes[i], next);
    from = next;
  }
}

void GrammarBuilder::add_texts(NodeId from, std::span<const std::string> texts, NodeId to) {
  std::vector<NodeId> path = {from};  // path[n]: behind the first n bytes of the text at hand
  std::string_view before;
  for (const std::string& text : texts) {
    const auto differ = std::mismatch(before.begin(), before.end(), text.begin(), text.end());
    path.resize(static_cast<size_t>(differ.first - before.begin()) + 1);
    for (size_t i = path.size() - 1; i < text.size() && !is_full_; ++i) {
      path.push_back(add_node());
      add_byte(path[i], text[i], path.back());
    }
    if (is_full_) return;
    add_jump(path.back(), to);
    before = text;
  }
}

NodeId GrammarBuilder::shared_tail(FormSymbol low, FormSymbol high, NodeId to) {
  const auto [at, is_new] = tails_.try_emplace({low, high, to}, NodeId{0});
  if (is_new) {
    at->second = add_node();
    add_range(at->second, low, high, to);
  }
  return at->second;
}

std::vector<uint16_t> GrammarBuilder::needs() const {
  std::vector<uint16_t> need(nodes_.size(), kNeverEnds);
  std::vector<std::vector<BackEdge>> back(nodes_.size());
  std::vector<std::vector<std::pair<NodeId, NodeId>>> callers(rules_.size());  // node and where it goes on
  std::vector<std::vector<RuleId>> starts(nodes_.size());
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    for (const FormRange& range : nodes_[id].ranges) back[range.target].push_back({id, kNoRule});
    for (const NodeId target : nodes_[id].jumps) back[target].push_back({id, kNoRule});
    for (const FormCall& call : nodes_[id].calls) {
      back[call.target].push_back({id, call.rule});
      callers[call.rule].emplace_back(id, call.target);
    }
  }
  for (RuleId id = 0; id < rules_.size(); ++id) starts[rules_[id].start].push_back(id);
  NeedQueue queue;
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    if (nodes_[id].is_final) queue.emplace(uint16_t{0}, id);
  }
  const auto need_of_rule = [&](RuleId rule) {
    const uint16_t inside = need[rules_[rule].start];
    return inside == kNeverEnds ? kNeverEnds : static_cast<uint16_t>(inside + (rules_[rule].is_container ? 1 : 0));
  };
  while (!queue.empty()) {
    const auto [value, id] = queue.top();
    queue.pop();
    if (need[id] != kNeverEnds) continue;
    need[id] = value;
    for (const BackEdge& edge : back[id]) {
      const uint16_t inside = edge.rule == kNoRule ? value : need_of_rule(edge.rule);
      if (need[edge.from] == kNeverEnds && inside != kNeverEnds) queue.emplace(std::max(inside, value), edge.from);
    }
    for (const RuleId rule : starts[id]) {
      for (const auto& [from, target] : callers[rule]) {
        if (need[from] != kNeverEnds || need[target] == kNeverEnds) continue;
        queue.emplace(std::max(need_of_rule(rule), need[target]), from);
      }
    }
  }
  return need;
}

Status GrammarBuilder::check_recursion() const {
  // Which rules are entered from a rule's start before anything is taken. What stands behind a rule that may take
  // nothing counts too: of these there is white space alone, which calls nothing.
  std::vector<std::vector<RuleId>> entered(rules_.size());
  std::vector<RuleId> seen_by(nodes_.size(), kNoRule);
  for (RuleId id = 0; id < rules_.size(); ++id) {
    std::vector<NodeId> open = {rules_[id].start};
    while (!open.empty()) {
      const NodeId node = open.back();
      open.pop_back();
      if (std::exchange(seen_by[node], id) == id) continue;
      for (const NodeId target : nodes_[node].jumps) open.push_back(target);
      for (const FormCall& call : nodes_[node].calls) {
        entered[id].push_back(call.rule);
        open.push_back(call.target);
      }
    }
  }
  enum class Mark : uint8_t { kNew, kOpen, kDone };
  std::vector<Mark> marks(rules_.size(), Mark::kNew);
  for (RuleId root = 0; root < rules_.size(); ++root) {
    std::vector<std::pair<RuleId, size_t>> path;
    if (marks[root] == Mark::kNew) path.emplace_back(root, 0), marks[root] = Mark::kOpen;
    while (!path.empty()) {
      auto& [rule, at] = path.back();
      if (at == entered[rule].size()) {
        marks[rule] = Mark::kDone;
        path.pop_back();
        continue;
      }
      const RuleId next = entered[rule][at++];
      if (marks[next] == Mark::kOpen) {
        return Error{Code::kInvalidArgument,
                     fmt::format("{} is itself again before any of it is written, so it has no meaning; put it inside "
                                 "an object or an array, or take the circle out",
                                 rules_[next].place)};
      }
      if (marks[next] == Mark::kNew) path.emplace_back(next, 0), marks[next] = Mark::kOpen;
    }
  }
  return {};
}

Status GrammarBuilder::check_end(RuleId root, const std::vector<uint16_t>& needs) const {
  const auto need_of_rule = [&](RuleId rule) {
    const uint16_t inside = needs[rules_[rule].start];
    return inside == kNeverEnds ? kNeverEnds : static_cast<uint16_t>(inside + (rules_[rule].is_container ? 1 : 0));
  };
  const uint16_t need = need_of_rule(root);
  if (need <= kFormDepthMax) return {};
  if (need != kNeverEnds) {
    return Error{Code::kInvalidArgument,
                 fmt::format("{} has no value that is less than {} objects and arrays deep, {} at most are read; make "
                             "it flatter",
                             rules_[root].place, need, kFormDepthMax)};
  }
  // The one to blame: a rule without an end though all that it calls had one.
  for (RuleId id = 0; id < rules_.size(); ++id) {
    std::vector<bool> seen(nodes_.size());
    std::vector<NodeId> open = {rules_[id].start};
    bool ends = false;
    while (!open.empty() && !ends) {
      const NodeId node = open.back();
      open.pop_back();
      if (seen[node]) continue;
      seen[node] = true;
      ends = nodes_[node].is_final;
      for (const FormRange& range : nodes_[node].ranges) open.push_back(range.target);
      for (const NodeId target : nodes_[node].jumps) open.push_back(target);
      for (const FormCall& call : nodes_[node].calls) open.push_back(call.target);
    }
    if (!ends) {
      return Error{Code::kInvalidArgument,
                   fmt::format("{} cannot be met by any value; correct or take out what contradicts itself there",
                               rules_[id].place)};
    }
  }
  return Error{Code::kInvalidArgument,
               fmt::format("{} is recursive without an end: every value of it has another inside; make the inner one "
                           "optional, or give an alternative that has none",
                           rules_[root].place)};
}

void GrammarBuilder::number_classes(Grammar& grammar) const {
  // Where a class may begin: at the borders of ranges.
  std::vector<bool> borders(kFormSymbols + 1);
  borders[0] = true;
  for (const Draft& node : nodes_) {
    for (const FormRange& range : node.ranges) borders[range.low] = borders[range.high + size_t{1}] = true;
  }
  grammar.classes_.resize(kFormSymbols);
  for (size_t i = 0; i < kFormSymbols; ++i) {
    if (borders[i]) grammar.firsts_.push_back(static_cast<FormSymbol>(i));
    grammar.classes_[i] = static_cast<uint16_t>(grammar.firsts_.size() - 1);
  }
  grammar.n_classes_ = grammar.firsts_.size();
}

Result<std::shared_ptr<const Grammar>> GrammarBuilder::finish(std::span<const RuleId> roots) {
  if (is_full_) {
    return Error{Code::kResourceExhausted,
                 fmt::format("it is too large: it comes to more than {} states or {} parts; take smaller bounds of "
                             "lengths and counts, or fewer alternatives",
                             kFormNodesMax, kFormRulesMax)};
  }
  NARU_TRY(check_recursion());
  const std::vector<uint16_t> need = needs();
  for (const RuleId root : roots) NARU_TRY(check_end(root, need));
  auto grammar = std::make_shared<Grammar>();
  number_classes(*grammar);
  for (NodeId id = 0; id <= nodes_.size(); ++id) {
    Grammar::Node node = {static_cast<uint32_t>(grammar->ranges_.size()),
                          static_cast<uint32_t>(grammar->calls_.size()),
                          static_cast<uint32_t>(grammar->jumps_.size()),
                          0,
                          false,
                          0,
                          false,
                          id};
    if (id < nodes_.size()) {
      const Draft& draft = nodes_[id];
      node.need = need[id];
      node.is_final = draft.is_final;
      node.plain_left = draft.plain_left;
      node.is_aside = draft.is_aside;
      node.twin = draft.twin;
      // What has no end is left out here once, and never looked at again.
      for (const FormRange& range : draft.ranges) {
        if (need[range.target] != kNeverEnds) grammar->ranges_.push_back(range);
      }
      for (const FormCall& call : draft.calls) {
        if (need[call.target] != kNeverEnds && need[rules_[call.rule].start] != kNeverEnds) {
          grammar->calls_.push_back(call);
        }
      }
      for (const NodeId target : draft.jumps) {
        if (need[target] != kNeverEnds) grammar->jumps_.push_back(target);
      }
    }
    grammar->nodes_.push_back(node);
  }
  grammar->rules_ = rules_;
  return std::shared_ptr<const Grammar>(std::move(grammar));
}

}  // namespace naru::text
