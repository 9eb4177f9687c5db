// SchemaShape: what several JSON schemas, all of which must hold, say together of one value, without looking into its
// parts. SchemaReader reads schemas into it, and refuses what is not done.
//
// Keywords that are read (JSON Schema 2020-12): type enum const; properties patternProperties propertyNames required
// dependentRequired dependentSchemas additionalProperties minProperties maxProperties; items prefixItems minItems
// maxItems, and a list as items with additionalItems, which they were before; minLength maxLength pattern format;
// minimum maximum exclusiveMinimum exclusiveMaximum multipleOf; anyOf oneOf allOf $ref $defs definitions; true and
// false. Without effect, as the standard has it: title description default examples deprecated readOnly writeOnly
// $schema $id $anchor $comment contentEncoding contentMediaType contentSchema, and discriminator. All others are
// refused.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/forms/number_rules.h"
#include "text/forms/regex.h"
#include "text/value.h"

namespace naru::text {

inline constexpr size_t kSchemaBytesMax = 256 << 10;  // of one, as json.dumps writes it
inline constexpr int kValueDepthMax = 100;            // of what a value of enum must meet

// A schema inside the document, and its place there: "#/properties/a".
struct SchemaRef {
  const Value* schema = nullptr;
  std::string place;
};
using SchemaRefs = std::vector<SchemaRef>;  // all of which must hold

enum ValueKind : uint8_t {
  kNullKind = 1,
  kBoolKind = 2,
  kIntegerKind = 4,
  kRealKind = 8,  // numbers that are no integers
  kStringKind = 16,
  kArrayKind = 32,
  kObjectKind = 64,
  kAnyKind = 127,
};
inline constexpr uint8_t kNumberKinds = uint8_t{kIntegerKind} | uint8_t{kRealKind};

// A value as messages show it.
std::string brief_value(const Value& value);
// A name as a part of a place: "a~1b".
std::string pointer_part(std::string_view name);

// The kinds that a value is of: 1.0 is an integer and a number.
uint8_t kinds_of(const Value& value);
// Values as numbers that are the same of equal ones, in order, none twice; each with one value that it stands for.
using NumberedValues = std::vector<std::pair<uint32_t, const Value*>>;
bool have_common(const NumberedValues& a, const NumberedValues& b);

// Names in the order in which they are asked for, none twice.
struct RequiredNames {
  std::vector<std::string_view> names;
  std::vector<std::shared_ptr<const std::string>> places;  // of the keyword that asks for each
  std::unordered_set<std::string_view> known;
  void add(std::string_view name, const std::shared_ptr<const std::string>& place);
};

struct SchemaShape {
  // What one schema says of an object's or an array's parts.
  struct ObjectPart {
    const Value::Object* properties = nullptr;  // null: none
    std::shared_ptr<const std::unordered_map<std::string_view, const Value*>> by_name;
    // Names that a pattern is found in.
    struct Pattern {
      std::shared_ptr<const RegexAutomaton> names;
      const Value* schema;
      std::string place;
    };
    std::vector<Pattern> patterns;
    const Value* additional = nullptr;  // null: any
    std::string place;
  };
  struct ArrayPart {
    const Value::List* prefix = nullptr;
    const Value* items = nullptr;
    std::string place;
  };
  // Of which one must hold as well.
  struct Choice {
    SchemaRefs alternatives;
    bool is_one_only = false;  // and no other: oneOf
    std::string place;
  };

  uint8_t kinds = kAnyKind;
  bool is_never = false;
  bool is_bare = true;  // nothing but choices so far
  std::optional<NumberedValues> values;
  NumberBounds numbers;
  LengthBounds length;
  std::shared_ptr<const RegexAutomaton> pattern;  // all of them at once
  std::vector<ObjectPart> objects;
  RequiredNames required;
  LengthBounds properties;
  SchemaRefs names;  // that each name must meet
  std::vector<ArrayPart> arrays;
  LengthBounds items;
  std::vector<Choice> choices;
  std::string place;                                  // of the first schema
  std::string min_items_place, min_properties_place;  // of those that ask for most

