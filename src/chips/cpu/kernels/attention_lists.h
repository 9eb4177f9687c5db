// Selected keys: lists of positions, checked and read as sequences of their own, and pages of 32 of their rows brought
// together in thread memory in the forms of the cache (cache_layout.h).
#pragma once

#include <span>

#include "chips/cpu/kernels/attention_pages.h"
#include "chips/cpu/row_errors.h"
#include "contract/selected.h"

namespace naru::cpu::NARU_LEVEL {

// Entries of a list of at most `n`, whose token is at position `own`; -1 - i where entry i is wrong.
inline int64_t list_length(const int32_t* list, int64_t n, int64_t own) {
  int32_t before = -1;
  for (int64_t i = 0; i < n; ++i) {
    if (i > 0 && list[i] == contract::kListEnd) return i;
    if (list[i] <= before || list[i] > own) return -1 - i;
    before = list[i];
  }
  return n;
}

// Token `index` of a batch's, counted over its sequences.
struct TokenOfSequence {
  const contract::SequenceRows* sequence;
  int64_t row;  // of the batch
  int64_t position;
};
NARU_INLINE TokenOfSequence find_token(std::span<const contract::SequenceRows> sequences, int64_t index) {
  const contract::SequenceRows* rows = sequences.data();
  for (; index >= rows->n_rows; ++rows) index -= rows->n_rows;
  return {rows, rows->row_begin + index, rows->position_begin + index};
}

// A sequence of one row for each token, counted over `sequences`: the last of as many positions as its list has
// entries. Its pages are those of the token's own sequence, and belong to the entries' positions. The error of the
// first list that is none.
inline Status read_lists(std::string_view op, const View& selected, std::span<const contract::SequenceRows> sequences,
                         Work& work, std::span<const contract::SequenceRows>* out) {
  int64_t n_tokens = 0;
  for (const contract::SequenceRows& rows : sequences) n_tokens += rows.n_rows;
  auto* lists = reinterpret_cast<contract::SequenceRows*>(
      work.lists.get(static_cast<size_t>(n_tokens) * sizeof(contract::SequenceRows)));
  BadIndices bad;
  for_row_ranges(work, n_tokens, selected.cols, [&](int64_t begin, int64_t end, int) {
    for (int64_t index = begin; index < end; ++index) {
      const TokenOfSequence token = find_token(sequences, index);
      const int64_t n = list_length(i32(selected, token.row), selected.cols, token.position);
      if (n < 0) return bad.report(index);
      lists[index] = {token.row, 1, n - 1, token.sequence->pages};
    }
  });
  *out = {lists, static_cast<size_t>(n_tokens)};
  if (!bad.found()) return {};
  const TokenOfSequence token = find_token(sequences, bad.first());
  const int32_t* list = i32(selected, token.row);
  const int64_t i = -1 - list_length(list, selected.cols, token.position);
  return contract::selected_error(op, selected.rows, token.row, i, list[i], i > 0 ? list[i - 1] : -1, token.position);
}

// Whether n entries are the first n positions of one page: then it is read where it lies.
NARU_INLINE bool is_page(const int32_t* list, int64_t n) {
  return list[0] % kCachePage == 0 && list[n - 1] - list[0] == n - 1;
}

// Key form of the positions of n entries. Lanes behind them hold some position's row.
inline void gather_key_page(const contract::CacheStream& stream, const contract::SequenceRows& rows, int64_t key_head,
                            const int32_t* list, int64_t n, uint32_t* out) {
  const int64_t n_dwords = cache_head_bytes(stream.shape) / 4;
  for (int64_t lane = 0; lane < kCachePage; ++lane) {
    const int64_t position = list[lane < n ? lane : n - 1];
    const auto* from = reinterpret_cast<const uint32_t*>(page_of(stream, rows, position / kCachePage, key_head)) +
                       position % kCachePage;
    for (int64_t i = 0; i < n_dwords; i += kCachePage) out[i + lane] = from[i];
  }
}

// Value form of the positions of n entries; under the bf16 rules +0 behind them.
inline void gather_value_page_f32(const contract::CacheStream& stream, const contract::SequenceRows& rows,
                                  int64_t key_head, const int32_t* list, int64_t n, float* out) {
  const int64_t columns = value_columns(stream.shape.width);
  for (int64_t lane = 0; lane < n; ++lane) {
    const auto* from = reinterpret_cast<const float*>(page_of(stream, rows, list[lane] / kCachePage, key_head)) +
                       list[lane] % kCachePage * columns;
    for (int64_t c = 0; c < columns; c += 16) store(out + lane * columns + c, load(from + c));
  }
}

inline void gather_value_page_bf16(const contract::CacheStream& stream, const contract::SequenceRows& rows,
                                   int64_t key_head, const int32_t* list, int64_t n, uint32_t* out) {
  const int64_t columns = value_columns(stream.shape.width);
  const I32x16 upper_half = splat_i32(static_cast<int32_t>(0xffff0000u));
  // A position's row of columns: dwords of which it has one half.
  struct Row {
    const uint32_t* dwords;
    bool is_upper;
  };
  const auto row_of = [&](int64_t lane) -> Row {
    if (lane >= n) return {nullptr, false};
    const ChainPlace place = chain_place(list[lane] % kCachePage);
    const auto* page = reinterpret_cast<const uint32_t*>(page_of(stream, rows, list[lane] / kCachePage, key_head));
    return {page + place.dword * columns, place.half == 1};
  };
  for (int64_t j = 0; j < kPageDwords; ++j) {
    const int64_t lane = j % 8 * 4 + j / 8;
    const Row first = row_of(lane), second = row_of(lane + 2);
    for (int64_t c = 0; c < columns; c += 16) {
      I32x16 upper = splat_i32(0), lower = splat_i32(0);
      if (first.dwords != nullptr) {
        const I32x16 x = load_i32(first.dwords + c);
        upper = first.is_upper ? bit_and(x, upper_half) : shift_left<16>(x);
      }
      if (second.dwords != nullptr) {
        const I32x16 x = load_i32(second.dwords + c);
        lower = second.is_upper ? shift_right_logical<16>(x) : bit_and(x, splat_i32(0xffff));
      }
      store(out + j * columns + c, bit_or(upper, lower));
    }
  }
}

}  // namespace naru::cpu::NARU_LEVEL
