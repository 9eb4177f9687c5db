// The gradient of attention with selected keys, for some query heads of one key head in one document
// (docs/arithmetic.md section 7). First query by query, for all these heads: the rows of its list are brought together,
// pages of 32, lanes are entries; S and dP give P and e, then r, then dS and dQ. P and dS of a block of 32 queries are
// kept by key: every key that the block selects takes its queries' rows of dO and Q, ascending, into dV and dK. So each
// product is made once for a pair of query and selected key, whatever the document's length.
//
// What is absent is left out: a product with +0 changes no bit of a running sum but a zero's sign (see
// attention_grad_head.h), and the + (+0) at the end of each dot takes that away.
#pragma once

#include "chips/cpu/kernels/attention_grad_list_memory.h"
#include "chips/cpu/kernels/attention_lists.h"

namespace naru::cpu::NARU_LEVEL {

#if defined(NARU_LEVEL_baseline)
constexpr int kListVectors = 1;
#elif defined(NARU_DCHECKS) || defined(NARU_LEVEL_avx2)
constexpr int kListVectors = 2;
#else
constexpr int kListVectors = 8;
#endif
constexpr int64_t kListColumns = kListVectors * 16;  // that add_to_keys takes at once
constexpr int64_t kListKeys = 128;

// body(Constant<V>, i) for runs of V = kMax, kMax / 2 ... 1 that cover [begin, end).
template <int kMax, typename Body>
NARU_INLINE void for_halving_tiles(int64_t begin, int64_t end, const Body& body) {
  for (; begin + kMax <= end; begin += kMax) body(Constant<kMax>{}, begin);
  if constexpr (kMax > 1) {
    if (begin < end) for_halving_tiles<kMax / 2>(begin, end, body);
  }
}

template <typename Rule>
class ListWorker {
 public:
  using Form = GradForm<Rule>;
  using Right = typename Form::Right;
  using Thread = ListThread<Rule>;

  // Query heads [head, head + n_heads) of a key head; lists[i] is that of the document's row i (read_lists).
  ListWorker(const contract::AttentionGrad& op, const ListSizes& sizes, const contract::SequenceRows& rows,
             const contract::SequenceRows* lists, int64_t head, int64_t n_heads, const ListMemory& memory)
      : op_(op),
        sizes_(sizes),
        rows_(rows),
        lists_(lists),
        head_(head),
        n_heads_(n_heads),
        key_head_(head / sizes.group),
        memory_(memory) {}

  // Rows of page p of the cache.
  void make_rows(int64_t p, const Thread& thread) const {
    const auto* page = reinterpret_cast<const Right*>(page_of(op_.key, rows_, p, key_head_));
    float* keys = memory_.keys + p * 32 * sizes_.key_stride;
    if constexpr (Rule::kIsBF16) {
      transpose_page_bf16(page, sizes_.key_stride, n_rows_of(p), thread.made);
      unpack_value_page<Rule>(thread.made, sizes_.key_stride, keys, sizes_.key_stride);
    } else {
      transpose_page_f32(page, sizes_.width, sizes_.key_stride, keys);
    }
    if (sizes_.is_latent) return;
    page = reinterpret_cast<const Right*>(page_of(op_.value, rows_, p, key_head_));
    unpack_value_page<Rule>(page, sizes_.value_width, memory_.values + p * 32 * sizes_.value_stride,
                            sizes_.value_stride);
  }

  // Sums of dK (or dV) of one head, before the first block.
  void clear(int64_t h, bool is_dk) const {
    float* sums = is_dk ? dk_of(h) : dv_of(h);
    const int64_t n = (1 + sizes_.levels) * sum_floats(is_dk);
    for (int64_t i = 0; i < n; i += 16) store(sums + i, zero());
  }

