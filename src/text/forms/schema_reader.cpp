// SchemaReader: the walk through schemas: what refers to what, which keyword is for what, and which work it takes.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "formats/utf8.h"
#include "text/forms/schema_shape.h"
#include "text/forms/schema_values.h"

namespace naru::text {
namespace {

constexpr size_t kSchemaNamesMax = 4096;
constexpr size_t kSchemasReadMax = 1 << 18;  // each as often as it is looked at
constexpr size_t kSchemaChainMax = 200;      // $ref and allOf inside each other
constexpr int kDisjointDepthMax = 4;

}  // namespace

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
    return fail(ref.place, fmt::format("it is {}, a schema was wanted: an object, true or false; correct it",
                                       brief_value(*ref.schema)));
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
  SchemaShape::ObjectPart object;
  object.place = ref.place;
  SchemaShape::ArrayPart array{nullptr, nullptr, ref.place};
  for (const auto& [name, value] : *ref.schema->as_object()) {
    const std::string place = ref.place + "/" + pointer_part(name);
    if (!spend(4, place)) return false;
    const bool is_schema = value.as_bool() != nullptr || value.as_object() != nullptr;
    const bool is_list_of_items = (name == "items" && value.as_list() != nullptr) || name == "prefixItems";
    if (name == "properties") {
      object.properties = value.as_object();
      if (object.properties == nullptr) return fail(place, "an object of schemas was wanted; correct it");
      if (!check_names(object.properties->size(), place)) return false;
      auto by_name = std::make_shared<std::unordered_map<std::string_view, const Value*>>();
      for (const auto& [key, schema] : *object.properties) by_name->emplace(key, &schema);
      object.by_name = std::move(by_name);
    } else if (name == "patternProperties") {
      if (!read_patterns(value, place, object)) return false;
    } else if (is_list_of_items) {
      const bool is_first = array.prefix == nullptr;
      array.prefix = value.as_list();
      if (array.prefix == nullptr) return fail(place, "a list of schemas was wanted; correct it");
      if (!is_first) return fail(place, "prefixItems and a list as items are two words for one thing; take one out");
    } else if (name == "additionalProperties" || name == "items" || name == "additionalItems" ||
               name == "propertyNames") {
      if (!is_schema) return fail(place, fmt::format("it is {}, a schema was wanted; correct it", brief_value(value)));
      if (name == "propertyNames") {
        shape.names.push_back({&value, place});
        shape.is_bare = false;
      } else if (name == "additionalProperties") {
        object.additional = &value;
      } else {
        // Beside items that are no list, additionalItems never had an effect.
        const Value* items = ref.schema->find("items");
        if (name == "items" || (items != nullptr && items->as_list() != nullptr)) array.items = &value;
      }
    } else if (!read_keyword(name, value, place, shape)) {
      return false;
    }
  }
  if (object.properties != nullptr || object.additional != nullptr || !object.patterns.empty()) {
    shape.objects.push_back(std::move(object));
    shape.is_bare = false;
  }
  if (array.prefix != nullptr || array.items != nullptr) {
    shape.arrays.push_back(std::move(array));
    shape.is_bare = false;
  }
  return true;
}

bool SchemaReader::read_patterns(const Value& value, const std::string& place, SchemaShape::ObjectPart& object) {
  if (value.as_object() == nullptr) return fail(place, "an object of schemas was wanted; correct it");
  if (!check_names(value.as_object()->size(), place)) return false;
  for (const auto& [pattern, schema] : *value.as_object()) {
    const std::string inner = place + "/" + pointer_part(pattern);
    std::shared_ptr<const RegexAutomaton>& names = automata_[&schema];
    if (names == nullptr) {
      auto automaton = parse_regex(pattern, RegexMatch::kAnywhere, &builder_);
      if (!automaton.ok()) return fail(inner, automaton.error().message, automaton.error().code);
      names = std::make_shared<const RegexAutomaton>(std::move(automaton).value());
    }
    object.patterns.push_back({names, &schema, inner});
  }
  return true;
}

