// The gradient of attention for one query head of one document (docs/arithmetic.md section 7), page of 32 keys by block
// of 32 queries. Tiles have a row for each key and queries as lanes: S^T = K Q^T and dP^T = V dO^T give P^T and dS^T,
// which are then the left operands of dV = P^T dO and dK = dS^T Q (lanes are columns); dQ^T += K^T dS^T, with queries
// as lanes again. Every chain ascends as the text says: pages ascend for dQ, blocks of queries for dK and dV.
//
// What a query does not see is +0 in P and dS and may be multiplied or left out: operands are finite here, so that a
// product with +0 is a zero, and a zero changes no bit of a running sum but a zero's sign. (A running sum can be -0,
// where a negative value was flushed; the + (+0) at the end of each dot takes the sign away.)
#pragma once

#include "chips/cpu/kernels/attention_grad_forms.h"

namespace naru::cpu::NARU_LEVEL {

constexpr int64_t kGradChunk = 2;  // blocks of queries whose tiles are kept before dK and dV take them
constexpr int64_t kTile = 32 * 32;
constexpr int64_t kDotSegmentBlocks = 2048 / 32;  // a dot's segment, in blocks

// Sizes that are the same for all heads of one op.
struct GradSizes {
  GradSizes(const contract::AttentionGrad& op, bool is_bf16)
      : is_latent(op.value.shape.use == contract::CacheUse::kKeyAndValue),
        group(op.heads / op.key.shape.heads),
        width(op.q.cols),
        value_width(op.out.cols),
        key_columns(padded(op.q.cols, is_bf16 ? 32 : 16)),
        row_columns(padded(op.q.cols > op.out.cols ? op.q.cols : op.out.cols, 32)) {}

  bool is_latent;
  int64_t group;        // query heads a key head
  int64_t width;        // of a key
  int64_t value_width;  // of a value
  int64_t key_columns;  // of a key page's value form
  int64_t row_columns;  // of 32 unpacked rows of either
};

// Cuts memory into arrays; with no memory it counts.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}
  template <typename T = float>
  T* take(int64_t n) {
    const int64_t begin = bytes_;
    bytes_ += (n * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + begin);
  }
  size_t bytes() const { return static_cast<size_t>(bytes_); }

 private:
  std::byte* memory_;
  int64_t bytes_ = 0;
};

// Levels of the aligned tree over n segments: none for one segment.
NARU_SIMD int64_t tree_levels(int64_t n_segments) {
  int64_t levels = 0;
  while (n_segments > 1 && (n_segments >> levels) != 0) ++levels;
  return levels;
}

// TreeSum for arrays of n floats: partials holds a level after the other.
inline void push_segment(const float* sums, int64_t n, int64_t index, float* partials) {
  for (int64_t i = 0; i < n; i += 16) {
    F16 value = load(sums + i);
    int64_t level = 0;
    for (int64_t k = index; (k & 1) != 0; k >>= 1) value = add(load(partials + level++ * n + i), value);
    store(partials + level * n + i, value);
  }
}
inline void total_segments(const float* partials, int64_t n, int64_t count, float* sums) {
  for (int64_t i = 0; i < n; i += 16) {
    F16 sum = zero();
    bool is_first = true;
    for (int64_t level = 0; count >> level != 0; ++level) {
      if ((count >> level & 1) == 0) continue;
      const F16 partial = load(partials + level * n + i);
      sum = is_first ? partial : add(partial, sum);
      is_first = false;
    }
    store(sums + i, sum);
  }
}

