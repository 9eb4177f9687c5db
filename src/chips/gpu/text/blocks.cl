// Products of the kinds of GGUF (section 3; the blocks: docs/formats.md).
//
// A packed matrix lies in panels of 32 outputs, [group][panel][block] of 32 blocks each, so that 32 items with an
// output each read what lies together: first the scale that makes a block's bytes no multiple of four, [32] f16, then
// its other words, [words][32]. Outputs that are not there are zero.
#define HEADER_Q8_0 64
#define HEADER_Q4_0 64
#define HEADER_Q4_1 0
#define HEADER_Q5_0 64
#define HEADER_Q5_1 0
#define HEADER_Q4_K 0
#define HEADER_Q5_K 0
#define HEADER_Q6_K 64

DEVICE int word_of(const GLOBAL uchar* block, int header, int lane, int word) {
  return ((const GLOBAL int*)(block + header))[word * 32 + lane];
}
DEVICE float half_of(const GLOBAL uchar* block, int lane) {
  return from_f16(((const GLOBAL ushort*)block)[lane]);
}
DEVICE float low_half(int word) {
  return from_f16((ushort)(word & 0xffff));
}
DEVICE float high_half(int word) {
  return from_f16((ushort)((uint)word >> 16));
}
// Each of four bytes below 128 less an offset of at most 128, as int8.
DEVICE int less_each(int values, uint offset) {
  return (int)((((uint)values | 0x80808080u) - offset * 0x01010101u) ^ 0x80808080u);
}
// Four bits as bit 4 of four bytes.
DEVICE int fifth_bits(int bits) {
  return (bits & 1) << 4 | (bits & 2) << 11 | (bits & 4) << 18 | (bits & 8) << 25;
}
// Of sub-block b of eight, whose 12 bytes are three words: 6-bit scale and minimum.
DEVICE int byte_at(const int* words, int k) {
  return (words[k / 4] >> (8 * (k % 4))) & 255;
}
DEVICE int scale_6bit(const int* words, int b) {
  return b < 4 ? byte_at(words, b) & 63 : (byte_at(words, b + 4) & 15) | (byte_at(words, b - 4) >> 6) << 4;
}
DEVICE int minimum_6bit(const int* words, int b) {
  return b < 4 ? byte_at(words, b + 4) & 63 : (byte_at(words, b + 4) >> 4) | (byte_at(words, b) >> 6) << 4;
}

// The 32 integers of sub-block p of a block, offset included, as 8 words.
DEVICE void values_q8_0(const GLOBAL uchar* block, int lane, int p, int* v) {
  for (int j = 0; j < 8; ++j) v[j] = word_of(block, HEADER_Q8_0, lane, j);
}
DEVICE void nibbles(const GLOBAL uchar* block, int header, int lane, int first, int* v) {
  for (int j = 0; j < 4; ++j) {
    const int both = word_of(block, header, lane, first + j);
    v[j] = both & 0x0f0f0f0f;
    v[j + 4] = (both >> 4) & 0x0f0f0f0f;
  }
}
DEVICE void fives(const GLOBAL uchar* block, int header, int lane, int first, int* v) {
  const int high = word_of(block, header, lane, first);
  nibbles(block, header, lane, first + 1, v);
  for (int j = 0; j < 8; ++j) v[j] |= fifth_bits((high >> (4 * j)) & 15);
}
DEVICE void values_q4_0(const GLOBAL uchar* block, int lane, int p, int* v) {
  nibbles(block, HEADER_Q4_0, lane, 0, v);
  for (int j = 0; j < 8; ++j) v[j] = less_each(v[j], 8);
}
DEVICE void values_q4_1(const GLOBAL uchar* block, int lane, int p, int* v) {
  nibbles(block, HEADER_Q4_1, lane, 1, v);
}
DEVICE void values_q5_0(const GLOBAL uchar* block, int lane, int p, int* v) {
  fives(block, HEADER_Q5_0, lane, 0, v);
  for (int j = 0; j < 8; ++j) v[j] = less_each(v[j], 16);
}
DEVICE void values_q5_1(const GLOBAL uchar* block, int lane, int p, int* v) {
  fives(block, HEADER_Q5_1, lane, 1, v);
}
DEVICE void values_q4_k(const GLOBAL uchar* block, int lane, int p, int* v) {
  for (int j = 0; j < 8; ++j) v[j] = (word_of(block, HEADER_Q4_K, lane, 4 + p / 2 * 8 + j) >> (p % 2 * 4)) & 0x0f0f0f0f;
}
DEVICE void values_q5_k(const GLOBAL uchar* block, int lane, int p, int* v) {
  for (int j = 0; j < 8; ++j) {
    const int nibble = (word_of(block, HEADER_Q5_K, lane, 12 + p / 2 * 8 + j) >> (p % 2 * 4)) & 0x0f0f0f0f;
    v[j] = nibble | ((word_of(block, HEADER_Q5_K, lane, 4 + j) >> p) & 0x01010101) << 4;
  }
}
DEVICE void values_q6_k(const GLOBAL uchar* block, int lane, int p, int* v) {
  const int shift = p % 4 / 2 * 4, high_shift = p % 4 * 2;
  for (int j = 0; j < 8; ++j) {
    const int low = (word_of(block, HEADER_Q6_K, lane, p / 4 * 16 + p % 2 * 8 + j) >> shift) & 0x0f0f0f0f;
    const int high = (word_of(block, HEADER_Q6_K, lane, 32 + p / 4 * 8 + j) >> high_shift) & 0x03030303;
    v[j] = less_each(low | high << 4, 32);
  }
}
DEVICE int dot_words(const int* v, const GLOBAL int* x, int begin, int end) {
  int sum = 0;
  for (int j = begin; j < end; ++j) sum = DOT4(v[j], x[j], sum);
  return sum;
}

