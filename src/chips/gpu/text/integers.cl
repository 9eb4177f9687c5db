// Products of the integer kinds (section 3): w8a8, and the blocks of GGUF kinds as they are stored (docs/formats.md).
// Activations become int8 with scales first; integer sums are exact in any order.

// An item a block of `block` elements of a row; q in [-127, 127].
KERNEL(16, 1) quantise(HEAD, VIEW(float, x), MEM(i8, q), MEM(float, scales), i64 rows, i64 inputs, i64 block) {
  USE(float, x);
  USE(i8, q);
  USE(float, scales);
  const i64 blocks = inputs == 0 ? 1 : (inputs + block - 1) / block;
  FOR_ELEMENTS (t, rows, b, blocks) {
    const i64 begin = b * block, end = begin + block < inputs ? begin + block : inputs;
    const GLOBAL float* row = x + t * x_stride;
    float amax = 0.0f, scale = 0.0f, inverse = 0.0f;
    for (i64 k = begin; k < end; ++k) amax = max_(amax, abs_(row[k]));
    if (!IS_FINITE(amax)) {
      scale = QUIET_NAN;
    } else if (amax >= 0x1p-64f) {
      inverse = div_(127.0f, amax);
      scale = div_(amax, 127.0f);
    }
    const int is_zero = inverse == 0.0f;
    for (i64 k = begin; k < end; ++k) q[t * inputs + k] = is_zero ? 0 : (i8)(int)rint_(mul_(row[k], inverse));
    scales[t * blocks + b] = scale;
  }
}

#define INTEGER_PARAMETERS                                                                                           \
  HEAD, MEM(i8, q), MEM(float, scales), MEM(uchar, w), MEM(float, bias), VIEW(float, out), MEM(float, parts),        \
      VIEW(int, list), MEM(int, marks), i64 slots, i64 outputs, i64 inputs, i64 has_bias, i64 list_kind, i64 groups, \
      i64 rows_share
#define INTEGER_USES  \
  USE(i8, q);         \
  USE(float, scales); \
  USE(uchar, w);      \
  USE(float, bias);   \
  USE(float, out);    \
  USE(float, parts);  \
  USE(int, list);     \
  USE(int, marks);    \
  const i64 is_added = 0

// The scales of outputs lie behind the integers, at a multiple of four.
KERNEL(16, 1) product_w8a8(INTEGER_PARAMETERS) {
  INTEGER_USES;
  const i64 o = INDEX(0);
  if (o < outputs && IS_DUE) {
    const GLOBAL float* w_scales = (const GLOBAL float*)(w + (groups * outputs * inputs + 3) / 4 * 4);
    for (i64 i = INDEX(1); i < slots; i += ITEMS(1)) {
      const i64 g = group_of(list_kind, list, list_stride, i, groups);
      if (g < 0) {
        FAIL(i, 2, list[i * list_stride]);
        continue;
      }
      const GLOBAL i8 *a = q + i / rows_share * inputs, *b = (const GLOBAL i8*)w + (g * outputs + o) * inputs;
      int sum = 0;
      for (i64 k = 0; k < inputs; ++k) sum += (int)a[k] * (int)b[k];
      const float dot = mul_(mul_((float)sum, scales[i / rows_share]), w_scales[g * outputs + o]);
      STORE_DOT(i, o, dot);
    }
  }
}

