// SharedPrompts: the rows of a micro-batch that are computed. Answers to one prompt that follow each other begin with
// the same tokens, which see nothing but each other: their rows would be the same to the bit. The first of them has
// these rows, and the others share them; they have rows of their own from the prompt's last token on, which is the
// first that predicts. What the answers give the gradients of a shared row is added there: the answer's own part that
// has the row, then the sum of the others', ascending (docs/arithmetic.md section 7).
#pragma once

#include <cstdint>
#include <vector>

#include "data/batches.h"

namespace naru::train {

class SharedPrompts {
 public:
  // Where `is_wanted` is false nothing is shared. The batch outlives this.
  SharedPrompts(const data::MicroBatch& batch, bool is_wanted);
  SharedPrompts(const SharedPrompts&) = delete;
  SharedPrompts& operator=(const SharedPrompts&) = delete;

  // Of a document of rows(): its first `n_rows` tokens are the first rows of document `of`; 0: all of them are its own.
  struct Prefix {
    size_t of = 0;
    int64_t n_rows = 0;
  };

  bool is_any() const { return !row_of_.empty(); }
  const data::MicroBatch& whole() const { return whole_; }
  // The micro-batch of the rows that are computed, its documents' own ones: the whole where nothing is shared.
  const data::MicroBatch& rows() const { return is_any() ? rows_ : whole_; }
  const std::vector<Prefix>& prefixes() const { return prefixes_; }  // one a document; empty where nothing is shared

  // Numbers of the rows that are computed as numbers of the whole, +0 where a row is shared; and back.
  std::vector<float> spread(const std::vector<float>& of_rows) const;
  std::vector<float> gather(const std::vector<float>& of_whole) const;

 private:
  void find_prefixes();
  void take_rows();

  const data::MicroBatch& whole_;
  data::MicroBatch rows_;
  std::vector<Prefix> prefixes_;
  std::vector<int64_t> row_of_;  // of each row that is computed: its row of the whole
};

}  // namespace naru::train
