// What the build found in src/builtin (cmake/builtin.cmake).
#pragma once

#include "base/bytes.h"
#include "builtin/builtin.h"

namespace naru::builtin {

struct BuiltinContent {
  BuiltinModel model;
  Bytes file;
};

// Nothing where there was no model.
const BuiltinContent* builtin_content();

}  // namespace naru::builtin
