#include "train/shared_prompts.h"

#include <algorithm>

#include "base/check.h"

namespace naru::train {
namespace {

// Rows before the first that counts: a prompt without its last token.
int64_t uncounted_rows(const data::MicroBatch& batch, const data::DocumentRows& document) {
  int64_t n = 0;
  while (n < document.n_rows && batch.weights[static_cast<size_t>(document.row_begin + n)] == 0) ++n;
  return n;
}

bool begin_alike(const data::MicroBatch& batch, const data::DocumentRows& a, const data::DocumentRows& b, int64_t n) {
  const auto first = batch.ids.begin() + a.row_begin;
  return std::equal(first, first + n, batch.ids.begin() + b.row_begin);
}

template <typename T>
std::vector<T> taken(const std::vector<T>& of_whole, const std::vector<int64_t>& rows, size_t each = 1) {
  std::vector<T> result;
  if (of_whole.empty()) return result;
  result.reserve(rows.size() * each);
  for (const int64_t row : rows) {
    const auto first = of_whole.begin() + row * static_cast<int64_t>(each);
    result.insert(result.end(), first, first + static_cast<int64_t>(each));
  }
  return result;
}

}  // namespace

SharedPrompts::SharedPrompts(const data::MicroBatch& batch, bool is_wanted) : whole_(batch) {
  if (!is_wanted) return;
  find_prefixes();
  const auto is_sharing = [](const Prefix& prefix) { return prefix.n_rows > 0; };
  if (std::any_of(prefixes_.begin(), prefixes_.end(), is_sharing)) {
    take_rows();
  } else {
    prefixes_.clear();
  }
}

// A document whose prompt is that of the last one with rows of its own shares them.
void SharedPrompts::find_prefixes() {
  size_t of = 0;
  int64_t n_of = 0;  // rows that may be shared
  for (size_t d = 0; d < whole_.documents.size(); ++d) {
    const data::DocumentRows& document = whole_.documents[d];
    const int64_t n = uncounted_rows(whole_, document);
    const bool is_alike =
        d > 0 && n > 0 && n < document.n_rows && n == n_of && begin_alike(whole_, whole_.documents[of], document, n);
    if (!is_alike) of = d, n_of = n;
    prefixes_.push_back(is_alike ? Prefix{of, n} : Prefix{});
  }
}

void SharedPrompts::take_rows() {
  for (size_t d = 0; d < whole_.documents.size(); ++d) {
    const data::DocumentRows& document = whole_.documents[d];
    const int64_t n_shared = prefixes_[d].n_rows;
    rows_.documents.push_back({std::ssize(row_of_), document.n_rows - n_shared});
    for (int64_t i = n_shared; i < document.n_rows; ++i) row_of_.push_back(document.row_begin + i);
  }
  rows_.ids = taken(whole_.ids, row_of_);
  rows_.positions = taken(whole_.positions, row_of_);
  rows_.targets = taken(whole_.targets, row_of_);
  rows_.weights = taken(whole_.weights, row_of_);
  for (const std::vector<float>& signal : whole_.signals) rows_.signals.push_back(taken(signal, row_of_));
  for (const std::vector<int32_t>& experts : whole_.experts) {
    rows_.experts.push_back(taken(experts, row_of_, experts.size() / whole_.ids.size()));
  }
  if (whole_.kept.rows() == 0) return;
  for (const int64_t row : row_of_) rows_.kept.add_row_of(whole_.kept, static_cast<size_t>(row));
}

std::vector<float> SharedPrompts::spread(const std::vector<float>& of_rows) const {
  if (!is_any()) return of_rows;
  NARU_CHECK(of_rows.size() == row_of_.size(), of_rows.size(), row_of_.size());
  std::vector<float> of_whole(whole_.ids.size(), 0.0f);
  for (size_t i = 0; i < row_of_.size(); ++i) of_whole[static_cast<size_t>(row_of_[i])] = of_rows[i];
  return of_whole;
}

std::vector<float> SharedPrompts::gather(const std::vector<float>& of_whole) const {
  return is_any() ? taken(of_whole, row_of_) : of_whole;
}

}  // namespace naru::train