  // The entries of block b by key.
  void index_block(int64_t b, int64_t slot) const {
    const BlockIndex& index = memory_.blocks[slot].index;
    const int64_t n_queries = n_rows_of(b);
    int64_t at[32] = {}, n_keys = 0;
    int32_t n_entries = 0;
    for (;;) {
      int64_t page = -1;  // the next that any query has
      for (int64_t i = 0; i < n_queries; ++i) {
        if (at[i] == n_seen(b * 32 + i)) continue;
        const int64_t next = list_of(b * 32 + i)[at[i]] / 32;
        if (page < 0 || next < page) page = next;
      }
      if (page < 0) break;
      uint32_t queries[32] = {};  // of each key of the page
      int32_t entries[32][32];
      for (int64_t i = 0; i < n_queries; ++i) {
        const int32_t* list = list_of(b * 32 + i);
        for (const int64_t n = n_seen(b * 32 + i); at[i] < n && list[at[i]] < (page + 1) * 32; ++at[i]) {
          queries[list[at[i]] % 32] |= uint32_t{1} << i;
          entries[list[at[i]] % 32][i] = static_cast<int32_t>(at[i]);
        }
      }
      for (int64_t k = 0; k < 32; ++k) {
        if (queries[k] == 0) continue;
        index.key[n_keys] = static_cast<int32_t>(page * 32 + k);
        index.begin[n_keys] = n_entries;
        const auto add = [&](uint32_t some) {
          for (; some != 0; some &= some - 1, ++n_entries) {
            const int64_t i = __builtin_ctz(some);
            index.query[n_entries] = static_cast<int32_t>(i);
            index.place[i * index.list_max + entries[k][i]] = n_entries;
          }
        };
        add(Rule::kIsBF16 ? queries[k] & 0x55555555u : queries[k]);
        index.odd[n_keys] = n_entries;
        if (Rule::kIsBF16) add(queries[k] & 0xaaaaaaaau);
        ++n_keys;
      }
    }
    index.begin[n_keys] = n_entries;
    *index.n_keys = n_keys;
  }

  // dQ of query i, written out; its operands, P and dS for the block in `slot`.
  void run_query(int64_t i, int64_t slot, const Thread& thread) const {
    const ListBlock& block = memory_.blocks[slot];
    Row row[kListHeads];
    load_query(i, block, thread, row);
    const int32_t* list = list_of(i);
    const int64_t n = n_seen(i);
    TreeSum sums[kListHeads];
    for (int64_t begin = 0; begin < n; begin += kRowSegment) {
      F32x16 lanes[kListHeads];
      for (int64_t h = 0; h < n_heads_; ++h) lanes[h] = zero();
      for (int64_t at = begin; at < n && at < begin + kRowSegment; at += 32)
        make_scores(list + at, n - at < 32 ? n - at : 32, at, thread, row, lanes);
      for (int64_t h = 0; h < n_heads_; ++h) sums[h].push(sum_lanes(lanes[h]));
    }
    for (int64_t h = 0; h < n_heads_; ++h) row[h].r = sums[h].total();
    for (int64_t at = 0; at < n; at += 32) {
      const int64_t count = n - at < 32 ? n - at : 32;
      const int32_t* place = block.index.place + i % 32 * sizes_.list_max + at;
      for (int64_t h = 0; h < n_heads_; ++h) make_ds(h, at, count, row[h].r, place, block, thread);
      add_to_dq(list + at, count, at, at + count == n, thread);
    }
    write_dq(i, n, thread);
  }

  // Columns [column, column + kListColumns) of the sums of dK (or dV) of one head take the blocks in slots [0,
  // n_slots), some keys at a time: their sums stay in a near cache for all blocks.
  void add_to_keys(int64_t h, bool is_dk, int64_t column, int64_t n_slots) const {
    const int64_t columns = is_dk ? sizes_.dk_columns : sizes_.dv_columns;
    float* sums = is_dk ? dk_of(h) : dv_of(h);
    const int64_t end = column + kListColumns < columns ? column + kListColumns : columns;
    int64_t at[kListBatchMax] = {};
    for (int64_t key_end = kListKeys; key_end - kListKeys < sizes_.n_rows; key_end += kListKeys) {
      for (int64_t slot = 0; slot < n_slots; ++slot) {
        const ListBlock& block = memory_.blocks[slot];
        const int64_t begin = at[slot];
        while (at[slot] < *block.index.n_keys && block.index.key[at[slot]] < key_end) ++at[slot];
        const float* left = (is_dk ? block.ds : block.p) + h * sizes_.entries_max;
        const float* right = (is_dk ? block.q : block.dout) + h * 32 * columns;
        for_halving_tiles<kListVectors>(column / 16, end / 16, [&](auto n_vectors, int64_t vector) {
          add_columns<decltype(n_vectors)::value>(block.index, begin, at[slot], left, right + vector * 16,
                                                  sums + vector * 16, columns);
        });
      }
    }
  }
  int64_t n_column_tiles(bool is_dk) const {
    return ((is_dk ? sizes_.dk_columns : sizes_.dv_columns) + kListColumns - 1) / kListColumns;
  }