DEVICE float f16_at(const GLOBAL uchar* bytes) {
  return from_f16((ushort)(bytes[0] | bytes[1] << 8));
}
DEVICE uint u32_at(const GLOBAL uchar* bytes) {
  return (uint)bytes[0] | (uint)bytes[1] << 8 | (uint)bytes[2] << 16 | (uint)bytes[3] << 24;
}
DEVICE int sum_of(const GLOBAL i8* q, int n) {
  int sum = 0;
  for (int j = 0; j < n; ++j) sum += q[j];
  return sum;
}
// Sixteen bytes of two nibbles less an offset.
DEVICE int dot_nibbles(const GLOBAL uchar* bytes, const GLOBAL i8* q, int offset) {
  int sum = 0;
  for (int j = 0; j < 16; ++j) {
    sum += ((int)(bytes[j] & 15) - offset) * q[j];
    sum += ((int)(bytes[j] >> 4) - offset) * q[j + 16];
  }
  return sum;
}
DEVICE int dot_fives(const GLOBAL uchar* bytes, uint high, const GLOBAL i8* q, int offset) {
  int sum = 0;
  for (int j = 0; j < 16; ++j) {
    sum += ((int)((bytes[j] & 15) | ((high >> j) & 1u) << 4) - offset) * q[j];
    sum += ((int)((bytes[j] >> 4) | ((high >> (j + 16)) & 1u) << 4) - offset) * q[j + 16];
  }
  return sum;
}
// Of sub-block b: 6-bit scale and minimum.
DEVICE int scale_6bit(const GLOBAL uchar* bytes, int b) {
  return b < 4 ? bytes[b] & 63 : (bytes[b + 4] & 15) | (bytes[b - 4] >> 6) << 4;
}
DEVICE int minimum_6bit(const GLOBAL uchar* bytes, int b) {
  return b < 4 ? bytes[b + 4] & 63 : (bytes[b + 4] >> 4) | (bytes[b] >> 6) << 4;
}
DEVICE int nibble_256(const GLOBAL uchar* bytes, int e) {
  const int both = bytes[e / 64 * 32 + e % 32];
  return e / 32 % 2 == 0 ? both & 15 : both >> 4;
}
DEVICE int q6_k_at(const GLOBAL uchar* bytes, int e) {
  const int h = e / 128, k = e / 32 % 4, l = e % 32;
  const int nibbles = bytes[64 * h + 32 * (k % 2) + l];
  const int low = k >= 2 ? nibbles >> 4 : nibbles & 15;
  const int high = (bytes[128 + 32 * h + l] >> (2 * k)) & 3;
  return (low | high << 4) - 32;
}

// The chain step of one block.
DEVICE float step_q8_0(const GLOBAL uchar* b, const GLOBAL i8* q, const GLOBAL float* s, float acc) {
  int sum = 0;
  const GLOBAL i8* values = (const GLOBAL i8*)(b + 2);
  for (int j = 0; j < 32; ++j) sum += (int)values[j] * (int)q[j];
  return fma_((float)sum, mul_(f16_at(b), s[0]), acc);
}
DEVICE float step_q4_0(const GLOBAL uchar* b, const GLOBAL i8* q, const GLOBAL float* s, float acc) {
  return fma_((float)dot_nibbles(b + 2, q, 8), mul_(f16_at(b), s[0]), acc);
}
DEVICE float step_q4_1(const GLOBAL uchar* b, const GLOBAL i8* q, const GLOBAL float* s, float acc) {
  acc = fma_((float)dot_nibbles(b + 4, q, 0), mul_(f16_at(b), s[0]), acc);
  return fma_((float)sum_of(q, 32), mul_(f16_at(b + 2), s[0]), acc);
}
DEVICE float step_q5_0(const GLOBAL uchar* b, const GLOBAL i8* q, const GLOBAL float* s, float acc) {
  return fma_((float)dot_fives(b + 6, u32_at(b + 2), q, 16), mul_(f16_at(b), s[0]), acc);
}
DEVICE float step_q5_1(const GLOBAL uchar* b, const GLOBAL i8* q, const GLOBAL float* s, float acc) {
  acc = fma_((float)dot_fives(b + 8, u32_at(b + 4), q, 0), mul_(f16_at(b), s[0]), acc);
  return fma_((float)sum_of(q, 32), mul_(f16_at(b + 2), s[0]), acc);
}
DEVICE float step_k(const GLOBAL uchar* b, const GLOBAL uchar* nibbles, const GLOBAL uchar* fifth, const GLOBAL i8* q,
                    const GLOBAL float* s, float acc) {
  float scaled = 0.0f, minimums = 0.0f;
  for (int p = 0; p < 8; ++p) {
    int sum = 0, plain = 0;
    for (int l = 0; l < 32; ++l) {
      const int both = nibbles[p / 2 * 32 + l];
      int value = p % 2 == 0 ? both & 15 : both >> 4;
      if (fifth != nibbles) value |= ((fifth[l] >> p) & 1) << 4;
      sum += value * q[32 * p + l];
      plain += q[32 * p + l];
    }
    scaled = fma_((float)(sum * scale_6bit(b + 4, p)), s[p], scaled);
    minimums = fma_((float)minimum_6bit(b + 4, p), mul_((float)plain, s[p]), minimums);
  }
  acc = fma_(f16_at(b), scaled, acc);
  return fma_(neg_(f16_at(b + 2)), minimums, acc);
}
DEVICE float step_q4_k(const GLOBAL uchar* b, const GLOBAL i8* q, const GLOBAL float* s, float acc) {
  return step_k(b, b + 16, b + 16, q, s, acc);
}
DEVICE float step_q5_k(const GLOBAL uchar* b, const GLOBAL i8* q, const GLOBAL float* s, float acc) {
  return step_k(b, b + 48, b + 16, q, s, acc);
}
DEVICE float step_q6_k(const GLOBAL uchar* b, const GLOBAL i8* q, const GLOBAL float* s, float acc) {
  const GLOBAL i8* sc = (const GLOBAL i8*)(b + 192);
  const float d = f16_at(b + 208);
  for (int p = 0; p < 8; ++p) {
    const int shift = p % 4 >= 2 ? 4 : 0, high_shift = 2 * (p % 4);
    const GLOBAL uchar *low = b + 64 * (p / 4) + 32 * (p % 2), *high = b + 128 + 32 * (p / 4);
    const GLOBAL i8 *a = q + 32 * p;
    int sums[2];
    for (int half_ = 0; half_ < 2; ++half_) {
      int sum = 0;
      for (int l = 16 * half_; l < 16 * half_ + 16; ++l) {
        const int value = ((low[l] >> shift) & 15) | ((high[l] >> high_shift) & 3) << 4;
        sum += (value - 32) * (int)a[l];
      }
      sums[half_] = sum;
    }
    acc = fma_((float)(sc[2 * p] * sums[0] + sc[2 * p + 1] * sums[1]), mul_(d, s[p]), acc);
  }
  return acc;
}