  size_t size() const {  // of a copy, about
    size_t n_patterns = 0;
    for (const ObjectPart& part : objects) n_patterns += part.patterns.size();
    return 8 + (values ? values->size() / 4 : 0) + 2 * required.names.size() + objects.size() + n_patterns +
           arrays.size() + choices.size();
  }
  SchemaRefs item(size_t index) const;
  bool requires_property(std::string_view name) const { return required.known.contains(name); }
};

class SchemaReader {
 public:
  // Both must outlive it. Its work is the builder's.
  SchemaReader(GrammarBuilder& builder, const Value& root) : builder_(builder), root_(root) {}

  // False where something is wrong, and error() says what.
  bool read(const SchemaRef& ref, SchemaShape& shape);
  bool read(const SchemaRefs& refs, SchemaShape& shape);
  // What a property must meet; `false` among them: it may not be there.
  SchemaRefs property(const SchemaShape& shape, std::string_view name);
  // Whether no text is in both; false too where error() says why that is not known.
  bool are_apart(const RegexAutomaton& a, const RegexAutomaton& b, const std::string& place);
  // Whether no value can meet both: true only where that is plain.
  bool are_disjoint(const SchemaShape& a, const SchemaShape& b, int depth = 0);
  // Whether a value meets all that is said; false too where error() says why that is not known.
  bool admits(const SchemaShape& shape, const Value& value, int depth = 0);
  // What each name of an object must be, all of shape.names at once.
  bool read_names(const SchemaShape& shape, SchemaShape& name);
  bool has_failed() const { return error_.has_value(); }
  // False where the work that a form may take is used up, with error().
  bool spend(uint64_t steps, const std::string& place);

  bool fail(const std::string& place, std::string_view what, Code code = Code::kInvalidArgument);
  const Error& error() const { return *error_; }

 private:
  struct Keyword;
  static const Keyword* find_keyword(std::string_view name);
  bool read_keyword(std::string_view name, const Value& value, const std::string& place, SchemaShape& shape);
  bool read_kinds(const Value& value, const std::string& place, SchemaShape& shape);
  bool read_values(const Value& value, const std::string& place, SchemaShape& shape);
  bool read_bound(std::string_view name, const Value& value, const std::string& place, SchemaShape& shape);
  bool read_count(std::string_view name, const Value& value, const std::string& place, SchemaShape& shape);
  bool read_pattern(const Value& value, const std::string& place, SchemaShape& shape);
  bool read_format(const Value& value, const std::string& place, SchemaShape& shape);
  bool read_multiple(const Value& value, const std::string& place, SchemaShape& shape);
  bool read_dependent(std::string_view name, const Value& value, const std::string& place, SchemaShape& shape);
  bool read_patterns(const Value& value, const std::string& place, SchemaShape::ObjectPart& object);
  bool read_required(const Value& value, const std::string& place, SchemaShape& shape);
  bool read_list(std::string_view name, const Value& value, const std::string& place, SchemaShape& shape);
  bool read_ref(const Value& value, const std::string& place, SchemaShape& shape);
  bool add_pattern(std::shared_ptr<const RegexAutomaton> automaton, const std::string& place, SchemaShape& shape);
  bool admits(const SchemaRefs& refs, const Value& value, int depth);
  bool matches(const RegexAutomaton& automaton, std::string_view text);
  uint32_t number_of(const Value& value);
  bool contains(const NumberedValues& values, const Value& value);
  bool check_names(size_t n, const std::string& place);
  bool read_parts(const SchemaRef& ref, SchemaShape& shape);

  GrammarBuilder& builder_;
  const Value& root_;
  std::unordered_map<const Value*, uint32_t> numbers_;                                // of values of enum and const
  std::unordered_map<std::string, uint32_t> numbers_by_key_;                          // equality_key()
  std::unordered_map<const Value*, std::shared_ptr<const RegexAutomaton>> automata_;  // of patterns and formats
  std::unordered_map<const Value*, std::vector<std::unique_ptr<const Value>>> dependents_;  // schemas made of them
  std::vector<const Value*> open_;  // schemas that are being read: one that comes again is a circle
  size_t n_read_ = 0;
  std::optional<Error> error_;
};

// A regular expression of a format's whole texts; empty: the format is not known.
std::string_view format_regex(std::string_view format);
std::string format_names();  // "date, time, ..."

}  // namespace naru::text
