// Attention of a block of query rows over one segment of 512 positions: scores, probabilities and their weighted sum
// before the division (docs/arithmetic.md section 5). A block is rows of one sequence that share a key head, ordered by
// token, then query head; so a page is read once for all of them, and what a row sees grows along the block.
#pragma once

#include "chips/cpu/kernels/attention_pages.h"
#include "chips/cpu/kernels/attention_tile.h"

namespace naru::cpu::NARU_LEVEL {

constexpr int64_t kAttentionSegment = 512;
constexpr int64_t kSegmentPages = kAttentionSegment / kCachePage;
constexpr int64_t kMadePages = 4;  // value pages made in thread memory at a time

// Sizes that are the same for all blocks of one op.
struct AttentionSizes {
  explicit AttentionSizes(const contract::Attention& op)
      : is_bf16(op.key.shape.dtype == DType::kBF16),
        is_latent(op.value.shape.use == contract::CacheUse::kKeyAndValue),
        group(op.heads / op.key.shape.heads),
        width(op.key.shape.width),
        key_blocks((op.key.shape.width + 31) / 32),
        columns(is_latent ? (op.out.cols + 31) / 32 * 32 : value_columns(op.out.cols)) {}

  bool is_bf16;
  bool is_latent;
  int64_t group;       // query heads a key head
  int64_t width;       // of a key
  int64_t key_blocks;  // of 32 columns
  int64_t columns;     // of a value, padded
};

struct RowBlock {
  const contract::SequenceRows* rows = nullptr;
  int64_t key_head = 0;
  int64_t begin = 0;  // first row, counted over (token, head of the group)
  int64_t count = 0;
};

// Per row of a block: the max, the sum and the weighted sum, the latter with a stride of `columns`.
struct Partial {
  float* m;
  float* l;
  float* o;
};

constexpr int64_t partial_floats(int64_t n_rows, int64_t columns) {
  return n_rows * (columns + 2);
}
inline Partial partial_at(float* memory, int64_t n_rows, int64_t columns) {
  return {memory + n_rows * columns, memory + n_rows * (columns + 1), memory};
}

// Memory of one thread, for blocks of n_rows rows.
struct SegmentScratch {
  static size_t bytes(const AttentionSizes& sizes, int64_t n_rows) {
    const int64_t floats = n_rows * (sizes.key_blocks * 32 + 2 * kAttentionSegment) + kMadePages * sizes.columns * 32;
    return static_cast<size_t>(floats + 16) * sizeof(float);
  }
  SegmentScratch(const AttentionSizes& sizes, int64_t n_rows, std::byte* memory) {
    scores = reinterpret_cast<float*>(memory);
    made_pages = scores + n_rows * kAttentionSegment;
    p = reinterpret_cast<PairOperand*>(made_pages + kMadePages * sizes.columns * 32);
    q = p + n_rows * kAttentionSegment / 32 * kBlockOperands;
    q_f32 = reinterpret_cast<float*>(p);
  }
  float* scores;      // [rows][512]; under f32 the probabilities take their place
  float* made_pages;  // [kMadePages][32][columns] f32, or [kMadePages][16][columns] dwords
  PairOperand* p;     // [rows][16 blocks]; bf16 only
  PairOperand* q;     // [rows][key blocks]; bf16 only
  float* q_f32;       // [rows][width]; f32 only
};

class SegmentWorker {
 public:
  SegmentWorker(const contract::Attention& op, const AttentionSizes& sizes, const RowBlock& block,
                const SegmentScratch& scratch)
      : op_(op), sizes_(sizes), block_(block), scratch_(scratch) {}