  // After the last block of a segment of queries, where there are several; after the very last the dots are finished.
  void close_segment(int64_t segment, bool is_last, int64_t h, bool is_dk) const {
    const int64_t n = sum_floats(is_dk);
    float* sums = is_dk ? dk_of(h) : dv_of(h);
    push_segment(sums, n, segment, sums + n);
    if (is_last) return total_segments(sums + n, n, segment + 1, sums);
    for (int64_t i = 0; i < n; i += 16) store(sums + i, zero());
  }

  // The finished dots of page p join those of the key head's earlier query heads.
  void write_page(int64_t p) const {
    for (int64_t h = 0; h < n_heads_; ++h) {
      write_rows(p, h, dk_of(h), op_.dk);
      write_rows(p, h, dv_of(h), op_.dv);
    }
  }

  // Whether any row of head h has an operand that is not finite. If so its dQ is NaN throughout.
  bool check_head(int64_t h) const {
    bool is_wrong = false;
    for (int64_t i = 0; i < sizes_.n_rows; ++i) is_wrong = is_wrong || memory_.is_wrong[i * memory_.heads + h] != 0;
    for (int64_t i = 0; is_wrong && i < sizes_.n_rows; ++i) fill_nan(f32(op_.dq, query_row(i, h)), sizes_.width);
    return is_wrong;
  }
  void fill_keys_nan() const {
    for (int64_t j = 0; j < sizes_.n_rows; ++j) {
      fill_nan(f32(op_.dk, key_row(j)), sizes_.width);
      fill_nan(f32(op_.dv, key_row(j)), sizes_.value_width);
    }
  }

 private:
  // What a head's row of scores needs.
  struct Row {
    float m, rl, d0, r;
  };

  int64_t query_row(int64_t i, int64_t h) const { return (rows_.row_begin + i) * op_.heads + head_ + h; }
  int64_t key_row(int64_t j) const { return (rows_.row_begin + j) * op_.key.shape.heads + key_head_; }
  int64_t n_rows_of(int64_t b) const { return sizes_.n_rows - b * 32 < 32 ? sizes_.n_rows - b * 32 : 32; }
  int64_t n_seen(int64_t i) const { return lists_[i].position_begin + 1; }
  const int32_t* list_of(int64_t i) const { return i32(op_.selected, rows_.row_begin + i); }
  int64_t sum_floats(bool is_dk) const {
    return sizes_.n_blocks() * 32 * (is_dk ? sizes_.dk_columns : sizes_.dv_columns);
  }
  float* dk_of(int64_t h) const { return memory_.dk + h * (1 + sizes_.levels) * sum_floats(true); }
  float* dv_of(int64_t h) const { return memory_.dv + h * (1 + sizes_.levels) * sum_floats(false); }
  int64_t q_stride() const { return sizes_.key_stride / 32 * Rule::kBlockOperands; }
  int64_t dout_stride() const { return sizes_.value_stride / 32 * Rule::kBlockOperands; }

  static void fill_nan(float* out, int64_t n) {
    for (int64_t c = 0; c < n; ++c) out[c] = __builtin_bit_cast(float, 0x7fc00000u);
  }

