// The cache: named row streams, one row a position, kept in pages of kCachePage positions whose inner layout belongs
// to the chip. A page holds the rows of all heads of one stream of one layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/chip_address.h"
#include "tensor/dtype.h"

namespace naru::contract {

constexpr int64_t kCachePage = 32;          // positions
constexpr int64_t kSegmentWidthMax = 2048;  // a row of a stream is one chain of a dot

enum class CacheUse : uint8_t {
  kKey,          // rows enter scores
  kValue,        // rows enter weighted sums
  kKeyAndValue,  // both: the row is the key and its first columns the value (latent attention)
};

struct CacheShape {
  int64_t heads = 1;
  int64_t width = 0;          // columns a head
  DType dtype = DType::kF32;  // kF32 or kBF16
  CacheUse use = CacheUse::kKey;
};

// One stream of one layer: page p lies at address + p * page_bytes.
struct CacheStream {
  CacheShape shape;
  ChipAddress address;
  int64_t page_bytes = 0;
};

// The rows of a batch that belong to one sequence: batch rows [row_begin, row_begin + n_rows) are its positions
// [position_begin, position_begin + n_rows), counted from the start of the document. `pages[i]` is the page of
// positions [i * kCachePage, (i + 1) * kCachePage).
struct SequenceRows {
  int64_t row_begin = 0;
  int64_t n_rows = 0;
  int64_t position_begin = 0;
  const int32_t* pages = nullptr;
  // Of an AttentionGrad, where position_begin > 0: the rows of positions [0, position_begin) in dk and dv, counted as
  // rows of the batch are, and behind all of those.
  int64_t prefix_begin = 0;

  [[gnu::always_inline]] int64_t end_position() const { return position_begin + n_rows; }
  [[gnu::always_inline]] int64_t n_pages() const { return (end_position() + kCachePage - 1) / kCachePage; }
};

// The sequences of one batch with their page tables, on a chip: made once a batch (Chip::make_sequences), named by all
// of its ops. It holds copies; a chip that keeps the tables in memory of its own derives from it.
class Sequences {
 public:
  explicit Sequences(std::span<const SequenceRows> rows) : rows_(rows.begin(), rows.end()) {
    size_t n = 0;
    for (const SequenceRows& each : rows) n += static_cast<size_t>(each.n_pages());
    pages_.reserve(n);  // so that no page moves
    for (SequenceRows& each : rows_) {
      const int32_t* pages = pages_.data() + pages_.size();
      pages_.insert(pages_.end(), each.pages, each.pages + each.n_pages());
      each.pages = pages;
    }
  }
  virtual ~Sequences() = default;
  Sequences(const Sequences&) = delete;
  Sequences& operator=(const Sequences&) = delete;

  [[gnu::always_inline]] std::span<const SequenceRows> rows() const { return rows_; }

 private:
  std::vector<SequenceRows> rows_;
  std::vector<int32_t> pages_;
};

// Sequences as an op names them, read as a list of rows. Kernels of every level call these functions, so no copy of
// them may outlive its level.
class SequencesRef {
 public:
  SequencesRef() = default;                                             // none
  SequencesRef(const Sequences& sequences) : sequences_(&sequences) {}  // NOLINT: implicit by design

  const Sequences* get() const { return sequences_; }
  [[gnu::always_inline]] std::span<const SequenceRows> rows() const {
    return sequences_ == nullptr ? std::span<const SequenceRows>() : sequences_->rows();
  }
  [[gnu::always_inline]] operator std::span<const SequenceRows>() const { return rows(); }  // NOLINT: it is the list
  [[gnu::always_inline]] auto begin() const { return rows().begin(); }
  [[gnu::always_inline]] auto end() const { return rows().end(); }
  [[gnu::always_inline]] size_t size() const { return rows().size(); }
  [[gnu::always_inline]] bool empty() const { return rows().empty(); }
  [[gnu::always_inline]] const SequenceRows& operator[](size_t i) const { return rows()[i]; }
  // The row of the batch behind the last that is named.
  [[gnu::always_inline]] int64_t end_row() const {
    int64_t last = 0;
    for (const SequenceRows& each : rows()) {
      if (each.row_begin + each.n_rows > last) last = each.row_begin + each.n_rows;
    }
    return last;
  }

 private:
  const Sequences* sequences_ = nullptr;
};

}  // namespace naru::contract
