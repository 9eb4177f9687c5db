#include "text/forms/schema_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "formats/utf8.h"
#include "text/forms/schema_values.h"

namespace naru::text {
namespace {

constexpr size_t kSchemaNamesMax = 4096;
constexpr size_t kSchemasReadMax = 1 << 18;  // each as often as it is looked at
constexpr size_t kSchemaChainMax = 200;      // $ref and allOf inside each other
constexpr int kDisjointDepthMax = 4;
constexpr uint8_t kNumberKinds = uint8_t{kIntegerKind} | uint8_t{kRealKind};

const Value kFalseSchema(false);

const double* double_of(const Value& value, double& room) {
  if (const int64_t* integer = value.as_int()) {
    room = static_cast<double>(*integer);
    return &room;
  }
  return value.as_double();
}

std::string brief(const Value& value) {
  const auto text = json_text(value, 80);
  return text.ok() ? formats::printable(*text, 60) : "a long value";
}

std::string pointer_part(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return formats::printable(out, 60);
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

uint8_t kinds_of(const Value& value) {
  if (value.is_null()) return kNullKind;
  if (value.as_bool()) return kBoolKind;
  if (value.as_int()) return kNumberKinds;
  if (const double* number = value.as_double())
    return std::floor(*number) == *number ? kNumberKinds : uint8_t{kRealKind};
  if (value.as_wide()) return exact_number(value)->is_integer() ? kNumberKinds : uint8_t{kRealKind};
  if (value.as_string()) return kStringKind;
  return value.as_list() ? kArrayKind : kObjectKind;
}

bool have_common(const NumberedValues& a, const NumberedValues& b) {
  for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
    if (x->first == y->first) return true;
    x->first < y->first ? ++x : ++y;
  }
  return false;
}

void RequiredNames::add(std::string_view name, const std::shared_ptr<const std::string>& place) {
  if (!known.insert(name).second) return;
  names.push_back(name);
  places.push_back(place);
}

SchemaRefs SchemaShape::property(std::string_view name) const {
  SchemaRefs refs;
  for (const ObjectPart& part : objects) {
    const auto at = part.by_name ? part.by_name->find(name) : decltype(part.by_name->end())();
    if (part.by_name && at != part.by_name->end()) {
      refs.push_back({at->second, part.place + "/properties/" + pointer_part(name)});
    } else if (part.additional != nullptr) {
      refs.push_back({part.additional, part.place + "/additionalProperties"});
    }
  }
  return refs;
}

SchemaRefs SchemaShape::additional() const {
  SchemaRefs refs;
  for (const ObjectPart& part : objects) {
    if (part.additional != nullptr) refs.push_back({part.additional, part.place + "/additionalProperties"});
  }
  return refs;
}

SchemaRefs SchemaShape::item(size_t index) const {
  SchemaRefs refs;
  for (const ArrayPart& part : arrays) {
    if (part.prefix != nullptr && index < part.prefix->size()) {
      refs.push_back({&(*part.prefix)[index], fmt::format("{}/prefixItems/{}", part.place, index)});
    } else if (part.items != nullptr) {
      refs.push_back({part.items, part.place + "/items"});
    }
  }
  return refs;
}

bool SchemaReader::fail(const std::string& place, std::string_view what, Code code) {
  if (!error_) error_ = Error{code, fmt::format("{}: {}", place, what)};
  return false;
}

bool SchemaReader::spend(uint64_t steps, const std::string& place) {
  return (builder_.spend(steps) && !builder_.is_spent()) ||
         fail(place, builder_.full_error().message, Code::kResourceExhausted);
}

uint32_t SchemaReader::number_of(const Value& value) {
  const auto [at, is_new] = numbers_.try_emplace(&value, 0);
  if (is_new) {
    std::string key = equality_key(value);
    builder_.spend(4 + key.size() / 8);
    at->second =
        numbers_by_key_.try_emplace(std::move(key), static_cast<uint32_t>(numbers_by_key_.size())).first->second;
  }
  return at->second;
}

bool SchemaReader::contains(const NumberedValues& values, const Value& value) {
  const uint32_t number = number_of(value);
  const auto at = std::lower_bound(values.begin(), values.end(), std::pair(number, static_cast<const Value*>(nullptr)),
                                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return at != values.end() && at->first == number;
}

bool SchemaReader::read(const SchemaRefs& refs, SchemaShape& shape) {
  return std::all_of(refs.begin(), refs.end(), [&](const SchemaRef& ref) { return read(ref, shape); });
}

bool SchemaReader::read(const SchemaRef& ref, SchemaShape& shape) {
  if (++n_read_ > kSchemasReadMax) {
    return fail(ref.place,
                fmt::format("the schema has more than {} parts, each counted as often as it is referred to; make it "
                            "smaller",
                            kSchemasReadMax),
                Code::kResourceExhausted);
  }
  if (!spend(8, ref.place)) return false;
  if (shape.place.empty()) shape.place = ref.place;
  if (const bool* is_any = ref.schema->as_bool()) {
    if (!*is_any) shape.is_never = true, shape.is_bare = false;
    return true;
  }
  if (ref.schema->as_object() == nullptr) {
    return fail(ref.place,
                fmt::format("it is {}, a schema was wanted: an object, true or false; correct it", brief(*ref.schema)));
  }
  if (std::find(open_.begin(), open_.end(), ref.schema) != open_.end()) {
    return fail(ref.place, "it refers to itself with nothing between, so it has no meaning; take the circle out");
  }
  if (open_.size() >= kSchemaChainMax) {
    return fail(ref.place, fmt::format("$ref and allOf are more than {} deep; make it flatter", kSchemaChainMax),
                Code::kResourceExhausted);
  }
  open_.push_back(ref.schema);
  const bool is_read = read_parts(ref, shape);
  open_.pop_back();
  return is_read;
}

bool SchemaReader::read_parts(const SchemaRef& ref, SchemaShape& shape) {
  SchemaShape::ObjectPart object{nullptr, nullptr, nullptr, ref.place};
  SchemaShape::ArrayPart array{nullptr, nullptr, ref.place};
  for (const auto& [name, value] : *ref.schema->as_object()) {
    const std::string place = ref.place + "/" + pointer_part(name);
    if (!spend(4, place)) return false;
    if (name == "properties") {
      object.properties = value.as_object();
      if (object.properties == nullptr) return fail(place, "an object of schemas was wanted; correct it");
      if (!check_names(object.properties->size(), place)) return false;
      auto by_name = std::make_shared<std::unordered_map<std::string_view, const Value*>>();
      for (const auto& [key, schema] : *object.properties) by_name->emplace(key, &schema);
      object.by_name = std::move(by_name);
    } else if (name == "additionalProperties" || name == "items") {
      if (value.as_list() != nullptr) {
        return fail(place, "a list is not done here; write prefixItems, and items for those behind",
                    Code::kUnsupported);
      }
      if (value.as_bool() == nullptr && value.as_object() == nullptr) {
        return fail(place, fmt::format("it is {}, a schema was wanted; correct it", brief(value)));
      }
      (name == "items" ? array.items : object.additional) = &value;
    } else if (name == "prefixItems") {
      array.prefix = value.as_list();
      if (array.prefix == nullptr) return fail(place, "a list of schemas was wanted; correct it");
    } else if (!read_keyword(name, value, place, shape)) {
      return false;
    }
  }
  if (object.properties != nullptr || object.additional != nullptr) {
    shape.objects.push_back(std::move(object));
    shape.is_bare = false;
  }
  if (array.prefix != nullptr || array.items != nullptr) {
    shape.arrays.push_back(std::move(array));
    shape.is_bare = false;
  }
  return true;
}

bool SchemaReader::check_names(size_t n, const std::string& place) {
  n_read_ += n;
  if (!spend(2 * n, place)) return false;
  if (n <= kSchemaNamesMax) return true;
  return fail(place, fmt::format("it has {} names, at most {} are read; take fewer", n, kSchemaNamesMax),
              Code::kResourceExhausted);
}

// What a keyword is for.
struct SchemaReader::Keyword {
  std::string_view name;
  enum class Kind : uint8_t { kNote, kKinds, kValues, kBound, kCount, kPattern, kFormat, kRequired, kList, kRef } kind;
};

const SchemaReader::Keyword* SchemaReader::find_keyword(std::string_view name) {
  using Kind = Keyword::Kind;
  static constexpr std::array kKeywords = {
      Keyword{"title", Kind::kNote},
      Keyword{"description", Kind::kNote},
      Keyword{"default", Kind::kNote},
      Keyword{"examples", Kind::kNote},
      Keyword{"deprecated", Kind::kNote},
      Keyword{"readOnly", Kind::kNote},
      Keyword{"writeOnly", Kind::kNote},
      Keyword{"$schema", Kind::kNote},
      Keyword{"$id", Kind::kNote},
      Keyword{"$anchor", Kind::kNote},
      Keyword{"$comment", Kind::kNote},
      Keyword{"$defs", Kind::kNote},
      Keyword{"definitions", Kind::kNote},
      Keyword{"contentEncoding", Kind::kNote},
      Keyword{"contentMediaType", Kind::kNote},
      Keyword{"contentSchema", Kind::kNote},
      Keyword{"discriminator", Kind::kNote},
      Keyword{"type", Kind::kKinds},
      Keyword{"enum", Kind::kValues},
      Keyword{"const", Kind::kValues},
      Keyword{"minimum", Kind::kBound},
      Keyword{"maximum", Kind::kBound},
      Keyword{"exclusiveMinimum", Kind::kBound},
      Keyword{"exclusiveMaximum", Kind::kBound},
      Keyword{"minLength", Kind::kCount},
      Keyword{"maxLength", Kind::kCount},
      Keyword{"minItems", Kind::kCount},
      Keyword{"maxItems", Kind::kCount},
      Keyword{"minProperties", Kind::kCount},
      Keyword{"maxProperties", Kind::kCount},
      Keyword{"pattern", Kind::kPattern},
      Keyword{"format", Kind::kFormat},
      Keyword{"required", Kind::kRequired},
      Keyword{"anyOf", Kind::kList},
      Keyword{"oneOf", Kind::kList},
      Keyword{"allOf", Kind::kList},
      Keyword{"$ref", Kind::kRef},
  };
  const auto* at = std::find_if(kKeywords.begin(), kKeywords.end(), [&](const Keyword& k) { return k.name == name; });
  return at != kKeywords.end() ? at : nullptr;
}

bool SchemaReader::read_keyword(std::string_view name, const Value& value, const std::string& place,
                                SchemaShape& shape) {
  using Kind = Keyword::Kind;
  const Keyword* keyword = find_keyword(name);
  if (keyword == nullptr) {
    return fail(place,
                fmt::format("the keyword {} is not one that answers are held to here (docs/forms.md lists those that "
                            "are); take it out, and say what it asks for in a message",
                            formats::printable(std::string(name), 60)),
                Code::kUnsupported);
  }
  if (keyword->kind == Kind::kNote) return true;
  if (keyword->kind != Kind::kList && keyword->kind != Kind::kRef) shape.is_bare = false;
  switch (keyword->kind) {
    case Kind::kNote: break;
    case Kind::kKinds: return read_kinds(value, place, shape);
    case Kind::kValues: return read_values(value, place, shape);
    case Kind::kBound: return read_bound(name, value, place, shape);
    case Kind::kCount: return read_count(name, value, place, shape);
    case Kind::kPattern: return read_pattern(value, place, shape);
    case Kind::kFormat: return read_format(value, place, shape);
    case Kind::kRequired: return read_required(value, place, shape);
    case Kind::kList: return read_list(name, value, place, shape);
    case Kind::kRef: return read_ref(value, place, shape);
  }
  return true;
}

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
                                   brief(value)));
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

bool SchemaReader::read_bound(std::string_view name, const Value& value, const std::string& place, SchemaShape& shape) {
  const auto decimal = decimal_of(value);
  if (!decimal) {
    return fail(place, fmt::format("it is {}, a number of 18 digits at most on each side of its point was wanted; "
                                   "correct it, or take it out",
                                   brief(value)));
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
    return fail(place, fmt::format("it is {}, a count from 0 on was wanted; correct it", brief(value)));
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
                fmt::format("the format {} is not known here ({} are); take it out, or write a pattern", brief(value),
                            format_names()),
                Code::kUnsupported);
  }
  auto automaton = parse_regex(regex, RegexMatch::kWhole, &builder_);
  if (!automaton.ok()) return fail(place, automaton.error().message, automaton.error().code);
  return add_pattern(std::make_shared<const RegexAutomaton>(std::move(automaton).value()), place, shape);
}

