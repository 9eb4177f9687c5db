// The memory of attention's gradient, for one query head of one document: what belongs to its pages of 32 keys, to
// blocks of 32 queries, to tiles of both, and to a thread. Everything is cut from scratch memory of the chip.
#pragma once

#include "chips/cpu/kernels/attention_grad_forms.h"

namespace naru::cpu::NARU_LEVEL {

constexpr int64_t kTile = 32 * 32;
constexpr int64_t kDotSegmentBlocks = 2048 / 32;  // a dot's segment, in blocks

// Sizes that are the same for all heads of one op.
struct GradSizes {
  GradSizes(const contract::AttentionGrad& op, bool is_bf16)
      : is_latent(op.value.shape.use == contract::CacheUse::kKeyAndValue),
        group(op.heads / op.key.shape.heads),
        width(op.q.cols),
        value_width(op.out.cols),
        key_columns(padded(op.q.cols, is_bf16 ? 32 : 16)),
        row_columns(padded(op.q.cols > op.out.cols ? op.q.cols : op.out.cols, 32)) {}
  int64_t dk_floats() const { return padded(width, 16) * 32; }  // of a page; of a block's dQ^T too
  int64_t dv_floats() const { return padded(value_width, 16) * 32; }

  bool is_latent;
  int64_t group;        // query heads a key head
  int64_t width;        // of a key
  int64_t value_width;  // of a value
  int64_t key_columns;  // of a key page's value form
  int64_t row_columns;  // of 32 unpacked rows of either
};

// Cuts memory into arrays; with no memory it counts.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}
  template <typename T = float>
  T* take(int64_t n) {
    const int64_t begin = bytes_;
    bytes_ += (n * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + begin);
  }
  size_t bytes() const { return static_cast<size_t>(bytes_); }

 private:
  std::byte* memory_;
  int64_t bytes_ = 0;
};

// Levels of the aligned tree over the segments of n blocks: none for one segment.
NARU_INLINE int64_t tree_levels(int64_t n_blocks) {
  const int64_t n_segments = (n_blocks + kDotSegmentBlocks - 1) / kDotSegmentBlocks;
  int64_t levels = 0;
  while (n_segments > 1 && (n_segments >> levels) != 0) ++levels;
  return levels;
}

// TreeSum for arrays of n floats: partials holds a level after the other.
inline void push_segment(const float* sums, int64_t n, int64_t index, float* partials) {
  for (int64_t i = 0; i < n; i += 16) {
    F32x16 value = load(sums + i);
    int64_t level = 0;
    for (int64_t k = index; (k & 1) != 0; k >>= 1) value = add(load(partials + level++ * n + i), value);
    store(partials + level * n + i, value);
  }
}
inline void total_segments(const float* partials, int64_t n, int64_t count, float* sums) {
  for (int64_t i = 0; i < n; i += 16) {
    F32x16 sum = zero();
    bool is_first = true;
    for (int64_t level = 0; count >> level != 0; ++level) {
      if ((count >> level & 1) == 0) continue;
      const F32x16 partial = load(partials + level * n + i);
      sum = is_first ? partial : add(partial, sum);
      is_first = false;
    }
    store(sums + i, sum);
  }
}

// Of the pages of a document and key head: their left operands, and dK and dV of one query head in the making.
template <typename Rule>
struct KeyMemory {
  using Left = typename GradForm<Rule>::Left;
  static constexpr bool kIsSplit = GradForm<Rule>::kPlanes == 2;

  KeyMemory(Carver& carver, const GradSizes& sizes, int64_t n_pages)
      : levels(tree_levels(n_pages)),
        keys_size(kIsSplit ? 2 * key_form_size<Rule>(sizes.width) : 0),
        values_size(sizes.is_latent ? 0 : GradForm<Rule>::kPlanes * key_form_size<Rule>(sizes.value_width)),
        key_rows_size(GradForm<Rule>::kLeftOfChain * sizes.key_columns),
        keys(carver.take<Left>(n_pages * keys_size)),
        values(carver.take<Left>(n_pages * values_size)),
        key_rows(carver.take<Left>(n_pages * key_rows_size)),
        dk(carver.take(n_pages * (1 + levels) * sizes.dk_floats())),
        dv(carver.take(n_pages * (1 + levels) * sizes.dv_floats())) {}