// Of one query head of a document: its operands by blocks of 32 queries, and dQ^T in the making.
template <typename Rule>
struct HeadMemory {
  using Right = typename GradForm<Rule>::Right;
  HeadMemory(Carver& carver, const GradSizes& sizes, int64_t n_blocks)
      : levels(tree_levels((n_blocks + kDotSegmentBlocks - 1) / kDotSegmentBlocks)),
        q_key(carver.take<Right>(n_blocks * key_form_size<Rule>(sizes.width))),
        dout_key(carver.take<Right>(n_blocks * key_form_size<Rule>(sizes.value_width))),
        q_value(carver.take<Right>(n_blocks * value_form_size<Rule>(sizes.width))),
        dout_value(carver.take<Right>(n_blocks * value_form_size<Rule>(sizes.value_width))),
        dq(carver.take(n_blocks * (1 + levels) * padded(sizes.width, 16) * 32)),
        m(carver.take(n_blocks * 32)),
        rl(carver.take(n_blocks * 32)),
        delta(carver.take(n_blocks * 32)) {}

  int64_t levels;
  Right *q_key, *dout_key, *q_value, *dout_value;
  float* dq;  // [blocks][1 + levels][columns, padded][32]
  float *m, *rl, *delta;
};

// Of one thread: the page's left operands, tiles of a chunk, dK and dV of the page, and rows on their way.
template <typename Rule>
struct PageMemory {
  using Left = typename GradForm<Rule>::Left;
  using Right = typename GradForm<Rule>::Right;
  static constexpr bool kIsSplit = GradForm<Rule>::kPlanes == 2;

  PageMemory(Carver& carver, const GradSizes& sizes, int64_t levels)
      : keys(carver.take<Left>(kIsSplit ? 2 * key_form_size<Rule>(sizes.width) : 0)),
        values(carver.take<Left>(GradForm<Rule>::kPlanes * key_form_size<Rule>(sizes.value_width))),
        key_rows(carver.take<Left>(key_rows_size(sizes))),
        form(carver.take<Right>(sizes.row_columns * 32)),
        rows(carver.take(32 * sizes.row_columns)),
        scores(carver.take(kTile)),
        products(carver.take(kTile)),
        p(carver.take<Left>(kGradChunk * kTile)),
        ds(carver.take<Left>(kGradChunk * kTile)),
        ds_lanes(carver.take<Right>(kGradChunk * kTile)),
        dk(carver.take((1 + levels) * 32 * padded(sizes.width, 16))),
        dv(carver.take((1 + levels) * 32 * padded(sizes.value_width, 16))) {}
  static int64_t key_rows_size(const GradSizes& sizes) { return GradForm<Rule>::kLeftOfChain * sizes.key_columns; }

  Left *keys, *values;  // key forms
  Left* key_rows;       // value form of the keys
  Right* form;
  float *rows, *scores, *products;
  Left *p, *ds;  // a tile for each block of the chunk
  Right* ds_lanes;
  float *dk, *dv;  // [1 + levels][32][columns]
};

template <typename Rule>
class HeadWorker {
 public:
  using Form = GradForm<Rule>;
  using Left = typename Form::Left;
  using Right = typename Form::Right;
  static constexpr int64_t kRightTile = Form::kChain * 32;

  HeadWorker(const contract::AttentionGrad& op, const GradSizes& sizes, const contract::SequenceRows& rows,
             int64_t head, const HeadMemory<Rule>& memory)
      : op_(op), sizes_(sizes), rows_(rows), head_(head), key_head_(head / sizes.group), memory_(memory) {}

  int64_t n_blocks() const { return (rows_.n_rows + 31) / 32; }
  int64_t n_segments() const { return (n_blocks() + kDotSegmentBlocks - 1) / kDotSegmentBlocks; }

  // Makes the operands of block b; false where one is not finite.
  bool load_block(int64_t b, float* rows) const {
    const bool q_is_finite = load_rows(op_.q, b, sizes_.width, rows);
    make_key_form<Rule>(rows, sizes_.row_columns, sizes_.width, memory_.q_key + b * q_key_size());
    make_value_form<Rule>(rows, sizes_.row_columns, sizes_.width, memory_.q_value + b * q_value_size());
    const bool dout_is_finite = load_rows(op_.dout, b, sizes_.value_width, rows);
    make_key_form<Rule>(rows, sizes_.row_columns, sizes_.value_width, memory_.dout_key + b * dout_key_size());
    make_value_form<Rule>(rows, sizes_.row_columns, sizes_.value_width, memory_.dout_value + b * dout_value_size());
    for (int64_t i = 0; i < 32; ++i) {
      const int64_t at = b * 32 + i;
      const bool is_real = at < rows_.n_rows;
      const float* stats = is_real ? op_.stats.f32(query_row(at)) : nullptr;
      memory_.m[at] = is_real ? stats[0] : 0.0f;
      memory_.rl[at] = is_real ? NARU_LEVEL::div(1.0f, stats[1]) : 0.0f;
      memory_.delta[at] = is_real ? delta_of(query_row(at)) : 0.0f;
    }
    return q_is_finite && dout_is_finite;
  }