SchemaRefs SchemaReader::property(const SchemaShape& shape, std::string_view name) {
  static const Value kForbidden(false);
  SchemaRefs refs;
  for (const SchemaShape::ObjectPart& part : shape.objects) {
    bool is_known = false;
    if (part.by_name != nullptr) {
      if (const auto at = part.by_name->find(name); at != part.by_name->end()) {
        refs.push_back({at->second, part.place + "/properties/" + pointer_part(name)});
        is_known = true;
      }
    }
    for (const SchemaShape::ObjectPart::Pattern& pattern : part.patterns) {
      // Said here once the work is used up: matches() is false then, and so would be all that follow.
      if (!spend(1, pattern.place)) return refs;
      if (!matches(*pattern.names, name)) continue;
      refs.push_back({pattern.schema, pattern.place});
      is_known = true;
    }
    if (!is_known && part.additional != nullptr)
      refs.push_back({part.additional, part.place + "/additionalProperties"});
  }
  SchemaShape wanted;
  if (shape.names.empty() || !read_names(shape, wanted) || admits(wanted, Value(name))) return refs;
  refs.push_back({&kForbidden, shape.names.front().place});
  return refs;
}

bool SchemaReader::are_apart(const RegexAutomaton& a, const RegexAutomaton& b, const std::string& place) {
  const auto both = intersection(a, b, builder_);
  if (!both.ok()) return fail(place, both.error().message, both.error().code);
  // All of its states are reached.
  return std::none_of(both->states.begin(), both->states.end(), [](const auto& state) { return state.is_final; });
}

bool SchemaReader::read_names(const SchemaShape& shape, SchemaShape& name) {
  if (!read(shape.names, name)) return false;
  if (name.choices.empty()) return true;
  return fail(name.choices.front().place, "alternatives are not done in propertyNames; write one pattern, or enum",
              Code::kUnsupported);
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
  enum class Kind : uint8_t {
    kNote,
    kKinds,
    kValues,
    kBound,
    kMultiple,
    kCount,
    kPattern,
    kFormat,
    kRequired,
    kDependent,
    kList,
    kRef
  } kind;
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
      Keyword{"multipleOf", Kind::kMultiple},
      Keyword{"minLength", Kind::kCount},
      Keyword{"maxLength", Kind::kCount},
      Keyword{"minItems", Kind::kCount},
      Keyword{"maxItems", Kind::kCount},
      Keyword{"minProperties", Kind::kCount},
      Keyword{"maxProperties", Kind::kCount},
      Keyword{"pattern", Kind::kPattern},
      Keyword{"format", Kind::kFormat},
      Keyword{"required", Kind::kRequired},
      Keyword{"dependentRequired", Kind::kDependent},
      Keyword{"dependentSchemas", Kind::kDependent},
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
  const bool is_choice = keyword->kind == Kind::kList || keyword->kind == Kind::kDependent;
  if (!is_choice && keyword->kind != Kind::kRef) shape.is_bare = false;
  switch (keyword->kind) {
    case Kind::kNote: break;
    case Kind::kKinds: return read_kinds(value, place, shape);
    case Kind::kValues: return read_values(value, place, shape);
    case Kind::kBound: return read_bound(name, value, place, shape);
    case Kind::kMultiple: return read_multiple(value, place, shape);
    case Kind::kCount: return read_count(name, value, place, shape);
    case Kind::kPattern: return read_pattern(value, place, shape);
    case Kind::kFormat: return read_format(value, place, shape);
    case Kind::kRequired: return read_required(value, place, shape);
    case Kind::kDependent: return read_dependent(name, value, place, shape);
    case Kind::kList: return read_list(name, value, place, shape);
    case Kind::kRef: return read_ref(value, place, shape);
  }
  return true;
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
      if (!read(property(a, name), in_a) || !read(property(b, name), in_b)) return false;
      if (in_a.is_never || in_b.is_never) return true;  // one wants what the other forbids
      if (a.requires_property(name) && b.requires_property(name) && are_disjoint(in_a, in_b, depth + 1)) return true;
    }
  }
  return false;
}

}  // namespace naru::text
