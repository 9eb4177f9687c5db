// Products of w8a8 (section 3): integer sums are exact in any order, so items share them as suits the device.

// Few rows: 32 items share the inputs of an output, so that a row of the matrix is read as it lies; four outputs and up
// to ROWS slots of one matrix a group.
#define PRODUCT_W8A8(NAME, ROWS)                                                  \
  KERNEL(32, 4) NAME(INTEGER_PARAMETERS) {                                        \
    W8A8_USES;                                                                    \
    LOCAL int parts_of[4 * ROWS * 33];                                            \
    const int lane = ITEM(0), first = ITEM(1) * ROWS;                             \
    const i64 o = GROUP(0) * 4 + ITEM(1), due = IS_DUE ? slots : 0;               \
    for (i64 i0 = GROUP(1) * ROWS; i0 < due; i0 += GROUPS(1) * ROWS) {            \
      const i64 g = group_of(list_kind, list, list_stride, i0, groups);           \
      if (g < 0 && lane == 0) FAIL(i0, 2, list[i0 * list_stride]);                \
      int sums[ROWS];                                                             \
      for (int j = 0; j < ROWS; ++j) sums[j] = 0;                                 \
      const i64 end = o < outputs && g >= 0 ? words : 0;                          \
      const GLOBAL int* row = w_words + (g * outputs + o) * words;                \
      for (i64 k = 4 * lane; k < end; k += 128) {                                 \
        const int4 b = LOAD4(row + k);                                            \
        for (int j = 0; j < ROWS; ++j) {                                          \
          const i64 i = i0 + j < slots ? i0 + j : slots - 1;                      \
          const int4 a = LOAD4(x_words + i / rows_share * words + k);             \
          sums[j] = DOT16(a, b, sums[j]);                                         \
        }                                                                         \
      }                                                                           \
      for (int j = 0; j < ROWS; ++j) parts_of[(first + j) * 33 + lane] = sums[j]; \
      BARRIER();                                                                  \
      if (lane < ROWS && i0 + lane < slots && o < outputs && g >= 0) {            \
        int sum = 0;                                                              \
        for (int l = 0; l < 32; ++l) sum += parts_of[(first + lane) * 33 + l];    \
        STORE_DOT(i0 + lane, o, W8A8_DOT(sum, i0 + lane, g, o));                  \
      }                                                                           \
      BARRIER();                                                                  \
    }                                                                             \
  }
PRODUCT_W8A8(product_w8a8, 1)
PRODUCT_W8A8(product_w8a8_few, 4)

// Many rows and one matrix, by dots: 64 x 64 outputs a group of 8 x 8 items, 32 inputs at a time in local memory.
#define W8A8_TILE 64
KERNEL(8, 8) product_w8a8_tiles(INTEGER_PARAMETERS) {
  W8A8_USES;
  LOCAL int xs[W8A8_TILE * 9], ws[8 * (W8A8_TILE + 1)];
  const int lx = ITEM(0), ly = ITEM(1), item = ly * 8 + lx;
  const i64 o0 = GROUP(0) * W8A8_TILE, i0 = GROUP(1) * W8A8_TILE;
  const i64 due = IS_DUE ? words : 0;
  int sums[8][8];
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < 8; ++j) sums[i][j] = 0;
  for (i64 k0 = 0; k0 < due; k0 += 8) {
    for (int r = 0; r < 8; ++r) {
      const int row = r * 8 + ly;
      xs[row * 9 + lx] = i0 + row < slots ? x_words[(i0 + row) * words + k0 + lx] : 0;
      ws[lx * (W8A8_TILE + 1) + row] = o0 + row < outputs ? w_words[(o0 + row) * words + k0 + lx] : 0;
    }
    BARRIER();
    ROLLED_NARROW for (int d = 0; d < 8; ++d) {
      int b[8];
      for (int j = 0; j < 8; ++j) b[j] = ws[d * (W8A8_TILE + 1) + j * 8 + lx];
      ROLLED_NARROW for (int i = 0; i < 8; ++i) {
        const int a = xs[(ly * 8 + i) * 9 + d];
        for (int j = 0; j < 8; ++j) sums[i][j] = DOT4(a, b[j], sums[i][j]);
      }
    }
    BARRIER();
  }
  if (IS_DUE) {
    for (int i = 0; i < 8 && i0 + ly * 8 + i < slots; ++i)
      for (int j = 0; j < 8; ++j) {
        const i64 o = o0 + j * 8 + lx;
        if (o < outputs) STORE_DOT(i0 + ly * 8 + i, o, W8A8_DOT(sums[i][j], i0 + ly * 8 + i, 0, o));
      }
  }
}

KERNEL(64, 1)
embed_w8a8(EMBED_PARAMETERS) {
  EMBED_INTEGERS(mul_((float)((const GLOBAL i8*)w)[id * ROW_BYTES(inputs) + k],
                      ((const GLOBAL float*)(w + outputs * ROW_BYTES(inputs)))[id]))
}
