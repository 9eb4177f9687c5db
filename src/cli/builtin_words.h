// The built-in model on the command line: where it stands for a model that nobody gave, and what is said of it.
#pragma once

#include <string>

#include "base/result.h"
#include "builtin/builtin.h"

namespace naru::cli {

// The path that opens it; kNotFound where this program was built without one. `doing` is what messages say is done.
Result<std::string> builtin_path(std::string_view doing);

// "1.36 M"
std::string millions(int64_t n);
// What it is and what it knows, in one line.
std::string builtin_words(const builtin::BuiltinModel& model);
// That it takes the place of a model: "no MODEL was given: ...".
void note_builtin(std::string_view what_it_does);

// How to get a bigger one, to be typed.
inline constexpr std::string_view kBiggerModel = "naru pull smollm2-135m-instruct, then naru run smollm2-135m-instruct";

}  // namespace naru::cli
