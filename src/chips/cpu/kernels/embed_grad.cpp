// Each row of the table gains the sum of its tokens' gradients. Tokens are sorted by id (counting, so that those of one
// id stay ascending); a task is one id and a strip of columns.
#include "chips/cpu/kernels/row_loops.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

constexpr int64_t kColumnStrip = 256;  // columns

// Tokens by id: those of the i-th id that occurs, ids[i], are tokens[begins[i]] to tokens[begins[i + 1]].
struct TokensById {
  int32_t* tokens = nullptr;  // [T]
  int32_t* ids = nullptr;     // [T]
  int32_t* begins = nullptr;  // [T + 1]
  int64_t n_ids = 0;
};

TokensById sort_tokens(const View& ids, int64_t n_rows, Work& work) {
  const int64_t n_tokens = ids.rows;
  const auto bytes = static_cast<size_t>(n_rows + 3 * n_tokens + 1) * sizeof(int32_t);
  auto* next = reinterpret_cast<int32_t*>(work.shared.get(bytes));  // of each row: its count, then its next place
  TokensById sorted{next + n_rows, next + n_rows + n_tokens, next + n_rows + 2 * n_tokens};
  for (int64_t v = 0; v < n_rows; ++v) next[v] = 0;
  for (int64_t t = 0; t < n_tokens; ++t) {
    check_index("embed_grad", *i32(ids, t), n_rows);
    ++next[*i32(ids, t)];
  }
  int32_t place = 0;
  for (int64_t v = 0; v < n_rows; ++v) {
    const int32_t count = next[v];
    if (count == 0) continue;
    sorted.ids[sorted.n_ids] = static_cast<int32_t>(v);
    sorted.begins[sorted.n_ids++] = place;
    next[v] = place;
    place += count;
  }
  sorted.begins[sorted.n_ids] = place;
  for (int64_t t = 0; t < n_tokens; ++t) sorted.tokens[next[*i32(ids, t)]++] = static_cast<int32_t>(t);
  return sorted;
}

// kVectors times sixteen columns at i, the last ones perhaps past the end.
template <int kVectors>
NARU_INLINE void add_tokens(const View& dy, const int32_t* tokens, int64_t n_tokens, float* out, int64_t i, int64_t n) {
  F32x16 acc[kVectors];
  for (F32x16& v : acc) v = zero();
  for (int64_t t = 0; t < n_tokens; ++t) {
    const float* row = f32(dy, tokens[t]);
    for (int64_t j = 0; j < kVectors; ++j) acc[j] = add(acc[j], load_at(row, i + 16 * j, n));
  }
  for (int64_t j = 0; j < kVectors; ++j) {
    store_at(out, i + 16 * j, n, add(load_at(out, i + 16 * j, n), acc[j]));
  }
}

}  // namespace

template <>
Status run(const contract::EmbedGrad& op, Work& work, std::string_view* kernel) {
  *kernel = "by_id";
  const int64_t n = op.out.cols, n_strips = (n + kColumnStrip - 1) / kColumnStrip;
  const TokensById sorted = sort_tokens(op.ids, op.out.rows, work);
  for_row_ranges(work, sorted.n_ids * n_strips, 4 * (n < kColumnStrip ? n : kColumnStrip),
                 [&](int64_t first, int64_t last, int) {
                   for (int64_t task = first; task < last; ++task) {
                     const int64_t id = task / n_strips, begin = task % n_strips * kColumnStrip;
                     const int64_t end = n - begin < kColumnStrip ? n : begin + kColumnStrip;
                     const int32_t* tokens = sorted.tokens + sorted.begins[id];
                     const int64_t n_tokens = sorted.begins[id + 1] - sorted.begins[id];
                     float* out = f32(op.out, sorted.ids[id]);
                     int64_t i = begin;
                     for (; i + 64 <= end; i += 64) add_tokens<4>(op.dy, tokens, n_tokens, out, i, end);
                     for (; i < end; i += 16) add_tokens<1>(op.dy, tokens, n_tokens, out, i, end);
                   }
                 });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