bool SchemaReader::read_required(const Value& value, const std::string& place, SchemaShape& shape) {
  const Value::List* list = value.as_list();
  if (list == nullptr) return fail(place, "a list of names was wanted; correct it");
  if (!check_names(list->size(), place)) return false;
  const auto kept_place = std::make_shared<const std::string>(place);
  for (const Value& name : *list) {
    if (name.as_string() == nullptr) return fail(place, fmt::format("it has {}, a name was wanted", brief(name)));
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
                            brief(value)),
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

bool SchemaReader::are_disjoint(const SchemaShape& a, const SchemaShape& b, int depth) {
  if (!spend(2, a.place)) return false;
  if (a.is_never || b.is_never) return true;
  const uint8_t common = a.kinds & b.kinds;
  if (common == 0) return true;
  const size_t n_values = (a.values ? a.values->size() : 0) + (b.values ? b.values->size() : 0);
  if (!spend(n_values, a.place)) return false;
  if (a.values && b.values) return !have_common(*a.values, *b.values);
  for (const auto* both : {&a, &b}) {
    if (!both->values) continue;
    const uint8_t kinds = (both == &a ? b : a).kinds;
    const auto is_outside = [&](const auto& value) { return (kinds_of(*value.second) & kinds) == 0; };
    if (std::all_of(both->values->begin(), both->values->end(), is_outside)) return true;
  }
  if (common != kObjectKind || depth >= kDisjointDepthMax) return false;
  for (const auto* both : {&a, &b}) {
    for (const std::string_view name : both->required.names) {
      if (both == &b && a.requires_property(name)) continue;
      if (!spend(4 + 4 * (a.objects.size() + b.objects.size()), a.place)) return false;
      SchemaShape in_a, in_b;
      if (!read(a.property(name), in_a) || !read(b.property(name), in_b)) return false;
      if (in_a.is_never || in_b.is_never) return true;  // one wants what the other forbids
      if (a.requires_property(name) && b.requires_property(name) && are_disjoint(in_a, in_b, depth + 1)) return true;
    }
  }
  return false;
}

}  // namespace naru::text
