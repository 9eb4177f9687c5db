// Rounds rows to their stream's dtype, refuses what is not finite, and stores them in the forms of cache_layout.h.
#include "chips/cpu/cache_layout.h"
#include "chips/cpu/kernels/row_loops.h"
#include "chips/cpu/kernels/transpose.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::CacheWrite;
using contract::kCachePage;
using contract::SequenceRows;

// The rows of the sequences, one after the other, in runs of positions that follow each other in one page.
class RowCursor {
 public:
  RowCursor(const CacheWrite& op, int64_t index) : op_(op), row_(index) { skip_ended(); }

  static constexpr int64_t kRunMax = 16;
  // Rows from here on in one run, at most `most`.
  int64_t run(int64_t most) const {
    const int64_t n = least(sequence().n_rows - row_, kCachePage - position_in_page());
    return least(least(n, most), kRunMax);
  }
  void move(int64_t n) {
    row_ += n;
    skip_ended();
  }
  // Its batch row, in x; its place in the cache.
  int64_t token() const { return sequence().row_begin + row_; }
  std::byte* page() const {
    return pointer_of(op_.stream.address) + sequence().pages[position() / kCachePage] * op_.stream.page_bytes;
  }
  int64_t position_in_page() const { return position() % kCachePage; }

 private:
  static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
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

// Rounded values of one row in `out`, padded with +0 to a multiple of 16; the column of the first that is not finite,
// or -1.
NARU_INLINE int64_t round_row(const float* x, int64_t n, bool is_bf16, float* out) {
  int64_t bad = -1;
  for_lanes(n, [&](int64_t i, int64_t count) {
    const F32x16 v = load_at(x, i, n);
    const F32x16 rounded = is_bf16 ? round_bf16(v) : flush(v);
    const uint32_t wrong = bits_of(both(is_not_finite(rounded), first_lanes(count)));
    if (wrong != 0 && bad < 0) bad = i + __builtin_ctz(wrong);
    store(out + i, rounded);
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

// Rows of a run, one behind the other.
struct Rows {
  const float* x;  // rounded, padded with +0
  int64_t stride;
  int64_t count;  // rows
  int64_t n;      // columns
  int64_t position;

  const float* row(int64_t r) const { return x + r * stride; }
};

constexpr int64_t kTurnedMin = 4;  // rows that are worth a transpose

// Columns c to c + 15 as vectors of rows.
NARU_INLINE void turn(const Rows& rows, int64_t c, F32x16 (&x)[16]) {
  for (int64_t r = 0; r < 16; ++r) x[r] = r < rows.count ? load(rows.row(r) + c) : zero();
  transpose(x);
}

// Two elements of a chain.
NARU_INLINE F32x16 pair_of(F32x16 upper, F32x16 lower) {
  return as_f32(pair_dwords(upper, lower));
}

void store_keys_f32(const Rows& rows, int64_t column, std::byte* head) {
  if (rows.count < kTurnedMin) {
    for (int64_t r = 0; r < rows.count; ++r) store_key_f32(rows.row(r), rows.n, column, rows.position + r, head);
    return;
  }
  for (int64_t c = 0; c < rows.n; c += 16) {
    F32x16 x[16];
    turn(rows, c, x);
    float* out = reinterpret_cast<float*>(head) + (column + c) * kCachePage + rows.position;
    for (int64_t i = 0; i < 16 && c + i < rows.n; ++i) store_first(out + i * kCachePage, x[i], rows.count);
  }
}

void store_keys_bf16(const Rows& rows, int64_t column, std::byte* head, int64_t width) {
  const bool is_last = column + rows.n == width;
  if (rows.count < kTurnedMin || column % 16 != 0 || (rows.n % 16 != 0 && !is_last)) {
    for (int64_t r = 0; r < rows.count; ++r)
      store_key_bf16(rows.row(r), rows.n, column, rows.position + r, head, width);
    return;
  }
  const int64_t end = is_last ? (width + 31) / 32 * 32 - column : rows.n;  // padding is written with the last
  for (int64_t c = 0; c < end; c += 16) {
    F32x16 x[16];
    if (c < rows.n) {
      turn(rows, c, x);
    } else {
      for (F32x16& v : x) v = zero();
    }
    const int64_t block = (column + c) / 32, first = (column + c) % 32 / 4;
    float* out = reinterpret_cast<float*>(head) + (block * kPageDwords + first) * kCachePage + rows.position;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      store_first(out + i * kCachePage, pair_of(x[4 * i], x[4 * i + 2]), rows.count);
      store_first(out + (8 + i) * kCachePage, pair_of(x[4 * i + 1], x[4 * i + 3]), rows.count);
    }
  }
}

// Four positions that share dwords.
void store_values_bf16(const float* x, int64_t stride, int64_t n, int64_t column, int64_t position, std::byte* head,
                       int64_t width) {
  const int64_t columns = value_columns(width);
  float* out = reinterpret_cast<float*>(head) + position / 4 * columns + column;
  for_lanes(n, [&](int64_t i, int64_t) {
    store_at(out, i, n, pair_of(load(x + i), load(x + 2 * stride + i)));
    store_at(out + 8 * columns, i, n, pair_of(load(x + stride + i), load(x + 3 * stride + i)));
  });
}

void store_rows(const contract::CacheShape& shape, const Rows& rows, int64_t column, std::byte* head) {
  const bool is_bf16 = shape.dtype == DType::kBF16;
  if (is_key_form(shape)) {
    return is_bf16 ? store_keys_bf16(rows, column, head, shape.width) : store_keys_f32(rows, column, head);
  }
  for (int64_t r = 0; r < rows.count;) {
    const int64_t position = rows.position + r;
    if (!is_bf16) {
      store_value_f32(rows.row(r++), rows.n, column, position, head, shape.width);
    } else if (position % 4 == 0 && r + 4 <= rows.count) {
      store_values_bf16(rows.row(r), rows.stride, rows.n, column, position, head, shape.width);
      r += 4;
    } else {
      store_value_bf16(rows.row(r++), rows.n, column, position, head, shape.width);
    }
  }
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
  const int64_t heads_in_x = op.x.rows == op.sequences.end_row() ? 1 : shape.heads;
  BadIndices bad;  // of (token, head of x, column)
  for_row_ranges(work, n_tokens, kElementWork * shape.heads * n, [&](int64_t begin, int64_t end, int thread) {
    const int64_t stride = (n + 15) / 16 * 16;
    auto* rounded = reinterpret_cast<float*>(work.scratch[static_cast<size_t>(thread)].get(
        static_cast<size_t>(RowCursor::kRunMax * stride) * sizeof(float)));
    RowCursor row(op, begin);
    for (int64_t index = begin, count = 0; index < end; index += count, row.move(count)) {
      count = row.run(end - index);
      std::byte* page = row.page();
      for (int64_t head = 0; head < shape.heads; ++head) {
        for (int64_t r = 0; r < count && head < heads_in_x; ++r) {
          const float* x = f32(op.x, (row.token() + r) * heads_in_x + head);
          const int64_t column = round_row(x, n, is_bf16, rounded + r * stride);
          if (column >= 0) bad.report(((index + r) * heads_in_x + head) * n + column);
        }
        store_rows(shape, {rounded, stride, count, n, row.position_in_page()}, op.column, page + head * head_bytes);
      }
    }
  });
  if (!bad.found()) return {};
  const float x = f32(op.x, cache_write_row(op, bad.first()))[bad.first() % n];
  return non_finite_elements(op, bad, is_bf16 ? first_lane(round_bf16(splat(x))) : x);
}

}  // namespace naru::cpu::NARU_LEVEL
