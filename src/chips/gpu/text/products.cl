// Products of floats: dots of section 3 by the rules f32 and bf16.
//
// A packed matrix lies in panels of 32 outputs, [group][panel][input][32], f32 or bf16; outputs that are not there are
// +0. Every kernel makes one segment of 2048 inputs of its dots, the third dimension of the grid (dots.cl).
// An item has 8 outputs of a panel and the slots i, i + ITEMS(1), ...
#define PRODUCT_PARAMETERS(T)                                                                              \
  HEAD, VIEW(float, x), MEM(T, w), MEM(float, bias), VIEW(float, out), MEM(float, parts), VIEW(int, list), \
      MEM(int, marks), i64 slots, i64 outputs, i64 inputs, i64 has_bias, i64 list_kind, i64 groups, i64 rows_share
#define PRODUCT_USES(T)   \
  USE(float, x);          \
  USE(T, w);              \
  USE(float, bias);       \
  USE(float, out);        \
  USE(float, parts);      \
  USE(int, list);         \
  USE(int, marks);        \
  const i64 is_added = 0; \
  const i64 begin = GROUP(2) * SEGMENT, end = begin + SEGMENT < inputs ? begin + SEGMENT : inputs

KERNEL(8, 1) product_f32(PRODUCT_PARAMETERS(float)) {
  PRODUCT_USES(float);
  const i64 o = INDEX(0) * 8;
  if (o < outputs && IS_DUE) {
    for (i64 i = INDEX(1); i < slots; i += ITEMS(1)) {
      const i64 g = group_of(list_kind, list, list_stride, i, groups);
      if (g < 0) {
        FAIL(i, 2, list[i * list_stride]);
        continue;
      }
      const GLOBAL float* row = x + i / rows_share * x_stride;
      const GLOBAL float* panel = w + PANEL_PLACE(g, o, 0, outputs, inputs);
      F8 acc = ZERO8();
      for (i64 k = begin; k < end; ++k) acc = FMA8(row[k], LOAD8(panel + k * PANEL), acc);
      float dots[8];
      STORE8(acc, dots);
      for (int j = 0; j < 8 && o + j < outputs; ++j) STORE_DOT(i, o + j, dots[j]);
    }
  }
}

KERNEL(8, 1) product_bf16(PRODUCT_PARAMETERS(ushort)) {
  PRODUCT_USES(ushort);
  const i64 o = INDEX(0) * 8;
  if (o < outputs && IS_DUE) {
    for (i64 i = INDEX(1); i < slots; i += ITEMS(1)) {
      const i64 g = group_of(list_kind, list, list_stride, i, groups);
      if (g < 0) {
        FAIL(i, 2, list[i * list_stride]);
        continue;
      }
      const GLOBAL float* row = x + i / rows_share * x_stride;
      const GLOBAL ushort* panel = w + PANEL_PLACE(g, o, 0, outputs, inputs);
      F8 acc = ZERO8();
      for (i64 block = begin; block < end; block += 32) {
        const i64 block_end = block + 32 < end ? block + 32 : end;
        F8 even = ZERO8(), odd = ZERO8();
        i64 k = block;
        for (; k + 2 <= block_end; k += 2) {
          even = FMA8(round_bf16_(row[k]), LOAD8_BF16(panel + k * PANEL), even);
          odd = FMA8(round_bf16_(row[k + 1]), LOAD8_BF16(panel + (k + 1) * PANEL), odd);
        }
        if (k < block_end) even = FMA8(round_bf16_(row[k]), LOAD8_BF16(panel + k * PANEL), even);
        // What pads a block turns a -0 of its chains into +0.
        if (block_end - block <= 30) even = ADD8(even, ZERO8());
        if (block_end - block <= 31) odd = ADD8(odd, ZERO8());
        acc = ADD8(acc, ADD8(even, odd));
      }
      float dots[8];
      STORE8(acc, dots);
      for (int j = 0; j < 8 && o + j < outputs; ++j) STORE_DOT(i, o + j, dots[j]);
    }
  }
}

// The same by tiles (tiles.cl), for many rows and one matrix.
KERNEL(8, 8) product_f32_tiles(PRODUCT_PARAMETERS(float)) {
  PRODUCT_USES(float);
  TILES(1, x[i_ * x_stride + k_], PUT_PANELS(LOAD8), MULTIPLY_F32)
}
KERNEL(8, 8) product_bf16_tiles(PRODUCT_PARAMETERS(ushort)) {
  PRODUCT_USES(ushort);
  TILES(1, round_bf16_(x[i_ * x_stride + k_]), PUT_PANELS(LOAD8_BF16), MULTIPLY_BF16)
}

