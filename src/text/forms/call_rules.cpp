#include "text/forms/call_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/forms/schema_rules.h"

namespace naru::text {

void add_until(GrammarBuilder& builder, NodeId from, std::string_view sign, NodeId to, std::optional<NodeId> end) {
  NodeId node = from;
  NodeId first = 0;  // behind '<'
  for (size_t i = 0; i < sign.size(); ++i) {
    const NodeId next = i + 1 < sign.size() ? builder.add_node() : to;
    if (i == 0) first = next;
    const auto wanted = static_cast<unsigned char>(sign[i]);
    builder.add_range(node, wanted, wanted, next);
    // Anything else begins anew.
    const unsigned char other = i == 0 ? wanted : static_cast<unsigned char>('<');
    const auto [low, high] = std::minmax(wanted, other);
    if (i > 0) builder.add_range(node, other, other, first);
    if (low > 0) builder.add_range(node, 0, static_cast<FormSymbol>(low - 1), from);
    if (low + 1 < high)
      builder.add_range(node, static_cast<FormSymbol>(low + 1), static_cast<FormSymbol>(high - 1), from);
    builder.add_range(node, static_cast<FormSymbol>(high + 1), 255, from);
    if (i > 0) builder.add_range(node, kOtherToken, kFormSymbols - 1, from);
    if (i > 0 && end) builder.add_jump(node, *end);
    node = next;
  }
}

void CallRules::add_text(NodeId from, std::string_view text, NodeId to) {
  const auto markers = tool_call_markers(form_.form);
  while (!text.empty()) {
    size_t at = text.size(), n = 0;
    size_t marker = 0;
    for (size_t i = 0; i < markers.size(); ++i) {
      const size_t found = is_token(i) ? text.find(markers[i]) : std::string_view::npos;
      if (found < at) at = found, n = markers[i].size(), marker = i;
    }
    if (at > 0) {
      const NodeId next = builder_.add_node();
      builder_.add_text(from, text.substr(0, at), next);
      from = next;
    }
    if (n > 0) {
      const auto symbol = static_cast<FormSymbol>(kFirstCallMarker + marker);
      const NodeId next = builder_.add_node();
      builder_.add_range(from, symbol, symbol, next);
      from = next;
    }
    text.remove_prefix(at + n);
  }
  builder_.add_jump(from, to);
}

Result<RuleId> CallRules::make_named() {
  const RuleId named = builder_.add_rule("a call");
  const NodeId behind = builder_.add_node();
  add_text(behind, form_.texts.behind_arguments, builder_.end_of(named));
  for (const FormTool& tool : form_.tools) {
    const NodeId before = builder_.add_node(), arguments = builder_.add_node();
    builder_.add_text(builder_.rule(named).start, tool.name, before);
    add_text(before, form_.texts.before_arguments, arguments);
    RuleId rule = 0;
    if (tool.schema) {
      auto made = SchemaRules(builder_, json_, *tool.schema).make();
      if (!made.ok()) {
        return Error{made.error().code,
                     fmt::format("reading the schema of the tool {}: {}", tool.name, made.error().message)};
      }
      rule = *made;
    } else {
      rule = json_.object();
    }
    builder_.add_call(arguments, rule, behind);
  }
  return named;
}

void CallRules::add_calls(NodeId from, NodeId to) {
  const NodeId first = builder_.add_node(), behind = builder_.add_node();
  add_text(from, form_.texts.before_all, first);
  builder_.add_call(first, call_, behind);
  add_text(behind, form_.texts.behind_all, to);
  // One form alone has calls one after the other.
  if (form_.is_one_only || form_.form == ToolCallForm::kBare) return;
  const NodeId next = builder_.add_node();
  add_text(behind, form_.texts.between, next);
  builder_.add_call(next, call_, behind);
}

void CallRules::add_free_tokens(NodeId node, size_t but_marker) {
  builder_.add_range(node, kOtherToken, kReasoningClose, node);
  for (size_t i = 0; kFirstCallMarker + i < kFormSymbols; ++i) {
    const auto symbol = static_cast<FormSymbol>(kFirstCallMarker + i);
    if (i != but_marker) builder_.add_range(node, symbol, symbol, node);
  }
}

// What begins with a brace, or behind the marker, is a call; anything else has none.
void CallRules::add_words_of_bare(RuleId rule) {
  const NodeId begin = builder_.add_node(), words = builder_.add_node(), end = builder_.end_of(rule);
  builder_.add_jump(builder_.rule(rule).start, begin);
  builder_.add_jump(begin, end);
  builder_.add_jump(words, end);
  for (const char blank : {' ', '\t', '\n', '\r'}) builder_.add_byte(begin, blank, begin);
  builder_.add_range(begin, 0, 8, words);
  builder_.add_range(begin, 11, 12, words);
  builder_.add_range(begin, 14, 31, words);
  builder_.add_range(begin, 33, '{' - 1, words);
  builder_.add_range(begin, '{' + 1, 255, words);
  builder_.add_range(begin, kOtherToken, kReasoningClose, words);
  builder_.add_range(words, 0, 255, words);
  builder_.set_plain(words, kPlainUnbounded);
  add_free_tokens(words, kFormSymbols);
  add_calls(begin, end);
  if (!is_token(0)) return;
  const NodeId marked = builder_.add_node();
  builder_.add_range(begin, kFirstCallMarker, kFirstCallMarker, marked);
  add_calls(marked, end);
}

// Words, and calls among them where their first marker opens them.
void CallRules::add_words(RuleId rule) {
  if (form_.form == ToolCallForm::kBare) return add_words_of_bare(rule);
  const NodeId words = builder_.add_node(), opened = builder_.add_node(), end = builder_.end_of(rule);
  const NodeId behind = form_.is_one_only ? end : words;
  builder_.add_jump(builder_.rule(rule).start, words);
  builder_.add_jump(words, end);
  const std::string_view marker = tool_call_markers(form_.form)[0];
  if (is_token(0)) {
    add_free_tokens(words, 0);
    builder_.add_range(words, 0, 255, words);
    builder_.set_plain(words, kPlainUnbounded);
    builder_.add_range(words, kFirstCallMarker, kFirstCallMarker, opened);
  } else {
    add_free_tokens(words, kFormSymbols);
    add_until(builder_, words, marker, opened, end);
  }
  const CallTexts& texts = form_.texts;
  if (texts.before_all.empty()) {
    // Every call has the marker, and the next one comes as the first did.
    const NodeId name = builder_.add_node();
    add_text(opened, std::string_view(texts.before_name).substr(marker.size()), name);
    builder_.add_call(name, named_, behind);
    return;
  }
  CallsForm rest = form_;
  rest.texts.before_all.erase(0, marker.size());
  CallRules inner(builder_, json_, rest, signs_);
  inner.named_ = named_;
  inner.call_ = call_;
  inner.add_calls(opened, behind);
}

Result<RuleId> CallRules::make() {
  NARU_CHECK(form_.form != ToolCallForm::kNone, "calls of no form");
  NARU_ASSIGN(named_, make_named());
  call_ = builder_.add_rule("a call");
  const NodeId name = builder_.add_node();
  add_text(builder_.rule(call_).start, form_.texts.before_name, name);
  builder_.add_call(name, named_, builder_.end_of(call_));
  const RuleId rule = builder_.add_rule("the answer");
  if (form_.must_call) {
    add_calls(builder_.rule(rule).start, builder_.end_of(rule));
  } else {
    add_words(rule);
  }
  return rule;
}

}  // namespace naru::text
