// naru data: what a recipe's data becomes: counts, rows, what was cut or dropped and why, and documents as the model
// will see them, token by token, with what is learnt marked. With --train-tokenizer, a new tokenizer of that data, or
// of files without a recipe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "cli/command.h"

namespace naru::cli {

// What --train-tokenizer and the flags beside it say.
struct NewTokenizerOptions {
  std::string output;  // a folder; empty: none is trained
  Existing existing = Existing::kRefuse;
  std::optional<int64_t> vocab_size;  // else that of the recipe's model.config, or train_tokenizer.h's default
  std::string pre_tokenizer;
  std::vector<std::string> special_tokens;
};

struct DataOptions {
  std::string recipe_path;             // or, for a tokenizer, a file
  std::vector<std::string> overrides;  // "section.key=value", or more files
  NewTokenizerOptions tokenizer;
  int64_t documents = 2;  // shown of each source
  bool all_notes = false;
  bool ngram = false;
  bool json = false;
};

Command make_data();
Status data_command(const DataOptions& options);

}  // namespace naru::cli