  // Makes the left operands of page p.
  void make_page(int64_t p, const PageMemory<Rule>& page, Left* key_rows) const {
    const auto* keys = reinterpret_cast<const Right*>(page_of(op_.key, rows_, p, key_head_));
    Right* made = page.form;
    if constexpr (!PageMemory<Rule>::kIsSplit) made = key_rows;
    if constexpr (Rule::kIsBF16) {
      transpose_page_bf16(keys, sizes_.key_columns, n_keys(p), made);
    } else {
      transpose_page_f32(keys, sizes_.width, sizes_.key_columns, made);
    }
    if constexpr (PageMemory<Rule>::kIsSplit) {
      split_halves(made, Form::kChain * sizes_.key_columns, sizes_.key_columns, key_rows);
      split_halves(keys, key_form_size<Rule>(sizes_.width), 32, page.keys);
    }
    if (sizes_.is_latent) return;
    const auto* values = reinterpret_cast<const Right*>(page_of(op_.value, rows_, p, key_head_));
    unpack_value_page<Rule>(values, sizes_.value_width, page.rows, sizes_.row_columns);
    if constexpr (PageMemory<Rule>::kIsSplit) {
      make_key_form<Rule>(page.rows, sizes_.row_columns, sizes_.value_width, page.form);
      split_halves(page.form, key_form_size<Rule>(sizes_.value_width), 32, page.values);
    } else {
      make_key_form<Rule>(page.rows, sizes_.row_columns, sizes_.value_width, page.values);
    }
  }

  // dK and dV of page p, written out. dS^T of block b goes to ds_lanes(b); then done(b_begin, b_end) is called for each
  // chunk of blocks.
  template <typename LanesOf, typename Done>
  void run_page(int64_t p, const PageMemory<Rule>& page, const LanesOf& ds_lanes, const Done& done) const {
    const int64_t key_floats = 32 * padded(sizes_.width, 16), value_floats = 32 * padded(sizes_.value_width, 16);
    if (memory_.levels > 0) {  // segments that see nothing of the page are +0
      clear(page.dk + key_floats, memory_.levels * key_floats);
      clear(page.dv + value_floats, memory_.levels * value_floats);
    }
    for (int64_t segment = p / kDotSegmentBlocks; segment < n_segments(); ++segment) {
      const int64_t first = segment * kDotSegmentBlocks > p ? segment * kDotSegmentBlocks : p;
      const int64_t after = (segment + 1) * kDotSegmentBlocks, last = after < n_blocks() ? after : n_blocks();
      for (int64_t b = first; b < last; b += kGradChunk) {
        const int64_t end = b + kGradChunk < last ? b + kGradChunk : last;
        for (int64_t i = b; i < end; ++i)
          make_tile(p, i, page, page.p + (i - b) * kTile, page.ds + (i - b) * kTile, ds_lanes(i));
        add_chunk(p, b, end, page.p, memory_.dout_value, padded(sizes_.value_width, 16), b == first, page.dv);
        const Left* ds = page.ds;
        int64_t stride = kTile;
        if constexpr (!Rule::kIsBF16) ds = ds_lanes(b), stride = kRightTile;  // (tiles of a chunk follow each other)
        add_chunk(p, b, end, ds, memory_.q_value, padded(sizes_.width, 16), b == first, page.dk, stride);
        done(b, end);
      }
      if (memory_.levels == 0) continue;
      push_segment(page.dk, key_floats, segment, page.dk + key_floats);
      push_segment(page.dv, value_floats, segment, page.dv + value_floats);
    }
    if (memory_.levels > 0) {
      total_segments(page.dk + key_floats, key_floats, n_segments(), page.dk);
      total_segments(page.dv + value_floats, value_floats, n_segments(), page.dv);
    }
    write_rows(p, page.dk, op_.dk);
    write_rows(p, page.dv, op_.dv);
  }