  // A row of n columns as an operand: blocks for scores, and its columns, padded, for the keys; whether it is finite.
  static bool load_row(const float* x, int64_t n, typename Rule::Operand* blocks, float* columns) {
    Boolx16 wrong = first_lanes(0);
    const auto at = [&](int64_t c) __attribute__((always_inline)) {
      F32x16 v = c < n ? load_at(x, c, n) : zero();
      if constexpr (Rule::kIsBF16) v = round_bf16(v);
      wrong = either(wrong, is_not_finite(v));
      if (c < n) store(columns + c, v);
      return v;
    };
    for (int64_t c = 0; c < n; c += 32) {
      const F32x16 first = at(c), second = at(c + 16);
      Rule::store_block(blocks + c / 32 * Rule::kBlockOperands, first, second);
    }
    return !any(wrong);
  }

  void load_query(int64_t i, const ListBlock& block, const Thread& thread, Row* row) const {
    for (int64_t h = 0; h < n_heads_; ++h) {
      const int64_t at = query_row(i, h);
      float* q = block.q + (h * 32 + i % 32) * sizes_.dk_columns;
      float* dout = block.dout + (h * 32 + i % 32) * sizes_.dv_columns;
      const bool q_is_finite = load_row(f32(op_.q, at), sizes_.width, thread.q + h * q_stride(), q);
      const bool dout_is_finite =
          load_row(f32(op_.dout, at), sizes_.value_width, thread.dout + h * dout_stride(), dout);
      memory_.is_wrong[i * memory_.heads + h] = q_is_finite && dout_is_finite ? 0 : 1;
      const float *stats = f32(op_.stats, at), *out = f32(op_.out, at);
      row[h].m = stats[0];
      row[h].rl = NARU_LEVEL::div(1.0f, stats[1]);
      row[h].d0 = row_reduce_at(sizes_.value_width, [&](F32x16 lanes, int64_t c) {
        return fma(load(dout + c), load_at(out, c, sizes_.value_width), lanes);
      });
    }
  }

  // The rows of up to 32 entries: where they lie if they follow each other, else together. Those behind are any row.
  const float* rows_of(const int32_t* list, int64_t count, const float* rows, int64_t stride, float* to) const {
    if (count == 32 && list[31] - list[0] == 31) return rows + list[0] * stride;
    for (int64_t k = 0; k < 32; ++k) {
      const float* from = rows + list[k < count ? k : count - 1] * stride;
      for (int64_t c = 0; c < stride; c += 16) store(to + k * stride + c, load(from + c));
    }
    return to;
  }

  // Products of the heads' rows at `left` and 32 entries.
  void multiply(const typename Rule::Operand* left, int64_t left_stride, const Right* right, int64_t width, float* out,
                int64_t out_stride) const {
    for_tiles<kTileRows>(0, n_heads_, [&](auto n_rows, int64_t r) {
      constexpr int R = decltype(n_rows)::value, V = kTileVectors;
      for (int64_t lane = 0; lane < 32; lane += V * 16) {
        F32x16 acc[R * V];
        unroll<R * V>([&](auto v) { acc[v] = zero(); });
        if constexpr (Rule::kIsBF16) {
          const auto block_at = [&](int64_t b) { return right + b * kPageDwords * 32 + lane; };
          multiply_blocks<Rule, R, V>(left + r * left_stride, left_stride, width, block_at, 32, acc);
        } else {
          multiply_f32<R, V>(left + r * left_stride, left_stride, width, right + lane, 32, acc);
        }
        unroll<R * V>([&](auto v) { store(out + (r + v / V) * out_stride + lane + v % V * 16, acc[v]); });
      }
    });
  }