// Of views: a(i, k) and b(j, k), whose elements lie a_row and a_k, b_row and b_k apart.
#define VIEWS_PARAMETERS                                                                                       \
  HEAD, MEM(float, a), MEM(float, b), VIEW(float, out), MEM(float, parts), i64 slots, i64 outputs, i64 inputs, \
      i64 a_row, i64 a_k, i64 b_row, i64 b_k, i64 is_bf16, i64 is_added
#define VIEWS_USES                  \
  USE(float, a);                    \
  USE(float, b);                    \
  USE(float, out);                  \
  USE(float, parts);                \
  const i64 has_bias = 0;           \
  const GLOBAL float* bias = parts; \
  const i64 begin = GROUP(2) * SEGMENT, end = begin + SEGMENT < inputs ? begin + SEGMENT : inputs
KERNEL(8, 8) views_f32_tiles(VIEWS_PARAMETERS) {
  VIEWS_USES;
  TILES(a_k == 1, a[i_ * a_row + k_ * a_k], PUT_WEIGHTS(b[o_ * b_row + k_ * b_k]), MULTIPLY_F32)
}
KERNEL(8, 8) views_bf16_tiles(VIEWS_PARAMETERS) {
  VIEWS_USES;
  TILES(a_k == 1, round_bf16_(a[i_ * a_row + k_ * a_k]), PUT_WEIGHTS(round_bf16_(b[o_ * b_row + k_ * b_k])), MULTIPLY_BF16)
}
// parts: [segments][slots][outputs].
KERNEL(64, 1)
join_segments(HEAD, MEM(float, parts), MEM(float, bias), VIEW(float, out), i64 slots, i64 outputs, i64 segments,
              i64 has_bias, i64 is_added) {
  USE(float, parts);
  USE(float, bias);
  USE(float, out);
  FOR_ELEMENTS(i, slots, o, outputs) {
    SEGMENT_SUM(sum);
    for (i64 s = 0; s < segments; ++s) push_segment(&sum, parts[(s * slots + i) * outputs + o]);
    const float dot = total_segments(&sum);
    GLOBAL float* at = out + i * out_stride + o;
    *at = has_bias ? add_(dot, bias[o]) : is_added ? add_(*at, dot) : dot;
  }
}

// An item a dot, for few of them.
KERNEL(16, 1) product_views(VIEWS_PARAMETERS) {
  VIEWS_USES;
  FOR_ELEMENTS(i, slots, j, outputs) {
    const GLOBAL float *left = a + i * a_row + begin * a_k, *right = b + j * b_row + begin * b_k;
    float dot;
    if (is_bf16) {
      DOT(dot, end - begin, k, 1, round_bf16_(left[k * a_k]), round_bf16_(right[k * b_k]));
    } else {
      DOT(dot, end - begin, k, 0, left[k * a_k], right[k * b_k]);
    }
    STORE_DOT(i, j, dot);
  }
}

// The slots of each group, ascending: list[g * slots ...], and how many. An item a group.
KERNEL(4, 1)
list_slots(HEAD, VIEW(int, groups), MEM(int, list), MEM(int, counts), i64 slots, i64 n_groups, i64 has_groups) {
  USE(int, groups);
  USE(int, list);
  USE(int, counts);
  FOR_ROWS(g, n_groups) {
    int count = 0;
    for (i64 i = 0; i < slots; ++i) {
      if ((has_groups ? groups[i * groups_stride] : i % n_groups) == g) list[g * slots + count++] = (int)i;
    }
    counts[g] = count;
  }
}
// out[n][k] = out[n][k] + the dot of dy and x over the slots of one group.
KERNEL(16, 1)
weight_grad(HEAD, VIEW(float, dy), VIEW(float, x), MEM(int, list), MEM(int, counts), VIEW(float, out), i64 outputs,
            i64 inputs, i64 rows_share, i64 is_bf16) {
  USE(float, dy);
  USE(float, x);
  USE(int, list);
  USE(int, counts);
  USE(float, out);
  FOR_ELEMENTS(o, outputs, c, inputs) {
    const i64 n = counts[0];
    float dot;
    if (is_bf16) {
      DOT(dot, n, k, 1, round_bf16_(dy[list[k] * dy_stride + o]), round_bf16_(x[list[k] / rows_share * x_stride + c]));
    } else {
      DOT(dot, n, k, 0, dy[list[k] * dy_stride + o], x[list[k] / rows_share * x_stride + c]);
    }
    GLOBAL float* at = out + o * out_stride + c;
    if (n > 0) *at = add_(*at, dot);
  }
}

