// The cache and attention over it (docs/arithmetic.md section 5).
#include <fmt/format.h>

#include <numeric>

#include "chips/reference/ops.h"
#include "contract/selected.h"

namespace naru::reference {
namespace {

using contract::Attention;
using contract::CacheWrite;
using contract::kAttentionSegment;
using contract::kCachePage;
using contract::SequenceRows;

// Softmax and weighted sum of one run of positions, before the division by l.
struct Partial {
  float m = 0.0f;
  float l = 0.0f;
  std::vector<float> o;
};

// One segment of what a row sees.
Partial attend_segment(const Attention& op, const SequenceRows& rows, int64_t key_head, const std::vector<float>& q,
                       std::span<const int64_t> positions) {
  const bool is_bf16 = op.key.shape.dtype == DType::kBF16;
  const size_t count = positions.size();
  const int64_t width = op.out.cols;
  std::vector<float> p(count);
  std::vector<const float*> values(count);
  for (size_t i = 0; i < count; ++i) {
    const int32_t page = rows.pages[positions[i] / kCachePage];
    const float* key = cache_row(op.key, page, key_head, positions[i]);
    const auto n = static_cast<int64_t>(q.size());
    const float dot = is_bf16 ? dot_bf16(q.data(), key, n) : dot_f32(q.data(), key, n);
    p[i] = contract::mul(dot, op.scale);
    values[i] = cache_row(op.value, page, key_head, positions[i]);
  }
  Partial partial;
  partial.m = contract::row_max(p.data(), static_cast<int64_t>(count));
  for (float& s : p) {
    const float difference = contract::sub(s, partial.m);
    s = difference < contract::kScoreFloor ? 0.0f : contract::exp(difference);
    if (is_bf16) s = round_to_bf16(s);
  }
  partial.l = contract::row_sum(p.data(), static_cast<int64_t>(count));
  partial.o.resize(static_cast<size_t>(width));
  std::vector<float> column(count);
  for (int64_t d = 0; d < width; ++d) {
    for (size_t i = 0; i < count; ++i) column[i] = values[i][d];
    partial.o[static_cast<size_t>(d)] = is_bf16 ? dot_bf16(p.data(), column.data(), static_cast<int64_t>(count))
                                                : dot_f32(p.data(), column.data(), static_cast<int64_t>(count));
  }
  return partial;
}

void merge(Partial& total, const Partial& next) {
  using contract::fma;
  using contract::mul;
  const float m = contract::add(contract::max(total.m, next.m), 0.0f);
  const float a = contract::exp(contract::sub(total.m, m));
  const float b = contract::exp(contract::sub(next.m, m));
  total.m = m;
  total.l = fma(total.l, a, mul(b, next.l));
  for (size_t d = 0; d < total.o.size(); ++d) total.o[d] = fma(total.o[d], a, mul(b, next.o[d]));
}

}  // namespace

template <>
Status run(const CacheWrite& op) {
  const int64_t heads = op.stream.shape.heads;
  const bool is_shared = op.x.rows == op.sequences.end_row();
  BadRows bad("cache_write", op.x.rows);
  for (const SequenceRows& rows : op.sequences) {
    for (int64_t i = 0; i < rows.n_rows; ++i) {
      const int64_t position = rows.position_begin + i;
      for (int64_t head = 0; head < heads; ++head) {
        const int64_t row = is_shared ? rows.row_begin + i : (rows.row_begin + i) * heads + head;
        float* out = cache_row(op.stream, rows.pages[position / kCachePage], head, position) + op.column;
        for (int64_t k = 0; k < op.x.cols; ++k) {
          const float x = f32(op.x, row)[k];
          out[k] = op.stream.shape.dtype == DType::kBF16 ? round_to_bf16(x) : contract::flush(x);
          if (std::isfinite(out[k])) continue;
          bad.add(row, fmt::format("cache_write: row {}, column {}: the value is {}, a finite number was wanted; the "
                                   "weights or an earlier layer overflowed",
                                   row, k, out[k]));
        }
      }
    }
  }
  return bad.status();
}

Result<std::vector<int64_t>> seen_positions(std::string_view op, const View& selected, int64_t row, int64_t own) {
  std::vector<int64_t> positions;
  if (selected.empty()) {
    positions.resize(static_cast<size_t>(own + 1));
    std::iota(positions.begin(), positions.end(), int64_t{0});
    return positions;
  }
  for (int64_t i = 0; i < selected.cols; ++i) {
    const int64_t position = i32(selected, row)[i], before = i == 0 ? -1 : positions.back();
    if (i > 0 && position == contract::kListEnd) break;
    if (position <= before || position > own)
      return contract::selected_error(op, selected.rows, row, i, position, before, own);
    positions.push_back(position);
  }
  return positions;
}

template <>
Status run(const Attention& op) {
  const int64_t group_size = op.heads / op.key.shape.heads;
  for (const SequenceRows& rows : op.sequences) {
    for (int64_t i = 0; i < rows.n_rows; ++i) {
      NARU_ASSIGN(const std::vector<int64_t> seen,
                  seen_positions(op.kName, op.selected, rows.row_begin + i, rows.position_begin + i));
      for (int64_t head = 0; head < op.heads; ++head) {
        const int64_t row = (rows.row_begin + i) * op.heads + head;
        std::vector<float> q(f32(op.q, row), f32(op.q, row) + op.q.cols);
        if (op.key.shape.dtype == DType::kBF16) {
          for (float& value : q) value = round_to_bf16(value);
        }
        Partial total;
        for (size_t begin = 0; begin < seen.size(); begin += kAttentionSegment) {
          const size_t n = std::min<size_t>(seen.size() - begin, kAttentionSegment);
          const Partial next = attend_segment(op, rows, head / group_size, q, {seen.data() + begin, n});
          if (begin == 0) {
            total = next;
          } else {
            merge(total, next);
          }
        }
        for (int64_t d = 0; d < op.out.cols; ++d) {
          f32(op.out, row)[d] = contract::div(total.o[static_cast<size_t>(d)], total.l);
        }
        if (op.stats.empty()) continue;
        f32(op.stats, row)[0] = total.m;
        f32(op.stats, row)[1] = total.l;
      }
    }
  }
  return {};
}

}  // namespace naru::reference
