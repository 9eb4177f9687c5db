#include "text/forms/form.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "text/forms/call_rules.h"
#include "text/forms/json_rules.h"
#include "text/forms/matcher.h"
#include "text/forms/regex.h"
#include "text/forms/schema_rules.h"
#include "text/segment.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

// White space that may stand between the end of reasoning and JSON: "\n\n" is what models are trained to write there.
constexpr int kBlanksBehindReasoning = 2;

Error about_form(std::string_view doing, const Error& error) {
  return {error.code, fmt::format("{}: {}", doing, error.message)};
}

// Makes the rule of the content, and says how messages begin.
class ContentMaker {
 public:
  ContentMaker(GrammarBuilder& builder, JsonRules& json, const FormSigns& signs)
      : builder_(builder), json_(json), signs_(signs) {}

  Result<RuleId> operator()(const SchemaForm& form) {
    auto rule = SchemaRules(builder_, json_, form.schema).make();
    if (!rule.ok()) return about_form("reading the schema", rule.error());
    return rule;
  }

  Result<RuleId> operator()(const RegexForm& form) {
    const auto automaton = parse_regex(form.regex, RegexMatch::kWhole, &builder_);
    if (!automaton.ok()) return about_form("reading the regular expression", automaton.error());
    const RuleId rule = builder_.add_rule("it");
    add_regex(builder_, builder_.rule(rule).start, *automaton, {}, Spelling::kText, builder_.end_of(rule));
    return rule;
  }

  Result<RuleId> operator()(const ChoiceForm& form) {
    constexpr std::string_view kDoing = "reading the choices";
    size_t bytes = 0;
    for (const std::string& text : form.texts) {
      bytes += text.size();
      if (text.empty() || !is_valid_utf8(text)) {
        return Error{Code::kInvalidArgument, fmt::format("{}: one is {}, some text was wanted; correct it", kDoing,
                                                         text.empty() ? "empty" : "no valid UTF-8")};
      }
    }
    if (form.texts.empty() || form.texts.size() > kChoicesOfFormMax || bytes > kFormTextBytesMax) {
      return Error{Code::kResourceExhausted,
                   fmt::format("{}: there are {} of {} bytes, 1 to {} of {} bytes at most were wanted; give others",
                               kDoing, form.texts.size(), bytes, kChoicesOfFormMax, kFormTextBytesMax)};
    }
    const std::set<std::string> texts(form.texts.begin(), form.texts.end());
    const RuleId rule = builder_.add_rule("it");
    builder_.add_texts(builder_.rule(rule).start, std::vector<std::string>(texts.begin(), texts.end()),
                       builder_.end_of(rule));
    return rule;
  }

  Result<RuleId> operator()(const CallsForm& form) { return CallRules(builder_, json_, form, signs_).make(); }

 private:
  GrammarBuilder& builder_;
  JsonRules& json_;
  const FormSigns& signs_;
};

std::string_view doing_of(const Form& form) {
  constexpr std::string_view kDoing[] = {"reading the schema", "reading the regular expression", "reading the choices",
                                         "reading the tools' schemas"};
  return kDoing[form.index()];
}

// Reasoning from inside on, and then the content.
NodeId add_reasoning(GrammarBuilder& builder, const FormSigns& signs, NodeId behind) {
  const NodeId inside = builder.add_node();
  for (const FormSymbol symbol : {kOtherToken, kReasoningOpen}) builder.add_range(inside, symbol, symbol, inside);
  builder.add_range(inside, kFirstCallMarker, kFormSymbols - 1, inside);
  if (signs.has_close_token) {
    builder.add_range(inside, 0, 255, inside);
    builder.set_plain(inside, kPlainUnbounded);
    builder.add_range(inside, kReasoningClose, kReasoningClose, behind);
    return inside;
  }
  add_until(builder, inside, kThinkClose, behind);
  return inside;
}

}  // namespace

Result<CompiledForm> compile(const Form& form, const FormSigns& signs) {
  GrammarBuilder builder(signs.longest_token);
  JsonRules json(builder);
  NARU_ASSIGN(const RuleId content, std::visit(ContentMaker(builder, json, signs), form));
  CompiledForm made;
  const bool takes_blanks = std::holds_alternative<SchemaForm>(form) ||
                            (std::holds_alternative<CallsForm>(form) && std::get<CallsForm>(form).must_call);
  const auto add_root = [&] {
    const RuleId root = builder.add_rule(builder.rule(content).place);
    return root;
  };
  made.content = add_root();
  builder.add_call(builder.rule(made.content).start, content, builder.end_of(made.content));
  made.inside_reasoning = add_root();
  NodeId behind = builder.add_node();
  const NodeId reasoning = add_reasoning(builder, signs, behind);
  builder.add_jump(builder.rule(made.inside_reasoning).start, reasoning);
  builder.add_call(behind, content, builder.end_of(made.inside_reasoning));
  for (int i = 0; takes_blanks && i < kBlanksBehindReasoning; ++i) {
    const NodeId next = builder.add_node();
    for (const char blank : {' ', '\t', '\n', '\r'}) builder.add_byte(behind, blank, next);
    builder.add_call(next, content, builder.end_of(made.inside_reasoning));
    behind = next;
  }
  made.maybe_reasoning = add_root();
  builder.add_call(builder.rule(made.maybe_reasoning).start, content, builder.end_of(made.maybe_reasoning));
  if (signs.has_open_token) {
    const NodeId opened = builder.add_node();
    builder.add_range(builder.rule(made.maybe_reasoning).start, kReasoningOpen, kReasoningOpen, opened);
    builder.add_call(opened, made.inside_reasoning, builder.end_of(made.maybe_reasoning));
  }
  const RuleId roots[] = {made.content};
  auto grammar = builder.finish(roots);
  if (!grammar.ok()) return about_form(doing_of(form), grammar.error());
  made.grammar = std::move(grammar).value();
  FormMatcher first(made.grammar);
  if (first.begin(made.content) == FormMatcher::kDead) {
    return Error{Code::kResourceExhausted,
                 fmt::format("{}: nothing can begin it: its first {} parts all take nothing; take out what is empty",
                             doing_of(form), kMatcherLooksMax)};
  }
  return made;
}

}  // namespace naru::text
