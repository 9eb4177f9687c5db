// The gradient of attention for one query head of one document (docs/arithmetic.md section 7), block of 32 queries by
// page of 32 keys, both by position. Tiles have a row for each key and queries as lanes. Of a block, S^T = K Q^T and
// dP^T = V dO^T give P^T and e^T of every page that it sees, and r; then dS^T page by page, and dQ^T += K^T dS^T with
// queries as lanes. P^T and dS^T of a few blocks are kept: as left operands of dV = P^T dO and dK = dS^T Q (lanes are
// columns) they join the sums of each page. Every chain ascends as the text says: pages for dQ, blocks of queries for
// dK and dV.
//
// What a query does not see is +0 in P and dS and may be multiplied or left out: operands are finite here, so that a
// product with +0 is a zero, and a zero changes no bit of a running sum but a zero's sign. (A running sum can be -0,
// where a negative value was flushed; the + (+0) at the end of each dot takes the sign away.) The same holds for the
// lanes of r.
#pragma once

#include "chips/cpu/kernels/attention_grad_memory.h"

namespace naru::cpu::NARU_LEVEL {

template <typename Rule>
class HeadWorker {
 public:
  using Form = GradForm<Rule>;
  using Left = typename Form::Left;
  using Right = typename Form::Right;
  using Queries = QueryMemory<Rule>;
  using Tiles = OperandTiles<Rule>;
  using Thread = ThreadMemory<Rule>;

  HeadWorker(const contract::AttentionGrad& op, const GradSizes& sizes, const contract::SequenceRows& rows,
             int64_t head, const KeyMemory<Rule>& keys)
      : op_(op), sizes_(sizes), rows_(rows), head_(head), key_head_(head / sizes.group), keys_(keys) {}

  // Blocks of queries [first_block(), n_blocks()), pages of keys [0, n_blocks()).
  int64_t first_block() const { return rows_.position_begin / 32; }
  int64_t n_blocks() const { return rows_.n_pages(); }

  // Makes the left operands of page p, which all query heads of a key head share.
  void make_page(int64_t p, const Thread& thread) const {
    const auto* keys = reinterpret_cast<const Right*>(page_of(op_.key, rows_, p, key_head_));
    Left* key_rows = key_rows_of(p);
    Right* made = thread.form;
    if constexpr (!kIsSplit) made = key_rows;
    if constexpr (Rule::kIsBF16) {
      transpose_page_bf16(keys, sizes_.key_columns, n_keys(p), made);
    } else {
      transpose_page_f32(keys, sizes_.width, sizes_.key_columns, made);
    }
    if constexpr (kIsSplit) {
      split_halves(made, Form::kChain * sizes_.key_columns, sizes_.key_columns, key_rows);
      split_halves(keys, key_form_size<Rule>(sizes_.width), 32, keys_.keys + p * keys_.keys_size);
    }
    if (sizes_.is_latent) return;
    const auto* page = reinterpret_cast<const Right*>(page_of(op_.value, rows_, p, key_head_));
    Left* values = keys_.values + p * keys_.values_size;
    unpack_value_page<Rule>(page, sizes_.value_width, thread.rows, sizes_.row_columns);
    if constexpr (kIsSplit) {
      make_key_form<Rule>(thread.rows, sizes_.row_columns, sizes_.value_width, thread.form);
      split_halves(thread.form, key_form_size<Rule>(sizes_.value_width), 32, values);
    } else {
      make_key_form<Rule>(thread.rows, sizes_.row_columns, sizes_.value_width, values);
    }
  }