  // P and e of entries [at, at + count); `lanes` take their products.
  void make_scores(const int32_t* list, int64_t count, int64_t at, const Thread& thread, const Row* row,
                   F32x16* lanes) const {
    const int64_t stride = sizes_.key_stride, value_stride = sizes_.value_stride;
    make_key_form<Rule>(rows_of(list, count, memory_.keys, stride, thread.rows), stride, sizes_.width, thread.key_form);
    const Right* values = thread.key_form;
    if (!sizes_.is_latent) {
      make_key_form<Rule>(rows_of(list, count, memory_.values, value_stride, thread.rows), value_stride,
                          sizes_.value_width, thread.value_form);
      values = thread.value_form;
    }
    multiply(thread.q, q_stride(), thread.key_form, sizes_.width, thread.p + at, sizes_.list_max);
    multiply(thread.dout, dout_stride(), values, sizes_.value_width, thread.e + at, sizes_.list_max);
    const F32x16 scale = splat(op_.scale), floor = splat(-38.0f);
    for (int64_t h = 0; h < n_heads_; ++h) {
      const F32x16 m = splat(row[h].m), rl = splat(row[h].rl), d0 = splat(row[h].d0);
      float *p = thread.p + h * sizes_.list_max + at, *e = thread.e + h * sizes_.list_max + at;
      for (int64_t v = 0; v < 32; v += 16) {
        const F32x16 d = sub(mul(load(p + v), scale), m);
        const Boolx16 seen = first_lanes(count < v ? 0 : count - v < 16 ? count - v : 16);
        const F32x16 probability = select(seen, select(less(d, floor), zero(), mul(exp_near(d), rl)), zero());
        const F32x16 error = select(less(d, floor), zero(), select(seen, sub(load(e + v), d0), zero()));
        lanes[h] = fma(probability, error, lanes[h]);
        store(p + v, probability);
        store(e + v, error);
      }
    }
  }

  // dS = (P (e - r)) scale of one head; both go to their places in the block.
  void make_ds(int64_t h, int64_t at, int64_t count, float r, const int32_t* place, const ListBlock& block,
               const Thread& thread) const {
    float *p = thread.p + h * sizes_.list_max + at, *ds = thread.ds + h * 32;
    const float* e = thread.e + h * sizes_.list_max + at;
    const F32x16 scale = splat(op_.scale), mean = splat(r);
    for (int64_t v = 0; v < 32; v += 16) {
      F32x16 probability = load(p + v);
      F32x16 value = mul(mul(probability, sub(load(e + v), mean)), scale);
      value = select(equal(as_i32(probability), splat_i32(0)), zero(), value);
      if constexpr (Rule::kIsBF16) value = round_bf16(value), probability = round_bf16(probability);
      store(p + v, probability);
      store(ds + v, value);
    }
    float *p_out = block.p + h * sizes_.entries_max, *ds_out = block.ds + h * sizes_.entries_max;
    for (int64_t k = 0; k < count; ++k) {
      p_out[place[k]] = p[k];
      ds_out[place[k]] = ds[k];
    }
  }

  // acc[r * V + v] takes elements k = 0, step, 2 step ... below n of a chain: left[r * 32 + k] and the row at
  // `rows[k]`.
  template <int R, int V>
  NARU_INLINE static void chain_rows(const float* left, const float* const* rows, int64_t n, int64_t begin,
                                     int64_t step, int64_t column, F32x16 (&acc)[R * V]) {
    for (int64_t k = begin; k < n; k += step) {
      F32x16 right[V];
      unroll<V>([&](auto v) { right[v] = load(rows[k] + column + v * 16); });
      unroll<R>([&](auto r) {
        const F32x16 a = splat(left[r * 32 + k]);
        unroll<V>([&](auto v) { acc[r * V + v] = fma(a, right[v], acc[r * V + v]); });
      });
    }
  }

  // The heads' dQ takes entries [at, at + count) of the list, of which thread.ds is dS.
  void add_to_dq(const int32_t* list, int64_t count, int64_t at, bool is_last, const Thread& thread) const {
    const float* keys[32];
    for (int64_t k = 0; k < count; ++k) keys[k] = memory_.keys + list[k] * sizes_.key_stride;
    const bool is_first = at % kRowSegment == 0;
    const int64_t columns = sizes_.dk_columns, stride = dq_stride();
    for_tiles<kTileVectors>(0, columns / 16, [&](auto n_vectors, int64_t vector) {
      for_tiles<kTileRows>(0, n_heads_, [&](auto n_rows, int64_t r) {
        constexpr int R = decltype(n_rows)::value, V = decltype(n_vectors)::value;
        float* out = thread.dq + r * stride + vector * 16;
        const float* left = thread.ds + r * 32;
        F32x16 acc[R * V];
        if constexpr (Rule::kIsBF16) {
          F32x16 odd[R * V];
          unroll<R * V>([&](auto i) { acc[i] = zero(), odd[i] = zero(); });
          chain_rows<R, V>(left, keys, count, 0, 2, vector * 16, acc);
          chain_rows<R, V>(left, keys, count, 1, 2, vector * 16, odd);
          unroll<R * V>([&](auto i) {
            const F32x16 sum = is_first ? zero() : load(out + i / V * stride + i % V * 16);
            acc[i] = add(sum, add(acc[i], odd[i]));
          });
        } else {
          unroll<R * V>([&](auto i) { acc[i] = is_first ? zero() : load(out + i / V * stride + i % V * 16); });
          chain_rows<R, V>(left, keys, count, 0, 1, vector * 16, acc);
        }
        unroll<R * V>([&](auto i) { store(out + i / V * stride + i % V * 16, acc[i]); });
      });
    });
    if (dq_levels() == 0 || (!is_last && (at + 32) % kRowSegment != 0)) return;
    for (int64_t h = 0; h < n_heads_; ++h) {
      float* sums = thread.dq + h * stride;
      push_segment(sums, columns, at / kRowSegment, sums + columns);
    }
  }
  int64_t dq_levels() const { return tree_levels(sizes_.list_max / 32); }
  int64_t dq_stride() const { return (1 + dq_levels()) * sizes_.dk_columns; }

