// Attention of a block of query rows over one segment of 512 positions: scores, probabilities and their weighted sum
// before the division (docs/arithmetic.md section 5). A block is rows of one sequence that share a key head, ordered by
// token, then query head; so a page is read once for all of them, and what a row sees grows along the block. A token
// with a list of selected positions is a sequence of its own (read_lists), whose pages are gathered for each segment.
#pragma once

#include "chips/cpu/kernels/attention_lists.h"
#include "chips/cpu/kernels/attention_tile.h"

namespace naru::cpu::NARU_LEVEL {

constexpr int64_t kAttentionSegment = 512;
constexpr int64_t kSegmentPages = kAttentionSegment / kCachePage;
constexpr int64_t kMadePages = 4;  // value pages made in thread memory at a time
constexpr int64_t kFewRows = 16;   // blocks of so few rows wait for memory: their pages are fetched ahead

// Sizes that are the same for all blocks of one op.
struct AttentionSizes {
  explicit AttentionSizes(const contract::Attention& op)
      : is_latent(op.value.shape.use == contract::CacheUse::kKeyAndValue),
        is_selected(!op.selected.empty()),
        group(op.heads / op.key.shape.heads),
        width(op.key.shape.width),
        key_bytes(cache_head_bytes(op.key.shape)),
        value_bytes(is_latent ? 0 : cache_head_bytes(op.value.shape)),
        key_blocks((op.key.shape.width + 31) / 32),
        columns(is_latent ? (op.out.cols + 31) / 32 * 32 : value_columns(op.out.cols)) {}

  bool is_latent;
  bool is_selected;
  int64_t group;        // query heads a key head
  int64_t width;        // of a key
  int64_t key_bytes;    // of a page of one head
  int64_t value_bytes;  // of a page of values beside it
  int64_t key_blocks;   // of 32 columns
  int64_t columns;      // of a value, padded
};

struct AttentionBlock {
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

NARU_INLINE int64_t partial_floats(int64_t n_rows, int64_t columns) {
  return n_rows * (columns + 2);
}
NARU_INLINE Partial partial_at(float* memory, int64_t n_rows, int64_t columns) {
  return {memory + n_rows * columns, memory + n_rows * (columns + 1), memory};
}

// Memory of one thread, for blocks of n_rows rows.
template <typename Rule>
struct SegmentScratch {
  using Operand = typename Rule::Operand;
  static constexpr int64_t kSegmentOperands = kSegmentPages * Rule::kBlockOperands;

  static size_t bytes(const AttentionSizes& sizes, int64_t n_rows) {
    const int64_t floats = n_rows * (sizes.key_blocks * 32 + 2 * kAttentionSegment) + kMadePages * sizes.columns * 32;
    const int64_t gathered = sizes.is_selected ? kSegmentPages * (sizes.key_bytes + sizes.value_bytes) : 0;
    return static_cast<size_t>(floats) * sizeof(float) + static_cast<size_t>(n_rows) * sizeof(int64_t) +
           2 * kSegmentPages * sizeof(std::byte*) + static_cast<size_t>(gathered);
  }
  SegmentScratch(const AttentionSizes& sizes, int64_t n_rows, std::byte* memory) {
    gathered = memory;  // first, for its pages' alignment
    if (sizes.is_selected) memory += kSegmentPages * (sizes.key_bytes + sizes.value_bytes);
    key_pages = reinterpret_cast<const std::byte**>(memory);
    value_pages = key_pages + kSegmentPages;
    seen = reinterpret_cast<int64_t*>(value_pages + kSegmentPages);
    scores = reinterpret_cast<float*>(seen + n_rows);
    made_pages = scores + n_rows * kAttentionSegment;
    p = reinterpret_cast<Operand*>(made_pages + kMadePages * sizes.columns * 32);
    q = p + n_rows * kSegmentOperands;
  }
  std::byte* gathered;                         // pages of keys, then of values
  const std::byte **key_pages, **value_pages;  // [kSegmentPages], where those of the segment lie
  int64_t* seen;                               // [rows], positions of the segment that a row sees
  float* scores;                               // [rows][512]
  float* made_pages;                           // [kMadePages][32][columns] f32, or [kMadePages][16][columns] dwords
  Operand* p;                                  // [rows][16 blocks], probabilities
  Operand* q;                                  // [rows][key blocks]
};

template <typename Rule>
class SegmentWorker {
 public:
  SegmentWorker(const contract::Attention& op, const AttentionSizes& sizes, const AttentionBlock& block,
                const SegmentScratch<Rule>& scratch)
      : op_(op), sizes_(sizes), block_(block), scratch_(scratch) {}