// A step of the chain: acc = fma(x, y, acc), of kinds with an offset then acc = fma(z, w, acc).
typedef struct {
  float x, y, z, w;
} Step;
// The steps of one unit with ROWS rows: a unit is 32 inputs, of Q4_K and Q5_K a super-block of 256. x: the words of the
// unit in the first row, s: its scale and sum there; rows lie x_stride and s_stride apart, and there are n of them:
// those behind give what the last one gives.
#define UNIT_PARAMETERS                                                                                               \
  const GLOBAL uchar *block, int lane, int p, const GLOBAL int *x, i64 x_stride, const GLOBAL float *s, i64 s_stride, \
      int n, Step *steps
#define EACH_ROW(ROWS, j, row) ROLLED_NARROW for (int j = 0, row = 0; j < ROWS; ++j, row = j < n ? j : n - 1)

#define UNIT_PLAIN(KIND, ROWS)                                    \
  DEVICE void unit_##KIND##_##ROWS(UNIT_PARAMETERS) {             \
    int v[8];                                                     \
    values_##KIND(block, lane, p, v);                             \
    const float d = half_of(block, lane);                         \
    EACH_ROW(ROWS, j, row) {                                      \
      steps[j].x = (float)dot_words(v, x + row * x_stride, 0, 8); \
      steps[j].y = mul_(d, s[row * s_stride]);                    \
    }                                                             \
  }
#define UNIT_OFFSET(KIND, ROWS)                                   \
  DEVICE void unit_##KIND##_##ROWS(UNIT_PARAMETERS) {             \
    int v[8];                                                     \
    values_##KIND(block, lane, p, v);                             \
    const int both = word_of(block, 0, lane, 0);                  \
    EACH_ROW(ROWS, j, row) {                                      \
      const float scale = s[row * s_stride];                      \
      steps[j].x = (float)dot_words(v, x + row * x_stride, 0, 8); \
      steps[j].y = mul_(low_half(both), scale);                   \
      steps[j].z = s[row * s_stride + 1];                         \
      steps[j].w = mul_(high_half(both), scale);                  \
    }                                                             \
  }