  void write_dq(int64_t i, int64_t n, const Thread& thread) const {
    for (int64_t h = 0; h < n_heads_; ++h) {
      float* sums = thread.dq + h * dq_stride();
      if (dq_levels() > 0)
        total_segments(sums + sizes_.dk_columns, sizes_.dk_columns, (n + kRowSegment - 1) / kRowSegment, sums);
      float* out = f32(op_.dq, query_row(i, h));
      for_lanes(sizes_.width, [&](int64_t c, int64_t) { store_at(out, c, sizes_.width, add(load(sums + c), zero())); });
    }
  }

  // sums[key] takes the entries of keys [first, last) of a block: their numbers at `left`, their queries' rows at
  // `right`.
  template <int V>
  void add_columns(const BlockIndex& index, int64_t first, int64_t last, const float* left, const float* right,
                   float* sums, int64_t columns) const {
    for (int64_t k = first; k < last; ++k) {
      float* out = sums + index.key[k] * columns;
      const auto chain = [&](int64_t begin, int64_t end, F32x16(&acc)[V]) __attribute__((always_inline)) {
        for (int64_t entry = begin; entry < end; ++entry) {
          const F32x16 a = splat(left[entry]);
          const float* row = right + index.query[entry] * columns;
          unroll<V>([&](auto v) { acc[v] = fma(a, load(row + v * 16), acc[v]); });
        }
      };
      F32x16 acc[V];
      if constexpr (Rule::kIsBF16) {
        F32x16 odd[V];
        unroll<V>([&](auto v) { acc[v] = zero(), odd[v] = zero(); });
        chain(index.begin[k], index.odd[k], acc);
        chain(index.odd[k], index.begin[k + 1], odd);
        unroll<V>([&](auto v) { acc[v] = add(load(out + v * 16), add(acc[v], odd[v])); });
      } else {
        unroll<V>([&](auto v) { acc[v] = load(out + v * 16); });
        chain(index.begin[k], index.begin[k + 1], acc);
      }
      unroll<V>([&](auto v) { store(out + v * 16, acc[v]); });
    }
  }

  void write_rows(int64_t p, int64_t h, const float* sums, const View& to) const {
    const bool is_first = (head_ + h) % sizes_.group == 0;
    const int64_t columns = padded(to.cols, 16);
    for (int64_t j = p * 32; j < p * 32 + n_rows_of(p); ++j) {
      float* out = f32(to, key_row(j));
      for_lanes(to.cols, [&](int64_t c, int64_t) {
        const F32x16 part = add(load(sums + j * columns + c), zero());
        store_at(out, c, to.cols, is_first ? part : add(load_at(out, c, to.cols), part));
      });
    }
  }

  const contract::AttentionGrad& op_;
  const ListSizes& sizes_;
  const contract::SequenceRows& rows_;
  const contract::SequenceRows* lists_;
  const int64_t head_, n_heads_, key_head_;
  const ListMemory& memory_;
};

}  // namespace naru::cpu::NARU_LEVEL
