// The generators, each with its verifier; generators.h is what others use.
#pragma once

#include <string_view>

#include "data/generators.h"
#include "data/generators/draws.h"

namespace naru::data {

// Any problem of the kind, of either split; has_steps says how its solution is to be written, where the trace of the
// options leaves that open.
Problem draw_digits(Draws& draws, bool has_steps);
Problem draw_countdown(Draws& draws, const GeneratorOptions& options, bool has_steps);
Problem draw_word_problem(Draws& draws, const GeneratorOptions& options, bool has_steps);

// One of the three where it may be any.
Language drawn_language(Draws& draws, Language language);

Verdict verify_digits(const Problem& problem, std::string_view answer);
Verdict verify_countdown(const Problem& problem, std::string_view answer);
Verdict verify_word_problem(const Problem& problem, std::string_view answer);

// Without white space at both ends.
std::string_view trimmed(std::string_view text);
// What stands behind the last "####", trimmed; nothing where there is none.
std::optional<std::string_view> behind_mark(std::string_view answer);

}  // namespace naru::data
