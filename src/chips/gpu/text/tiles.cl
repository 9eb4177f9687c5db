// Tiles of float products (products.cl): 64 x 64 outputs a group, for which 32 inputs at a time lie in local memory, xs
// [64 rows][32 inputs] and ws [32 inputs][64 outputs]. Each sum is one chain over a segment, and 8 rows of a vector of
// outputs are in registers for the time of 32 inputs.
//
// Tiles end where segments and blocks do; what is not there counts as +0, by the bf16 rule as that says, by the f32
// rule because no sum that a chain from +0 can have is changed by it but -0, which the end of the dot makes +0.
//
// TILES(is_by_rows, load_a, put_w, multiply): load_a is the value of row i_ of the operand and input k_, is_by_rows
// whether inputs lie side by side there, and not rows; put_w, PUT_PANELS or PUT_WEIGHTS, fills ws; multiply is
// MULTIPLY_F32 or MULTIPLY_BF16.
#define TILE 64
#define DEPTH 32
#define X_STRIDE (DEPTH + 1)

// Values of xs and ws, eight outputs of a panel at a time or one output.
#define PUT_X(row_, d, load_a)                                                \
  {                                                                           \
    const i64 i_ = i0 + (row_), k_ = k0 + (d);                                \
    xs[(row_)*X_STRIDE + (d)] = i_ < slots && k_ < due_end ? (load_a) : 0.0f; \
  }
#define PUT_WEIGHT(d, place, value)                                         \
  {                                                                         \
    const i64 o_ = o0 + (place), k_ = k0 + (d);                             \
    ws[(d)*TILE + (place)] = o_ < outputs && k_ < due_end ? (value) : 0.0f; \
  }
#define PANEL_AT(d, place) (w + PANEL_PLACE(0, o0 + (place), k0 + (d), outputs, inputs))
#define IS_PANEL_AT(d, place) (o0 + (place) < outputs && k0 + (d) < due_end)
#define PUT_EIGHT(value, d, place)                 \
  {                                                \
    const F8 eight_ = (value);                     \
    STORE8_LOCAL(eight_, ws + (d)*TILE + (place)); \
  }
#define STORE_PART(i_first, o_first)                                                                              \
  for (int i = 0; i < 8 && (i_first) + i < slots; ++i) {                                                          \
    float dots[VECTOR];                                                                                           \
    STOREV(acc[PART + i], dots);                                                                                  \
    for (int j = 0; j < VECTOR && (o_first) + j < outputs; ++j) STORE_DOT((i_first) + i, (o_first) + j, dots[j]); \
  }

#ifdef NARU_NARROW
// A processor runs the items of a group one after another, and what they keep over a barrier lies in memory. So one
// item makes all sums of the group; it reads what lies together, and comes by no barrier.
#define PARTS_ACROSS (TILE / VECTOR)
#define PART ((ly * PARTS_ACROSS + lx) * 8)
#define EACH_PART                        \
  for (int ly = 0; ly < rows_ / 8; ++ly) \
    for (int lx = 0; lx < PARTS_ACROSS; ++lx)
#define PUT_PANELS(LOAD)                               \
  for (int panel_ = 0; panel_ < TILE; panel_ += PANEL) \
    for (int d = 0; d < DEPTH; ++d)                    \
      for (int j = 0; j < PANEL; j += 8)               \
  PUT_EIGHT(IS_PANEL_AT(d, panel_) ? LOAD(PANEL_AT(d, panel_) + j) : ZERO8(), d, panel_ + j)
#define PUT_WEIGHTS(value)        \
  for (int d = 0; d < DEPTH; ++d) \
    for (int place = 0; place < TILE; ++place) PUT_WEIGHT(d, place, value)
#define TILES(is_by_rows, load_a, put_w, multiply)                                \
  LOCAL_ALIGNED float ws[DEPTH * TILE];                                           \
  LOCAL float xs[TILE * X_STRIDE];                                                \
  const i64 o0 = GROUP(0) * TILE, i0 = GROUP(1) * TILE, due_end = end;            \
  if (ITEM(0) == 0 && ITEM(1) == 0 && IS_DUE) {                                   \
    const int rows_ = slots - i0 < TILE ? (int)((slots - i0 + 7) / 8 * 8) : TILE; \
    FV acc[TILE / 8 * PARTS_ACROSS * 8];                                          \
    for (int i = 0; i < TILE / 8 * PARTS_ACROSS * 8; ++i) acc[i] = ZEROV();       \
    for (i64 k0 = begin; k0 < due_end; k0 += DEPTH) {                             \
      if (is_by_rows) {                                                           \
        for (int row_ = 0; row_ < rows_; ++row_)                                  \
          for (int d = 0; d < DEPTH; ++d) PUT_X(row_, d, load_a)                  \
      } else {                                                                    \
        for (int d = 0; d < DEPTH; ++d)                                           \
          for (int row_ = 0; row_ < rows_; ++row_) PUT_X(row_, d, load_a)         \
      }                                                                           \
      put_w;                                                                      \
      EACH_PART multiply;                                                         \
    }                                                                             \
    EACH_PART STORE_PART(i0 + ly * 8, o0 + lx * VECTOR)                           \
  }
