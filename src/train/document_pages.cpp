#include "train/document_pages.h"

#include "base/checked.h"
#include "contract/cache.h"

namespace naru::train {

using contract::kCachePage;

DocumentPages::DocumentPages(const data::MicroBatch& batch) {
  const int64_t n_pages = pages_of(batch);
  for (int64_t page = 0; page < n_pages; ++page) pages_.push_back(static_cast<int32_t>(page));
  int64_t page = 0;
  for (const data::DocumentRows& document : batch.documents) {
    rows_.push_back({document.row_begin, document.n_rows, 0, pages_.data() + page});
    page += ceil_div(document.n_rows, kCachePage);
  }
}

int64_t pages_of(const data::MicroBatch& batch) {
  int64_t n_pages = 0;
  for (const data::DocumentRows& document : batch.documents) n_pages += ceil_div(document.n_rows, kCachePage);
  return n_pages;
}

int64_t pages_max(int64_t n_rows, int64_t n_documents) {
  return ceil_div(n_rows, kCachePage) + n_documents;
}

data::MicroBatch planned_batch(int64_t n_rows, int64_t n_documents) {
  data::MicroBatch batch;
  const auto n = static_cast<size_t>(n_rows);
  batch.ids.assign(n, 0);
  batch.positions.assign(n, 0);
  batch.targets.assign(n, 0);
  batch.weights.assign(n, 1);
  for (int64_t d = 0; d < n_documents; ++d) {
    const bool is_last = d + 1 == n_documents;
    batch.documents.push_back({d, is_last ? n_rows - d : 1});
  }
  return batch;
}

}  // namespace naru::train