  // dQ of block b, written out, and its tiles of P^T and dS^T; false where an operand is not finite. The block's place
  // in `queries` and `tiles` is `slot`.
  bool run_block(int64_t b, int64_t slot, const Queries& queries, const Tiles& tiles, const Thread& thread) const {
    if (!load_block(b, slot, queries, thread.rows)) return false;
    ScoreTiles scores = thread.scores;
    if constexpr (!Rule::kIsBF16) scores.of_page = tiles.of_page, scores.p = tiles.p, scores.e = tiles.ds;
    const int64_t score_slot = Rule::kIsBF16 ? 0 : slot;
    F32x16 r[2];
    make_scores(b, slot, queries, scores, score_slot, r);
    for (int64_t p = 0; p <= b; ++p) {
      const int64_t at = scores.at(p, score_slot);
      Left* ds = tiles.ds + tiles.at(p, slot);
      make_ds(scores.p + at, scores.e + at, r, tiles.p + tiles.at(p, slot), ds, thread);
      if constexpr (Rule::kIsBF16) {
        add_to_dq(p, b, thread.ds_lanes, thread.dq);
      } else {
        add_to_dq(p, b, ds, thread.dq);
      }
    }
    write_dq(b, thread);
    return true;
  }

  // dK and dV of page p take blocks [begin, end) of one segment, whose tiles and operands are those of run_block with
  // `begin` in slot 0. After the last block they are written out.
  void add_to_page(int64_t p, int64_t begin, int64_t end, const Queries& queries, const Tiles& tiles) const {
    const int64_t first = begin > p ? begin : p, slot = first - begin;
    const bool is_new = first == (p > first_block() ? p : first_block());
    const int64_t segment = begin / kDotSegmentBlocks, dk_floats = sizes_.dk_floats(), dv_floats = sizes_.dv_floats();
    float* dk = keys_.dk + p * (1 + keys_.levels) * dk_floats;
    float* dv = keys_.dv + p * (1 + keys_.levels) * dv_floats;
    if (is_new) {  // segments that see nothing of the page are +0
      clear(dk + dk_floats, keys_.levels * dk_floats);
      clear(dv + dv_floats, keys_.levels * dv_floats);
    }
    const bool is_first = is_new || first == segment * kDotSegmentBlocks;
    add_blocks(p, first, end, tiles.p + tiles.at(p, slot), queries.dout_value + slot * dout_value_size(),
               padded(sizes_.value_width, 16), is_first, dv);
    add_blocks(p, first, end, tiles.ds + tiles.at(p, slot), queries.q_value + slot * q_value_size(),
               padded(sizes_.width, 16), is_first, dk);
    const bool is_last = end == n_blocks();
    if (keys_.levels > 0 && (is_last || end % kDotSegmentBlocks == 0)) {
      push_segment(dk, dk_floats, segment, dk + dk_floats);
      push_segment(dv, dv_floats, segment, dv + dv_floats);
    }
    if (!is_last) return;
    if (keys_.levels > 0) {
      total_segments(dk + dk_floats, dk_floats, segment + 1, dk);
      total_segments(dv + dv_floats, dv_floats, segment + 1, dv);
    }
    write_rows(p, dk, op_.dk);
    write_rows(p, dv, op_.dv);
  }

  // All gradients of a head with an operand that is not finite.
  void fill_nan() const {
    const auto fill = [&](float* out, int64_t n) {
      for (int64_t c = 0; c < n; ++c) out[c] = __builtin_bit_cast(float, 0x7fc00000u);
    };
    for (int64_t i = 0; i < rows_.end_position(); ++i) {
      if (is_query(i)) fill(f32(op_.dq, query_row(i)), sizes_.width);
      fill(f32(op_.dk, key_row(i)), sizes_.width);
      fill(f32(op_.dv, key_row(i)), sizes_.value_width);
    }
  }

 private:
  static constexpr bool kIsSplit = KeyMemory<Rule>::kIsSplit;