  // dQ^T of block b takes page p: key_rows its value form, ds its dS^T.
  void add_to_dq(int64_t p, int64_t b, const Left* key_rows, const Right* ds) const {
    constexpr int R = kGradRows, V = kGradVectors;
    const bool is_first = p % kDotSegmentBlocks == 0;
    float* dq = dq_of(b);
    for (int64_t c = 0; c < sizes_.width; c += R) {
      for (int64_t lane = 0; lane < 32; lane += V * 16) {
        float* out = dq + c * 32 + lane;
        F16 acc[R * V];
        unroll<R * V>([&](auto i) { acc[i] = is_first ? zero() : load(out + i / V * 32 + i % V * 16); });
        Form::template chain<R, V>(key_rows + c, Form::value_form(sizes_.key_columns), 0, n_keys(p), ds + lane, 32,
                                   acc);
        unroll<R * V>([&](auto i) { store(out + i / V * 32 + i % V * 16, acc[i]); });
      }
    }
    if (memory_.levels > 0 && (p == b || (p + 1) % kDotSegmentBlocks == 0))
      push_segment(dq, dq_floats(), p / kDotSegmentBlocks, dq + dq_floats());
  }

  // After the last page that block b sees.
  void write_dq(int64_t b, float* rows) const {
    float* dq = dq_of(b);
    if (memory_.levels > 0) total_segments(dq + dq_floats(), dq_floats(), b / kDotSegmentBlocks + 1, dq);
    for (int64_t c = 0; c < sizes_.width; c += 16) {
      for (int64_t lane = 0; lane < 32; lane += 16)
        transpose_block(dq + c * 32 + lane, 32, rows + lane * sizes_.row_columns + c, sizes_.row_columns);
    }
    for (int64_t i = 0; i < 32 && b * 32 + i < rows_.n_rows; ++i) {
      float* out = op_.dq.f32(query_row(b * 32 + i));
      const float* from = rows + i * sizes_.row_columns;
      for_lanes(sizes_.width, [&](int64_t c, int64_t) { store_at(out, c, sizes_.width, add(load(from + c), zero())); });
    }
  }

  // All gradients of a head with an operand that is not finite.
  void fill_nan() const {
    const auto fill = [&](float* out, int64_t n) {
      for (int64_t c = 0; c < n; ++c) out[c] = __builtin_bit_cast(float, 0x7fc00000u);
    };
    for (int64_t i = 0; i < rows_.n_rows; ++i) {
      fill(op_.dq.f32(query_row(i)), sizes_.width);
      fill(op_.dk.f32(key_row(i)), sizes_.width);
      fill(op_.dv.f32(key_row(i)), sizes_.value_width);
    }
  }

 private:
  int64_t query_row(int64_t i) const { return (rows_.row_begin + i) * op_.heads + head_; }
  int64_t key_row(int64_t j) const { return (rows_.row_begin + j) * op_.key.shape.heads + key_head_; }
  int64_t n_keys(int64_t p) const { return rows_.n_rows - p * 32 < 32 ? rows_.n_rows - p * 32 : 32; }
  int64_t q_key_size() const { return key_form_size<Rule>(sizes_.width); }
  int64_t dout_key_size() const { return key_form_size<Rule>(sizes_.value_width); }
  int64_t q_value_size() const { return value_form_size<Rule>(sizes_.width); }
  int64_t dout_value_size() const { return value_form_size<Rule>(sizes_.value_width); }
  int64_t dq_floats() const { return padded(sizes_.width, 16) * 32; }
  float* dq_of(int64_t b) const { return memory_.dq + b * (1 + memory_.levels) * dq_floats(); }

