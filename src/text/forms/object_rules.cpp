#include "text/forms/object_rules.h"

#include <algorithm>

namespace naru::text {

ArrayRules::ArrayRules(GrammarBuilder& builder, JsonRules& json, NodePair ends, const LengthBounds& bounds,
                       uint64_t n_named)
    : builder_(builder), json_(json), to_(ends.to), bounds_(bounds), last_(std::max(n_named, bounds.min)) {
  if (bounds.max) last_ = *bounds.max;
  const NodeId open = builder_.add_node(), first = builder_.add_node();
  builder_.add_byte(ends.from, '[', open);
  json_.add_blanks(open, first);
  if (bounds.min == 0) builder_.add_byte(first, ']', to_);
  if (!bounds.max || *bounds.max > 0) builder_.add_jump(first, wanted(0));
}

NodeId ArrayRules::wanted(uint64_t index) {
  const auto [at, is_new] = wanted_.try_emplace(index, NodeId{0});
  if (is_new) at->second = builder_.add_node();
  return at->second;
}

NodeId ArrayRules::behind(uint64_t n) {
  const auto [at, is_new] = behind_.try_emplace(n, NodeId{0});
  if (!is_new) return at->second;
  const NodeId node = builder_.add_node();
  at->second = node;
  if (!bounds_.max || n < *bounds_.max) {
    const NodeId comma = builder_.add_node();
    builder_.add_byte(node, ',', comma);
    json_.add_blanks(comma, wanted(std::min(n, last_)));
  }
  // Behind the last that is counted stand as many as that, or one more where none is.
  if (n >= bounds_.min) {
    const NodeId close = builder_.add_node();
    json_.add_blanks(node, close);
    builder_.add_byte(close, ']', to_);
  }
  return node;
}

void ArrayRules::add_item(uint64_t index, RuleId rule) {
  builder_.add_call(wanted(index), rule, behind(std::min(index + 1, last_)));
}

NodeId ObjectRules::node_of(std::map<Place, NodeId>& nodes, Place place) {
  const auto [at, is_new] = nodes.try_emplace(place, NodeId{0});
  if (is_new) {
    at->second = builder_.add_node();
    open_.emplace_back(&nodes == &wanted_, place);
  }
  return at->second;
}

void ObjectRules::add(std::span<const Property> properties, std::span<const Others> others) {
  counted_ = bounds_.max.value_or(bounds_.min);
  for (size_t i = 0; i < properties.size(); ++i) {
    if (properties[i].is_required) n_until_required_ = i + 1;
  }
  const NodeId open = builder_.add_node(), first = builder_.add_node();
  builder_.add_byte(ends_.from, '{', open);
  json_.add_blanks(open, first);
  if (may_end({0, 0})) builder_.add_byte(first, '}', ends_.to);
  builder_.add_jump(first, node_of(wanted_, {0, 0}));
  while (!open_.empty() && !builder_.is_full()) {
    const auto [is_wanted, place] = open_.back();
    open_.pop_back();
    if (is_wanted) {
      add_wanted(properties, others, place, wanted_[place]);
    } else {
      add_behind(place, behind_[place]);
    }
  }
}

bool ObjectRules::may_end(Place place) const {
  return place.second >= bounds_.min && place.first >= n_until_required_;
}

// From behind a key to behind its value.
void ObjectRules::add_value(NodeId from, RuleId rule, Place behind) {
  const NodeId colon = builder_.add_node(), value = builder_.add_node();
  builder_.add_byte(from, ':', colon);
  json_.add_blanks(colon, value);
  builder_.add_call(value, rule, node_of(behind_, behind));
}

void ObjectRules::add_wanted(std::span<const Property> properties, std::span<const Others> others, Place place,
                             NodeId node) {
  const auto [at, n] = place;
  if (bounds_.max && n >= *bounds_.max) return;
  if (at == properties.size()) {
    for (const Others& each : others) {
      const NodeId key = builder_.add_node();
      builder_.add_call(node, each.key, key);
      add_value(key, each.rule, next(at, n));
    }
    return;
  }
  const Property& property = properties[at];
  const NodeId key = builder_.add_node();
  builder_.add_text(node, '"' + spelt(property.name, Spelling::kJson) + '"', key);
  add_value(key, property.rule, next(at + 1, n));
  if (!property.is_required) builder_.add_jump(node, node_of(wanted_, {at + 1, n}));
}

void ObjectRules::add_behind(Place place, NodeId node) {
  if (!bounds_.max || place.second < *bounds_.max) {
    const NodeId comma = builder_.add_node();
    builder_.add_byte(node, ',', comma);
    json_.add_blanks(comma, node_of(wanted_, place));
  }
  if (!may_end(place)) return;
  const NodeId close = builder_.add_node();
  json_.add_blanks(node, close);
  builder_.add_byte(close, '}', ends_.to);
}

}  // namespace naru::text