  // By position.
  bool is_query(int64_t i) const { return i >= rows_.position_begin && i < rows_.end_position(); }
  int64_t query_row(int64_t i) const { return (rows_.row_begin + i - rows_.position_begin) * op_.heads + head_; }
  int64_t key_row(int64_t j) const {
    const int64_t row = j < rows_.position_begin ? rows_.prefix_begin + j : rows_.row_begin + j - rows_.position_begin;
    return row * op_.key.shape.heads + key_head_;
  }
  int64_t n_keys(int64_t p) const { return rows_.end_position() - p * 32 < 32 ? rows_.end_position() - p * 32 : 32; }
  int64_t q_key_size() const { return key_form_size<Rule>(sizes_.width); }
  int64_t dout_key_size() const { return key_form_size<Rule>(sizes_.value_width); }
  int64_t q_value_size() const { return value_form_size<Rule>(sizes_.width); }
  int64_t dout_value_size() const { return value_form_size<Rule>(sizes_.value_width); }
  Left* key_rows_of(int64_t p) const { return keys_.key_rows + p * keys_.key_rows_size; }

  // The queries of a block that are there, and the halves of its lanes that have any.
  Lanes queries_of(int64_t b) const {
    const int64_t begin = rows_.position_begin - b * 32, end = rows_.end_position() - b * 32;
    return {begin < 0 ? 0 : begin, end < 32 ? end : 32};
  }
  Lanes lanes_of(int64_t b) const {
    const Lanes queries = queries_of(b);
    return {queries.begin / 16 * 16, (queries.end + 15) / 16 * 16};
  }

  static void clear(float* x, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) store(x + i, zero());
  }

  // 32 rows of queries or of their gradients, as operands; +0 where a query is absent and in the padding.
  bool load_rows(const View& from, int64_t b, int64_t n, float* rows) const {
    Boolx16 wrong = first_lanes(0);
    const Lanes lanes = lanes_of(b);
    for (int64_t i = lanes.begin; i < lanes.end; ++i) {
      const bool is_real = is_query(b * 32 + i);
      const float* x = is_real ? f32(from, query_row(b * 32 + i)) : nullptr;
      for (int64_t c = 0; c < sizes_.row_columns; c += 16) {
        F32x16 v = is_real && c < n ? load_at(x, c, n) : zero();
        if constexpr (Rule::kIsBF16) v = round_bf16(v);
        wrong = either(wrong, is_not_finite(v));
        store(rows + i * sizes_.row_columns + c, v);
      }
    }
    return !any(wrong);
  }

  // Makes the operands of block b; false where one is not finite.
  bool load_block(int64_t b, int64_t slot, const Queries& to, float* rows) const {
    const Lanes queries = queries_of(b), lanes = lanes_of(b);
    const int64_t stride = sizes_.row_columns;
    const bool q_is_finite = load_rows(op_.q, b, sizes_.width, rows);
    make_key_form<Rule>(rows, stride, sizes_.width, to.q_key + slot * q_key_size(), lanes);
    make_value_form<Rule>(rows, stride, sizes_.width, to.q_value + slot * q_value_size(), queries);
    const bool dout_is_finite = load_rows(op_.dout, b, sizes_.value_width, rows);
    make_key_form<Rule>(rows, stride, sizes_.value_width, to.dout_key + slot * dout_key_size(), lanes);
    make_value_form<Rule>(rows, stride, sizes_.value_width, to.dout_value + slot * dout_value_size(), queries);
    float *m = to.m + slot * 32, *rl = to.rl + slot * 32, *d0 = to.d0 + slot * 32;
    for (int64_t i = lanes.begin; i < lanes.end; ++i) {
      const int64_t at = b * 32 + i;
      const bool is_real = is_query(at);
      const float* stats = is_real ? f32(op_.stats, query_row(at)) : nullptr;
      m[i] = is_real ? stats[0] : 0.0f;
      rl[i] = is_real ? stats[1] : __builtin_inff();
      d0[i] = is_real ? d0_of(rows + i * stride, f32(op_.out, query_row(at))) : 0.0f;
    }
    for (int64_t lane = lanes.begin; lane < lanes.end; lane += 16) store(rl + lane, div(splat(1.0f), load(rl + lane)));
    return q_is_finite && dout_is_finite;
  }

