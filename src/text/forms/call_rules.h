// Calls of tools as rules: the texts that a model writes around names and arguments, with its markers, which are tokens
// or characters as its vocabulary has them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/forms/form.h"
#include "text/forms/grammar.h"
#include "text/forms/json_rules.h"

namespace naru::text {

class CallRules {
 public:
  CallRules(GrammarBuilder& builder, JsonRules& json, const CallsForm& form, const FormSigns& signs)
      : builder_(builder), json_(json), form_(form), signs_(signs) {}
  Result<RuleId> make();

 private:
  // Text with markers in it; those that are tokens come as tokens.
  void add_text(NodeId from, std::string_view text, NodeId to);
  bool is_token(size_t marker) const { return marker < signs_.marker_tokens.size() && signs_.marker_tokens[marker]; }
  // From a name to what stands behind its arguments.
  Result<RuleId> make_named();
  void add_calls(NodeId from, NodeId to);
  void add_words(RuleId rule);
  void add_words_of_bare(RuleId rule);
  void add_free_tokens(NodeId node, size_t but_marker);

  GrammarBuilder& builder_;
  JsonRules& json_;
  const CallsForm& form_;
  const FormSigns& signs_;
  RuleId named_ = 0, call_ = 0;
};

// From `from`, text without `sign` in it, and the sign; `sign` begins with '<' and has no other. `end`: where it leads
// in the middle of what may become the sign.
void add_until(GrammarBuilder& builder, NodeId from, std::string_view sign, NodeId to,
               std::optional<NodeId> end = std::nullopt);

}  // namespace naru::text
