// Objects and arrays, given the rules of their parts.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "text/forms/grammar.h"
#include "text/forms/json_rules.h"

namespace naru::text {

struct NodePair {
  NodeId from, to;
};

class ArrayRules {
 public:
  // `n_named`: so many first items have rules of their own.
  ArrayRules(GrammarBuilder& builder, JsonRules& json, NodePair ends, const LengthBounds& bounds, uint64_t n_named);

  // From here on items are counted no longer, and are all alike.
  uint64_t last() const { return last_; }
  // The rule of item `index`, 0 to last().
  void add_item(uint64_t index, RuleId rule);

 private:
  NodeId wanted(uint64_t index);  // where item `index` begins
  NodeId behind(uint64_t n);      // behind n items

  GrammarBuilder& builder_;
  JsonRules& json_;
  NodeId to_;
  LengthBounds bounds_;
  uint64_t last_;
  std::map<uint64_t, NodeId> wanted_, behind_;
};

class ObjectRules {
 public:
  struct Property {
    std::string name;
    RuleId rule;
    bool is_required;
  };
  // Properties of other names: the rule of the name with its quotes, and of what stands there.
  struct Others {
    RuleId key, rule;
  };

  ObjectRules(GrammarBuilder& builder, JsonRules& json, NodePair ends, const LengthBounds& bounds)
      : builder_(builder), json_(json), ends_(ends), bounds_(bounds) {}

  // Properties in their order, others behind them.
  void add(std::span<const Property> properties, std::span<const Others> others);

 private:
  // Property `at` or a later one is wanted, or what stands behind property `at` - 1; n properties so far.
  using Place = std::pair<size_t, uint64_t>;
  NodeId node_of(std::map<Place, NodeId>& nodes, Place place);
  void add_value(NodeId from, RuleId rule, Place behind);
  void add_wanted(std::span<const Property> properties, std::span<const Others> others, Place place, NodeId node);
  void add_behind(Place place, NodeId node);
  bool may_end(Place place) const;
  Place next(size_t at, uint64_t n) const { return {at, n < counted_ ? n + 1 : n}; }

  GrammarBuilder& builder_;
  JsonRules& json_;
  NodePair ends_;
  LengthBounds bounds_;
  uint64_t counted_ = 0;         // properties are counted so far
  size_t n_until_required_ = 0;  // so many properties, of which the last is required
  std::map<Place, NodeId> wanted_, behind_;
  std::vector<std::pair<bool, Place>> open_;  // which of both
};

}  // namespace naru::text