  float d0_of(const float* dout, const float* out) const {
    return row_reduce_at(sizes_.value_width, [&](F32x16 lanes, int64_t c) {
      return fma(load(dout + c), load_at(out, c, sizes_.value_width), lanes);
    });
  }

  // body(Constant<V>, lane) for vectors of queries that cover lanes [begin, end), both multiples of 16.
  template <typename Body>
  NARU_INLINE static void for_lane_tiles(int64_t begin, int64_t end, const Body& body) {
    if (end - begin == kGradVectors * 16) return body(Constant<kGradVectors>{}, begin);
    for (; begin < end; begin += 16) body(Constant<1>{}, begin);
  }

  // [n rows of keys][queries `lanes`] products of two key forms.
  void multiply_tile(const Left* left, const Right* right, int64_t width, int64_t n, bool is_diagonal, Lanes lanes,
                     float* out) const {
    constexpr int R = kGradRows;
    for (int64_t r = 0; r < n; r += R) {
      const int64_t begin = is_diagonal && r >= 16 ? 16 : lanes.begin;
      for_lane_tiles(
          begin, lanes.end, [&](auto n_vectors, int64_t lane) __attribute__((always_inline)) {
            constexpr int V = decltype(n_vectors)::value;
            F32x16 acc[R * V];
            unroll<R * V>([&](auto i) { acc[i] = zero(); });
            if constexpr (Rule::kIsBF16) {
              for (int64_t c = 0; c < width; c += 32)
                Form::template chain<R, V>(left + c * Form::kLeftOfChain + r, Form::key_form(), 0,
                                           width - c < 32 ? width - c : 32, right + c * Form::kChain + lane, 32, acc);
            } else {
              Form::template chain<R, V>(left + r, Form::key_form(), 0, width, right + lane, 32, acc);
            }
            unroll<R * V>([&](auto i) { store(out + (r + i / V) * 32 + lane + i % V * 16, acc[i]); });
          });
    }
  }

  // P^T and e^T of block b and every page that it sees, and r.
  void make_scores(int64_t b, int64_t slot, const Queries& queries, const ScoreTiles& scores, int64_t score_slot,
                   F32x16 (&r)[2]) const {
    TreeOf<F32x16> sums[2];
    for (int64_t first = 0; first <= b; first += kDotSegmentBlocks) {
      alignas(64) float lanes[16 * 32] = {};
      for (int64_t p = first; p <= b && p < first + kDotSegmentBlocks; ++p) {
        const int64_t at = scores.at(p, score_slot);
        make_page_scores(p, b, slot, queries, scores.p + at, scores.e + at, lanes);
      }
      for (int64_t half = 8 * 32; half >= 32; half /= 2) {
        for (int64_t i = 0; i < half; i += 16) store(lanes + i, add(load(lanes + i), load(lanes + half + i)));
      }
      sums[0].push(load(lanes)), sums[1].push(load(lanes + 16));
    }
    r[0] = sums[0].total(), r[1] = sums[1].total();
  }

