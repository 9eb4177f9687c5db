#include "train/document_pages.h"

#include "base/checked.h"
#include "contract/cache.h"

namespace naru::train {

using contract::kCachePage;

void DocumentPages::add(const data::MicroBatch& batch, const std::vector<SharedPrompts::Prefix>& prefixes) {
  const auto prefix_of = [&](size_t d) { return prefixes.empty() ? SharedPrompts::Prefix{} : prefixes[d]; };
  int64_t n_entries = 0;
  for (size_t d = 0; d < batch.documents.size(); ++d)
    n_entries += ceil_div(prefix_of(d).n_rows + batch.documents[d].n_rows, kCachePage);
  pages_.reserve(static_cast<size_t>(n_entries));  // so that no page moves
  int32_t next = 0;
  for (size_t d = 0; d < batch.documents.size(); ++d) {
    const data::DocumentRows& document = batch.documents[d];
    const SharedPrompts::Prefix prefix = prefix_of(d);
    const int64_t n_filled = prefix.n_rows / kCachePage;  // pages that are shared
    contract::SequenceRows rows{document.row_begin, document.n_rows, prefix.n_rows, pages_.data() + pages_.size()};
    for (int64_t i = 0; i < rows.n_pages(); ++i) pages_.push_back(i < n_filled ? rows_[prefix.of].pages[i] : next++);
    rows.prefix_begin = std::ssize(batch.ids) + std::ssize(prefix_rows_);
    for (int64_t i = 0; i < prefix.n_rows; ++i)
      prefix_rows_.push_back(static_cast<int32_t>(rows_[prefix.of].row_begin + i));
    const int64_t n_left = prefix.n_rows - n_filled * kCachePage, at = n_filled * kCachePage;
    if (n_left > 0) writes_.push_back({rows_[prefix.of].row_begin + at, n_left, at, rows.pages});
    writes_.push_back(rows);
    rows_.push_back(rows);
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