  static void clear(float* x, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) store(x + i, zero());
  }

  // 32 rows of queries or of their gradients, as operands; +0 past the document's end and in the padding.
  bool load_rows(const View& from, int64_t b, int64_t n, float* rows) const {
    M16 wrong = first_lanes(0);
    for (int64_t i = 0; i < 32; ++i) {
      const bool is_real = b * 32 + i < rows_.n_rows;
      const float* x = is_real ? from.f32(query_row(b * 32 + i)) : nullptr;
      for (int64_t c = 0; c < sizes_.row_columns; c += 16) {
        F16 v = is_real && c < n ? load_at(x, c, n) : zero();
        if constexpr (Rule::kIsBF16) v = round_bf16(v);
        wrong = either(wrong, is_not_finite(v));
        store(rows + i * sizes_.row_columns + c, v);
      }
    }
    return !any(wrong);
  }

  float delta_of(int64_t row) const {
    const float *dout = op_.dout.f32(row), *out = op_.out.f32(row);
    F16 lanes = zero();
    for_lanes(sizes_.value_width, [&](int64_t c, int64_t) {
      lanes = fma(load_at(dout, c, sizes_.value_width), load_at(out, c, sizes_.value_width), lanes);
    });
    return NARU_LEVEL::add(sum_lanes(lanes), 0.0f);
  }

  // [n rows of keys][32 queries] products of two key forms.
  void multiply_tile(const Left* left, const Right* right, int64_t width, int64_t n, int64_t lane_begin,
                     float* out) const {
    constexpr int R = kGradRows, V = kGradVectors;
    for (int64_t r = 0; r < n; r += R) {
      for (int64_t lane = r < 16 ? 0 : lane_begin / (V * 16) * (V * 16); lane < 32; lane += V * 16) {
        F16 acc[R * V];
        unroll<R * V>([&](auto i) { acc[i] = zero(); });
        if constexpr (Rule::kIsBF16) {
          for (int64_t c = 0; c < width; c += 32)
            Form::template chain<R, V>(left + c * Form::kLeftOfChain + r, Form::key_form(), 0, 32,
                                       right + c * Form::kChain + lane, 32, acc);
        } else {
          Form::template chain<R, V>(left + r, Form::key_form(), 0, width, right + lane, 32, acc);
        }
        unroll<R * V>([&](auto i) { store(out + (r + i / V) * 32 + lane + i % V * 16, acc[i]); });
      }
    }
  }

  // P^T and dS^T of page p and block b, as left operands and as lanes.
  void make_tile(int64_t p, int64_t b, const PageMemory<Rule>& page, Left* p_out, Left* ds_out, Right* ds_lanes) const {
    const bool is_diagonal = p == b;
    const int64_t n = n_keys(p), lane_begin = is_diagonal ? 16 : 0;
    const Left* keys = page.keys;
    if constexpr (!PageMemory<Rule>::kIsSplit)
      keys = reinterpret_cast<const Left*>(page_of(op_.key, rows_, p, key_head_));
    multiply_tile(keys, memory_.q_key + b * q_key_size(), sizes_.width, n, lane_begin, page.scores);
    multiply_tile(sizes_.is_latent ? keys : page.values, memory_.dout_key + b * dout_key_size(), sizes_.value_width, n,
                  lane_begin, page.products);
    const F16 scale = splat(op_.scale), floor = splat(-38.0f);
    const F16 m[2] = {load(memory_.m + b * 32), load(memory_.m + b * 32 + 16)};
    const F16 rl[2] = {load(memory_.rl + b * 32), load(memory_.rl + b * 32 + 16)};
    const F16 delta[2] = {load(memory_.delta + b * 32), load(memory_.delta + b * 32 + 16)};
    for (int64_t j = 0; j < 32; ++j) {
      F16 probability[2] = {zero(), zero()}, ds[2] = {zero(), zero()};
      if (j < n) {
        unroll<2>([&](auto v) {
          if (is_diagonal && j >= 16 * (v + 1)) return;
          const F16 d = sub(mul(load(page.scores + j * 32 + v * 16), scale), m[v]);
          const F16 e = select(less(d, floor), zero(), mul(exp_near(d), rl[v]));
          const F16 g = mul(mul(e, sub(load(page.products + j * 32 + v * 16), delta[v])), scale);
          const M16 unseen = first_lanes(is_diagonal && j > v * 16 ? j - v * 16 : 0);
          probability[v] = select(unseen, zero(), e);
          ds[v] = select(unseen, zero(), g);
        });
        if (b == 0 && j == 0) ds[0] = select(first_lanes(1), zero(), ds[0]);  // query 0 sees itself alone
      }
      if constexpr (Rule::kIsBF16) {
        ds[0] = round_bf16(ds[0]), ds[1] = round_bf16(ds[1]);
        Rule::store_block(p_out + j * Form::kLeftOfChain, round_bf16(probability[0]), round_bf16(probability[1]));
        Rule::store_block(ds_out + j * Form::kLeftOfChain, ds[0], ds[1]);
        store(page.scores + j * 32, ds[0]);
        store(page.scores + j * 32 + 16, ds[1]);
      } else {
        Rule::store_block(p_out + j * 32, probability[0], probability[1]);
        Rule::store_block(ds_lanes + j * 32, ds[0], ds[1]);
      }
    }
    if constexpr (Rule::kIsBF16) combine_rows(page.scores, 32, 32, ds_lanes, 32);
  }

  // sums[j] takes blocks [begin, end): the tiles at `left` and the value forms at `right`.
  void add_chunk(int64_t p, int64_t begin, int64_t end, const Left* left, const Right* right, int64_t columns,
                 bool is_first, float* sums, int64_t left_stride = kTile) const {
    int64_t c = 0;
    for (; c + kGradVectors * 16 <= columns; c += kGradVectors * 16)
      add_chunk_columns<kGradVectors>(p, begin, end, left, left_stride, right + c, columns, is_first, sums + c);
    if constexpr (kGradVectors > 1) {
      if (c < columns) add_chunk_columns<1>(p, begin, end, left, left_stride, right + c, columns, is_first, sums + c);
    }
  }
  template <int V>
  void add_chunk_columns(int64_t p, int64_t begin, int64_t end, const Left* left, int64_t left_stride,
                         const Right* right, int64_t columns, bool is_first, float* sums) const {
    constexpr int R = kGradRows;
    for (int64_t r = 0; r < n_keys(p); r += R) {
      float* out = sums + r * columns;
      F16 acc[R * V];
      unroll<R * V>([&](auto i) { acc[i] = is_first ? zero() : load(out + i / V * columns + i % V * 16); });
      for (int64_t b = begin; b < end; ++b) {
        const int64_t n = rows_.n_rows - b * 32;
        Form::template chain<R, V>(left + (b - begin) * left_stride + r * Form::kLeftOfChain, Form::blocks(),
                                   b == p ? r : 0, n < 32 ? n : 32, right + b * Form::kChain * columns, columns, acc);
      }
      unroll<R * V>([&](auto i) { store(out + i / V * columns + i % V * 16, acc[i]); });
    }
  }

  // The finished dots of page p join those of the key head's earlier query heads.
  void write_rows(int64_t p, const float* sums, const View& to) const {
    const bool is_first = head_ % sizes_.group == 0;
    const int64_t columns = padded(to.cols, 16);
    for (int64_t j = 0; j < n_keys(p); ++j) {
      float* out = to.f32(key_row(p * 32 + j));
      for_lanes(to.cols, [&](int64_t c, int64_t) {
        const F16 part = add(load(sums + j * columns + c), zero());
        store_at(out, c, to.cols, is_first ? part : add(load_at(out, c, to.cols), part));
      });
    }
  }

  const contract::AttentionGrad& op_;
  const GradSizes& sizes_;
  const contract::SequenceRows& rows_;
  const int64_t head_, key_head_;
  const HeadMemory<Rule>& memory_;
};

}  // namespace naru::cpu::NARU_LEVEL
