// naru data: what a recipe's data becomes: counts, rows, what was cut or dropped and why, and documents as the model
// will see them, token by token, with what is learnt marked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/command.h"

namespace naru::cli {

struct DataOptions {
  std::string recipe_path;
  std::vector<std::string> overrides;  // "section.key=value"
  int64_t documents = 2;               // shown of each source
  bool all_notes = false;
  bool ngram = false;
  bool json = false;
};

Command make_data();
Status data_command(const DataOptions& options);

}  // namespace naru::cli
