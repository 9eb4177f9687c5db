// Many rows of w8a8 by the matrix units (int8.cl): 128 x 128 outputs a group of four sub-groups, each of which has
// 64 x 64 of them; 64 inputs at a time in local memory, and the next ones on their way meanwhile.
#define SPAN 128
// Fours of words of a row in local memory: four, and one so that the lanes of a fragment fall into different banks.
#define SPAN_QUADS 5

// Quad r of four at an item, of the words k ... k + 15 of 128 rows from the `first` one on.
#define LOAD_QUADS(quads, from, first, n_rows, k)                                         \
  for (int r = 0; r < 4; ++r) {                                                           \
    const int row = (r * 128 + item) / 4, word = item % 4 * 4;                            \
    const int is_there = (first) + row < (n_rows) && (k) + word < words;                  \
    quads[r] = is_there ? LOAD4((from) + ((first) + row) * words + (k) + word) : ZERO4(); \
  }
#define STORE_QUADS(quads, to) \
  for (int r = 0; r < 4; ++r) to[(r * 128 + item) / 4 * SPAN_QUADS + item % 4] = quads[r]

KERNEL(32, 4) product_w8a8_matrix(INTEGER_PARAMETERS) {
  W8A8_USES;
  LOCAL int4 xs[SPAN * SPAN_QUADS], ws[SPAN * SPAN_QUADS];
  MATRIX_LOCAL(4);
  const int sub_group = ITEM(1), item = sub_group * 32 + ITEM(0);
  const i64 o0 = GROUP(0) * SPAN, i0 = GROUP(1) * SPAN, due = IS_DUE ? words : 0;
  const LOCAL_POINTER int* rows = (const LOCAL_POINTER int*)(xs + sub_group / 2 * 64 * SPAN_QUADS);
  const LOCAL_POINTER int* columns = (const LOCAL_POINTER int*)(ws + sub_group % 2 * 64 * SPAN_QUADS);
  int sums[4][8][4];
  for (int m = 0; m < 4; ++m)
    for (int n = 0; n < 8; ++n)
      for (int r = 0; r < 4; ++r) sums[m][n][r] = 0;
  int4 next_x[4], next_w[4];
  LOAD_QUADS(next_x, x_words, i0, slots, 0);
  LOAD_QUADS(next_w, w_words, o0, outputs, 0);
  for (i64 k0 = 0; k0 < due; k0 += 16) {
    STORE_QUADS(next_x, xs);
    STORE_QUADS(next_w, ws);
    BARRIER();
    LOAD_QUADS(next_x, x_words, i0, slots, k0 + 16);
    LOAD_QUADS(next_w, w_words, o0, outputs, k0 + 16);
    for (int step = 0; step < 2; ++step) {
      int a[4][4], b[8][2];
      LOAD_FRAGMENTS(a, b, rows + 8 * step, columns + 8 * step, 4 * SPAN_QUADS);
      MATRIX_STEP(sums, a, b);
    }
    BARRIER();
  }
  if (IS_DUE) {
    for (int m = 0; m < 4; ++m)
      for (int n = 0; n < 8; ++n)
        for (int r = 0; r < 4; ++r) {
          const i64 i = i0 + sub_group / 2 * 64 + ROW_OF_SUM(m, r), o = o0 + sub_group % 2 * 64 + OUTPUT_OF_SUM(n, r);
          if (i < slots && o < outputs) STORE_DOT(i, o, W8A8_DOT(sums[m][n][r], i, 0, o));
        }
  }
}
