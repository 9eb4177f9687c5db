// What the products of integers share: their parameters, how activations lie, and rows out of a table.
//
// Activations are rows of int8 that begin at multiples of 32 bytes, zeros behind their end. Two floats go with each
// block of a row, its scale and the sum of its integers; w8a8 has one such pair for a whole row, and no sum in it.
#define ROW_BYTES(inputs) (((inputs) + 31) / 32 * 32)

#define INTEGER_PARAMETERS                                                                                           \
  HEAD, MEM(i8, q), MEM(float, scales), MEM(uchar, w), MEM(float, bias), VIEW(float, out), MEM(float, parts),        \
      VIEW(int, list), MEM(int, marks), i64 slots, i64 outputs, i64 inputs, i64 has_bias, i64 list_kind, i64 groups, \
      i64 rows_share
#define INTEGER_USES                          \
  USE(i8, q);                                 \
  USE(float, scales);                         \
  USE(uchar, w);                              \
  USE(float, bias);                           \
  USE(float, out);                            \
  USE(float, parts);                          \
  USE(int, list);                             \
  USE(int, marks);                            \
  const GLOBAL int* x_words = (GLOBAL int*)q; \
  const i64 is_added = 0

// The same of w8a8, whose matrix is such rows too, with the scales of all outputs behind them.
#define W8A8_USES                                                                         \
  INTEGER_USES;                                                                           \
  const i64 row_bytes = ROW_BYTES(inputs), words = row_bytes / 4;                         \
  const GLOBAL float* w_scales = (const GLOBAL float*)(w + groups * outputs * row_bytes); \
  const GLOBAL int* w_words = (const GLOBAL int*)w
// Of slot i and output o of matrix g.
#define W8A8_DOT(sum, i, g, o) mul_(mul_((float)(sum), scales[2 * ((i) / rows_share)]), w_scales[(g)*outputs + (o)])

#define EMBED_PARAMETERS \
  HEAD, VIEW(int, ids), MEM(uchar, w), VIEW(float, out), MEM(int, marks), i64 rows, i64 outputs, i64 inputs
#define EMBED_INTEGERS(VALUE)            \
  USE(int, ids);                         \
  USE(uchar, w);                         \
  USE(float, out);                       \
  USE(int, marks);                       \
  FOR_ELEMENTS(t, rows, k, inputs) {     \
    const i64 id = ids[t * ids_stride];  \
    if (id < 0 || id >= outputs) {       \
      FAIL(t, 2, id);                    \
    } else {                             \
      out[t * out_stride + k] = (VALUE); \
    }                                    \
  }