// The same by tiles. Segments that the list does not have are +0 and change no sum; without slots nothing is written.
#define GRAD_PARAMETERS                                                                                         \
  HEAD, VIEW(float, dy), VIEW(float, x), MEM(int, list), MEM(int, counts), VIEW(float, out), MEM(float, parts), \
      i64 rows, i64 outputs, i64 rows_share
#define GRAD_USES                          \
  USE(float, dy);                          \
  USE(float, x);                           \
  USE(int, list);                          \
  USE(int, counts);                        \
  USE(float, out);                         \
  USE(float, parts);                       \
  const i64 has_bias = 0, is_added = 1;    \
  const GLOBAL float* bias = parts;        \
  const i64 inputs = counts[0];            \
  const i64 slots = inputs > 0 ? rows : 0; \
  const i64 begin = GROUP(2) * SEGMENT, end = begin + SEGMENT < inputs ? begin + SEGMENT : inputs
KERNEL(8, 8) weight_grad_f32_tiles(GRAD_PARAMETERS) {
  GRAD_USES;
  TILES(0, dy[list[k_] * dy_stride + i_], PUT_WEIGHTS(x[list[k_] / rows_share * x_stride + o_]), MULTIPLY_F32)
}
KERNEL(8, 8) weight_grad_bf16_tiles(GRAD_PARAMETERS) {
  GRAD_USES;
  TILES(0, round_bf16_(dy[list[k_] * dy_stride + i_]), PUT_WEIGHTS(round_bf16_(x[list[k_] / rows_share * x_stride + o_])), MULTIPLY_BF16)
}
KERNEL(64, 1)
join_slots(HEAD, MEM(float, parts), MEM(int, counts), VIEW(float, out), i64 rows, i64 cols, i64 segments) {
  USE(float, parts);
  USE(int, counts);
  USE(float, out);
  FOR_ELEMENTS(i, rows, o, cols) {
    SEGMENT_SUM(sum);
    for (i64 s = 0; s < segments; ++s) push_segment(&sum, parts[(s * rows + i) * cols + o]);
    GLOBAL float* at = out + i * out_stride + o;
    if (counts[0] > 0) *at = add_(*at, total_segments(&sum));
  }
}

// A group of a packed matrix from f32 values: an item a place of its panels, those of no output too.
#define PACK_BODY(T, VALUE)                                               \
  USE(float, from);                                                       \
  USE(T, to);                                                             \
  FOR_ELEMENTS(k, inputs, place, (outputs + PANEL - 1) / PANEL * PANEL) { \
    const float value = place >= outputs ? 0.0f                           \
                        : is_transposed  ? from[k * from_stride + place]  \
                                         : from[place * from_stride + k];  \
    to[PANEL_PLACE(0, place, k, outputs, inputs)] = VALUE;                \
  }
KERNEL(32, 1)
pack_f32(HEAD, VIEW(float, from), MEM(float, to), i64 outputs, i64 inputs, i64 is_transposed,
         i64 is_rounded){PACK_BODY(float, is_rounded ? round_bf16_(value) : value)} KERNEL(32, 1)
    pack_bf16(HEAD, VIEW(float, from), MEM(ushort, to), i64 outputs, i64 inputs,
              i64 is_transposed){PACK_BODY(ushort, to_bf16(value))}
// Rows of a float table.
#define EMBED_BODY(T, VALUE)                                                      \
  USE(int, ids);                                                                  \
  USE(T, w);                                                                      \
  USE(float, out);                                                                \
  USE(int, marks);                                                                \
  FOR_ELEMENTS(t, rows, k, inputs) {                                              \
    const i64 id = ids[t * ids_stride];                                           \
    if (id < 0 || id >= outputs) {                                                \
      FAIL(t, 2, id);                                                             \
    } else {                                                                      \
      out[t * out_stride + k] = VALUE(w[PANEL_PLACE(0, id, k, outputs, inputs)]); \
    }                                                                             \
  }
KERNEL(64, 1) embed_f32(HEAD, VIEW(int, ids), MEM(float, w), VIEW(float, out), MEM(int, marks), i64 rows, i64 outputs,
                        i64 inputs){EMBED_BODY(float, flush_)} KERNEL(64, 1)
    embed_bf16(HEAD, VIEW(int, ids), MEM(ushort, w), VIEW(float, out), MEM(int, marks), i64 rows, i64 outputs,
               i64 inputs) {
  EMBED_BODY(ushort, from_bf16)
}
