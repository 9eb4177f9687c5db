// The forms of operands of attention's gradient, made from 32 rows of f32 (rounded to bf16 already under the bf16
// rules) or from cache pages. Key form: positions are lanes; value form: columns are lanes (cache_layout.h). Here both
// are padded: the key form to 16 columns (f32) or 32 (bf16), the value form to 16.
#pragma once

#include "chips/cpu/kernels/attention_grad_tile.h"
#include "chips/cpu/kernels/attention_pages.h"

namespace naru::cpu::NARU_LEVEL {

NARU_INLINE int64_t padded(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

// Sizes of 32 positions of `width` columns, in floats or dwords.
template <typename Rule>
NARU_INLINE int64_t key_form_size(int64_t width) {
  return Rule::kIsBF16 ? padded(width, 32) * kPageDwords : padded(width, 16) * kCachePage;
}
template <typename Rule>
NARU_INLINE int64_t value_form_size(int64_t width) {
  return padded(width, 16) * GradForm<Rule>::kChain;
}

// [32][n] rows to their n columns' [16 dwords][n]; n is a multiple of 16.
NARU_INLINE void combine_rows(const float* rows, int64_t row_stride, int64_t n, uint32_t* out, int64_t out_stride) {
  for (int64_t w = 0; w < kPageDwords; ++w) {
    const float* first = rows + (w % 8 * 4 + w / 8) * row_stride;
    for (int64_t c = 0; c < n; c += 16)
      store(out + w * out_stride + c, pair_dwords(load(first + c), load(first + 2 * row_stride + c)));
  }
}

// Some of 32 rows or lanes.
struct Lanes {
  int64_t begin = 0, end = kCachePage;
};

// Key form of rows [32][row_stride], whose columns from `width` to the padding are +0: its `lanes`, which are halves,
// and of the last dwords of a chain those that have columns.
template <typename Rule>
void make_key_form(const float* rows, int64_t row_stride, int64_t width, typename GradForm<Rule>::Right* out,
                   Lanes lanes = {}) {
  if constexpr (Rule::kIsBF16) {
    alignas(64) float columns[32 * kCachePage];
    for (int64_t c = 0; c < width; c += 32) {
      for (int64_t lane = lanes.begin; lane < lanes.end; lane += 16) {
        for (int64_t half = 0; half < 32 && c + half < width; half += 16)
          transpose_block(rows + lane * row_stride + c + half, row_stride, columns + half * kCachePage + lane,
                          kCachePage);
      }
      for (int64_t w = 0; w < kPageDwords; ++w) {
        if (c + w % 8 * 4 >= width) continue;
        const float* first = columns + (w % 8 * 4 + w / 8) * kCachePage;
        for (int64_t lane = lanes.begin; lane < lanes.end; lane += 16)
          store(out + c * kPageDwords + w * kCachePage + lane,
                pair_dwords(load(first + lane), load(first + 2 * kCachePage + lane)));
      }
    }
  } else {
    for (int64_t c = 0; c < width; c += 16) {
      for (int64_t lane = lanes.begin; lane < lanes.end; lane += 16)
        transpose_block(rows + lane * row_stride + c, row_stride, out + c * kCachePage + lane, kCachePage);
    }
  }
}

// Value form of `real` ones of the same rows, with the others of their dwords.
template <typename Rule>
void make_value_form(const float* rows, int64_t row_stride, int64_t width, typename GradForm<Rule>::Right* out,
                     Lanes real) {
  const int64_t columns = padded(width, 16);
  if constexpr (Rule::kIsBF16) {
    for (int64_t w = real.begin / 4; w < (real.end + 3) / 4; ++w) {
      const float* row = rows + w * 4 * row_stride;
      for (int64_t c = 0; c < columns; c += 16) {
        store(out + w * columns + c, pair_dwords(load(row + c), load(row + 2 * row_stride + c)));
        store(out + (8 + w) * columns + c, pair_dwords(load(row + row_stride + c), load(row + 3 * row_stride + c)));
      }
    }
  } else {
    for (int64_t r = real.begin; r < real.end; ++r) {
      for (int64_t c = 0; c < columns; c += 16) store(out + r * columns + c, load(rows + r * row_stride + c));
    }
  }
}

// Rows [32][row_stride] of a page in value form; columns from `width` to the padding become +0, so that garbage behind
// the page's own columns never meets a product.
template <typename Rule>
void unpack_value_page(const typename GradForm<Rule>::Right* page, int64_t width, float* rows, int64_t row_stride) {
  const int64_t columns = value_columns(width);
  for (int64_t c = 0; c < row_stride; c += 16) {
    const int64_t n = width - c < 0 ? 0 : width - c < 16 ? width - c : 16;
    const Boolx16 real = first_lanes(n);
    for (int64_t w = 0; w < GradForm<Rule>::kChain; ++w) {
      if constexpr (Rule::kIsBF16) {
        const I32x16 dwords = select(real, n > 0 ? load_i32(page + w * columns + c) : splat_i32(0), splat_i32(0));
        float* first = rows + (w % 8 * 4 + w / 8) * row_stride + c;
        store(first, upper_halves(dwords));
        store(first + 2 * row_stride, lower_halves(dwords));
      } else {
        store(rows + w * row_stride + c, select(real, n > 0 ? load(page + w * columns + c) : zero(), zero()));
      }
    }
  }
}

// Left operands of FmaRule from n dwords in rows of `row`: the upper halves of a row, then its lower halves.
inline void split_halves(const uint32_t* dwords, int64_t n, int64_t row, float* out) {
  for (int64_t i = 0; i < n; i += row, out += 2 * row) {
    for (int64_t c = 0; c < row; c += 16) {
      const I32x16 pair = load_i32(dwords + i + c);
      store(out + c, upper_halves(pair));
      store(out + row + c, lower_halves(pair));
    }
  }
}

}  // namespace naru::cpu::NARU_LEVEL