#else
// 8 x 8 items, each of which keeps 8 x 8 sums.
#define PART 0
#define PUT_PANELS(LOAD)                                                            \
  for (int r = 0; r < 4; ++r) {                                                     \
    const int d = r * 8 + item / 8, place = item % 8 * 8;                           \
    PUT_EIGHT(IS_PANEL_AT(d, place) ? LOAD(PANEL_AT(d, place)) : ZERO8(), d, place) \
  }
#define PUT_WEIGHTS(value) \
  for (int d = 0; d < DEPTH; ++d) PUT_WEIGHT(d, item, value)
#define TILES(is_by_rows, load_a, put_w, multiply)                                                      \
  LOCAL float xs[TILE * X_STRIDE];                                                                      \
  LOCAL_ALIGNED float ws[DEPTH * TILE];                                                                 \
  const int lx = ITEM(0), ly = ITEM(1), item = ly * 8 + lx;                                             \
  const i64 o0 = GROUP(0) * TILE, i0 = GROUP(1) * TILE;                                                 \
  const i64 due_end = IS_DUE ? end : begin;                                                             \
  FV acc[8];                                                                                            \
  for (int i = 0; i < 8; ++i) acc[i] = ZEROV();                                                         \
  for (i64 k0 = begin; k0 < due_end; k0 += DEPTH) {                                                     \
    for (int r = 0; r < DEPTH; ++r) {                                                                   \
      const int row_ = (is_by_rows) ? r * 2 + item / DEPTH : item, d = (is_by_rows) ? item % DEPTH : r; \
      PUT_X(row_, d, load_a)                                                                            \
    }                                                                                                   \
    put_w;                                                                                              \
    BARRIER();                                                                                          \
    multiply;                                                                                           \
    BARRIER();                                                                                          \
  }                                                                                                     \
  if (IS_DUE) STORE_PART(i0 + ly * 8, o0 + lx * 8)
#endif

// The sums leave their array for the time of the loop: they shall be registers.
#define EACH_SUM(STEP) STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7)
#define TAKE_SUM(i) FV s##i = acc[PART + i];
#define ADD_TO_SUM(i) s##i = FMAV(row[(i)*X_STRIDE + d], b, s##i);
#define GIVE_SUM(i) acc[PART + i] = s##i;
#define MULTIPLY_F32                                                                     \
  {                                                                                      \
    EACH_SUM(TAKE_SUM)                                                                   \
    const LOCAL_POINTER float *row = xs + ly * 8 * X_STRIDE, *column = ws + lx * VECTOR; \
    for (int d = 0; d < DEPTH; ++d) {                                                    \
      const FV b = LOADV_LOCAL(column + d * TILE);                                       \
      EACH_SUM(ADD_TO_SUM)                                                               \
    }                                                                                    \
    EACH_SUM(GIVE_SUM)                                                                   \
  }
// A block: two chains for each sum, of four rows at a time.
#define EACH_CHAIN(STEP) STEP(0) STEP(1) STEP(2) STEP(3)
#define BEGIN_CHAINS(i) FV even##i = ZEROV(), odd##i = ZEROV();
#define ADD_TO_CHAINS(i)                              \
  even##i = FMAV(row[(i)*X_STRIDE + d], b0, even##i); \
  odd##i = FMAV(row[(i)*X_STRIDE + d + 1], b1, odd##i);
#define ADD_CHAINS(i) acc[PART + half_ + i] = ADDV(acc[PART + half_ + i], ADDV(even##i, odd##i));
#define MULTIPLY_BF16                                                                              \
  for (int half_ = 0; half_ < 8; half_ += 4) {                                                     \
    EACH_CHAIN(BEGIN_CHAINS)                                                                       \
    const LOCAL_POINTER float *row = xs + (ly * 8 + half_) * X_STRIDE, *column = ws + lx * VECTOR; \
    for (int d = 0; d < DEPTH; d += 2) {                                                           \
      const FV b0 = LOADV_LOCAL(column + d * TILE), b1 = LOADV_LOCAL(column + (d + 1) * TILE);     \
      EACH_CHAIN(ADD_TO_CHAINS)                                                                    \
    }                                                                                              \
    EACH_CHAIN(ADD_CHAINS)                                                                         \
  }