#define UNIT_SUPER(KIND, ROWS)                                                                      \
  DEVICE void unit_##KIND##_##ROWS(UNIT_PARAMETERS) {                                               \
    const int both = word_of(block, 0, lane, 0);                                                    \
    int six[3];                                                                                     \
    for (int j = 0; j < 3; ++j) six[j] = word_of(block, 0, lane, 1 + j);                            \
    for (int j = 0; j < ROWS; ++j) steps[j].y = 0.0f, steps[j].w = 0.0f;                            \
    ROLLED for (int b = 0; b < 8; ++b) {                                                            \
      int v[8];                                                                                     \
      values_##KIND(block, lane, b, v);                                                             \
      const int scale = scale_6bit(six, b), minimum = minimum_6bit(six, b);                         \
      EACH_ROW(ROWS, j, row) {                                                                      \
        const GLOBAL float* its = s + row * s_stride + 2 * b;                                       \
        const int dot = dot_words(v, x + row * x_stride + 8 * b, 0, 8);                             \
        steps[j].y = fma_((float)(dot * scale), its[0], steps[j].y);                                \
        steps[j].w = fma_((float)minimum, mul_(its[1], its[0]), steps[j].w);                        \
      }                                                                                             \
    }                                                                                               \
    for (int j = 0; j < ROWS; ++j) steps[j].x = low_half(both), steps[j].z = neg_(high_half(both)); \
  }
#define UNIT_Q6_K(KIND, ROWS)                                                                                         \
  DEVICE void unit_##KIND##_##ROWS(UNIT_PARAMETERS) {                                                                 \
    int v[8];                                                                                                         \
    values_##KIND(block, lane, p, v);                                                                                 \
    const float d = half_of(block, lane);                                                                             \
    const int both = word_of(block, HEADER_Q6_K, lane, 48 + p / 2) >> (p % 2 * 16);                                   \
    EACH_ROW(ROWS, j, row) {                                                                                          \
      const GLOBAL int* its = x + row * x_stride;                                                                     \
      steps[j].x = (float)((int)(i8)both * dot_words(v, its, 0, 4) + (int)(i8)(both >> 8) * dot_words(v, its, 4, 8)); \
      steps[j].y = mul_(d, s[row * s_stride]);                                                                        \
    }                                                                                                                 \
  }

#define CHAIN(acc, step, has_offset)                     \
  {                                                      \
    acc = fma_((step).x, (step).y, acc);                 \
    if (has_offset) acc = fma_((step).z, (step).w, acc); \
  }
// Of a segment: its first unit and how many it has; the block that unit u is in, and its steps.
#define BLOCKS_USES(UNIT)                                                                           \
  INTEGER_USES;                                                                                     \
  const i64 all_units = inputs / UNIT, first_unit = GROUP(2) * (SEGMENT / UNIT);                    \
  const int lane = ITEM(0);                                                                         \
  const i64 o = GROUP(0) * 32 + lane, panels = (outputs + 31) / 32, scale_stride = inputs / 32 * 2; \
  const int units = (int)(all_units - first_unit < SEGMENT / UNIT ? all_units - first_unit : SEGMENT / UNIT)
#define RUN_UNIT(KIND, ROWS, UNIT, ELEMENTS, BYTES, panel, i, u, n, steps)                                   \
  unit_##KIND##_##ROWS(panel + (u) / (ELEMENTS / UNIT) * (32 * BYTES), lane, (int)((u) % (ELEMENTS / UNIT)), \
                       x_words + (i) / rows_share * (inputs / 4) + (u) * (UNIT / 4), inputs / 4,             \
                       scales + (i) / rows_share * scale_stride + (u) * (UNIT / 32) * 2, scale_stride, n, steps)

