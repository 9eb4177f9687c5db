// Trains a byte-level BPE vocabulary of any known family's pre-tokenizer from texts: the ids are the added tokens',
// then the 256 bytes' in the order of their characters, then one for each merge. The same texts give the same
// vocabulary, and where the `tokenizers` library trains on the same texts with the same settings it gives these very
// ids and merges (merge_learner.h has the rule; tests/fixtures/text/trained has files of that library).
//
// Texts may be of any size and hold any bytes (invalid UTF-8 is replaced as in encoding). Time is linear in the text
// and close to linear in its distinct words; one thread. Memory is bounded by a budget, which counts distinct words,
// their slots, pairs and places; beside it stand some 20 MB, or up to 300 MB for texts without white space.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/tokenizer_files.h"
#include "text/merge_learner.h"
#include "text/splitter.h"
#include "text/word_counts.h"

namespace naru::text {

// Raw bytes of a learnt token: its text in the byte alphabet has at most twice as many.
inline constexpr int64_t kLearntTokenBytesMax = 32 * 1024;
static_assert(2 * kLearntTokenBytesMax <= formats::kTokenBytesMax);
inline constexpr int64_t kBytesInAlphabet = 256;

struct NewToken {
  std::string text;
  bool special = true;  // a control token, left out of decoded text on demand
};

struct BpeTrainerOptions {
  int64_t vocab_size = 32000;  // ids in all
  // One of pre_tokenizer_names(). DeepSeek V3's: numbers in threes, words with their marks, Chinese and Japanese apart
  // from the rest, line ends apart; llama.cpp knows it by name too.
  std::string pre_tokenizer = "deepseek-v3";
  std::vector<NewToken> added_tokens;  // ids 0, 1, ...
  int64_t pair_count_min = 2;          // a pair seen less often is not merged
  int64_t token_bytes_max = kLearntTokenBytesMax;
  int64_t memory_bytes_max = int64_t{4} << 30;
};

class BpeTrainer {
 public:
  static Result<BpeTrainer> create(BpeTrainerOptions options);

  // A text of its own: no piece reaches into the next one.
  Status add_text(std::string_view bytes);

  // Once, after all texts. A vocabulary of fewer ids than asked for is no error: the texts hold no more pairs that are
  // frequent enough. Bos, eos, pad and chat template are the caller's to set.
  Result<formats::TokenizerData> train(const MergeLearner::Progress& progress = {});

  // Tokens of all texts under a vocabulary that train() gave.
  Result<int64_t> count_tokens(const formats::TokenizerData& data) const;

  int64_t n_texts() const { return n_texts_; }
  int64_t n_bytes() const { return n_bytes_; }
  bool has_repaired() const { return has_repaired_; }  // some text was no valid UTF-8
  const WordCounts& words() const { return *words_; }
  int64_t peak_bytes() const { return budget_->peak(); }  // of what the budget counts

 private:
  BpeTrainer() = default;
  Status check_added_tokens();
  Status add_part(std::string_view part);

  BpeTrainerOptions options_;
  formats::TokenizerData data_;  // what is known before training
  Splitter splitter_;
  std::unique_ptr<MemoryBudget> budget_;
  std::unique_ptr<WordCounts> words_;
  std::vector<size_t> ends_, spare_;
  std::string repaired_, normalized_;
  int64_t n_texts_ = 0;
  int64_t n_bytes_ = 0;
  bool has_repaired_ = false;
};

}  // namespace naru::text
