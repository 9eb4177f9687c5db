// The orders of sections 3 and 4 of docs/arithmetic.md: segments joined by the aligned tree, the sum of a row by 16
// lanes, its max, and the ranking.
#define SEGMENT 2048

typedef struct {
  float partial[32];
  uint count;
} SegmentSum;

#define SEGMENT_SUM(sum) \
  SegmentSum sum;        \
  sum.count = 0
DEVICE void push_segment(SegmentSum* sum, float value) {
  int level = 0;
  for (uint n = sum->count; (n & 1u) != 0; n >>= 1) value = add_(sum->partial[level++], value);
  sum->partial[level] = value;
  sum->count += 1;
}
DEVICE float total_segments(const SegmentSum* sum) {
  float total = 0.0f;
  int is_first = 1;
  ROLLED for (int level = 0; level < 32; ++level) {
    if ((sum->count >> level & 1u) == 0) continue;
    total = is_first ? sum->partial[level] : add_(sum->partial[level], total);
    is_first = 0;
  }
  return add_(total, 0.0f);
}

// lanes: a private array of 16.
#define SUM_LANES(lanes)                     \
  for (int half_ = 8; half_ > 0; half_ /= 2) \
    for (int i_ = 0; i_ < half_; ++i_) lanes[i_] = add_(lanes[i_], lanes[i_ + half_])

// result = the sum over i in [0, n) by the row rule; `step` is `lane` with element i in it.
#define ROW_REDUCE(result, n, i, lane, step)                            \
  {                                                                     \
    SEGMENT_SUM(sum_);                                                  \
    for (i64 begin_ = 0; begin_ < (n); begin_ += SEGMENT) {             \
      float lanes_[16];                                                 \
      for (int j_ = 0; j_ < 16; ++j_) lanes_[j_] = 0.0f;                \
      const i64 end_ = begin_ + SEGMENT < (n) ? begin_ + SEGMENT : (n); \
      i64 block_ = begin_;                                              \
      for (; block_ + 16 <= end_; block_ += 16) {                       \
        for (int j_ = 0; j_ < 16; ++j_) {                               \
          const i64 i = block_ + j_;                                    \
          const float lane = lanes_[j_];                                \
          lanes_[j_] = (step);                                          \
        }                                                               \
      }                                                                 \
      for (; block_ < end_; ++block_) {                                 \
        const i64 i = block_;                                           \
        const float lane = lanes_[block_ & 15];                         \
        lanes_[block_ & 15] = (step);                                   \
      }                                                                 \
      SUM_LANES(lanes_);                                                \
      push_segment(&sum_, lanes_[0]);                                   \
    }                                                                   \
    result = total_segments(&sum_);                                     \
  }

// The f32 dot of section 3 over t in [0, n): `step` is `acc` with term t in it.
#define COLUMN_DOT(result, n, t, acc, step)                             \
  {                                                                     \
    SEGMENT_SUM(sum_);                                                  \
    for (i64 begin_ = 0; begin_ < (n); begin_ += SEGMENT) {             \
      float acc = 0.0f;                                                 \
      const i64 end_ = begin_ + SEGMENT < (n) ? begin_ + SEGMENT : (n); \
      for (i64 t = begin_; t < end_; ++t) acc = (step);                 \
      push_segment(&sum_, acc);                                         \
    }                                                                   \
    result = total_segments(&sum_);                                     \
  }

// The dot of section 3 over k in [0, n) by the bf16 rule or the f32 rule; `a` and `b` are its terms, which are operands
// already.
#define DOT(result, n, k, is_bf16, a, b)                                                             \
  {                                                                                                  \
    SEGMENT_SUM(sum_);                                                                               \
    for (i64 begin_ = 0; begin_ < (n); begin_ += SEGMENT) {                                          \
      float acc_ = 0.0f;                                                                             \
      const i64 end_ = begin_ + SEGMENT < (n) ? begin_ + SEGMENT : (n);                              \
      if (is_bf16) {                                                                                 \
        for (i64 block_ = begin_; block_ < end_; block_ += 32) {                                     \
          float pair_[2] = {0.0f, 0.0f};                                                             \
          for (i64 k = block_; k < block_ + 32; ++k)                                                 \
            pair_[k & 1] = k < end_ ? fma_((a), (b), pair_[k & 1]) : fma_(0.0f, 0.0f, pair_[k & 1]); \
          acc_ = add_(acc_, add_(pair_[0], pair_[1]));                                               \
        }                                                                                            \
      } else {                                                                                       \
        for (i64 k = begin_; k < end_; ++k) acc_ = fma_((a), (b), acc_);                             \
      }                                                                                              \
      push_segment(&sum_, acc_);                                                                     \
    }                                                                                                \
    result = total_segments(&sum_);                                                                  \
  }

DEVICE float row_max_(const GLOBAL float* x, i64 n) {
  float m = x[0];
  for (i64 i = 1; i < n; ++i) m = max_(m, x[i]);
  return add_(m, 0.0f);
}

DEVICE int ranks_before(float a, i64 i, float b, i64 j) {
  const int a_nan = IS_NAN(a), b_nan = IS_NAN(b);
  if (a_nan != b_nan) return b_nan;
  a = flush_(a), b = flush_(b);
  if (!a_nan && a != b) return a > b;
  return i < j;
}