  // P^T and e^T of page p and block b; `lanes` [position mod 16][32 queries] take their products.
  void make_page_scores(int64_t p, int64_t b, int64_t slot, const Queries& queries, float* p_out, float* e_out,
                        float* lanes) const {
    const bool is_diagonal = p == b;
    const int64_t n = n_keys(p);
    const Lanes lanes_there = lanes_of(b);
    const Left* keys = keys_.keys + p * keys_.keys_size;
    if constexpr (!kIsSplit) keys = reinterpret_cast<const Left*>(page_of(op_.key, rows_, p, key_head_));
    const Left* values = sizes_.is_latent ? keys : keys_.values + p * keys_.values_size;
    multiply_tile(keys, queries.q_key + slot * q_key_size(), sizes_.width, n, is_diagonal, lanes_there, p_out);
    multiply_tile(values, queries.dout_key + slot * dout_key_size(), sizes_.value_width, n, is_diagonal, lanes_there,
                  e_out);
    const F32x16 scale = splat(op_.scale), floor = splat(-38.0f);
    for (int64_t v = 0; v < 2; ++v) {
      const int64_t at = slot * 32 + v * 16;
      const F32x16 m = load(queries.m + at), rl = load(queries.rl + at), d0 = load(queries.d0 + at);
      int64_t seen = !is_diagonal ? n : n < 16 * (v + 1) ? n : 16 * (v + 1);
      if (v * 16 < lanes_there.begin || v * 16 >= lanes_there.end) seen = 0;
      for (int64_t j = 0; j < seen; ++j) {
        const F32x16 d = sub(mul(load(p_out + j * 32 + v * 16), scale), m);
        const Boolx16 unseen = first_lanes(is_diagonal && j > v * 16 ? j - v * 16 : 0);
        const Boolx16 absent = either(unseen, less(d, floor));
        const F32x16 probability = select(absent, zero(), mul(exp_near(d), rl));
        const F32x16 e = select(absent, zero(), sub(load(e_out + j * 32 + v * 16), d0));
        float* lane = lanes + j % 16 * 32 + v * 16;
        store(lane, fma(probability, e, load(lane)));
        store(p_out + j * 32 + v * 16, probability);
        store(e_out + j * 32 + v * 16, e);
      }
      for (int64_t j = seen; j < 32; ++j)
        store(p_out + j * 32 + v * 16, zero()), store(e_out + j * 32 + v * 16, zero());
    }
  }

  // dS^T = (P^T (e^T - r)) scale, and both as left operands.
  void make_ds(const float* p, const float* e, const F32x16 (&r)[2], Left* p_out, Left* ds_out,
               const Thread& thread) const {
    const F32x16 scale = splat(op_.scale);
    for (int64_t j = 0; j < 32; ++j) {
      F32x16 probability[2], ds[2];
      unroll<2>([&](auto v) {
        probability[v] = load(p + j * 32 + v * 16);
        const F32x16 value = mul(mul(probability[v], sub(load(e + j * 32 + v * 16), r[v])), scale);
        ds[v] = select(equal(as_i32(probability[v]), splat_i32(0)), zero(), value);
      });
      if constexpr (Rule::kIsBF16) {
        ds[0] = round_bf16(ds[0]), ds[1] = round_bf16(ds[1]);
        Rule::store_block(p_out + j * Form::kLeftOfChain, round_bf16(probability[0]), round_bf16(probability[1]));
        store(thread.ds + j * 32, ds[0]);
        store(thread.ds + j * 32 + 16, ds[1]);
      }
      Rule::store_block(ds_out + j * Form::kLeftOfChain, ds[0], ds[1]);
    }
    if constexpr (Rule::kIsBF16) combine_rows(thread.ds, 32, 32, thread.ds_lanes, 32);
  }

  // dQ^T of block b takes page p, of which ds is its dS^T.
  void add_to_dq(int64_t p, int64_t b, const Right* ds, float* dq) const {
    constexpr int R = kGradRows;
    const bool is_first = p % kDotSegmentBlocks == 0;
    const Lanes lanes = lanes_of(b);
    for (int64_t c = 0; c < sizes_.width; c += R) {
      for_lane_tiles(
          lanes.begin, lanes.end, [&](auto n_vectors, int64_t lane) __attribute__((always_inline)) {
            constexpr int V = decltype(n_vectors)::value;
            float* out = dq + c * 32 + lane;
            F32x16 acc[R * V];
            unroll<R * V>([&](auto i) { acc[i] = is_first ? zero() : load(out + i / V * 32 + i % V * 16); });
            Form::template chain<R, V>(key_rows_of(p) + c, Form::value_form(sizes_.key_columns), 0, n_keys(p),
                                       ds + lane, 32, acc);
            unroll<R * V>([&](auto i) { store(out + i / V * 32 + i % V * 16, acc[i]); });
          });
    }
    if (keys_.levels > 0 && (p == b || (p + 1) % kDotSegmentBlocks == 0))
      push_segment(dq, sizes_.dk_floats(), p / kDotSegmentBlocks, dq + sizes_.dk_floats());
  }

