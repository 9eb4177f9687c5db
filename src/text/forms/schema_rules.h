// From a JSON schema to rules of a grammar (schema_shape.h says which keywords are read). Properties are written in the
// schema's order: those of `properties`, then those that only `required` names, then others.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "text/forms/grammar.h"
#include "text/forms/json_rules.h"
#include "text/forms/object_rules.h"
#include "text/forms/schema_shape.h"

namespace naru::text {

inline constexpr size_t kSchemaShapesMax = 1 << 14;  // of one schema, alternatives multiplied out
inline constexpr int kSchemaChoicesDeepMax = 32;     // anyOf in the same value inside each other

class SchemaRules {
 public:
  // Both must outlive it.
  SchemaRules(GrammarBuilder& builder, JsonRules& json, const Value& schema)
      : builder_(builder), json_(json), schema_(schema), reader_(builder, schema) {}

  // The rule of the whole schema. Messages are without their first part; they begin with the place in the schema.
  Result<RuleId> make();

 private:
  struct Work {
    RuleId rule;
    SchemaRefs refs;
  };
  // The grammar has become too large at this value, of so many alternatives.
  Error full_error(const std::string& place, size_t n_alternatives) const;
  // The rule of a value that must meet all of these: made later.
  RuleId rule_of(const SchemaRefs& refs);
  bool add_shape(const SchemaShape& shape, RuleId rule, int depth);
  bool add_choice(const SchemaShape& shape, RuleId rule, int depth);
  bool check_one_only(const SchemaShape::Choice& choice, const std::vector<SchemaShape>& shapes);
  bool add_values(const SchemaShape& shape, RuleId rule);
  bool add_numbers(const SchemaShape& shape, NodeId from, NodeId to);
  bool add_strings(const SchemaShape& shape, NodeId from, NodeId to);
  // The rule of a part that is asked for: where it is forbidden, the message names who asks.
  RuleId asked_rule(const SchemaRefs& refs, const std::string& place, std::string_view what);
  void add_array(const SchemaShape& shape, RuleId rule);
  bool add_object(const SchemaShape& shape, RuleId rule);
  // The names that the shape lists, asks for, or allows alone, in that order.
  bool list_names(const SchemaShape& shape, const SchemaShape& wanted, std::vector<std::string>& names);
  // Other names, each with what it must meet. `wanted`: of every name.
  bool add_others(const SchemaShape& shape, const SchemaShape& wanted, std::span<const std::string> names,
                  std::vector<ObjectRules::Others>& others);
  bool add_other_names(const SchemaShape& wanted, std::span<const std::string> names, const RegexAutomaton* pattern,
                       const std::string& place, RuleId key);

  GrammarBuilder& builder_;
  JsonRules& json_;
  const Value& schema_;
  SchemaReader reader_;
  std::map<std::vector<const Value*>, RuleId> rules_;
  std::vector<Work> open_;
  size_t n_shapes_ = 0;
};

}  // namespace naru::text
