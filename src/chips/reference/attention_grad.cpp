// The gradient of attention over documents (docs/arithmetic.md section 7). One query head of one document at a time:
// its rows of P and ds are kept whole, with +0 where a query does not see a position or is absent, so that dk and dv
// are dots of section 3 over all positions of the document; dq is one over what its query sees.
#include <algorithm>

#include "chips/reference/ops.h"

namespace naru::reference {
namespace {

using contract::AttentionGrad;
using contract::kCachePage;
using contract::SequenceRows;

// n rows of n or of a head's width, one after the other.
class Rows {
 public:
  Rows(int64_t rows, int64_t cols) : rows_(rows), cols_(cols), data_(static_cast<size_t>(rows * cols)) {}
  float* row(int64_t r) { return data_.data() + r * cols_; }
  std::vector<float> column(int64_t c) const {
    std::vector<float> column(static_cast<size_t>(rows_));
    for (int64_t r = 0; r < rows_; ++r) column[static_cast<size_t>(r)] = data_[static_cast<size_t>(r * cols_ + c)];
    return column;
  }
  bool is_finite() const {
    return std::all_of(data_.begin(), data_.end(), [](float x) { return std::isfinite(x); });
  }

 private:
  int64_t rows_, cols_;
  std::vector<float> data_;
};

class HeadGrad {
 public:
  // seen[i]: the positions that the query of position i sees, ascending; none where it is absent.
  HeadGrad(const AttentionGrad& op, const SequenceRows& rows, const std::vector<std::vector<int64_t>>& seen,
           int64_t head)
      : op_(op),
        rows_(rows),
        seen_(seen),
        head_(head),
        key_head_(head / (op.heads / op.key.shape.heads)),
        first_(rows.position_begin),
        n_(rows.end_position()),
        width_(op.q.cols),
        value_width_(op.out.cols),
        q_(n_, width_),
        k_(n_, width_),
        dout_(n_, value_width_),
        v_(n_, value_width_),
        p_(n_, n_),
        ds_(n_, n_) {}

  void run() {
    load();
    if (!q_.is_finite() || !dout_.is_finite()) return fill_nan();
    for (int64_t i = first_; i < n_; ++i) make_row(i);
    round_operand(p_);
    for (int64_t j = 0; j < n_; ++j) {
      const std::vector<float> p = p_.column(j), ds = ds_.column(j);
      for (int64_t c = 0; c < width_; ++c) add_part(f32(op_.dk, key_row(j))[c], dot(ds.data(), q_.column(c)));
      for (int64_t c = 0; c < value_width_; ++c) add_part(f32(op_.dv, key_row(j))[c], dot(p.data(), dout_.column(c)));
    }
  }

 private:
  int64_t query_row(int64_t i) const { return (rows_.row_begin + i - first_) * op_.heads + head_; }
  int64_t key_row(int64_t j) const {
    const int64_t row = j < first_ ? rows_.prefix_begin + j : rows_.row_begin + j - first_;
    return row * op_.key.shape.heads + key_head_;
  }
  bool is_bf16() const { return op_.key.shape.dtype == DType::kBF16; }
  float dot(const float* a, const float* b, int64_t n) const {
    return is_bf16() ? dot_bf16(a, b, n) : dot_f32(a, b, n);
  }
  float dot(const float* a, const std::vector<float>& b) const { return dot(a, b.data(), n_); }

  // The parts of a key head's query heads, ascending from +0.
  void add_part(float& sum, float part) const {
    const bool is_first = head_ % (op_.heads / op_.key.shape.heads) == 0;
    sum = contract::add(is_first ? 0.0f : sum, part);
  }

  void round_operand(Rows& x) const {
    if (!is_bf16()) return;
    for (int64_t r = 0; r < n_; ++r) {
      for (int64_t c = 0; c < n_; ++c) x.row(r)[c] = round_to_bf16(x.row(r)[c]);
    }
  }