  void load_queries() const {
    for (int64_t r = 0; r < block_.count; ++r) {
      const float* q = op_.q.f32(operand_row(r));
      if (!sizes_.is_bf16) {
        float* out = scratch_.q_f32 + r * sizes_.width;
        for_lanes(sizes_.width,
                  [&](int64_t i, int64_t) { store_at(out, i, sizes_.width, load_at(q, i, sizes_.width)); });
        continue;
      }
      PairOperand* out = scratch_.q + r * sizes_.key_blocks * kBlockOperands;
      for (int64_t b = 0; b < sizes_.key_blocks; ++b) {
        const int64_t rest = sizes_.width - b * 32;
        const F16 first = load_first(q + b * 32, rest < 16 ? rest : 16);
        const F16 second = rest > 16 ? load_first(q + b * 32 + 16, rest < 32 ? rest - 16 : 16) : zero();
        store_block(out + b * kBlockOperands, round_bf16(first), round_bf16(second));
      }
    }
  }

  // Row of q and out.
  int64_t operand_row(int64_t r) const {
    const int64_t row = block_.begin + r;
    return (block_.rows->row_begin + row / sizes_.group) * op_.heads + block_.key_head * sizes_.group +
           row % sizes_.group;
  }
  // Positions that row r sees.
  int64_t visible(int64_t r) const { return block_.rows->position_begin + (block_.begin + r) / sizes_.group + 1; }
  // Positions of the segment that row r sees.
  int64_t visible_in(int64_t segment, int64_t r) const {
    const int64_t n = visible(r) - segment * kAttentionSegment;
    return n < 0 ? 0 : n < kAttentionSegment ? n : kAttentionSegment;
  }
  // The first row that sees anything of the segment.
  int64_t first_row(int64_t segment) const {
    int64_t r = 0;
    while (r < block_.count && visible_in(segment, r) == 0) ++r;
    return r;
  }

  // Fills `out` for the rows from first_row(segment) on.
  void attend(int64_t segment, const Partial& out) const {
    const int64_t begin = first_row(segment);
    if (begin == block_.count) return;
    const int64_t n_pages = (visible_in(segment, block_.count - 1) + kCachePage - 1) / kCachePage;
    for (int64_t page = 0; page < n_pages; ++page) {
      if (sizes_.is_bf16) {
        score_page_bf16(segment, page, begin);
      } else {
        score_page_f32(segment, page, begin);
      }
    }
    for (int64_t r = begin; r < block_.count; ++r) {
      const float* s = scratch_.scores + r * kAttentionSegment;
      out.m[r] = row_max(s, visible_in(segment, r));
      out.l[r] = make_probabilities(r, visible_in(segment, r), n_pages * kCachePage, out.m[r]);
    }
    const int64_t step = sizes_.is_latent ? kMadePages : kSegmentPages;
    for (int64_t page = 0; page < n_pages; page += step) {
      const int64_t n = n_pages - page < step ? n_pages - page : step;
      if (sizes_.is_bf16) {
        add_values_bf16(segment, page, n, begin, out.o);
      } else {
        add_values_f32(segment, page, n, begin, out.o);
      }
    }
  }

 private:
  void score_page_bf16(int64_t segment, int64_t page, int64_t begin) const {
    const auto* keys = reinterpret_cast<const uint32_t*>(
        page_of(op_.key, *block_.rows, segment * kSegmentPages + page, block_.key_head));
    const F16 scale = splat(op_.scale);
    const int64_t q_stride = sizes_.key_blocks * kBlockOperands;
    for_tiles<kTileRowsBF16>(begin, block_.count, [&](auto n_rows, int64_t r) {
      constexpr int R = decltype(n_rows)::value, V = kTileVectors;
      if (visible_in(segment, r + R - 1) <= page * kCachePage) return;
      for (int64_t lane = 0; lane < kCachePage; lane += V * 16) {
        F16 acc[R * V];
        unroll<R * V>([&](auto i) { acc[i] = zero(); });
        const auto block_at = [&](int64_t b) { return keys + b * kPageDwords * kCachePage + lane; };
        multiply_blocks<R, V>(scratch_.q + r * q_stride, q_stride, sizes_.key_blocks, block_at, kCachePage, acc);
        float* out = scratch_.scores + r * kAttentionSegment + page * kCachePage + lane;
        unroll<R>([&](auto i) {
          unroll<V>([&](auto v) { store(out + i * kAttentionSegment + v * 16, mul(acc[i * V + v], scale)); });
        });
      }
    });
  }

