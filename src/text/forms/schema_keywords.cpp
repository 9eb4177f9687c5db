// SchemaReader: what each keyword says of a value.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "formats/utf8.h"
#include "text/forms/schema_shape.h"
#include "text/forms/schema_values.h"

namespace naru::text {
namespace {

const double* double_of(const Value& value, double& room) {
  if (const int64_t* integer = value.as_int()) {
    room = static_cast<double>(*integer);
    return &room;
  }
  return value.as_double();
}

// What stands between the '/' of a pointer, and where it leads; nothing where it leads nowhere.
const Value* step_of_pointer(const Value& at, std::string_view part) {
  std::string name;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '%' && i + 2 < part.size()) {
      const auto hex = [](char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
      name += static_cast<char>(hex(part[i + 1]) << 4 | (hex(part[i + 2]) & 15));
      i += 2;
    } else if (part[i] == '~' && i + 1 < part.size()) {
      name += part[++i] == '1' ? '/' : '~';
    } else {
      name += part[i];
    }
  }
  if (at.as_object() != nullptr) return at.find(name);
  const Value::List* list = at.as_list();
  if (list == nullptr || name.empty() || name.size() > 6) return nullptr;
  size_t index = 0;
  for (const char c : name) {
    if (c < '0' || c > '9') return nullptr;
    index = index * 10 + static_cast<size_t>(c - '0');
  }
  return index < list->size() ? &(*list)[index] : nullptr;
}

}  // namespace

bool SchemaReader::read_kinds(const Value& value, const std::string& place, SchemaShape& shape) {
  const auto kind_of = [](const Value& name) -> uint8_t {
    const std::string* word = name.as_string();
    if (word == nullptr) return 0;
    constexpr std::array<std::pair<std::string_view, uint8_t>, 7> kNames = {{{"null", kNullKind},
                                                                             {"boolean", kBoolKind},
                                                                             {"integer", kIntegerKind},
                                                                             {"number", kNumberKinds},
                                                                             {"string", kStringKind},
                                                                             {"array", kArrayKind},
                                                                             {"object", kObjectKind}}};
    for (const auto& [known, kind] : kNames) {
      if (known == *word) return kind;
    }
    return 0;
  };
  uint8_t kinds = kind_of(value);
  bool is_known = kinds != 0;
  if (const Value::List* list = value.as_list()) {
    is_known = !list->empty();
    for (const Value& name : *list) {
      is_known = is_known && kind_of(name) != 0;
      kinds |= kind_of(name);
    }
  }
  if (!is_known) {
    return fail(place, fmt::format("it is {}; null, boolean, integer, number, string, array, object, or a list of some "
                                   "was wanted; correct it",
                                   brief_value(value)));
  }
  shape.kinds &= kinds;
  return true;
}

bool SchemaReader::read_values(const Value& value, const std::string& place, SchemaShape& shape) {
  std::vector<const Value*> given = {&value};
  if (place.ends_with("/enum")) {
    if (value.as_list() == nullptr || value.as_list()->empty()) {
      return fail(place, "a list of one value at least was wanted; correct it");
    }
    given.clear();
    for (const Value& each : *value.as_list()) given.push_back(&each);
  }
  if (!spend(2 * given.size() + (shape.values ? shape.values->size() : 0), place)) return false;
  NumberedValues values;
  for (const Value* each : given) values.emplace_back(number_of(*each), each);
  const auto is_less = [](const auto& a, const auto& b) { return a.first < b.first; };
  std::stable_sort(values.begin(), values.end(), is_less);
  values.erase(
      std::unique(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.first == b.first; }),
      values.end());
  if (shape.values) {
    NumberedValues both;
    std::set_intersection(values.begin(), values.end(), shape.values->begin(), shape.values->end(),
                          std::back_inserter(both), is_less);
    values = std::move(both);
  }
  shape.values = std::move(values);
  return spend(0, place);
}