#define PRODUCT_BLOCKS(KIND, ELEMENTS, BYTES)                                                        \
  KERNEL(16, 1) product_##KIND(INTEGER_PARAMETERS) {                                                 \
    INTEGER_USES;                                                                                    \
    const i64 o = INDEX(0);                                                                          \
    const i64 begin = GROUP(2) * SEGMENT, end = begin + SEGMENT < inputs ? begin + SEGMENT : inputs; \
    if (o < outputs && IS_DUE) {                                                                     \
      for (i64 i = INDEX(1); i < slots; i += ITEMS(1)) {                                             \
        const i64 g = group_of(list_kind, list, list_stride, i, groups);                             \
        if (g < 0) {                                                                                 \
          FAIL(i, 2, list[i * list_stride]);                                                         \
          continue;                                                                                  \
        }                                                                                            \
        const GLOBAL uchar* row = w + (g * outputs + o) * (inputs / ELEMENTS * BYTES);               \
        const GLOBAL i8* a = q + i / rows_share * inputs;                                            \
        const GLOBAL float* s = scales + i / rows_share * (inputs == 0 ? 1 : inputs / 32);           \
        float acc = 0.0f;                                                                            \
        for (i64 k = begin; k < end; k += ELEMENTS)                                                  \
          acc = step_##KIND(row + k / ELEMENTS * BYTES, a + k, s + k / 32, acc);                     \
        STORE_DOT(i, o, acc);                                                                        \
      }                                                                                              \
    }                                                                                                \
  }
PRODUCT_BLOCKS(q8_0, 32, 34)
PRODUCT_BLOCKS(q4_0, 32, 18)
PRODUCT_BLOCKS(q4_1, 32, 20)
PRODUCT_BLOCKS(q5_0, 32, 22)
PRODUCT_BLOCKS(q5_1, 32, 24)
PRODUCT_BLOCKS(q4_k, 256, 144)
PRODUCT_BLOCKS(q5_k, 256, 176)
PRODUCT_BLOCKS(q6_k, 256, 210)

