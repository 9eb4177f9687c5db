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

// The same by groups of 16 x 4 items, an item a lane of the sum: a row of more than one segment has the group to
// itself, and four segments of it are summed side by side; shorter ones are four a group. Every item of the group must
// come to a reduction, which stands in no `if`: PoCL 3.1 takes barriers in one for barriers of single items. ROW_LOCAL
// among the first lines of the kernel, then ROW_GROUP, then FOR_GROUP_ROWS: t is the row of the item, row_item its
// number among the row_items of the row, and is_there whether the row is one (else t is the last).
//
// NARU_NARROW is for processors, whose compilers make vectors of a loop over the lanes: four items of a group have a
// row each.
#ifdef NARU_NARROW
#define ROW_LOCAL
#define ROW_GROUP(rows, cols)                       \
  const int row_item = 0, row_items = 1;            \
  const int is_there = ITEM(1) == 0 && ITEM(0) < 4; \
  const i64 due_rows = is_there && IS_DUE ? (rows) : 0
#define FOR_GROUP_ROWS for (i64 t = GROUP(0) * 4 + ITEM(0); t < due_rows; t += GROUPS(0) * 4)
#define GROUP_REDUCE(result, n, i, lane, step) ROW_REDUCE(result, n, i, lane, step)
#define GROUP_MAX(result, x, n) result = row_max_(x, n)
#else
#define ROW_LOCAL LOCAL float lanes_of[64], results_of[4]
#define ROW_GROUP(rows, cols)                                                       \
  const int row_segments = (cols) > SEGMENT ? 4 : 1, row_items = 16 * row_segments; \
  const int row_y = row_segments > 1 ? 0 : ITEM(1), item_ = ITEM(1) * 16 + ITEM(0); \
  const int row_item = row_segments > 1 ? item_ : ITEM(0);                          \
  const i64 last_row = (rows)-1, due_rows = IS_DUE ? (rows) : 0;                    \
  i64 t = 0;                                                                        \
  int is_there = 0
#define FOR_GROUP_ROWS                                                                            \
  for (i64 t0_ = GROUP(0) * (4 / row_segments);                                                   \
       is_there = t0_ + row_y <= last_row, t = is_there ? t0_ + row_y : last_row, t0_ < due_rows; \
       t0_ += GROUPS(0) * (4 / row_segments))
#define GROUP_REDUCE(result, n, i, lane, step)                                                  \
  {                                                                                             \
    SEGMENT_SUM(sum_);                                                                          \
    for (i64 begin_ = 0; begin_ < (n); begin_ += row_segments * SEGMENT) {                      \
      const i64 first_ = begin_ + (ITEM(1) - row_y) * SEGMENT;                                  \
      const i64 end_ = first_ + SEGMENT < (n) ? first_ + SEGMENT : (n);                         \
      float lane = 0.0f;                                                                        \
      for (i64 i = first_ + ITEM(0); i < end_; i += 16) lane = (step);                          \
      lanes_of[item_] = lane;                                                                   \
      BARRIER();                                                                                \
      for (int half_ = 8; half_ > 0; half_ /= 2) {                                              \
        if (ITEM(0) < half_) lanes_of[item_] = add_(lanes_of[item_], lanes_of[item_ + half_]);  \
        BARRIER();                                                                              \
      }                                                                                         \
      for (int s_ = 0; s_ < row_segments && row_item == 0 && begin_ + s_ * SEGMENT < (n); ++s_) \
        push_segment(&sum_, lanes_of[(row_y + s_) * 16]);                                       \
      BARRIER();                                                                                \
    }                                                                                           \
    if (row_item == 0) results_of[row_y] = total_segments(&sum_);                               \
    BARRIER();                                                                                  \
    result = results_of[row_y];                                                                 \
  }
// The largest of x[0] ... x[n - 1], or NaN where one is.
#define GROUP_MAX(result, x, n)                                                               \
  {                                                                                           \
    float m_ = (x)[row_item < (n) ? row_item : 0];                                            \
    for (i64 i_ = row_item + row_items; i_ < (n); i_ += row_items) m_ = max_(m_, (x)[i_]);    \
    lanes_of[item_] = m_;                                                                     \
    BARRIER();                                                                                \
    for (int half_ = row_items / 2; half_ > 0; half_ /= 2) {                                  \
      if (row_item < half_) lanes_of[item_] = max_(lanes_of[item_], lanes_of[item_ + half_]); \
      BARRIER();                                                                              \
    }                                                                                         \
    result = add_(lanes_of[row_y * 16], 0.0f);                                                \
    BARRIER();                                                                                \
  }
#endif

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