bool SchemaReader::read_multiple(const Value& value, const std::string& place, SchemaShape& shape) {
  const auto number = exact_number(value);
  if (!number || number->is_negative || number->digits.empty()) {
    return fail(place, fmt::format("it is {}, a number above 0 was wanted; correct it", brief_value(value)));
  }
  auto multiple = multiple_of(value);
  std::optional<Multiple>& kept = shape.numbers.multiple;
  if (multiple && kept) multiple = common_multiple(*kept, *multiple);
  if (!multiple) {
    return fail(place,
                fmt::format("it is {}; its digits as a number, times the places behind its point and one, come to "
                            "more than {}, alone or with those of other multipleOf for the same value; take a "
                            "smaller or a coarser one",
                            brief_value(value), kMultipleStatesMax));
  }
  kept = multiple;
  return true;
}

bool SchemaReader::read_bound(std::string_view name, const Value& value, const std::string& place, SchemaShape& shape) {
  const auto decimal = decimal_of(value);
  if (!decimal) {
    return fail(place, fmt::format("it is {}, a number of 18 digits at most on each side of its point was wanted; "
                                   "correct it, or take it out",
                                   brief_value(value)));
  }
  const NumberBound bound = {*decimal, name.starts_with("exclusive")};
  const bool is_low = name == "minimum" || name == "exclusiveMinimum";
  std::optional<NumberBound>& kept = is_low ? shape.numbers.low : shape.numbers.high;
  const int order = kept ? compare(bound.value, kept->value) : 0;
  if (!kept || (is_low ? order > 0 : order < 0)) {
    kept = bound;
  } else if (order == 0) {
    kept->is_exclusive = kept->is_exclusive || bound.is_exclusive;
  }
  return true;
}

bool SchemaReader::read_count(std::string_view name, const Value& value, const std::string& place, SchemaShape& shape) {
  double room = 0;
  const double* number = double_of(value, room);
  if (number == nullptr || *number < 0 || std::floor(*number) != *number || *number > 1e15) {
    return fail(place, fmt::format("it is {}, a count from 0 on was wanted; correct it", brief_value(value)));
  }
  const auto count = static_cast<uint64_t>(*number);
  LengthBounds& bounds = name.ends_with("Length")  ? shape.length
                         : name.ends_with("Items") ? shape.items
                                                   : shape.properties;
  if (name.starts_with("min")) {
    if (count > bounds.min && &bounds == &shape.items) shape.min_items_place = place;
    if (count > bounds.min && &bounds == &shape.properties) shape.min_properties_place = place;
    bounds.min = std::max(bounds.min, count);
  } else {
    bounds.max = std::min(bounds.max.value_or(count), count);
  }
  return true;
}

bool SchemaReader::read_pattern(const Value& value, const std::string& place, SchemaShape& shape) {
  const std::string* pattern = value.as_string();
  if (pattern == nullptr) return fail(place, "a regular expression as a string was wanted; correct it");
  std::shared_ptr<const RegexAutomaton>& kept = automata_[&value];
  if (kept == nullptr) {
    auto automaton = parse_regex(*pattern, RegexMatch::kAnywhere, &builder_);
    if (!automaton.ok()) return fail(place, automaton.error().message, automaton.error().code);
    kept = std::make_shared<const RegexAutomaton>(std::move(automaton).value());
  }
  return add_pattern(kept, place, shape);
}

bool SchemaReader::add_pattern(std::shared_ptr<const RegexAutomaton> automaton, const std::string& place,
                               SchemaShape& shape) {
  if (shape.pattern != nullptr && shape.pattern != automaton) {
    auto both = intersection(*shape.pattern, *automaton, builder_);
    if (!both.ok()) return fail(place, both.error().message, both.error().code);
    automaton = std::make_shared<const RegexAutomaton>(std::move(both).value());
  }
  shape.pattern = std::move(automaton);
  return true;
}