// A panel and a slot a group: eight units at a time become steps, two at each item, and then the chain.
#define PRODUCT_SLOT(KIND, UNIT, ELEMENTS, BYTES, HAS_OFFSET)                                                    \
  KERNEL(32, 4) product_##KIND(INTEGER_PARAMETERS) {                                                             \
    BLOCKS_USES(UNIT);                                                                                           \
    LOCAL float xs[8 * 32], ys[8 * 32], zs[HAS_OFFSET ? 8 * 32 : 1], ws[HAS_OFFSET ? 8 * 32 : 1];                \
    const i64 due = IS_DUE ? slots : 0;                                                                          \
    for (i64 i = GROUP(1); i < due; i += GROUPS(1)) {                                                            \
      const i64 g = group_of(list_kind, list, list_stride, i, groups);                                           \
      if (g < 0 && lane == 0) FAIL(i, 2, list[i * list_stride]);                                                 \
      const GLOBAL uchar* panel = w + (g * panels + GROUP(0)) * (inputs / ELEMENTS) * (32 * BYTES);              \
      const int end = g < 0 ? 0 : units;                                                                         \
      float acc = 0.0f;                                                                                          \
      for (int u0 = 0; u0 < end; u0 += 8) {                                                                      \
        for (int j = ITEM(1) * 2; j < ITEM(1) * 2 + 2; ++j) {                                                    \
          if (u0 + j >= end) continue;                                                                           \
          Step step;                                                                                             \
          RUN_UNIT(KIND, 1, UNIT, ELEMENTS, BYTES, panel, i, first_unit + u0 + j, 1, &step);                     \
          xs[j * 32 + lane] = step.x, ys[j * 32 + lane] = step.y;                                                \
          if (HAS_OFFSET) zs[HAS_OFFSET * (j * 32 + lane)] = step.z, ws[HAS_OFFSET * (j * 32 + lane)] = step.w;  \
        }                                                                                                        \
        BARRIER();                                                                                               \
        if (ITEM(1) == 0) {                                                                                      \
          for (int j = 0; j < 8 && u0 + j < end; ++j) {                                                          \
            acc = fma_(xs[j * 32 + lane], ys[j * 32 + lane], acc);                                               \
            if (HAS_OFFSET) acc = fma_(zs[HAS_OFFSET * (j * 32 + lane)], ws[HAS_OFFSET * (j * 32 + lane)], acc); \
          }                                                                                                      \
        }                                                                                                        \
        BARRIER();                                                                                               \
      }                                                                                                          \
      if (ITEM(1) == 0 && o < outputs && g >= 0) STORE_DOT(i, o, acc);                                           \
    }                                                                                                            \
  }

// Several rows and one matrix: a panel and 32 of them a group, an output and eight of them an item.
#define PRODUCT_ROWS(KIND, UNIT, ELEMENTS, BYTES, HAS_OFFSET)                          \
  KERNEL(32, 4) product_##KIND##_rows(INTEGER_PARAMETERS) {                            \
    BLOCKS_USES(UNIT);                                                                 \
    const i64 i = (GROUP(1) * 4 + ITEM(1)) * 8;                                        \
    if (i < slots && IS_DUE) {                                                         \
      const int n = (int)(slots - i < 8 ? slots - i : 8);                              \
      const GLOBAL uchar* panel = w + GROUP(0) * (inputs / ELEMENTS) * (32 * BYTES);   \
      float acc[8];                                                                    \
      for (int j = 0; j < 8; ++j) acc[j] = 0.0f;                                       \
      ROLLED for (int u = 0; u < units; ++u) {                                         \
        Step steps[8];                                                                 \
        RUN_UNIT(KIND, 8, UNIT, ELEMENTS, BYTES, panel, i, first_unit + u, n, steps);  \
        ROLLED_NARROW for (int j = 0; j < 8; ++j) CHAIN(acc[j], steps[j], HAS_OFFSET); \
      }                                                                                \
      for (int j = 0; j < 8; ++j)                                                      \
        if (j < n && o < outputs) STORE_DOT(i + j, o, acc[j]);                         \
    }                                                                                  \
  }

#define PRODUCT_BLOCKS(KIND, FORM, UNIT, ELEMENTS, BYTES, HAS_OFFSET) \
  FORM(KIND, 1)                                                       \
  FORM(KIND, 8)                                                       \
  PRODUCT_SLOT(KIND, UNIT, ELEMENTS, BYTES, HAS_OFFSET)               \
  PRODUCT_ROWS(KIND, UNIT, ELEMENTS, BYTES, HAS_OFFSET)