  int64_t levels;
  int64_t keys_size, values_size, key_rows_size;  // of a page
  Left *keys, *values;                            // key forms; none where the cache holds them as they are needed
  Left* key_rows;                                 // value form of the keys
  float *dk, *dv;                                 // [pages][1 + levels][32][columns, padded]
};

// Of consecutive blocks of 32 queries: operands, and what a row of scores needs.
template <typename Rule>
struct QueryMemory {
  using Right = typename GradForm<Rule>::Right;
  QueryMemory(Carver& carver, const GradSizes& sizes, int64_t n_blocks)
      : q_key(carver.take<Right>(n_blocks * key_form_size<Rule>(sizes.width))),
        dout_key(carver.take<Right>(n_blocks * key_form_size<Rule>(sizes.value_width))),
        q_value(carver.take<Right>(n_blocks * value_form_size<Rule>(sizes.width))),
        dout_value(carver.take<Right>(n_blocks * value_form_size<Rule>(sizes.value_width))),
        m(carver.take(n_blocks * 32)),
        rl(carver.take(n_blocks * 32)),
        d0(carver.take(n_blocks * 32)) {}

  Right *q_key, *dout_key, *q_value, *dout_value;
  float *m, *rl, *d0;
};

// Tiles of pages and blocks, [pages][of_page]: P^T and e^T in f32, a row for each key and queries as lanes.
struct ScoreTiles {
  ScoreTiles(Carver& carver, int64_t n_pages, int64_t of_page_)
      : of_page(of_page_), p(carver.take(n_pages * of_page * kTile)), e(carver.take(n_pages * of_page * kTile)) {}
  int64_t at(int64_t page, int64_t slot) const { return (page * of_page + slot) * kTile; }

  int64_t of_page;
  float *p, *e;
};

// The same tiles as left operands, of P^T and dS^T. Under the f32 rule they are the score tiles: dS^T takes the place
// of e^T.
template <typename Rule>
struct OperandTiles {
  using Left = typename GradForm<Rule>::Left;
  static constexpr int64_t kSize = GradForm<Rule>::kLeftOfChain * 32;
  OperandTiles(Carver& carver, int64_t n_pages, int64_t of_page_)
      : of_page(of_page_),
        p(carver.take<Left>(n_pages * of_page * kSize)),
        ds(carver.take<Left>(n_pages * of_page * kSize)) {}
  int64_t at(int64_t page, int64_t slot) const { return (page * of_page + slot) * kSize; }

  int64_t of_page;
  Left *p, *ds;
};

// Of one thread: rows on their way, dQ^T of a block in the making, and under the bf16 rules the scores of a block and
// its dS^T of one page as lanes.
template <typename Rule>
struct ThreadMemory {
  using Right = typename GradForm<Rule>::Right;
  ThreadMemory(Carver& carver, const GradSizes& sizes, int64_t n_pages)
      : form(carver.take<Right>(sizes.row_columns * 32)),
        rows(carver.take(32 * sizes.row_columns)),
        dq(carver.take((1 + tree_levels(n_pages)) * sizes.dk_floats())),
        scores(carver, Rule::kIsBF16 ? n_pages : 0, 1),
        ds(carver.take(Rule::kIsBF16 ? kTile : 0)),
        ds_lanes(carver.take<Right>(Rule::kIsBF16 ? GradForm<Rule>::kChain * 32 : 0)) {}

  Right* form;
  float *rows, *dq;  // dq [1 + levels][columns, padded][32]
  ScoreTiles scores;
  float* ds;
  Right* ds_lanes;
};

}  // namespace naru::cpu::NARU_LEVEL
