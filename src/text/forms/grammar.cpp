#include "text/forms/grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

namespace naru::text {
namespace {

// A way to a node's end before it is known to be the least, in the order in which they become known (Knuth's
// generalisation of Dijkstra's algorithm, 1977).
struct Candidate {
  uint16_t cost;
  NodeId from, to;
  RuleId rule;
  auto operator<=>(const Candidate&) const = default;
};
using CandidateQueue = std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>>;

// Who leads to a node, and by what.
struct BackEdge {
  NodeId from;
  RuleId rule;  // of a call; kNoRule: an edge or a jump
};

}  // namespace

NodeId GrammarBuilder::add_node() {
  if (nodes_.size() >= kFormNodesMax || !spend(2)) {
    is_full_ = true;
    if (nodes_.empty()) nodes_.emplace_back();
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

NodeId GrammarBuilder::shared_letter(char small, NodeId to) {
  const auto low = static_cast<unsigned char>(small);
  const auto high = static_cast<FormSymbol>(low - 'a' + 'A');
  const auto [at, is_new] = tails_.try_emplace({low, high, to}, NodeId{0});  // low > high: of no range
  if (is_new) {
    at->second = add_node();
    add_range(at->second, high, high, to);
    add_range(at->second, low, low, to);
  }
  return at->second;
}

GrammarBuilder::Ways GrammarBuilder::ways_from(const std::vector<uint16_t>& ends, const CallCost& of_call) const {
  Ways ways = {std::vector<uint16_t>(nodes_.size(), kNeverEnds), std::vector<Ways::Step>(nodes_.size())};
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
  CandidateQueue queue;
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    if (ends[id] != kNeverEnds) queue.push({ends[id], id, id, kNoRule});
  }
  const auto offer_call = [&](NodeId from, RuleId rule, NodeId to) {
    const uint16_t inside = ways.cost[rules_[rule].start], behind = ways.cost[to];
    if (ways.cost[from] != kNeverEnds || inside == kNeverEnds || behind == kNeverEnds) return;
    queue.push({of_call(rules_[rule], inside, behind), from, to, rule});
  };
  while (!queue.empty()) {
    const auto [cost, id, to, by] = queue.top();
    queue.pop();
    if (ways.cost[id] != kNeverEnds) continue;
    ways.cost[id] = cost;
    ways.first[id] = {to, by};
    for (const BackEdge& edge : back[id]) {
      if (edge.rule != kNoRule) {
        offer_call(edge.from, edge.rule, id);
      } else if (ways.cost[edge.from] == kNeverEnds) {
        queue.push({cost, edge.from, id, kNoRule});
      }
    }
    for (const RuleId rule : starts[id]) {
      for (const auto& [from, target] : callers[rule]) offer_call(from, rule, target);
    }
  }
  return ways;
}

std::vector<uint16_t> GrammarBuilder::final_nodes() const {
  std::vector<uint16_t> ends(nodes_.size(), kNeverEnds);
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    if (nodes_[id].is_final) ends[id] = 0;
  }
  return ends;
}

std::vector<uint16_t> GrammarBuilder::needs() const {
  return ways_from(final_nodes(),
                   [](const FormRule& rule, uint16_t inside, uint16_t behind) {
                     return std::max(static_cast<uint16_t>(inside + (rule.is_container ? 1 : 0)), behind);
                   })
      .cost;
}

RuleId GrammarBuilder::to_blame(RuleId root, std::span<const RuleId> contradictions) const {
  std::vector<uint16_t> ends = final_nodes();
  std::vector<RuleId> met(nodes_.size(), kNoRule);
  for (const RuleId id : contradictions) {
    ends[rules_[id].start] = 1;
    met[rules_[id].start] = id;
  }
  const Ways ways = ways_from(ends, [](const FormRule&, uint16_t inside, uint16_t behind) {
    return static_cast<uint16_t>(std::min(inside + behind, kNeverEnds - 1));
  });
  NodeId at = rules_[root].start;
  if (ways.cost[at] == kNeverEnds) return kNoRule;
  for (;;) {
    const auto [to, rule] = ways.first[at];
    if (to == at && rule == kNoRule) return met[at];
    at = rule != kNoRule && ways.cost[rules_[rule].start] > 0 ? rules_[rule].start : to;
  }
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
  // `additionalProperties: false` is a contradiction too, and one that asks nothing of any value.
  const RuleId wrong = to_blame(root, contradictions());
  if (wrong != kNoRule) {
    return Error{Code::kInvalidArgument,
                 fmt::format("{} cannot be met by any value; correct or take out what contradicts itself there",
                             rules_[wrong].place)};
  }
  return Error{Code::kInvalidArgument,
               fmt::format("{} is recursive without an end: every value of it has another inside; make the inner one "
                           "optional, or give an alternative that has none",
                           rules_[root].place)};
}

std::vector<RuleId> GrammarBuilder::contradictions() const {
  std::vector<RuleId> found;
  std::vector<RuleId> seen_by(nodes_.size(), kNoRule);
  for (RuleId id = 0; id < rules_.size(); ++id) {
    std::vector<NodeId> open = {rules_[id].start};
    bool ends = false;
    while (!open.empty() && !ends) {
      const NodeId node = open.back();
      open.pop_back();
      if (std::exchange(seen_by[node], id) == id) continue;
      ends = nodes_[node].is_final;
      for (const FormRange& range : nodes_[node].ranges) open.push_back(range.target);
      for (const NodeId target : nodes_[node].jumps) open.push_back(target);
      for (const FormCall& call : nodes_[node].calls) open.push_back(call.target);
    }
    if (!ends) found.push_back(id);
  }
  return found;
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

std::vector<NodeId> GrammarBuilder::shorten_jumps(const std::vector<uint16_t>& needs) {
  std::vector<NodeId> leads(nodes_.size());
  for (NodeId id = 0; id < nodes_.size(); ++id) leads[id] = id;
  std::vector<NodeId> seen_by(nodes_.size(), ~NodeId{0});
  std::vector<bool> is_open(nodes_.size());
  const auto is_alive = [&](const auto& edge) { return needs[edge.target] != kNeverEnds; };
  const auto close = [&](NodeId id) {
    Draft& node = nodes_[id];
    std::erase_if(node.jumps, [&](NodeId& target) {
      target = leads[target];
      return target == id || needs[target] == kNeverEnds || std::exchange(seen_by[target], id) == id;
    });
    const bool takes = node.is_final || node.plain_left > 0 || node.is_aside || node.twin != id ||
                       std::any_of(node.ranges.begin(), node.ranges.end(), is_alive) ||
                       std::any_of(node.calls.begin(), node.calls.end(), is_alive);
    if (!takes && node.jumps.size() == 1) leads[id] = node.jumps[0];
  };
  // Those it jumps to first; a circle is cut where it closes.
  std::vector<std::pair<NodeId, size_t>> path;
  for (NodeId root = 0; root < nodes_.size(); ++root) {
    if (!is_open[root]) path.emplace_back(root, 0), is_open[root] = true;
    while (!path.empty()) {
      auto& [id, at] = path.back();
      if (at == nodes_[id].jumps.size()) {
        close(id);
        path.pop_back();
        continue;
      }
      const NodeId next = nodes_[id].jumps[at++];
      if (!is_open[next]) path.emplace_back(next, 0), is_open[next] = true;
    }
  }
  return leads;
}

size_t Grammar::bytes() const {
  size_t bytes = sizeof(Grammar) + nodes_.capacity() * sizeof(Node) + ranges_.capacity() * sizeof(FormRange) +
                 calls_.capacity() * sizeof(FormCall) + jumps_.capacity() * sizeof(NodeId) +
                 rules_.capacity() * sizeof(FormRule) + classes_.capacity() * sizeof(uint16_t) +
                 firsts_.capacity() * sizeof(FormSymbol);
  for (const FormRule& rule : rules_) bytes += rule.place.capacity();
  return bytes;
}

Error GrammarBuilder::full_error() const {
  constexpr std::string_view kNext = "take smaller bounds of lengths and counts, or fewer alternatives";
  if (is_spent()) {
    return {Code::kResourceExhausted,
            fmt::format("it is too large: it takes more than {} steps to read; {}", kFormWorkMax, kNext)};
  }
  return {Code::kResourceExhausted,
          fmt::format("it is too large: it comes to more than {} states, {} ways between them or {} parts; {}",
                      kFormNodesMax, kFormEdgesMax, kFormRulesMax, kNext)};
}

Result<std::shared_ptr<const Grammar>> GrammarBuilder::finish(std::span<const RuleId> roots) {
  if (is_full_) return full_error();
  NARU_TRY(check_recursion());
  const std::vector<uint16_t> need = needs();
  for (const RuleId root : roots) NARU_TRY(check_end(root, need));
  const std::vector<NodeId> leads = shorten_jumps(need);
  auto grammar = std::make_shared<Grammar>();
  grammar->nodes_.reserve(nodes_.size() + 1);
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
        if (need[range.target] == kNeverEnds) continue;
        grammar->ranges_.push_back({range.low, range.high, leads[range.target]});
      }
      for (const FormCall& call : draft.calls) {
        if (need[call.target] != kNeverEnds && need[rules_[call.rule].start] != kNeverEnds) {
          grammar->calls_.push_back({call.rule, leads[call.target]});
        }
      }
      grammar->jumps_.insert(grammar->jumps_.end(), draft.jumps.begin(), draft.jumps.end());
    }
    grammar->nodes_.push_back(node);
  }
  grammar->ranges_.shrink_to_fit();
  grammar->calls_.shrink_to_fit();
  grammar->jumps_.shrink_to_fit();
  grammar->rules_ = std::move(rules_);
  return std::shared_ptr<const Grammar>(std::move(grammar));
}

}  // namespace naru::text
