// JsonRules: the parts of JSON as rules of a grammar. What is written is RFC 8259, a little narrower than it: white
// space is one blank, or a line break and up to 64 blanks and tabs, and stands behind [ { , : and before ] } alone; so
// compact text, that of Python's json.dumps, and indented text fit, and nothing can be blanks for ever. A number has 40
// digits before its point and 40 behind it at most, or one before it and an exponent of -999 to 307.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "text/forms/grammar.h"
#include "text/forms/regex.h"
#include "text/value.h"

namespace naru::text {

class JsonRules {
 public:
  explicit JsonRules(GrammarBuilder& builder) : builder_(builder) {}

  // Each adds its part between two nodes.
  void add_blanks(NodeId from, NodeId to) { builder_.add_call(from, blanks(), to); }
  void add_string(NodeId from, NodeId to);  // any, escapes too
  // By the number of its characters; any, escapes too.
  void add_counted_string(NodeId from, const LengthBounds& bounds, NodeId to);
  // Of a language; each character in its one spelling.
  void add_regex_string(NodeId from, const RegexAutomaton& automaton, const LengthBounds& bounds, NodeId to);
  // Any key but these, in its one spelling.
  void add_other_key(NodeId from, std::span<const std::string> names, NodeId to);
  void add_number(NodeId from, NodeId to);
  void add_integer(NodeId from, NodeId to);
  // A language that is known to be right, as text.
  void add_text_regex(NodeId from, std::string_view regex, NodeId to);
  // This value and no other.
  void add_literal(NodeId from, const Value& value, NodeId to);
  void add_value(NodeId from, NodeId to) { builder_.add_call(from, value(), to); }

  RuleId value();   // any
  RuleId object();  // any
  RuleId array();   // any

 private:
  RuleId blanks();
  RuleId string_rest();     // behind the opening quote
  RuleId long_character();  // of a string, and no plain one of ASCII
  RuleId number();
  void add_plain_ascii(NodeId from, NodeId to);
  void add_long_characters(NodeId from, NodeId to);

  GrammarBuilder& builder_;
  std::optional<RuleId> blanks_, string_rest_, long_character_, number_, integer_, value_, object_, array_;
};

// All texts but these.
RegexAutomaton other_texts(std::span<const std::string> names);

// The JSON text of a value that is no object and no array, as add_literal writes it.
std::string scalar_text(const Value& value);

}  // namespace naru::text
