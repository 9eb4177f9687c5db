// Training a tokenizer from files (`naru data --train-tokenizer`): texts in, a folder with tokenizer.json and
// tokenizer_config.json out, whole or not at all.
//
// Inputs: a .jsonl file has one object a line, with its text under "text" or the "content" of each of its "messages"
// (each a text of its own); any other file is one plain text. Or texts come from a caller, who may make them as they
// are asked for. The vocabulary begins with the tokens of ChatML, then those that are asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace naru::cli {

using TextVisit = std::function<Status(std::string_view)>;

struct TrainTokenizerOptions {
  std::vector<std::string> inputs;                // files; with `texts`, how messages call where those come from
  std::function<Status(const TextVisit&)> texts;  // instead of files: calls the visit for every text
  std::string output;                             // a folder
  Existing existing = Existing::kRefuse;          // kReplace: a folder with nothing but a tokenizer's files
  int64_t vocab_size = 32000;                     // ids in all, the bytes' and the added tokens' included
  std::string pre_tokenizer;                      // empty: text::BpeTrainerOptions' default
  std::vector<std::string> special_tokens;        // beside those of ChatML
  int64_t pair_count_min = 2;                     // a pair seen less often is not merged
  int64_t memory_bytes_max = 0;                   // 0: three quarters of what the machine has free
  bool special_tokens_map = false;                // write special_tokens_map.json too
  bool json = false;                              // the summary as JSON
};

Status train_tokenizer_command(const TrainTokenizerOptions& options);

}  // namespace naru::cli
