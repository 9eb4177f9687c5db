#include "text/forms/schema_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "text/forms/object_rules.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

// Whether bounds of numbers and lengths admit a value of an enum.
bool is_within(const SchemaShape& shape, const Value& value) {
  if ((kinds_of(value) & shape.kinds) == 0) return false;
  if (const auto number = decimal_of(value)) {
    const auto& [low, high] = shape.numbers;
    const int above = low ? compare(*number, low->value) : 1, below = high ? compare(*number, high->value) : -1;
    if (above < 0 || (above == 0 && low->is_exclusive) || below > 0 || (below == 0 && high->is_exclusive)) return false;
  }
  const std::string* text = value.as_string();
  if (text == nullptr) return true;
  const auto n = static_cast<uint64_t>(count_code_points(*text));
  return n >= shape.length.min && (!shape.length.max || n <= *shape.length.max);
}

}  // namespace

Result<RuleId> SchemaRules::make() {
  const RuleId root = rule_of({{&schema_, "#"}});
  while (!open_.empty() && !builder_.is_full()) {
    const Work work = std::move(open_.back());
    open_.pop_back();
    SchemaShape shape;
    if (!reader_.read(work.refs, shape) || !add_shape(shape, work.rule, 0)) return reader_.error();
  }
  return root;
}

RuleId SchemaRules::rule_of(const SchemaRefs& refs) {
  SchemaRefs kept;
  std::vector<const Value*> key;
  for (const SchemaRef& ref : refs) {
    const bool* word = ref.schema->as_bool();
    const bool is_any = (word && *word) || (ref.schema->as_object() && ref.schema->as_object()->empty());
    if (is_any || std::find(key.begin(), key.end(), ref.schema) != key.end()) continue;
    key.push_back(ref.schema);
    kept.push_back(ref);
  }
  if (key.empty()) return json_.value();
  const auto [at, is_new] = rules_.try_emplace(std::move(key), RuleId{0});
  if (is_new) {
    at->second = builder_.add_rule(kept.front().place);
    if (!builder_.is_full()) open_.push_back({at->second, std::move(kept)});
  }
  return at->second;
}

bool SchemaRules::add_shape(const SchemaShape& shape, RuleId rule, int depth) {
  if (++n_shapes_ > kSchemaShapesMax) {
    return reader_.fail(
        shape.place,
        fmt::format("its alternatives come to more than {} when they are multiplied out; take fewer", kSchemaShapesMax),
        Code::kResourceExhausted);
  }
  if (shape.is_never || builder_.is_full()) return true;
  if (!shape.choices.empty()) return add_choice(shape, rule, depth);
  if (shape.is_bare) {
    builder_.add_call(builder_.rule(rule).start, json_.value(), builder_.end_of(rule));
    return true;
  }
  if (shape.values) return add_values(shape, rule);
  const NodeId from = builder_.rule(rule).start, to = builder_.end_of(rule);
  if (shape.kinds & kNullKind) builder_.add_text(from, "null", to);
  if (shape.kinds & kBoolKind) {
    builder_.add_text(from, "true", to);
    builder_.add_text(from, "false", to);
  }
  const bool is_bounded = shape.numbers.low || shape.numbers.high;
  const NodeId number = builder_.add_node();  // apart, for what is shared by what leads to one node
  builder_.add_jump(number, to);
  if (shape.kinds & kRealKind) {
    is_bounded ? add_numbers_between(builder_, from, shape.numbers, number) : json_.add_number(from, number);
  } else if (shape.kinds & kIntegerKind) {
    is_bounded ? add_integers_between(builder_, from, shape.numbers, number) : json_.add_integer(from, number);
  }
  if ((shape.kinds & kStringKind) != 0 && !add_strings(shape, from, to)) return false;
  if (shape.kinds & kArrayKind) add_array(shape, rule);
  if (shape.kinds & kObjectKind) add_object(shape, rule);
  return true;
}

bool SchemaRules::add_choice(const SchemaShape& shape, RuleId rule, int depth) {
  if (depth >= kSchemaChoicesDeepMax) {
    return reader_.fail(shape.place,
                        fmt::format("anyOf and oneOf of one value are more than {} deep, or refer to themselves with "
                                    "nothing between; make it flatter",
                                    kSchemaChoicesDeepMax),
                        Code::kResourceExhausted);
  }
  SchemaShape rest = shape;
  const SchemaShape::Choice choice = std::move(rest.choices.back());
  rest.choices.pop_back();
  std::vector<SchemaShape> shapes;
  for (const SchemaRef& alternative : choice.alternatives) {
    shapes.push_back(rest);
    if (!reader_.read(alternative, shapes.back())) return false;
    // A line of choices multiplies: it is counted where it is made.
    n_shapes_ += shapes.back().choices.size();
  }
  if (choice.is_one_only && !check_one_only(choice, shapes)) return false;
  const bool is_alone = rest.is_bare && rest.choices.empty() && !rest.is_never;
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (is_alone) {
      const RuleId inner = rule_of({choice.alternatives[i]});
      builder_.add_call(builder_.rule(rule).start, inner, builder_.end_of(rule));
    } else if (!add_shape(shapes[i], rule, depth + 1)) {
      return false;
    }
  }
  return true;
}

