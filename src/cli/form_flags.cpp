#include "cli/form_flags.h"

#include <fmt/format.h>

#include "base/file.h"
#include "engine/form_constraint.h"
#include "formats/utf8.h"
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
  if (o.regex) return std::optional<text::Form>(text::RegexForm{*o.regex});
  if (!o.choices.empty()) return std::optional<text::Form>(text::ChoiceForm{o.choices});
  if (!o.schema_path) return std::optional<text::Form>();
  NARU_ASSIGN(const std::string file, read_file(*o.schema_path, kSchemaFileBytesMax));
  NARU_ASSIGN(text::Value schema, text::parse_value(file, *o.schema_path));
  return std::optional<text::Form>(text::SchemaForm{std::move(schema)});
}

Result<std::shared_ptr<const engine::Constraint>> make_constraint(const text::Form& form, const engine::Engine& engine,
                                                                  const engine::TextOptions& options) {
  const auto vocabulary =
      std::make_shared<const engine::FormVocabulary>(*engine.tokenizer(), engine.vocab(), engine.eos_ids());
  constexpr auto kNoCalls = text::ToolCallForm::kNone;
  NARU_ASSIGN(text::CompiledForm compiled, text::compile(form, vocabulary->signs(kNoCalls)));
  auto shared = std::make_shared<engine::SharedForm>(vocabulary, std::move(compiled), kNoCalls);
  return std::shared_ptr<const engine::Constraint>(std::make_shared<const engine::FormConstraint>(
      std::move(shared), options.split_reasoning, options.starts_in_reasoning));
}

}  // namespace naru::cli
