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
// The same for the engine's tokens. `options`: how the answer is read.
Result<std::shared_ptr<const engine::Constraint>> make_constraint(const text::Form& form, const engine::Engine& engine,
                                                                  const engine::TextOptions& options);

}  // namespace naru::cli
