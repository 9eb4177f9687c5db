#include "text/forms/schema_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "formats/utf8.h"

namespace naru::text {
namespace {

constexpr size_t kManyAlternatives = 64;  // of one value: from here on they are what makes a form too large

}  // namespace

Result<RuleId> SchemaRules::make() {
  if (const auto text = json_text(schema_, kSchemaBytesMax);
      !text.ok() && text.error().code == Code::kResourceExhausted) {
    return Error{
        Code::kResourceExhausted,
        fmt::format("#: it has more than {} bytes, that many at most are read; make it smaller", kSchemaBytesMax)};
  }
  const RuleId root = rule_of({{&schema_, "#"}});
  while (!open_.empty() && !builder_.is_full()) {
    const Work work = std::move(open_.back());
    open_.pop_back();
    SchemaShape shape;
    const size_t n_before = n_shapes_;
    const bool is_made = reader_.read(work.refs, shape) && add_shape(shape, work.rule, 0) && !reader_.has_failed();
    const bool is_too_large = is_made || reader_.error().code == Code::kResourceExhausted;
    if (builder_.is_full() && is_too_large) return full_error(shape.place, n_shapes_ - n_before);
    if (!is_made) return reader_.error();
  }
  return root;
}

Error SchemaRules::full_error(const std::string& place, size_t n_alternatives) const {
  const std::string full = builder_.full_error().message;
  if (n_alternatives < kManyAlternatives) {
    return reader_.has_failed() ? reader_.error() : Error{Code::kResourceExhausted, fmt::format("{}: {}", place, full)};
  }
  return {Code::kResourceExhausted,
          fmt::format("{}: its alternatives (of anyOf, oneOf, dependentRequired and dependentSchemas: a dependent name "
                      "has two) are multiplied out, and then {}",
                      place, full)};
}

RuleId SchemaRules::rule_of(const SchemaRefs& refs) {
  builder_.spend(4 + 8 * refs.size());
  SchemaRefs kept;
  std::vector<const Value*> key;
  std::unordered_set<const Value*> known;
  for (const SchemaRef& ref : refs) {
    const bool* word = ref.schema->as_bool();
    const bool is_any = (word && *word) || (ref.schema->as_object() && ref.schema->as_object()->empty());
    if (is_any || !known.insert(ref.schema).second) continue;
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
        fmt::format(
            "its alternatives (of anyOf, oneOf, dependentRequired and dependentSchemas: a dependent name has two) "
            "come to more than {} when they are multiplied out; take fewer",
            kSchemaShapesMax),
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
  if ((shape.kinds & (kIntegerKind | kRealKind)) != 0 && !add_numbers(shape, from, to)) return false;
  if ((shape.kinds & kStringKind) != 0 && !add_strings(shape, from, to)) return false;
  if (shape.kinds & kArrayKind) add_array(shape, rule);
  return (shape.kinds & kObjectKind) == 0 || add_object(shape, rule);
}

bool SchemaRules::add_numbers(const SchemaShape& shape, NodeId from, NodeId to) {
  const bool is_bounded = shape.numbers.low || shape.numbers.high, are_integers = (shape.kinds & kRealKind) == 0;
  const NodeId number = builder_.add_node();  // apart, for what is shared by what leads to one node
  builder_.add_jump(number, to);
  if (shape.numbers.multiple) {
    const auto automaton = multiples_between(builder_, shape.numbers, are_integers);
    if (!automaton.ok()) {
      return reader_.fail(shape.place,
                          fmt::format("multiples of so much have too many states; take a smaller multipleOf{}",
                                      is_bounded ? "" : ", or bounds"),
                          automaton.error().code);
    }
    add_regex(builder_, from, *automaton, {}, Spelling::kText, number);
  } else if (are_integers) {
    is_bounded ? add_integers_between(builder_, from, shape.numbers, number) : json_.add_integer(from, number);
  } else {
    is_bounded ? add_numbers_between(builder_, from, shape.numbers, number) : json_.add_number(from, number);
  }
  return true;
}

bool SchemaRules::add_choice(const SchemaShape& shape, RuleId rule, int depth) {
  if (depth >= kSchemaChoicesDeepMax) {
    return reader_.fail(
        shape.place,
        fmt::format("anyOf, oneOf, dependentRequired and dependentSchemas of one value are more than {} "
                    "deep, or refer to themselves with nothing between; make it flatter",
                    kSchemaChoicesDeepMax),
        Code::kResourceExhausted);
  }
  SchemaShape rest = shape;
  const SchemaShape::Choice choice = std::move(rest.choices.back());
  rest.choices.pop_back();
  std::vector<SchemaShape> shapes;
  for (const SchemaRef& alternative : choice.alternatives) {
    if (!reader_.spend(rest.size(), choice.place)) return false;
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
      if (reader_.has_failed()) return false;
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
  std::set<std::string> scalars;
  for (const auto& [number, given] : *shape.values) {
    const Value& value = *given;
    if (!reader_.admits(shape, value)) {
      if (reader_.has_failed()) return false;
      continue;
    }
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
  if (shape.pattern == nullptr) {
    json_.add_counted_string(from, shape.length, to);
  } else {
    json_.add_regex_string(from, *shape.pattern, shape.length, to);
  }
  return true;
}

RuleId SchemaRules::asked_rule(const SchemaRefs& refs, const std::string& place, std::string_view what) {
  const auto at = std::find_if(refs.begin(), refs.end(), [](const SchemaRef& ref) {
    const bool* word = ref.schema->as_bool();
    return word != nullptr && !*word;
  });
  if (at == refs.end()) return rule_of(refs);
  return builder_.add_rule(fmt::format("{} (it asks for {}, which {} forbids)", place, what, at->place));
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
    builder_.spend(4 * shape.arrays.size());
    const SchemaRefs refs = shape.item(static_cast<size_t>(i));
    array.add_item(i, i < bounds.min ? asked_rule(refs, shape.min_items_place, fmt::format("{} items", bounds.min))
                                     : rule_of(refs));
  }
}

bool SchemaRules::list_names(const SchemaShape& shape, const SchemaShape& wanted, std::vector<std::string>& names) {
  std::unordered_set<std::string_view> known;
  size_t bytes = 0;
  const auto add_name = [&](std::string_view name) {
    if (!known.insert(name).second) return;
    names.emplace_back(name);
    bytes += name.size();
  };
  for (const SchemaShape::ObjectPart& part : shape.objects) {
    builder_.spend(2 + 2 * (part.properties != nullptr ? part.properties->size() : 0));
    for (size_t i = 0; part.properties != nullptr && i < part.properties->size(); ++i) {
      add_name((*part.properties)[i].first);
    }
  }
  for (const std::string_view name : shape.required.names) add_name(name);
  for (size_t i = 0; wanted.values && i < wanted.values->size(); ++i) {
    if (const std::string* name = (*wanted.values)[i].second->as_string()) add_name(*name);
  }
  return builder_.spend(2 * bytes + 4 * names.size() * (1 + shape.objects.size()));
}

bool SchemaRules::add_other_names(const SchemaShape& wanted, std::span<const std::string> names,
                                  const RegexAutomaton* pattern, const std::string& place, RuleId key) {
  const NodeId start = builder_.rule(key).start, end = builder_.end_of(key);
  const bool is_counted = wanted.length.min > 0 || wanted.length.max;
  if (pattern == nullptr && wanted.pattern == nullptr && !is_counted) {
    json_.add_other_key(start, names, end);
    return true;
  }
  size_t bytes = 0;
  for (const std::string& name : names) bytes += name.size();
  if (!reader_.spend(2 * bytes, place)) return false;
  RegexAutomaton automaton = other_texts(names);
  for (const RegexAutomaton* each : {pattern, wanted.pattern.get()}) {
    if (each == nullptr) continue;
    auto both = intersection(automaton, *each, builder_);
    if (!both.ok()) return reader_.fail(place, both.error().message, both.error().code);
    automaton = std::move(both).value();
  }
  json_.add_regex_string(start, automaton, wanted.length, end);
  return true;
}

bool SchemaRules::add_others(const SchemaShape& shape, const SchemaShape& wanted, std::span<const std::string> names,
                             std::vector<ObjectRules::Others>& others) {
  if (wanted.is_never || wanted.values || (wanted.kinds & kStringKind) == 0) return true;
  const SchemaShape::ObjectPart* patterned = nullptr;
  SchemaRefs refs;
  for (const SchemaShape::ObjectPart& part : shape.objects) {
    const bool* word = part.additional != nullptr ? part.additional->as_bool() : nullptr;
    const std::string place = part.place + "/additionalProperties";
    if (part.patterns.empty()) {
      if (part.additional != nullptr) refs.push_back({part.additional, place});
    } else if (patterned != nullptr) {
      return reader_.fail(part.place + "/patternProperties",
                          fmt::format("{} has some for the same value; write them in one place", patterned->place),
                          Code::kUnsupported);
    } else if (part.additional != nullptr && (word == nullptr || *word)) {
      return reader_.fail(place, "beside patternProperties only false is done here; write a pattern for those",
                          Code::kUnsupported);
    } else {
      patterned = &part;
    }
  }
  const size_t n_patterns = patterned != nullptr ? patterned->patterns.size() : 0;
  for (size_t i = 0; i < std::max<size_t>(1, n_patterns); ++i) {
    const SchemaShape::ObjectPart::Pattern* pattern = n_patterns > 0 ? &patterned->patterns[i] : nullptr;
    const std::string& place = pattern != nullptr ? pattern->place : shape.place;
    for (size_t j = 0; j < i; ++j) {
      if (reader_.are_apart(*pattern->names, *patterned->patterns[j].names, place)) continue;
      return !reader_.has_failed() &&
             reader_.fail(place, "names may meet it and an earlier pattern; write patterns that are apart",
                          Code::kUnsupported);
    }
    SchemaRefs met = refs;
    if (pattern != nullptr) met.insert(met.begin(), {pattern->schema, pattern->place});
    const RuleId key = builder_.add_rule("a key");
    if (!add_other_names(wanted, names, pattern != nullptr ? pattern->names.get() : nullptr, place, key)) return false;
    const bool are_asked = shape.properties.min > names.size() && n_patterns == 0;
    others.push_back({key, are_asked ? asked_rule(met, shape.min_properties_place,
                                                  fmt::format("{} properties", shape.properties.min))
                                     : rule_of(met)});
  }
  return true;
}

bool SchemaRules::add_object(const SchemaShape& shape, RuleId rule) {
  builder_.rule(rule).is_container = true;
  SchemaShape wanted;
  std::vector<std::string> names;
  if (!reader_.read_names(shape, wanted)) return false;
  if (!list_names(shape, wanted, names)) return true;
  std::unordered_map<std::string_view, const std::string*> asked;
  for (size_t i = 0; i < shape.required.names.size(); ++i) {
    asked.emplace(shape.required.names[i], shape.required.places[i].get());
  }
  std::vector<ObjectRules::Property> properties;
  for (const std::string& name : names) {
    if (!reader_.spend(1, shape.place)) return false;
    const auto at = asked.find(name);
    const bool is_asked = at != asked.end();
    const SchemaRefs refs = reader_.property(shape, name);
    if (reader_.has_failed()) return false;
    properties.push_back(
        {name,
         is_asked ? asked_rule(refs, *at->second, scalar_text(Value(formats::printable(name, 60)))) : rule_of(refs),
         is_asked});
  }
  std::vector<ObjectRules::Others> others;
  if (!add_others(shape, wanted, names, others)) return false;
  ObjectRules object(builder_, json_, {builder_.rule(rule).start, builder_.end_of(rule)}, shape.properties);
  object.add(properties, others);
  return true;
}

}  // namespace naru::text