// Element e of a block, rounded once: the products of an f16 with small integers are exact in f32, so a fused step, or
// one difference of exact products, rounds as the exact value does. Such values are multiples of 2^-24: none is
// subnormal.
DEVICE float value_q8_0(const GLOBAL uchar* b, int e) {
  return f16_at(b) * (float)((const GLOBAL i8*)(b + 2))[e];
}
DEVICE int nibble_32(const GLOBAL uchar* bytes, int e) {
  return e < 16 ? bytes[e] & 15 : bytes[e - 16] >> 4;
}
DEVICE int five_32(const GLOBAL uchar* bytes, uint high, int e) {
  return nibble_32(bytes, e) | (int)((high >> e) & 1u) << 4;
}
DEVICE float value_q4_0(const GLOBAL uchar* b, int e) {
  return f16_at(b) * (float)(nibble_32(b + 2, e) - 8);
}
DEVICE float value_q4_1(const GLOBAL uchar* b, int e) {
  return fma(f16_at(b), (float)nibble_32(b + 4, e), f16_at(b + 2));
}
DEVICE float value_q5_0(const GLOBAL uchar* b, int e) {
  return f16_at(b) * (float)(five_32(b + 6, u32_at(b + 2), e) - 16);
}
DEVICE float value_q5_1(const GLOBAL uchar* b, int e) {
  return fma(f16_at(b), (float)five_32(b + 8, u32_at(b + 4), e), f16_at(b + 2));
}
DEVICE float value_k(const GLOBAL uchar* b, int e, int value) {
  const float scaled = f16_at(b) * (float)scale_6bit(b + 4, e / 32) * (float)value;
  return scaled - f16_at(b + 2) * (float)minimum_6bit(b + 4, e / 32);
}
DEVICE float value_q4_k(const GLOBAL uchar* b, int e) {
  return value_k(b, e, nibble_256(b + 16, e));
}
DEVICE float value_q5_k(const GLOBAL uchar* b, int e) {
  return value_k(b, e, nibble_256(b + 48, e) | ((b[16 + e % 32] >> (e / 32)) & 1) << 4);
}
DEVICE float value_q6_k(const GLOBAL uchar* b, int e) {
  return f16_at(b + 208) * (float)((const GLOBAL i8*)(b + 192))[e / 16] * (float)q6_k_at(b, e);
}

#define EMBED_PARAMETERS \
  HEAD, VIEW(int, ids), MEM(uchar, w), VIEW(float, out), MEM(int, marks), i64 rows, i64 outputs, i64 inputs
#define EMBED_INTEGERS(VALUE)            \
  USE(int, ids);                         \
  USE(uchar, w);                         \
  USE(float, out);                       \
  USE(int, marks);                       \
  FOR_ELEMENTS (t, rows, k, inputs) {    \
    const i64 id = ids[t * ids_stride];  \
    if (id < 0 || id >= outputs) {       \
      FAIL(t, 2, id);                    \
    } else {                             \
      out[t * out_stride + k] = (VALUE); \
    }                                    \
  }
KERNEL(64, 1)
embed_w8a8(EMBED_PARAMETERS){EMBED_INTEGERS(mul_((float)((const GLOBAL i8*)w)[id * inputs + k],
                                                 ((const GLOBAL float*)(w + (outputs * inputs + 3) / 4 * 4))[id]))}
#define EMBED_BLOCKS(KIND, ELEMENTS, BYTES)                                                                          \
  KERNEL(64, 1) embed_##KIND(EMBED_PARAMETERS) {                                                                     \
    EMBED_INTEGERS(flush_(value_##KIND(w + (id * (inputs / ELEMENTS) + k / ELEMENTS) * BYTES, (int)(k % ELEMENTS)))) \
  }
EMBED_BLOCKS(q8_0, 32, 34) EMBED_BLOCKS(q4_0, 32, 18) EMBED_BLOCKS(q4_1, 32, 20) EMBED_BLOCKS(q5_0, 32, 22)
    EMBED_BLOCKS(q5_1, 32, 24) EMBED_BLOCKS(q4_k, 256, 144) EMBED_BLOCKS(q5_k, 256, 176) EMBED_BLOCKS(q6_k, 256, 210)