  void score_page_f32(int64_t segment, int64_t page, int64_t begin) const {
    const auto* keys =
        reinterpret_cast<const float*>(page_of(op_.key, *block_.rows, segment * kSegmentPages + page, block_.key_head));
    const F16 scale = splat(op_.scale);
    for_tiles<kTileRowsF32>(begin, block_.count, [&](auto n_rows, int64_t r) {
      constexpr int R = decltype(n_rows)::value, V = kTileVectors;
      if (visible_in(segment, r + R - 1) <= page * kCachePage) return;
      for (int64_t lane = 0; lane < kCachePage; lane += V * 16) {
        F16 acc[R * V];
        unroll<R * V>([&](auto i) { acc[i] = zero(); });
        multiply_f32<R, V>(scratch_.q_f32 + r * sizes_.width, sizes_.width, sizes_.width, keys + lane, kCachePage, acc);
        float* out = scratch_.scores + r * kAttentionSegment + page * kCachePage + lane;
        unroll<R>([&](auto i) {
          unroll<V>([&](auto v) { store(out + i * kAttentionSegment + v * 16, mul(acc[i * V + v], scale)); });
        });
      }
    });
  }

  // Scores of row r to probabilities, +0 from `n` up to `end`; returns their sum.
  float make_probabilities(int64_t r, int64_t n, int64_t end, float max) const {
    float* s = scratch_.scores + r * kAttentionSegment;
    PairOperand* p = scratch_.p + r * (kSegmentPages * kBlockOperands);
    const F16 m = splat(max), floor = splat(-38.0f);
    F16 lanes = zero();
    const auto probability = [&](int64_t i) __attribute__((always_inline)) {
      const F16 d = sub(load(s + i), m);
      F16 e = exp_near(d);
      if (sizes_.is_bf16) e = round_bf16(e);
      e = select(less(d, floor), zero(), e);
      if (i + 16 > n) e = select(first_lanes(n > i ? n - i : 0), e, zero());
      lanes = NARU_LEVEL::add(lanes, e);
      return e;
    };
    for (int64_t i = 0; i < end; i += 32) {
      const F16 first = probability(i), second = probability(i + 16);
      if (sizes_.is_bf16) {
        store_block(p + i / 32 * kBlockOperands, first, second);
      } else {
        store(s + i, first);
        store(s + i + 16, second);
      }
    }
    return NARU_LEVEL::add(sum_lanes(lanes), 0.0f);
  }

  // Value form of pages [page, page + n) of the segment, where a page is in thread memory if it must be made.
  template <typename Element>
  void find_values(int64_t segment, int64_t page, int64_t n, const Element** out) const {
    const int64_t end = block_.rows->position_begin + block_.rows->n_rows;  // positions that were written
    for (int64_t i = 0; i < n; ++i) {
      const int64_t number = segment * kSegmentPages + page + i;
      const int64_t n_written = end - number * kCachePage;
      const std::byte* from = page_of(op_.value, *block_.rows, number, block_.key_head);
      out[i] = reinterpret_cast<const Element*>(from);
      if (sizes_.is_latent) {
        float* made = scratch_.made_pages + i * sizes_.columns * 32;
        if (sizes_.is_bf16) {
          transpose_page_bf16(reinterpret_cast<const uint32_t*>(from), sizes_.columns,
                              n_written < kCachePage ? n_written : kCachePage, reinterpret_cast<uint32_t*>(made));
        } else {
          transpose_page_f32(reinterpret_cast<const float*>(from), sizes_.width, sizes_.columns, made);
        }
        out[i] = reinterpret_cast<const Element*>(made);
      } else if (sizes_.is_bf16 && n_written < kCachePage) {  // the f32 chain stops at the last visible position
        mask_value_page(reinterpret_cast<const uint32_t*>(from), sizes_.columns, n_written,
                        reinterpret_cast<uint32_t*>(scratch_.made_pages));
        out[i] = reinterpret_cast<const Element*>(scratch_.made_pages);
      }
    }
  }

