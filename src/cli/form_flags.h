// --schema, --regex, --choice: the form that an answer must have.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/form_constraint.h"
#include "engine/text_stream.h"
#include "text/forms/form.h"

namespace naru::cli {

struct FormFlags {
  std::optional<std::string> schema_path;
  std::optional<std::string> regex;
  std::vector<std::string> choices;
  bool is_given() const { return schema_path || regex || !choices.empty(); }
};

void add_form_flags(FormFlags& o, std::vector<Flag>& flags);
// One of them at most.
Status check_form_flags(const FormFlags& o);
// What they ask for; the schema's file is read. Nothing where none was given.
Result<std::optional<text::Form>> read_form(const FormFlags& o);
// "one of 2 texts": what the answers of a chat are.
std::string form_words(const FormFlags& o);

// For an engine's tokens, and any number of its answers.
Result<std::shared_ptr<engine::SharedForm>> make_form(const text::Form& form, const engine::Engine& engine);
// Of one answer. `options`: how it is read.
std::shared_ptr<const engine::Constraint> constraint_of(const std::shared_ptr<engine::SharedForm>& form,
                                                        const engine::TextOptions& options);

// The field by which a server is asked for the form: "\"response_format\":{...}", and vLLM's structured_outputs for
// what that has no word for.
Result<std::string> form_field(const text::Form& form);
// Whether a server has kept to it, as far as that is seen in a whole answer: one of the texts, a text of the
// expression, JSON. Servers pass over fields that they do not know.
Status check_form(const text::Form& form, const std::string& answer);

// kResourceExhausted where an answer that ran out of its `n_tokens` tokens is no whole text of the form.
Status check_form_is_whole(const text::Form& form, const std::string& answer, int64_t n_tokens);

}  // namespace naru::cli