bool SchemaReader::read_format(const Value& value, const std::string& place, SchemaShape& shape) {
  const std::string* name = value.as_string();
  const std::string_view regex = name != nullptr ? format_regex(*name) : std::string_view();
  if (regex.empty()) {
    return fail(place,
                fmt::format("the format {} is not known here ({} are); take it out, or write a pattern",
                            brief_value(value), format_names()),
                Code::kUnsupported);
  }
  auto automaton = parse_regex(regex, RegexMatch::kWhole, &builder_);
  if (!automaton.ok()) return fail(place, automaton.error().message, automaton.error().code);
  return add_pattern(std::make_shared<const RegexAutomaton>(std::move(automaton).value()), place, shape);
}

// "Where there is this name, that holds too" is: the name is not there, or that holds.
bool SchemaReader::read_dependent(std::string_view name, const Value& value, const std::string& place,
                                  SchemaShape& shape) {
  const Value::Object* object = value.as_object();
  if (object == nullptr) {
    return fail(place, fmt::format("an object of {} was wanted; correct it",
                                   name == "dependentRequired" ? "lists of names" : "schemas"));
  }
  if (!check_names(object->size(), place)) return false;
  for (const auto& [key, inner] : *object) {
    const auto [at, is_new] = dependents_.try_emplace(&inner);
    if (is_new) {
      const Value without(Value::Object{{key, false}});
      at->second.push_back(std::make_unique<const Value>(Value::Object{{"properties", without}}));
      if (name == "dependentRequired") {
        at->second.push_back(std::make_unique<const Value>(Value::Object{{"required", inner}}));
      }
    }
    const std::string inner_place = place + "/" + pointer_part(key);
    const Value* then = at->second.size() > 1 ? at->second.back().get() : &inner;
    shape.choices.push_back({{{at->second.front().get(), inner_place}, {then, inner_place}}, false, inner_place});
  }
  return true;
}

bool SchemaReader::read_required(const Value& value, const std::string& place, SchemaShape& shape) {
  const Value::List* list = value.as_list();
  if (list == nullptr) return fail(place, "a list of names was wanted; correct it");
  if (!check_names(list->size(), place)) return false;
  const auto kept_place = std::make_shared<const std::string>(place);
  for (const Value& name : *list) {
    if (name.as_string() == nullptr) return fail(place, fmt::format("it has {}, a name was wanted", brief_value(name)));
    shape.required.add(*name.as_string(), kept_place);
  }
  return true;
}

bool SchemaReader::read_list(std::string_view name, const Value& value, const std::string& place, SchemaShape& shape) {
  const Value::List* list = value.as_list();
  if (list == nullptr || list->empty()) return fail(place, "a list of one schema at least was wanted; correct it");
  if (!spend(4 * list->size(), place)) return false;
  SchemaRefs refs;
  for (size_t i = 0; i < list->size(); ++i) refs.push_back({&(*list)[i], fmt::format("{}/{}", place, i)});
  if (name == "allOf") return read(refs, shape);
  shape.choices.push_back({std::move(refs), name == "oneOf", place});
  return true;
}

bool SchemaReader::read_ref(const Value& value, const std::string& place, SchemaShape& shape) {
  const std::string* pointer = value.as_string();
  if (pointer == nullptr || !pointer->starts_with('#') || (pointer->size() > 1 && (*pointer)[1] != '/')) {
    return fail(place,
                fmt::format("it is {}; a place in this schema was wanted, as \"#/$defs/NAME\"; put the schema "
                            "there",
                            brief_value(value)),
                Code::kUnsupported);
  }
  const Value* at = &root_;
  std::string_view rest = std::string_view(*pointer).substr(1);
  while (!rest.empty() && at != nullptr) {
    rest.remove_prefix(1);
    const size_t end = std::min(rest.find('/'), rest.size());
    at = step_of_pointer(*at, rest.substr(0, end));
    rest.remove_prefix(end);
  }
  if (at == nullptr) {
    return fail(place, fmt::format("nothing is at {}; correct it", formats::printable(*pointer, 80)));
  }
  return read(SchemaRef{at, formats::printable(*pointer, 200)}, shape);
}

}  // namespace naru::text
