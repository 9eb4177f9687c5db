// Products of floats: dots of section 3 by the rules f32 and bf16.
//
// A packed matrix lies in panels of 32 outputs, [group][panel][input][32], f32 or bf16; outputs that are not there are
// +0. Every kernel makes one segment of 2048 inputs of its dots, the third dimension of the grid (dots.cl).
// An item has 8 outputs of a panel and the slots i, i + ITEMS(1), ...
#define PRODUCT_PARAMETERS(T)                                                                                        \
  HEAD, VIEW(float, x), MEM(T, w), MEM(float, bias), VIEW(float, out), MEM(float, parts), VIEW(int, list),          \
      MEM(int, marks), i64 slots, i64 outputs, i64 inputs, i64 has_bias, i64 list_kind, i64 groups, i64 rows_share
#define PRODUCT_USES(T) \
  USE(float, x);        \
  USE(T, w);            \
  USE(float, bias);     \
  USE(float, out);      \
  USE(float, parts);    \
  USE(int, list);       \
  USE(int, marks);      \
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
      const GLOBAL float *row = x + i / rows_share * x_stride;
      const GLOBAL float *panel = w + PANEL_PLACE(g, o, 0, outputs, inputs);
      float acc[8];
      for (int j = 0; j < 8; ++j) acc[j] = 0.0f;
      for (i64 k = begin; k < end; ++k) {
        const float value = row[k];
        for (int j = 0; j < 8; ++j) acc[j] = fma_(value, panel[k * PANEL + j], acc[j]);
      }
      for (int j = 0; j < 8 && o + j < outputs; ++j) STORE_DOT(i, o + j, acc[j]);
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
      const GLOBAL float *row = x + i / rows_share * x_stride;
      const GLOBAL ushort *panel = w + PANEL_PLACE(g, o, 0, outputs, inputs);
      float acc[8];
      for (int j = 0; j < 8; ++j) acc[j] = 0.0f;
      for (i64 block = begin; block < end; block += 32) {
        const i64 block_end = block + 32 < end ? block + 32 : end;
        float even[8], odd[8];
        for (int j = 0; j < 8; ++j) even[j] = 0.0f, odd[j] = 0.0f;
        i64 k = block;
        for (; k + 2 <= block_end; k += 2) {
          const float first = round_bf16_(row[k]), second = round_bf16_(row[k + 1]);
          for (int j = 0; j < 8; ++j) even[j] = fma_(first, from_bf16(panel[k * PANEL + j]), even[j]);
          for (int j = 0; j < 8; ++j) odd[j] = fma_(second, from_bf16(panel[(k + 1) * PANEL + j]), odd[j]);
        }
        if (k < block_end) {
          const float first = round_bf16_(row[k]);
          for (int j = 0; j < 8; ++j) even[j] = fma_(first, from_bf16(panel[k * PANEL + j]), even[j]);
        }
        // What pads a block turns a -0 of its chains into +0.
        if (block_end - block <= 30) {
          for (int j = 0; j < 8; ++j) even[j] = add_(even[j], 0.0f);
        }
        if (block_end - block <= 31) {
          for (int j = 0; j < 8; ++j) odd[j] = add_(odd[j], 0.0f);
        }
        for (int j = 0; j < 8; ++j) acc[j] = add_(acc[j], add_(even[j], odd[j]));
      }
      for (int j = 0; j < 8 && o + j < outputs; ++j) STORE_DOT(i, o + j, acc[j]);
    }
  }
}

// The same by tiles, for many rows and one matrix: 64 x 64 outputs a group of 8 x 8 items, each of which keeps 8 x 8 sums;
// 32 inputs at a time lie in local memory. Tiles end where segments do.
#define TILE 64
#define DEPTH 32

KERNEL(8, 8) product_f32_tiles(PRODUCT_PARAMETERS(float)) {
  PRODUCT_USES(float);
  LOCAL float xs[DEPTH][TILE], ws[DEPTH][TILE];
  const int lx = ITEM(0), ly = ITEM(1), item = ly * 8 + lx;
  const i64 o0 = GROUP(0) * TILE, i0 = GROUP(1) * TILE;
  const i64 due_end = IS_DUE ? end : begin;
  float acc[8][8];
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) acc[i][j] = 0.0f;
  }
  for (i64 k0 = begin; k0 < due_end; k0 += DEPTH) {
    const int depth = k0 + DEPTH < due_end ? DEPTH : (int)(due_end - k0);
    // An item has a row of x and an output: its place in the tile.
    const GLOBAL float *row = x + (i0 + item < slots ? i0 + item : 0) * x_stride + k0;
    for (int k = 0; k < depth; ++k) xs[k][item] = row[k];
    const i64 o = o0 + item < outputs ? o0 + item : 0;
    const GLOBAL float *panel = w + PANEL_PLACE(0, o, k0, outputs, inputs);
    for (int k = 0; k < depth; ++k) ws[k][item] = panel[k * PANEL];
    BARRIER();
    for (int k = 0; k < depth; ++k) {
      float b[8];
      for (int j = 0; j < 8; ++j) b[j] = ws[k][lx * 8 + j];
      for (int i = 0; i < 8; ++i) {
        const float a = xs[k][ly * 8 + i];
        for (int j = 0; j < 8; ++j) acc[i][j] = fma_(a, b[j], acc[i][j]);
      }
    }
    BARRIER();
  }
  if (IS_DUE) {
    for (int i = 0; i < 8 && i0 + ly * 8 + i < slots; ++i) {
      for (int j = 0; j < 8 && o0 + lx * 8 + j < outputs; ++j) {
        STORE_DOT(i0 + ly * 8 + i, o0 + lx * 8 + j, acc[i][j]);
      }
    }
  }
}

