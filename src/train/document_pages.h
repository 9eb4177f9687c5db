// The documents of a micro-batch as sequences of the engine, each by itself from position 0 with cache pages of its
// own.
#pragma once

#include <vector>

#include "contract/chip.h"
#include "data/batches.h"

namespace naru::train {

class DocumentPages {
 public:
  explicit DocumentPages(const data::MicroBatch& batch);
  DocumentPages(const DocumentPages&) = delete;
  DocumentPages& operator=(const DocumentPages&) = delete;

  // They point into this.
  const std::vector<contract::SequenceRows>& rows() const { return rows_; }

 private:
  std::vector<int32_t> pages_;
  std::vector<contract::SequenceRows> rows_;
};

// Cache pages that the documents of a micro-batch take; those of any with at most so many rows and documents.
int64_t pages_of(const data::MicroBatch& batch);
int64_t pages_max(int64_t n_rows, int64_t n_documents);

// To plan with: rows that all count, in documents of which all but the last have one. It has no signals.
data::MicroBatch planned_batch(int64_t n_rows, int64_t n_documents);

}  // namespace naru::train
