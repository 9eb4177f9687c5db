// Rounds rows to their stream's dtype, refuses what is not finite, and stores them in the forms of cache_layout.h.
#include "chips/cpu/cache_layout.h"
#include "chips/cpu/kernels/row_loops.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::CacheWrite;
using contract::kCachePage;
using contract::SequenceRows;

// A row of the batch's rows counted over its sequences, moved on from one to the next.
class RowCursor {
 public:
  RowCursor(const CacheWrite& op, int64_t index) : op_(op), row_(index) { skip_ended(); }

  void next() {
    ++row_;
    skip_ended();
  }
  // Its batch row, in x; its place in the cache.
  int64_t token() const { return sequence().row_begin + row_; }
  std::byte* page() const {
    return pointer_of(op_.stream.address) + sequence().pages[position() / kCachePage] * op_.stream.page_bytes;
  }
  int64_t position_in_page() const { return position() % kCachePage; }

 private:
  const SequenceRows& sequence() const { return op_.sequences[sequence_]; }
  int64_t position() const { return sequence().position_begin + row_; }
  void skip_ended() {
    while (sequence_ < op_.sequences.size() && row_ >= sequence().n_rows) row_ -= op_.sequences[sequence_++].n_rows;
  }

  const CacheWrite& op_;
  size_t sequence_ = 0;
  int64_t row_;  // of the sequence
};

// An element goes to a cache line of its own; the tasks of a loop count in elements of contiguous rows.
constexpr int64_t kElementWork = 4;

// Rounded values of one row in `out`; the column of the first that is not finite, or -1.
NARU_INLINE int64_t round_row(const float* x, int64_t n, bool is_bf16, float* out) {
  int64_t bad = -1;
  for_lanes(n, [&](int64_t i, int64_t count) {
    const F32x16 v = load_at(x, i, n);
    const F32x16 rounded = is_bf16 ? round_bf16(v) : flush(v);
    const uint32_t wrong = bits_of(both(is_not_finite(rounded), first_lanes(count)));
    if (wrong != 0 && bad < 0) bad = i + __builtin_ctz(wrong);
    store_at(out, i, n, rounded);
  });
  return bad;
}

NARU_INLINE uint16_t upper_half(float x) {
  return static_cast<uint16_t>(__builtin_bit_cast(uint32_t, x) >> 16);
}

void store_key_f32(const float* x, int64_t n, int64_t column, int64_t position, std::byte* head) {
  float* out = reinterpret_cast<float*>(head) + column * kCachePage + position;
  for (int64_t k = 0; k < n; ++k) out[k * kCachePage] = x[k];
}

// Where column c of a block of 32 lies in a page in key form, in halves of dwords.
struct ColumnOffsets {
  int32_t of[32];
};
constexpr ColumnOffsets column_offsets() {
  ColumnOffsets offsets{};
  for (int64_t c = 0; c < 32; ++c) {
    const ChainPlace place = chain_place(c);
    offsets.of[c] = static_cast<int32_t>(place.dword * kCachePage * 2 + place.half);
  }
  return offsets;
}
constexpr ColumnOffsets kColumnOffsets = column_offsets();

void store_key_bf16(const float* x, int64_t n, int64_t column, int64_t position, std::byte* head, int64_t width) {
  constexpr int64_t kBlockHalves = kPageDwords * kCachePage * 2;
  auto* out = reinterpret_cast<uint16_t*>(head) + position * 2;
  int64_t k = 0;
  for (; k < n && (column + k) % 32 != 0; ++k)
    out[(column + k) / 32 * kBlockHalves + kColumnOffsets.of[(column + k) % 32]] = upper_half(x[k]);
  for (; k + 32 <= n; k += 32) {
    uint16_t* block = out + (column + k) / 32 * kBlockHalves;
#pragma GCC unroll 32
    for (int i = 0; i < 32; ++i) block[kColumnOffsets.of[i]] = upper_half(x[k + i]);
  }
  const int64_t end = column + n == width ? (width + 31) / 32 * 32 - column : n;  // padding is written with the last
  for (; k < end; ++k)
    out[(column + k) / 32 * kBlockHalves + kColumnOffsets.of[(column + k) % 32]] = k < n ? upper_half(x[k]) : 0;
}

void store_value_f32(const float* x, int64_t n, int64_t column, int64_t position, std::byte* head, int64_t width) {
  float* out = reinterpret_cast<float*>(head) + position * value_columns(width) + column;
  for_lanes(n, [&](int64_t i, int64_t) { store_at(out, i, n, load_at(x, i, n)); });
}

void store_value_bf16(const float* x, int64_t n, int64_t column, int64_t position, std::byte* head, int64_t width) {
  const ChainPlace place = chain_place(position);
  auto* out = reinterpret_cast<uint16_t*>(head) + (place.dword * value_columns(width) + column) * 2 + place.half;
  for (int64_t k = 0; k < n; ++k) out[k * 2] = upper_half(x[k]);
}

void store_row(const contract::CacheShape& shape, const float* x, int64_t n, int64_t column, int64_t position,
               std::byte* head) {
  const bool is_bf16 = shape.dtype == DType::kBF16;
  if (is_key_form(shape)) {
    if (is_bf16) return store_key_bf16(x, n, column, position, head, shape.width);
    return store_key_f32(x, n, column, position, head);
  }
  if (is_bf16) return store_value_bf16(x, n, column, position, head, shape.width);
  return store_value_f32(x, n, column, position, head, shape.width);
}

}  // namespace

template <>
Status run(const CacheWrite& op, Work& work, std::string_view* kernel) {
  const contract::CacheShape& shape = op.stream.shape;
  const bool is_bf16 = shape.dtype == DType::kBF16;
  *kernel = is_bf16 ? "pages_bf16" : "pages_f32";
  const int64_t n = op.x.cols, head_bytes = cache_head_bytes(shape);
  int64_t n_tokens = 0;
  for (const SequenceRows& rows : op.sequences) n_tokens += rows.n_rows;
  const int64_t heads_in_x = op.x.rows == n_tokens ? 1 : shape.heads;
  BadIndices bad;  // of (token, head of x, column)
  for_row_ranges(work, n_tokens, kElementWork * shape.heads * n, [&](int64_t begin, int64_t end, int thread) {
    auto* rounded =
        reinterpret_cast<float*>(work.scratch[static_cast<size_t>(thread)].get(static_cast<size_t>(n) * sizeof(float)));
    RowCursor row(op, begin);
    for (int64_t index = begin; index < end; ++index, row.next()) {
      std::byte* page = row.page();
      for (int64_t head = 0; head < shape.heads; ++head) {
        if (head < heads_in_x) {
          const int64_t column = round_row(f32(op.x, row.token() * heads_in_x + head), n, is_bf16, rounded);
          if (column >= 0) bad.report((index * heads_in_x + head) * n + column);
        }
        store_row(shape, rounded, n, op.column, row.position_in_page(), page + head * head_bytes);
      }
    }
  });
  if (!bad.found()) return {};
  const float x = f32(op.x, cache_write_row(op, bad.first()))[bad.first() % n];
  return non_finite_elements(op, bad, is_bf16 ? first_lane(round_bf16(splat(x))) : x);
}

}  // namespace naru::cpu::NARU_LEVEL
