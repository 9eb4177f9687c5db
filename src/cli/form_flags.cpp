#include "cli/form_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/json_text.h"
#include "cli/terminal.h"
#include "text/forms/matcher.h"
#include "text/utf8.h"
#include "text/value.h"

namespace naru::cli {
namespace {

constexpr int64_t kSchemaFileBytesMax = 4 << 20;

std::function<Status(const Given&)> set_form_text(std::optional<std::string>* target) {
  return [target](const Given& given) -> Status {
    if (given.text.empty()) return bad_value(given, "some text");
    *target = given.text;
    return {};
  };
}

}  // namespace

void add_form_flags(FormFlags& o, std::vector<Flag>& flags) {
  flags.push_back({"schema", "FILE", kGroupAnswer, "the answer is a value of this JSON schema (docs/forms.md)",
                   set_form_text(&o.schema_path)});
  flags.push_back(
      {"regex", "RE", kGroupAnswer, "the answer is a text of this regular expression", set_form_text(&o.regex)});
  flags.push_back({"choice", "TEXT", kGroupAnswer, "the answer is one of these texts; may be repeated",
                   [&o](const Given& given) -> Status {
                     if (given.text.empty()) return bad_value(given, "some text");
                     o.choices.push_back(given.text);
                     return {};
                   },
                   0, true});
}

Status check_form_flags(const FormFlags& o) {
  const int n = (o.schema_path ? 1 : 0) + (o.regex ? 1 : 0) + (o.choices.empty() ? 0 : 1);
  if (n <= 1) return {};
  return Error{Code::kInvalidArgument,
               "reading the command line: naru run: of --schema, --regex and --choice more than one was given, and an "
               "answer has one form; leave the others out"};
}

Result<std::optional<text::Form>> read_form(const FormFlags& o) {
  std::vector<std::string> texts = o.choices;
  if (o.regex) texts.push_back(*o.regex);
  for (const std::string& each : texts) {
    if (text::is_valid_utf8(each)) continue;
    return Error{Code::kInvalidArgument,
                 fmt::format("reading the command line: naru run: --{} is no valid UTF-8, as answers are; correct it",
                             o.regex ? "regex" : "choice")};
  }
  if (o.regex) return std::optional<text::Form>(text::RegexForm{*o.regex});
  if (!o.choices.empty()) return std::optional<text::Form>(text::ChoiceForm{o.choices});
  if (!o.schema_path) return std::optional<text::Form>();
  NARU_ASSIGN(const std::string file, read_file(*o.schema_path, kSchemaFileBytesMax));
  NARU_ASSIGN(text::Value schema, text::parse_value(file, *o.schema_path));
  return std::optional<text::Form>(text::SchemaForm{std::move(schema)});
}

std::string form_words(const FormFlags& o) {
  if (o.schema_path) return fmt::format("values of {}", one_line(*o.schema_path));
  if (o.regex) return fmt::format("texts of {}", one_line(*o.regex));
  return o.choices.empty() ? "" : fmt::format("one of {} texts", o.choices.size());
}

Result<std::shared_ptr<engine::SharedForm>> make_form(const text::Form& form, const engine::Engine& engine) {
  const auto vocabulary =
      std::make_shared<const engine::FormVocabulary>(*engine.tokenizer(), engine.vocab(), engine.eos_ids());
  constexpr auto kNoCalls = text::ToolCallForm::kNone;
  NARU_ASSIGN(text::CompiledForm compiled, text::compile(form, vocabulary->signs(kNoCalls)));
  return std::make_shared<engine::SharedForm>(vocabulary, std::move(compiled), kNoCalls);
}

std::shared_ptr<const engine::Constraint> constraint_of(const std::shared_ptr<engine::SharedForm>& form,
                                                        const engine::TextOptions& options) {
  return std::make_shared<const engine::FormConstraint>(form, options.split_reasoning, options.starts_in_reasoning);
}

Result<std::string> form_field(const text::Form& form) {
  const auto structured = [](const char* name, const Json& value) {
    Json asked;
    asked[name] = value;
    return fmt::format(R"("structured_outputs":{})", asked.dump());
  };
  if (const auto* regex = std::get_if<text::RegexForm>(&form)) return structured("regex", regex->regex);
  if (const auto* choice = std::get_if<text::ChoiceForm>(&form)) return structured("choice", choice->texts);
  // Its numbers may be wider than a library's.
  NARU_ASSIGN(const std::string schema, text::json_text(std::get<text::SchemaForm>(form).schema, kSchemaFileBytesMax));
  return fmt::format(
      R"("response_format":{{"type":"json_schema","json_schema":{{"name":"answer","strict":true,"schema":{}}}}})",
      schema);
}

Status check_form(const text::Form& form, const std::string& answer) {
  const auto wrong = [](std::string_view wanted, std::string_view field) {
    return Error{Code::kUnavailable,
                 fmt::format("reading the server's answer: it is not {}, which was asked for by {}, a field that this "
                             "server may not know; ask one that does (naru serve, vLLM), or leave the form out",
                             wanted, field)};
  };
  if (const auto* choice = std::get_if<text::ChoiceForm>(&form)) {
    const bool is_one = std::find(choice->texts.begin(), choice->texts.end(), answer) != choice->texts.end();
    return is_one ? Status() : wrong("one of --choice", "structured_outputs.choice");
  }
  if (std::holds_alternative<text::RegexForm>(form)) {
    const auto made = text::compile(form, {});
    if (!made.ok()) return {};  // an expression that the server alone reads
    text::FormMatcher matcher(made->grammar);
    const auto end = matcher.step(matcher.begin(made->content), answer);
    return end != text::FormMatcher::kDead && matcher.may_end(end)
               ? Status()
               : wrong("a text of --regex", "structured_outputs.regex");
  }
  return text::parse_value(answer, "the answer").ok() ? Status() : wrong("JSON", "response_format");
}

Status check_form_is_whole(const text::Form& form, const std::string& answer, int64_t n_tokens) {
  if (check_form(form, answer).ok()) return {};
  return Error{Code::kResourceExhausted,
               fmt::format("answering in a form: the answer has {} tokens, all that it may have, and its form is not "
                           "whole; give more (-n N, --context N), or ask for less",
                           n_tokens)};
}

}  // namespace naru::cli
