// Answers that were sampled, as batches to train on: a document is a prompt and its answer, the answer's tokens are
// targets, and the signals of PolicyLoss (policy_loss.h) stand beside each of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/batches.h"
#include "train/policy_loss.h"

namespace naru::train {

struct SampledAnswer {
  std::vector<int32_t> prompt;   // at least one token
  std::vector<int32_t> ids;      // with the token that ended it, where one did
  std::vector<float> log_probs;  // as long as ids: what the policy that sampled them said
  data::TokenSets kept = {};     // a row each, where truncation dropped tokens; else no rows
  bool is_cut = false;           // the length ended it
  bool is_ended = false;         // its last id ended it, and is no part of its text
};

// One answer to be learnt from.
struct JudgedAnswer {
  SampledAnswer answer;
  double advantage = 0;
};

// The answers in order, packed into micro-batches of at most rows_max tokens (one that is longer is alone). Answers of
// no token are left out. Of rows with a weight the signals are advantage, log p when it was sampled, and whether the
// policy that is trained is the very one that sampled (PolicySignal).
data::StepBatch answer_batch(const std::vector<JudgedAnswer>& answers, Averaging averaging, int64_t tokens_max,
                             int64_t rows_max, bool is_on_policy);

// Batches as bytes for a checkpoint, and back: numbers in little-endian order; index, number of batches; of each its
// divisor and number of micro-batches; of each rows, documents, their lengths, ids, targets, weights, signals. Bytes
// that are no such batches, or of tokens outside of the vocabulary, are kCorrupt. Where tokens were kept, each
// micro-batch ends with the number of its words, where those of each row end, and the words (data/token_sets.h).
std::string batches_to_bytes(int64_t index, const std::vector<data::StepBatch>& batches);
struct KeptBatches {
  int64_t index = 0;
  std::vector<data::StepBatch> batches;
};
struct BatchForm {
  size_t n_signals = kPolicySignals;
  bool keeps_tokens = false;
};
Result<KeptBatches> batches_from_bytes(std::string_view bytes, int64_t vocab, const BatchForm& form = {});

}  // namespace naru::train
