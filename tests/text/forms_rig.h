// What tests of forms share: a compiled form and how far it takes a text.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "text/forms/form.h"
#include "text/forms/matcher.h"

namespace naru::text {

class FormRig {
 public:
  explicit FormRig(const Form& form, const FormSigns& signs = {}) {
    auto made = compile(form, signs);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    if (!made.ok()) return;
    compiled = *made;
    matcher = std::make_unique<FormMatcher>(compiled.grammar);
  }
  // How many bytes are taken.
  size_t taken(std::string_view text) {
    FormMatcher::State state = matcher->begin(compiled.content);
    for (size_t i = 0; i < text.size(); ++i) {
      state = matcher->step(state, text.substr(i, 1));
      if (state == FormMatcher::kDead) return i;
    }
    return text.size();
  }
  bool accepts(std::string_view text) {
    const FormMatcher::State state = matcher->step(matcher->begin(compiled.content), text);
    return state != FormMatcher::kDead && matcher->may_end(state);
  }

  CompiledForm compiled;
  std::unique_ptr<FormMatcher> matcher;
};

inline Form schema_form(std::string_view json) {
  auto schema = parse_value(json, "schema");
  EXPECT_TRUE(schema.ok()) << json << (schema.ok() ? "" : schema.error().message);
  return SchemaForm{schema.ok() ? *schema : Value(false)};
}

inline std::string form_error(const Form& form) {
  const auto made = compile(form, {});
  return made.ok() ? "" : made.error().message;
}

}  // namespace naru::text