  // Operands as products read them.
  void load() {
    const auto copy = [&](const float* from, float* to, int64_t n) {
      for (int64_t c = 0; c < n; ++c) to[c] = is_bf16() ? round_to_bf16(from[c]) : from[c];
    };
    for (int64_t i = 0; i < n_; ++i) {
      const int32_t page = rows_.pages[i / kCachePage];
      copy(cache_row(op_.key, page, key_head_, i), k_.row(i), width_);
      copy(cache_row(op_.value, page, key_head_, i), v_.row(i), value_width_);
      if (i < first_) continue;
      copy(f32(op_.q, query_row(i)), q_.row(i), width_);
      copy(f32(op_.dout, query_row(i)), dout_.row(i), value_width_);
    }
  }

  // P and ds of query i for the positions that it sees, ds as an operand already; and its dq.
  void make_row(int64_t i) {
    using contract::fma;
    using contract::mul;
    using contract::sub;
    const float m = f32(op_.stats, query_row(i))[0];
    const float rl = contract::div(1.0f, f32(op_.stats, query_row(i))[1]);
    const float *dout = dout_.row(i), *out = f32(op_.out, query_row(i));
    const float d0 =
        contract::row_reduce(value_width_, [&](int64_t c, float lane) { return fma(dout[c], out[c], lane); });
    const std::vector<int64_t>& seen = seen_[static_cast<size_t>(i)];
    std::vector<float> p(seen.size()), e(seen.size()), ds(seen.size()), column(seen.size());
    for (size_t j = 0; j < seen.size(); ++j) {
      const float difference = sub(mul(dot(q_.row(i), k_.row(seen[j]), width_), op_.scale), m);
      p[j] = difference < contract::kScoreFloor ? 0.0f : mul(contract::exp(difference), rl);
      e[j] = sub(dot(dout, v_.row(seen[j]), value_width_), d0);
    }
    const auto n_seen = static_cast<int64_t>(seen.size());
    const float r = contract::row_reduce(n_seen, [&](int64_t index, float lane) {
      const auto j = static_cast<size_t>(index);
      return p[j] == 0.0f ? lane : fma(p[j], e[j], lane);
    });
    for (size_t j = 0; j < seen.size(); ++j) {
      ds[j] = p[j] == 0.0f ? 0.0f : mul(mul(p[j], sub(e[j], r)), op_.scale);
      if (is_bf16()) ds[j] = round_to_bf16(ds[j]);
      p_.row(i)[seen[j]] = p[j];
      ds_.row(i)[seen[j]] = ds[j];
    }
    for (int64_t c = 0; c < width_; ++c) {
      for (size_t j = 0; j < seen.size(); ++j) column[j] = k_.row(seen[j])[c];
      f32(op_.dq, query_row(i))[c] = dot(ds.data(), column.data(), n_seen);
    }
  }

  // A query or a gradient that is not finite as read: no use to say which positions it spoils, key 0 is always among
  // them.
  void fill_nan() {
    const float nan = std::bit_cast<float>(0x7fc00000u);
    for (int64_t i = 0; i < n_; ++i) {
      for (int64_t c = 0; c < width_ && i >= first_; ++c) f32(op_.dq, query_row(i))[c] = nan;
      for (int64_t c = 0; c < width_; ++c) f32(op_.dk, key_row(i))[c] = nan;
      for (int64_t c = 0; c < value_width_; ++c) f32(op_.dv, key_row(i))[c] = nan;
    }
  }

  const AttentionGrad& op_;
  const SequenceRows& rows_;
  const std::vector<std::vector<int64_t>>& seen_;
  int64_t head_, key_head_;
  int64_t first_, n_, width_, value_width_;  // positions of queries [first_, n_), of keys [0, n_)
  Rows q_, k_, dout_, v_;
  Rows p_, ds_;
};

}  // namespace

template <>
Status run(const AttentionGrad& op) {
  for (const SequenceRows& rows : op.sequences) {
    std::vector<std::vector<int64_t>> seen(static_cast<size_t>(rows.position_begin));
    for (int64_t i = 0; i < rows.n_rows; ++i) {
      NARU_ASSIGN(seen.emplace_back(),
                  seen_positions(op.kName, op.selected, rows.row_begin + i, rows.position_begin + i));
    }
    for (int64_t head = 0; head < op.heads; ++head) HeadGrad(op, rows, seen, head).run();
  }
  return {};
}

}  // namespace naru::reference