  void load_queries() const {
    for (int64_t r = 0; r < block_.count; ++r) {
      const float* q = f32(op_.q, operand_row(r));
      Operand* out = scratch_.q + r * q_stride();
      for (int64_t c = 0; c < sizes_.width; c += 32) {
        const F32x16 first = load_at(q, c, sizes_.width);
        const F32x16 second = c + 16 < sizes_.width ? load_at(q, c + 16, sizes_.width) : zero();
        if constexpr (Rule::kIsBF16) {
          Rule::store_block(out + c / 32 * Rule::kBlockOperands, round_bf16(first), round_bf16(second));
        } else {
          Rule::store_block(out + c, first, second);
        }
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
  // The first row that sees anything of the segment.
  int64_t first_row(int64_t segment) const {
    if (segment == 0) return 0;
    int64_t r = 0;
    while (r < block_.count && visible(r) <= segment * kAttentionSegment) ++r;
    return r;
  }

  // Fills `out` for the rows from first_row(segment) on.
  void attend(int64_t segment, const Partial& out) const {
    const int64_t begin = first_row(segment);
    if (begin == block_.count) return;
    int64_t n = visible(begin) - segment * kAttentionSegment,
            left = sizes_.group - (block_.begin + begin) % sizes_.group;
    for (int64_t r = begin; r < block_.count; ++r) {  // rows of a token, then those of the next
      scratch_.seen[r] = n < kAttentionSegment ? n : kAttentionSegment;
      if (--left == 0) ++n, left = sizes_.group;
    }
    const int64_t n_pages = (scratch_.seen[block_.count - 1] + kCachePage - 1) / kCachePage;
    find_pages(segment, n_pages);
    for (int64_t page = 0; page < n_pages; ++page) {
      if (block_.count <= kFewRows && !sizes_.is_selected) fetch_ahead(page, page + 1 < n_pages);
      score_page(page, begin);
    }
    for (int64_t r = begin; r < block_.count; ++r) {
      out.m[r] = score_max(scratch_.scores + r * kAttentionSegment, scratch_.seen[r]);
      out.l[r] = make_probabilities(r, n_pages * kCachePage, out.m[r]);
    }
    const int64_t step = sizes_.is_latent ? kMadePages : kSegmentPages;
    for (int64_t page = 0; page < n_pages; page += step)
      add_values(segment, page, n_pages - page < step ? n_pages - page : step, begin, out.o);
  }

 private:
  using Operand = typename Rule::Operand;
  using Right = std::conditional_t<Rule::kIsBF16, uint32_t, float>;  // what a page holds
  static constexpr int64_t kSegmentOperands = SegmentScratch<Rule>::kSegmentOperands;

  int64_t q_stride() const { return sizes_.key_blocks * Rule::kBlockOperands; }

  // Pages of the segment, where they lie in the cache or gathered from a list.
  void find_pages(int64_t segment, int64_t n_pages) const {
    for (int64_t page = 0; page < n_pages; ++page) {
      if (sizes_.is_selected) {
        gather_page(segment, page);
      } else {
        take_page(page, segment * kSegmentPages + page);
      }
    }
  }
  void take_page(int64_t page, int64_t number) const {
    scratch_.key_pages[page] = page_of(op_.key, *block_.rows, number, block_.key_head);
    scratch_.value_pages[page] =
        sizes_.is_latent ? scratch_.key_pages[page] : page_of(op_.value, *block_.rows, number, block_.key_head);
  }
  void gather_page(int64_t segment, int64_t page) const {
    const int64_t begin = segment * kAttentionSegment + page * kCachePage, rest = visible(0) - begin;
    const int64_t n = rest < kCachePage ? rest : kCachePage;
    const int32_t* list = i32(op_.selected, block_.rows->row_begin) + begin;
    if (is_page(list, n)) return take_page(page, list[0] / kCachePage);
    std::byte* keys = scratch_.gathered + page * sizes_.key_bytes;
    gather_key_page(op_.key, *block_.rows, block_.key_head, list, n, reinterpret_cast<uint32_t*>(keys));
    scratch_.key_pages[page] = scratch_.value_pages[page] = keys;
    if (sizes_.is_latent) return;
    std::byte* values = scratch_.gathered + kSegmentPages * sizes_.key_bytes + page * sizes_.value_bytes;
    if constexpr (Rule::kIsBF16) {
      gather_value_page_bf16(op_.value, *block_.rows, block_.key_head, list, n, reinterpret_cast<uint32_t*>(values));
    } else {
      gather_value_page_f32(op_.value, *block_.rows, block_.key_head, list, n, reinterpret_cast<float*>(values));
    }
    scratch_.value_pages[page] = values;
  }

  // The page's values are needed after its keys, the next page's keys after that.
  void fetch_ahead(int64_t page, bool has_next) const {
    if (!sizes_.is_latent) fetch(scratch_.value_pages[page], sizes_.value_bytes);
    if (has_next) fetch(scratch_.key_pages[page + 1], sizes_.key_bytes);
  }
  NARU_INLINE static void fetch(const std::byte* from, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
  }

  void score_page(int64_t page, int64_t begin) const {
    const auto* keys = reinterpret_cast<const Right*>(scratch_.key_pages[page]);
    const F32x16 scale = splat(op_.scale);
    for_tiles<kTileRows>(begin, block_.count, [&](auto n_rows, int64_t r) {
      constexpr int R = decltype(n_rows)::value;
      const int64_t n_seen = scratch_.seen[r + R - 1] - page * kCachePage;
      if (n_seen <= 0) return;
      if (kTileVectors == 1 || n_seen > 16) {
        for (int64_t lane = 0; lane < kCachePage; lane += kTileVectors * 16)
          score_lanes<R, kTileVectors>(keys, r, page, lane, scale);
      } else {
        score_lanes<R, 1>(keys, r, page, 0, scale);
      }
    });
  }
  template <int R, int V>
  NARU_INLINE void score_lanes(const Right* keys, int64_t r, int64_t page, int64_t lane, F32x16 scale) const {
    F32x16 acc[R * V];
    unroll<R * V>([&](auto i) { acc[i] = zero(); });
    const Operand* q = scratch_.q + r * q_stride();
    if constexpr (Rule::kIsBF16) {
      const auto block_at = [&](int64_t b) { return keys + b * kPageDwords * kCachePage + lane; };
      multiply_blocks<Rule, R, V>(q, q_stride(), sizes_.width, block_at, kCachePage, acc);
    } else {
      multiply_f32<R, V>(q, q_stride(), sizes_.width, keys + lane, kCachePage, acc);
    }
    float* out = scratch_.scores + r * kAttentionSegment + page * kCachePage + lane;
    unroll<R>([&](auto i) {
      unroll<V>([&](auto v) { store(out + i * kAttentionSegment + v * 16, mul(acc[i * V + v], scale)); });
    });
  }

  // Scores of row r to probabilities, +0 from what it sees up to `end`; returns their sum. (Under the bf16 rules a NaN
  // here is one that an operation made or that q's rounding did, so the quick rounding keeps it a NaN.)
  float make_probabilities(int64_t r, int64_t end, float max) const {
    const float* s = scratch_.scores + r * kAttentionSegment;
    Operand* p = scratch_.p + r * kSegmentOperands;
    const int64_t n = scratch_.seen[r];
    const F32x16 m = splat(max), floor = splat(-38.0f);
    F32x16 lanes = zero();
    const auto probability = [&](int64_t i) __attribute__((always_inline)) {
      if (i >= n) return zero();
      const F32x16 d = sub(load(s + i), m);
      F32x16 e = exp_near(d);
      if constexpr (Rule::kIsBF16) e = round_bf16_near(e);
      e = select(less(d, floor), zero(), e);
      if (i + 16 > n) e = select(first_lanes(n > i ? n - i : 0), e, zero());
      lanes = NARU_LEVEL::add(lanes, e);
      return e;
    };
    for (int64_t i = 0; i < end; i += 32) {
      const F32x16 first = probability(i), second = probability(i + 16);
      Rule::store_block(p + i / 32 * Rule::kBlockOperands, first, second);
    }
    return NARU_LEVEL::add(sum_lanes(lanes), 0.0f);
  }

  // Value form of pages [page, page + n) of the segment; in thread memory where it must be made.
  void find_values(int64_t segment, int64_t page, int64_t n, const Right** out) const {
    const int64_t end = block_.rows->position_begin + block_.rows->n_rows;  // positions that were written
    for (int64_t i = 0; i < n; ++i) {
      const int64_t number = segment * kSegmentPages + page + i;
      const int64_t n_written = end - number * kCachePage < kCachePage ? end - number * kCachePage : kCachePage;
      const auto* from = reinterpret_cast<const Right*>(scratch_.value_pages[page + i]);
      auto* made = reinterpret_cast<Right*>(scratch_.made_pages + i * sizes_.columns * 32);
      out[i] = from;
      if constexpr (Rule::kIsBF16) {
        if (sizes_.is_latent) {
          transpose_page_bf16(from, sizes_.columns, n_written, made);
          out[i] = made;
        } else if (n_written < kCachePage && n_written % 4 != 0) {  // at most the last page; dwords are read whole
          made = reinterpret_cast<Right*>(scratch_.made_pages);
          mask_value_page(from, sizes_.columns, n_written, made);
          out[i] = made;
        }
      } else if (sizes_.is_latent) {  // (the f32 chain stops at the last visible position)
        transpose_page_f32(from, sizes_.width, sizes_.columns, made);
        out[i] = made;
      }
    }
  }

  // Adds pages [page, page + n) to the weighted sums. (A sum's + (+0) after each run of pages changes no later bit.)
  void add_values(int64_t segment, int64_t page, int64_t n, int64_t begin, float* o) const {
    const Right* values[kSegmentPages];
    find_values(segment, page, n, values);
    for_tiles<kTileVectors>(0, sizes_.columns / 16, [&](auto n_vectors, int64_t vector) {
      for_tiles<kTileRows>(begin, block_.count, [&](auto n_rows, int64_t r) {
        constexpr int R = decltype(n_rows)::value, V = decltype(n_vectors)::value;
        const int64_t seen = scratch_.seen[r + R - 1] - page * kCachePage;
        const int64_t n_pages = (seen + kCachePage - 1) / kCachePage;
        const Operand* p = scratch_.p + r * kSegmentOperands + page * Rule::kBlockOperands;
        float* sums = o + r * sizes_.columns + vector * 16;
        F32x16 acc[R * V];
        unroll<R * V>([&](auto i) { acc[i] = page == 0 ? zero() : load(sums + i / V * sizes_.columns + i % V * 16); });
        if constexpr (Rule::kIsBF16) {
          const auto block_at = [&](int64_t b) { return values[b] + vector * 16; };
          const int64_t n_seen = seen < n * kCachePage ? seen : n * kCachePage;
          multiply_blocks<Rule, R, V>(p, kSegmentOperands, n_seen, block_at, sizes_.columns, acc);
        } else {
          for (int64_t i = 0; i < n && i < n_pages; ++i) {
            const int64_t rest = seen - i * kCachePage;
            multiply_f32<R, V>(p + i * kCachePage, kSegmentOperands, rest < kCachePage ? rest : kCachePage,
                               values[i] + vector * 16, sizes_.columns, acc);
          }
        }
        unroll<R * V>([&](auto i) { store(sums + i / V * sizes_.columns + i % V * 16, add(acc[i], zero())); });
      });
    });
  }

  const contract::Attention& op_;
  const AttentionSizes& sizes_;
  const AttentionBlock block_;
  const SegmentScratch<Rule> scratch_;
};

}  // namespace naru::cpu::NARU_LEVEL
