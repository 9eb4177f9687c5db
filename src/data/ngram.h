// A 5-gram model of token ids, as the line that a trained network must get below: interpolated modified Kneser-Ney
// smoothing (Chen and Goodman, "An empirical study of smoothing techniques for language modeling", 1998, sections 2.7
// and 3), down to the uniform distribution over the vocabulary.
//
// Its events are the targets of training: tokens whose weight is not 0, each after the four tokens before it in its
// document (a mark of the beginning where there are fewer). What is counted are integers and what is summed is summed
// in one order, so the number is the same on every machine.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "data/batches.h"

namespace naru::data {

inline constexpr int64_t kNgramOrder = 5;
// Different n-grams of all orders; one takes at most some 60 bytes.
inline constexpr int64_t kNgramNodesMax = int64_t{1} << 23;

class NgramModel {
 public:
  explicit NgramModel(int64_t vocab);
  NgramModel(NgramModel&&) noexcept;
  NgramModel& operator=(NgramModel&&) noexcept;
  ~NgramModel();

  // Counts the events of a document. False, and nothing counted, where kNgramNodesMax could be passed.
  bool add(const Document& document);
  // After the last add(), before the first probability.
  void finish();
  // Of `ids[at]` after what is before it; in (0, 1].
  double probability(std::span<const int32_t> ids, int64_t at) const;

  int64_t n_events() const;
  int64_t n_nodes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct NgramBaseline {
  double nll = 0;         // mean of -log probability over the targets of validation
  int64_t n_targets = 0;  // of validation
  int64_t n_events = 0;   // targets of training that were counted
  int64_t n_nodes = 0;
  int64_t documents_counted = 0;
  int64_t documents = 0;  // of training; more than counted where the model grew too large
};

// Trains on the documents of `train` and measures on those of `validation`.
NgramBaseline ngram_baseline(const BatchStream& train, const BatchStream& validation, int64_t vocab);

}  // namespace naru::data
