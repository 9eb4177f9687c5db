#include "cli/builtin_words.h"

#include <fmt/format.h>

#include "cli/terminal.h"

namespace naru::cli {

Result<std::string> builtin_path(std::string_view doing) {
  const builtin::BuiltinModel* model = builtin::builtin_model();
  if (model != nullptr) return std::string(model->path);
  return Error{Code::kNotFound, fmt::format("{}: this naru was built without the built-in model; give MODEL: a model "
                                            "folder, a .gguf file, or what `naru pull OWNER/NAME` got",
                                            doing)};
}

std::string millions(int64_t n) {
  return fmt::format("{:.2f} M", static_cast<double>(n) / 1e6);
}

std::string builtin_words(const builtin::BuiltinModel& model) {
  return fmt::format(
      "{}, {} parameters, trained from nothing by {}: it knows word problems and countdown in English, "
      "Korean and Chinese, and nothing else",
      model.name, millions(model.n_parameters), model.recipe);
}

void note_builtin(std::string_view what_it_does) {
  const builtin::BuiltinModel* model = builtin::builtin_model();
  if (model == nullptr) return;
  print_note(fmt::format("no MODEL was given: the built-in one {} ({}); a bigger one: {}", what_it_does,
                         builtin_words(*model), kBiggerModel));
}

}  // namespace naru::cli
