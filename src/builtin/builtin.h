// The built-in model: a small one inside of the program, for where there is no other. It is what recipes/r1-tiny.toml
// trains from nothing, as a .gguf file (src/builtin), put into the program by cmake/builtin.cmake with the record that
// tools/make_builtin_model.py wrote of it. It needs no file, no network and no folder.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace naru::builtin {

// What the model is called on the command line, where a path or a name of a model stands.
inline constexpr std::string_view kModelName = "builtin";

struct BuiltinModel {
  std::string_view name;    // of its recipe, and by which it is served: "r1-tiny"
  std::string_view path;    // that opens it (base/builtin_file.h)
  std::string_view sha256;  // of the file
  int64_t bytes = 0;
  int64_t n_parameters = 0;
  std::string_view recipe;  // "recipes/r1-tiny.toml"
  std::string_view record;  // JSON: how it was made and what it solves
};

// Nothing where the program was built without one.
const BuiltinModel* builtin_model();
// Whether a path is that of the built-in model.
bool is_builtin_model(std::string_view path);

// Its path opens from now on. Called once, at the start of a program.
void offer_builtin_model();

// Questions that it knows the kind of, one in each of its languages.
std::span<const std::string_view> builtin_questions();

}  // namespace naru::builtin