// parts: [segments][slots][outputs].
KERNEL(64, 1) join_segments(HEAD, MEM(float, parts), MEM(float, bias), VIEW(float, out), i64 slots, i64 outputs, i64 segments,
                            i64 has_bias, i64 is_added) {
  USE(float, parts);
  USE(float, bias);
  USE(float, out);
  FOR_ELEMENTS(i, slots, o, outputs) {
    SEGMENT_SUM(sum);
    for (i64 s = 0; s < segments; ++s) push_segment(&sum, parts[(s * slots + i) * outputs + o]);
    const float dot = total_segments(&sum);
    GLOBAL float *at = out + i * out_stride + o;
    *at = has_bias ? add_(dot, bias[o]) : is_added ? add_(*at, dot) : dot;
  }
}

// out(i, j) = the dot over k of a(i, k) and b(j, k), whose elements lie a_row and a_k, b_row and b_k apart.
KERNEL(16, 1) product_views(HEAD, MEM(float, a), MEM(float, b), VIEW(float, out), i64 rows, i64 cols, i64 n, i64 a_row, i64 a_k,
                            i64 b_row, i64 b_k, i64 is_bf16, i64 is_added) {
  USE(float, a);
  USE(float, b);
  USE(float, out);
  FOR_ELEMENTS(i, rows, j, cols) {
    const GLOBAL float *left = a + i * a_row, *right = b + j * b_row;
    float dot;
    if (is_bf16) {
      DOT(dot, n, k, 1, round_bf16_(left[k * a_k]), round_bf16_(right[k * b_k]));
    } else {
      DOT(dot, n, k, 0, left[k * a_k], right[k * b_k]);
    }
    GLOBAL float *at = out + i * out_stride + j;
    *at = is_added ? add_(*at, dot) : dot;
  }
}

// The slots of each group, ascending: list[g * slots ...], and how many. An item a group.
KERNEL(4, 1) list_slots(HEAD, VIEW(int, groups), MEM(int, list), MEM(int, counts), i64 slots, i64 n_groups, i64 has_groups) {
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
KERNEL(16, 1) weight_grad(HEAD, VIEW(float, dy), VIEW(float, x), MEM(int, list), MEM(int, counts), VIEW(float, out), i64 outputs,
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
    GLOBAL float *at = out + o * out_stride + c;
    if (n > 0) *at = add_(*at, dot);
  }
}

// A group of a packed matrix from f32 values: an item a place of its panels, those of no output too.
#define PACK_BODY(T, VALUE)                                                                      \
  USE(float, from);                                                                              \
  USE(T, to);                                                                                    \
  FOR_ELEMENTS(k, inputs, place, (outputs + PANEL - 1) / PANEL * PANEL) {                        \
    const float value = place >= outputs ? 0.0f                                                  \
                        : is_transposed  ? from[k * from_stride + place]                         \
                                         : from[place * from_stride + k];                        \
    to[PANEL_PLACE(0, place, k, outputs, inputs)] = VALUE;                                       \
  }
KERNEL(32, 1) pack_f32(HEAD, VIEW(float, from), MEM(float, to), i64 outputs, i64 inputs, i64 is_transposed, i64 is_rounded) {
  PACK_BODY(float, is_rounded ? round_bf16_(value) : value)
}
KERNEL(32, 1) pack_bf16(HEAD, VIEW(float, from), MEM(ushort, to), i64 outputs, i64 inputs, i64 is_transposed) {
  PACK_BODY(ushort, to_bf16(value))
}

// Rows of a float table.
#define EMBED_BODY(T, VALUE)                                                  \
  USE(int, ids);                                                              \
  USE(T, w);                                                                  \
  USE(float, out);                                                            \
  USE(int, marks);                                                            \
  FOR_ELEMENTS(t, rows, k, inputs) {                                          \
    const i64 id = ids[t * ids_stride];                                       \
    if (id < 0 || id >= outputs) {                                            \
      FAIL(t, 2, id);                                                         \
    } else {                                                                  \
      out[t * out_stride + k] = VALUE(w[PANEL_PLACE(0, id, k, outputs, inputs)]); \
    }                                                                         \
  }
KERNEL(64, 1) embed_f32(HEAD, VIEW(int, ids), MEM(float, w), VIEW(float, out), MEM(int, marks), i64 rows, i64 outputs,
                        i64 inputs) {
  EMBED_BODY(float, flush_)
}
KERNEL(64, 1) embed_bf16(HEAD, VIEW(int, ids), MEM(ushort, w), VIEW(float, out), MEM(int, marks), i64 rows, i64 outputs,
                         i64 inputs) {
  EMBED_BODY(ushort, from_bf16)
}
