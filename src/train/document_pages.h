// The documents of a micro-batch as sequences of the engine, with cache pages. Each is by itself from position 0 and has
// pages of its own; but documents that share a prompt (shared_prompts.h) begin behind it and share the pages that it
// fills, and what it has of one more is written to a page of each.
#pragma once

#include <vector>

#include "contract/chip.h"
#include "data/batches.h"
#include "train/shared_prompts.h"

namespace naru::train {

class DocumentPages {
 public:
  explicit DocumentPages(const data::MicroBatch& batch) { add(batch, {}); }
  explicit DocumentPages(const SharedPrompts& shared) { add(shared.rows(), shared.prefixes()); }
  DocumentPages(const DocumentPages&) = delete;
  DocumentPages& operator=(const DocumentPages&) = delete;

  // They point into this.
  const std::vector<contract::SequenceRows>& rows() const { return rows_; }
  // By which rows are written to the cache: the same, and the parts of prompts that go to pages of several documents.
  const std::vector<contract::SequenceRows>& writes() const { return writes_; }
  // Of every row that an AttentionGrad has behind those of the batch, ascending: the row that it is of.
  const std::vector<int32_t>& prefix_rows() const { return prefix_rows_; }

 private:
  void add(const data::MicroBatch& batch, const std::vector<SharedPrompts::Prefix>& prefixes);

  std::vector<int32_t> pages_;
  std::vector<contract::SequenceRows> rows_, writes_;
  std::vector<int32_t> prefix_rows_;
};

// Cache pages that the documents of a micro-batch take, where none shares any; those of any with at most so many rows
// and documents.
int64_t pages_of(const data::MicroBatch& batch);
int64_t pages_max(int64_t n_rows, int64_t n_documents);

// To plan with: rows that all count, in documents of which all but the last have one. It has no signals.
data::MicroBatch planned_batch(int64_t n_rows, int64_t n_documents);

}  // namespace naru::train
