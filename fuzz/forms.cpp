// Schemas, regular expressions and choices from outside, and answers to them: what is taken can be ended, states that
// were saved are found again, and what a schema takes is JSON.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/forms/form.h"
#include "text/forms/matcher.h"
#include "text/value.h"

namespace {

using namespace naru;
using namespace naru::text;

// Whether some symbol may come, or the end.
bool goes_on(FormMatcher& matcher, FormMatcher::State state) {
  if (matcher.may_end(state)) return true;
  for (FormSymbol symbol = 0; symbol < kFormSymbols; ++symbol) {
    if (matcher.step(state, symbol) != FormMatcher::kDead) return true;
  }
  return false;
}

void try_answer(const CompiledForm& form, std::string_view answer, bool is_schema) {
  FormMatcher matcher(form.grammar);
  FormMatcher::State state = matcher.begin(form.content);
  FormMatcher::Saved saved, again;
  for (size_t i = 0; i < answer.size() && state != FormMatcher::kDead; ++i) {
    NARU_CHECK(goes_on(matcher, state), "a place from which nothing goes on", i);
    NARU_CHECK(matcher.twin(matcher.twin(state)) == matcher.twin(state));
    if (i % 7 == 3) {
      matcher.save(state, saved);
      matcher.forget();
      state = matcher.restore(saved);
      matcher.save(state, again);
      NARU_CHECK(saved == again, "a state that is not found again", i);
    }
    state = matcher.step(state, answer.substr(i, 1));
  }
  if (!is_schema || state == FormMatcher::kDead || !matcher.may_end(state)) return;
  const auto value = parse_value("[" + std::string(answer) + "]", "answer");
  NARU_CHECK(value.ok() || value.error().message.find("twice") != std::string::npos, value.error().message);
}

}  // namespace

// A byte for the kind, the form up to a zero byte, and an answer.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t end = std::min(all.find('\0'), all.size());
  const std::string_view description = all.substr(0, end);
  const std::string_view answer = all.substr(std::min(end + 1, all.size()));
  Form form = RegexForm{std::string(description)};
  if (data[0] % 3 == 0) {
    auto schema = parse_value(description, "schema");
    if (!schema.ok()) return 0;
    form = SchemaForm{std::move(schema).value()};
  } else if (data[0] % 3 == 1) {
    form = ChoiceForm{{std::string(description), std::string(answer.substr(0, 3))}};
  }
  const auto compiled = compile(form, {});
  if (!compiled.ok()) {
    NARU_CHECK(compiled.error().message.starts_with("reading the "), compiled.error().message);
    return 0;
  }
  try_answer(*compiled, answer, data[0] % 3 == 0);
  return 0;
}