  // After the last page that block b sees.
  void write_dq(int64_t b, const Thread& thread) const {
    float *dq = thread.dq, *rows = thread.rows;
    const int64_t n = sizes_.dk_floats();
    if (keys_.levels > 0) total_segments(dq + n, n, b / kDotSegmentBlocks + 1, dq);
    for (int64_t c = 0; c < sizes_.width; c += 16) {
      for (int64_t lane = 0; lane < 32; lane += 16)
        transpose_block(dq + c * 32 + lane, 32, rows + lane * sizes_.row_columns + c, sizes_.row_columns);
    }
    for (int64_t i = 0; i < 32; ++i) {
      if (!is_query(b * 32 + i)) continue;
      float* out = f32(op_.dq, query_row(b * 32 + i));
      const float* from = rows + i * sizes_.row_columns;
      for_lanes(sizes_.width, [&](int64_t c, int64_t) { store_at(out, c, sizes_.width, add(load(from + c), zero())); });
    }
  }

  // sums[j] takes blocks [begin, end): the tiles at `left` and the value forms at `right`, one after the other.
  void add_blocks(int64_t p, int64_t begin, int64_t end, const Left* left, const Right* right, int64_t columns,
                  bool is_first, float* sums) const {
    int64_t c = 0;
    for (; c + kGradVectors * 16 <= columns; c += kGradVectors * 16)
      add_block_columns<kGradVectors>(p, begin, end, left, right + c, columns, is_first, sums + c);
    if constexpr (kGradVectors > 1) {
      if (c < columns) add_block_columns<1>(p, begin, end, left, right + c, columns, is_first, sums + c);
    }
  }
  template <int V>
  void add_block_columns(int64_t p, int64_t begin, int64_t end, const Left* left, const Right* right, int64_t columns,
                         bool is_first, float* sums) const {
    constexpr int R = kGradRows;
    for (int64_t r = 0; r < n_keys(p); r += R) {
      float* out = sums + r * columns;
      F32x16 acc[R * V];
      unroll<R * V>([&](auto i) { acc[i] = is_first ? zero() : load(out + i / V * columns + i % V * 16); });
      for (int64_t b = begin; b < end; ++b) {
        const Lanes queries = queries_of(b);
        const int64_t first = b == p && r > queries.begin ? r : queries.begin;  // that sees a key of the tile
        if (first >= queries.end) continue;
        Form::template chain<R, V>(left + (b - begin) * Tiles::kSize + r * Form::kLeftOfChain, Form::blocks(), first,
                                   queries.end, right + (b - begin) * Form::kChain * columns, columns, acc);
      }
      unroll<R * V>([&](auto i) { store(out + i / V * columns + i % V * 16, acc[i]); });
    }
  }

  // The finished dots of page p join those of the key head's earlier query heads.
  void write_rows(int64_t p, const float* sums, const View& to) const {
    const bool is_first = head_ % sizes_.group == 0;
    const int64_t columns = padded(to.cols, 16);
    for (int64_t j = 0; j < n_keys(p); ++j) {
      float* out = f32(to, key_row(p * 32 + j));
      for_lanes(to.cols, [&](int64_t c, int64_t) {
        const F32x16 part = add(load(sums + j * columns + c), zero());
        store_at(out, c, to.cols, is_first ? part : add(load_at(out, c, to.cols), part));
      });
    }
  }

  const contract::AttentionGrad& op_;
  const GradSizes& sizes_;
  const contract::SequenceRows& rows_;
  const int64_t head_, key_head_;
  const KeyMemory<Rule>& keys_;
};

}  // namespace naru::cpu::NARU_LEVEL