// Element e of a block, rounded once: the products of an f16 with small integers are exact in f32, so a fused step, or
// one difference of exact products, rounds as the exact value does. Such values are multiples of 2^-24: none is
// subnormal.
#define VALUE(KIND) DEVICE float value_##KIND(const GLOBAL uchar* b, int lane, int e)
DEVICE int integer_at(const int* v, int e) {
  return (int)(i8)(v[e / 4] >> (e % 4 * 8));
}
#define INTEGER(KIND)                \
  int v[8];                          \
  values_##KIND(b, lane, e / 32, v); \
  const float integer = (float)integer_at(v, e % 32)
#define VALUE_PLAIN(KIND)              \
  VALUE(KIND) {                        \
    INTEGER(KIND);                     \
    return half_of(b, lane) * integer; \
  }
#define VALUE_OFFSET(KIND)                                \
  VALUE(KIND) {                                           \
    INTEGER(KIND);                                        \
    const int both = word_of(b, 0, lane, 0);              \
    return fma(low_half(both), integer, high_half(both)); \
  }
#define VALUE_SUPER(KIND)                                                           \
  VALUE(KIND) {                                                                     \
    INTEGER(KIND);                                                                  \
    const int both = word_of(b, 0, lane, 0);                                        \
    int six[3];                                                                     \
    for (int j = 0; j < 3; ++j) six[j] = word_of(b, 0, lane, 1 + j);                \
    const float scaled = low_half(both) * (float)scale_6bit(six, e / 32) * integer; \
    return scaled - high_half(both) * (float)minimum_6bit(six, e / 32);             \
  }
#define EMBED_BLOCKS(KIND, ELEMENTS, BYTES)                                                                 \
  KERNEL(64, 1) embed_##KIND(EMBED_PARAMETERS) {                                                            \
    EMBED_INTEGERS(flush_(value_##KIND(w + ((id / 32) * (inputs / ELEMENTS) + k / ELEMENTS) * (32 * BYTES), \
                                       (int)(id % 32), (int)(k % ELEMENTS))))                               \
  }

// A program has one kind: all of them take long to compile.
#if defined(BLOCKS_q8_0)
PRODUCT_BLOCKS(q8_0, UNIT_PLAIN, 32, 32, 34, 0)
VALUE_PLAIN(q8_0)
EMBED_BLOCKS(q8_0, 32, 34)
#elif defined(BLOCKS_q4_0)
PRODUCT_BLOCKS(q4_0, UNIT_PLAIN, 32, 32, 18, 0)
VALUE_PLAIN(q4_0)
EMBED_BLOCKS(q4_0, 32, 18)
#elif defined(BLOCKS_q4_1)
PRODUCT_BLOCKS(q4_1, UNIT_OFFSET, 32, 32, 20, 1)
VALUE_OFFSET(q4_1)
EMBED_BLOCKS(q4_1, 32, 20)
#elif defined(BLOCKS_q5_0)
PRODUCT_BLOCKS(q5_0, UNIT_PLAIN, 32, 32, 22, 0)
VALUE_PLAIN(q5_0)
EMBED_BLOCKS(q5_0, 32, 22)
#elif defined(BLOCKS_q5_1)
PRODUCT_BLOCKS(q5_1, UNIT_OFFSET, 32, 32, 24, 1)
VALUE_OFFSET(q5_1)
EMBED_BLOCKS(q5_1, 32, 24)
#elif defined(BLOCKS_q4_k)
PRODUCT_BLOCKS(q4_k, UNIT_SUPER, 256, 256, 144, 1)
VALUE_SUPER(q4_k)
EMBED_BLOCKS(q4_k, 256, 144)
#elif defined(BLOCKS_q5_k)
PRODUCT_BLOCKS(q5_k, UNIT_SUPER, 256, 256, 176, 1)
VALUE_SUPER(q5_k)
EMBED_BLOCKS(q5_k, 256, 176)
#elif defined(BLOCKS_q6_k)
PRODUCT_BLOCKS(q6_k, UNIT_Q6_K, 32, 256, 210, 0)
VALUE(q6_k) {
  INTEGER(q6_k);
  const int scales_word = word_of(b, HEADER_Q6_K, lane, 48 + e / 64);
  return half_of(b, lane) * (float)(int)(i8)(scales_word >> (e / 16 % 4 * 8)) * integer;
}
EMBED_BLOCKS(q6_k, 256, 210)
#endif