  // body(Constant<V>, column) for runs of vectors that cover all columns.
  template <typename Body>
  void for_columns(const Body& body) const {
    for_tiles<kTileVectors>(0, sizes_.columns / 16, [&](auto v, int64_t vector) { body(v, vector * 16); });
  }

  template <int R, int V>
  NARU_SIMD void begin_sums(bool is_first, const float* o, F16 (&acc)[R * V]) const {
    unroll<R>([&](auto i) {
      unroll<V>([&](auto v) { acc[i * V + v] = is_first ? zero() : load(o + i * sizes_.columns + v * 16); });
    });
  }
  template <int R, int V>
  NARU_SIMD void end_sums(const F16 (&acc)[R * V], float* o) const {
    unroll<R>([&](auto i) {
      unroll<V>([&](auto v) { store(o + i * sizes_.columns + v * 16, add(acc[i * V + v], zero())); });
    });
  }

  // Adds pages [page, page + n) to the weighted sums. (A sum's + (+0) after each run of pages changes no later bit.)
  void add_values_bf16(int64_t segment, int64_t page, int64_t n, int64_t begin, float* o) const {
    const uint32_t* values[kSegmentPages];
    find_values(segment, page, n, values);
    constexpr int64_t kStride = kSegmentPages * kBlockOperands;
    for_columns([&](auto n_vectors, int64_t column) {
      for_tiles<kTileRowsBF16>(begin, block_.count, [&](auto n_rows, int64_t r) {
        constexpr int R = decltype(n_rows)::value, V = decltype(n_vectors)::value;
        const int64_t seen = (visible_in(segment, r + R - 1) + kCachePage - 1) / kCachePage - page;
        F16 acc[R * V];
        begin_sums<R, V>(page == 0, o + r * sizes_.columns + column, acc);
        multiply_blocks<R, V>(
            scratch_.p + r * kStride + page * kBlockOperands, kStride, seen < n ? seen : n,
            [&](int64_t b) { return values[b] + column; }, sizes_.columns, acc);
        end_sums<R, V>(acc, o + r * sizes_.columns + column);
      });
    });
  }

  void add_values_f32(int64_t segment, int64_t page, int64_t n, int64_t begin, float* o) const {
    const float* values[kSegmentPages];
    find_values(segment, page, n, values);
    for_columns([&](auto n_vectors, int64_t column) {
      for_tiles<kTileRowsF32>(begin, block_.count, [&](auto n_rows, int64_t r) {
        constexpr int R = decltype(n_rows)::value, V = decltype(n_vectors)::value;
        const int64_t seen = visible_in(segment, r + R - 1) - page * kCachePage;
        const float* p = scratch_.scores + r * kAttentionSegment + page * kCachePage;
        F16 acc[R * V];
        begin_sums<R, V>(page == 0, o + r * sizes_.columns + column, acc);
        for (int64_t i = 0; i < n && i * kCachePage < seen; ++i) {
          const int64_t rest = seen - i * kCachePage;
          multiply_f32<R, V>(p + i * kCachePage, kAttentionSegment, rest < kCachePage ? rest : kCachePage,
                             values[i] + column, sizes_.columns, acc);
        }
        end_sums<R, V>(acc, o + r * sizes_.columns + column);
      });
    });
  }

  const contract::Attention& op_;
  const AttentionSizes& sizes_;
  const RowBlock block_;
  const SegmentScratch scratch_;
};

}  // namespace naru::cpu::NARU_LEVEL