bool SchemaRules::check_one_only(const SchemaShape::Choice& choice, const std::vector<SchemaShape>& shapes) {
  for (size_t i = 0; i < shapes.size(); ++i) {
    for (size_t j = i + 1; j < shapes.size(); ++j) {
      if (reader_.are_disjoint(shapes[i], shapes[j])) continue;
      return reader_.fail(choice.place,
                          fmt::format("its alternatives {} and {} are not plainly apart (by type, or by a required "
                                      "property with another const), so one value might meet both; write anyOf",
                                      i, j),
                          Code::kUnsupported);
    }
  }
  return true;
}

bool SchemaRules::add_values(const SchemaShape& shape, RuleId rule) {
  if (!shape.patterns.empty() || !shape.objects.empty() || !shape.arrays.empty() || !shape.required.empty()) {
    return reader_.fail(shape.place,
                        "enum or const stands beside pattern, format or what is said of an object's or an array's "
                        "parts; leave only the values that meet both, and take the others out",
                        Code::kUnsupported);
  }
  std::set<std::string> scalars;
  for (const Value& value : *shape.values) {
    if (!is_within(shape, value)) continue;
    if (value.as_list() != nullptr || value.as_object() != nullptr) {
      builder_.rule(rule).is_container = true;
      json_.add_literal(builder_.rule(rule).start, value, builder_.end_of(rule));
    } else {
      scalars.insert(scalar_text(value));
    }
  }
  builder_.add_texts(builder_.rule(rule).start, std::vector<std::string>(scalars.begin(), scalars.end()),
                     builder_.end_of(rule));
  return true;
}

bool SchemaRules::add_strings(const SchemaShape& shape, NodeId from, NodeId to) {
  if (shape.length.max && *shape.length.max < shape.length.min) return true;
  if (shape.patterns.empty()) {
    json_.add_counted_string(from, shape.length, to);
    return true;
  }
  RegexAutomaton automaton = *shape.patterns.front();
  for (size_t i = 1; i < shape.patterns.size(); ++i) {
    auto both = intersection(automaton, *shape.patterns[i]);
    if (!both.ok()) return reader_.fail(shape.place, both.error().message, both.error().code);
    automaton = std::move(both).value();
  }
  json_.add_regex_string(from, automaton, shape.length, to);
  return true;
}

void SchemaRules::add_array(const SchemaShape& shape, RuleId rule) {
  builder_.rule(rule).is_container = true;
  const LengthBounds& bounds = shape.items;
  uint64_t n_named = 0;
  for (const SchemaShape::ArrayPart& part : shape.arrays) {
    if (part.prefix != nullptr) n_named = std::max<uint64_t>(n_named, part.prefix->size());
  }
  ArrayRules array(builder_, json_, {builder_.rule(rule).start, builder_.end_of(rule)}, bounds, n_named);
  for (uint64_t i = 0; i <= array.last() && !builder_.is_full(); ++i) {
    if (bounds.max && i >= *bounds.max) break;
    array.add_item(i, rule_of(shape.item(static_cast<size_t>(i))));
  }
}

void SchemaRules::add_object(const SchemaShape& shape, RuleId rule) {
  builder_.rule(rule).is_container = true;
  std::vector<std::string> names;
  auto add_name = [&, known = std::set<std::string>()](const std::string& name) mutable {
    if (known.insert(name).second) names.push_back(name);
  };
  for (const SchemaShape::ObjectPart& part : shape.objects) {
    for (size_t i = 0; part.properties != nullptr && i < part.properties->size(); ++i) {
      add_name((*part.properties)[i].first);
    }
  }
  for (const std::string& name : shape.required) add_name(name);
  std::vector<ObjectRules::Property> properties;
  const std::set<std::string> required(shape.required.begin(), shape.required.end());
  for (const std::string& name : names) {
    properties.push_back({name, rule_of(shape.property(name)), required.contains(name)});
  }
  ObjectRules object(builder_, json_, {builder_.rule(rule).start, builder_.end_of(rule)}, shape.properties);
  object.add(properties, rule_of(shape.additional()));
}

}  // namespace naru::text
