// The scalar operations of docs/arithmetic.md section 1. Where the device flushes as that section says, they are the
// device's own; with NARU_SOFTWARE_FLUSH subnormal values are made zero here, and results around 2^-126 decided by the
// same operation on scaled operands. With NARU_SOFTWARE_DIVIDE quotients and roots are made of integers.
#define QUIET_NAN AS_FLOAT(0x7fc00000)
#define INFINITE AS_FLOAT(0x7f800000)
#define IS_NAN(x) ((AS_INT(x) & 0x7fffffff) > 0x7f800000)
#define IS_FINITE(x) ((AS_INT(x) & 0x7f800000) != 0x7f800000)

DEVICE float flush_(float x) {
  const int bits = AS_INT(x);
  return (bits & 0x7f800000) == 0 ? AS_FLOAT(bits & (int)0x80000000u) : x;
}
DEVICE float abs_(float x) {
  return AS_FLOAT(AS_INT(x) & 0x7fffffff);
}
DEVICE float neg_(float x) {
  return AS_FLOAT(AS_INT(x) ^ (int)0x80000000u);
}
DEVICE float with_sign_(float x, float of) {
  return AS_FLOAT((AS_INT(x) & 0x7fffffff) | (AS_INT(of) & (int)0x80000000u));
}

#ifdef NARU_SOFTWARE_FLUSH
#define MIN_NORMAL_BITS 0x00800000
#define IS_SMALL(r) ((AS_INT(r) & 0x7fffffff) <= MIN_NORMAL_BITS)
// The result times 2^64, whose rounding to 24 bits is free of the exponent's end, as a result.
DEVICE float from_scaled(float scaled, float sign) {
  return abs_(scaled) < 0x1p-62f ? with_sign_(0.0f, sign) : scaled * 0x1p-64f;
}
DEVICE float add_(float a, float b) {
  return flush_(flush_(a) + flush_(b));
}
DEVICE float sub_(float a, float b) {
  return flush_(flush_(a) - flush_(b));
}
DEVICE float mul_(float a, float b) {
  a = flush_(a), b = flush_(b);
  const float r = a * b;
  if (!IS_SMALL(r) || a == 0.0f || b == 0.0f) return r;
  if (abs_(a) > abs_(b)) {
    const float swapped = a;
    a = b, b = swapped;
  }
  return from_scaled((a * 0x1p64f) * b, AS_FLOAT(AS_INT(a) ^ AS_INT(b)));
}
DEVICE float fma_(float a, float b, float c) {
  a = flush_(a), b = flush_(b), c = flush_(c);
  const float r = fma(a, b, c);
  if (!IS_SMALL(r)) return r;
  if (abs_(a) > abs_(b)) {
    const float swapped = a;
    a = b, b = swapped;
  }
  // Larger operands that leave nothing cancel exactly.
  if (!(abs_(a) < 0x1p-30f && abs_(c) < 0x1p-60f)) return flush_(r);
  const float scaled = fma(a * 0x1p64f, b, c * 0x1p64f);
  return scaled == 0.0f ? flush_(r) : from_scaled(scaled, scaled);
}
#else
DEVICE float add_(float a, float b) {
  return a + b;
}
DEVICE float sub_(float a, float b) {
  return a - b;
}
DEVICE float mul_(float a, float b) {
  return a * b;
}
DEVICE float fma_(float a, float b, float c) {
  return fma(a, b, c);
}
#endif

#ifdef NARU_SOFTWARE_DIVIDE
// m * 2^e, 2^25 <= m < 2^27 with its last bit set where something was cut, rounded to 24 bits.
DEVICE float round_parts(u64 m, int e, int sign) {
  const int shift = m >= ((u64)1 << 26) ? 3 : 2;
  u64 kept = m >> shift;
  const u64 cut = m & (((u64)1 << shift) - 1), middle = (u64)1 << (shift - 1);
  if (cut > middle || (cut == middle && (kept & 1) != 0)) kept += 1;
  int exponent = e + shift + 23 + 127;
  if (kept == (1 << 24)) kept >>= 1, exponent += 1;
  if (exponent <= 0) return AS_FLOAT(sign);
  if (exponent >= 255) return AS_FLOAT(sign | 0x7f800000);
  return AS_FLOAT(sign | (exponent << 23) | ((int)kept & 0x007fffff));
}
DEVICE float div_(float a, float b) {
  a = flush_(a), b = flush_(b);
  const int sign = (AS_INT(a) ^ AS_INT(b)) & (int)0x80000000u;
  if (IS_NAN(a) || IS_NAN(b)) return QUIET_NAN;
  if (!IS_FINITE(a)) return IS_FINITE(b) ? AS_FLOAT(sign | 0x7f800000) : QUIET_NAN;
  if (!IS_FINITE(b)) return AS_FLOAT(sign);
  if (b == 0.0f) return a == 0.0f ? QUIET_NAN : AS_FLOAT(sign | 0x7f800000);
  if (a == 0.0f) return AS_FLOAT(sign);
  const u64 ma = (AS_INT(a) & 0x007fffff) | 0x00800000, mb = (AS_INT(b) & 0x007fffff) | 0x00800000;
  const int ea = (AS_INT(a) >> 23) & 255, eb = (AS_INT(b) >> 23) & 255;
  const u64 q = (ma << 26) / mb;
  return round_parts(q | ((ma << 26) % mb != 0 ? 1 : 0), ea - eb - 26, sign);
}
DEVICE float sqrt_(float x) {
  x = flush_(x);
  if (x == 0.0f || IS_NAN(x)) return x;
  if (AS_INT(x) < 0) return QUIET_NAN;
  if (!IS_FINITE(x)) return x;
  int e = ((AS_INT(x) >> 23) & 255) - 150;
  u64 m = ((u64)((AS_INT(x) & 0x007fffff) | 0x00800000)) << 27;
  e -= 27;
  if ((e & 1) != 0) m <<= 1, e -= 1;
  u64 root = 0;
  for (u64 bit = (u64)1 << 26; bit != 0; bit >>= 1) {
    if ((root | bit) * (root | bit) <= m) root |= bit;
  }
  return round_parts(root | (root * root != m ? 1 : 0), e / 2, 0);
}
#elif defined(NARU_SOFTWARE_FLUSH)
DEVICE float div_(float a, float b) {
  a = flush_(a), b = flush_(b);
  const float r = a / b;
  if (!IS_SMALL(r) || a == 0.0f || !IS_FINITE(b)) return r;
  return from_scaled((a * 0x1p64f) / b, AS_FLOAT(AS_INT(a) ^ AS_INT(b)));
}
DEVICE float sqrt_(float x) {
  return sqrt(flush_(x));
}
#else
DEVICE float div_(float a, float b) {
  return a / b;
}
DEVICE float sqrt_(float x) {
  return sqrt(x);
}
#endif

DEVICE float rint_(float x) {
  x = flush_(x);
  if (!(abs_(x) < 0x1p23f)) return x;
  const float magic = with_sign_(0x1p23f, x);
  return with_sign_((x + magic) - magic, x);
}
DEVICE float max_(float a, float b) {
  a = flush_(a), b = flush_(b);
  if (IS_NAN(a)) return a;
  if (IS_NAN(b)) return b;
  return a < b ? b : a;
}

DEVICE float exp_(float x) {
  if (IS_NAN(x)) return x;
  x = flush_(x);
  if (x > 0x1.62e42ep+6f) return INFINITE;
  if (x < -88.0f) return 0.0f;
  const float n = rint_(mul_(x, 0x1.715476p+0f));
  float r = fma_(n, -0x1.62e4p-1f, x);
  r = fma_(n, -0x1.7f7d1cp-20f, r);
  float p = 1.98756915e-4f;
  p = fma_(p, r, 1.3981999507e-3f);
  p = fma_(p, r, 8.3334519073e-3f);
  p = fma_(p, r, 4.1665795894e-2f);
  p = fma_(p, r, 1.6666665459e-1f);
  p = fma_(p, r, 5.0000001201e-1f);
  p = fma_(p, r, 1.0f);
  p = fma_(p, r, 1.0f);
  const int bits = AS_INT(p);
  const int exponent = (bits >> 23) + (int)n;
  if (exponent <= 0) return 0.0f;
  if (exponent >= 255) return INFINITE;
  return AS_FLOAT((bits & 0x007fffff) | (exponent << 23));
}

DEVICE float log_(float x) {
  x = flush_(x);
  if (x == 0.0f) return neg_(INFINITE);
  if (IS_NAN(x) || x < 0.0f) return QUIET_NAN;
  const int bits = AS_INT(x);
  if (bits == 0x7f800000) return x;
  int e = (bits >> 23) - 127;
  float m = AS_FLOAT((bits & 0x007fffff) | 0x3f800000);
  if (m >= 0x1.6a09e6p+0f) {
    m *= 0.5f;
    e += 1;
  }
  const float f = sub_(m, 1.0f);
  const float z = mul_(f, f);
  float p = 7.0376836292e-2f;
  p = fma_(p, f, -1.151461031e-1f);
  p = fma_(p, f, 1.1676998740e-1f);
  p = fma_(p, f, -1.2420140846e-1f);
  p = fma_(p, f, 1.4249322787e-1f);
  p = fma_(p, f, -1.6668057665e-1f);
  p = fma_(p, f, 2.0000714765e-1f);
  p = fma_(p, f, -2.4999993993e-1f);
  p = fma_(p, f, 3.3333331174e-1f);
  float y = mul_(mul_(f, z), p);
  y = fma_((float)e, -2.1219444e-4f, y);
  y = fma_(-0.5f, z, y);
  return fma_((float)e, 0.693359375f, add_(f, y));
}

DEVICE float silu_(float x) {
  return div_(flush_(x), add_(1.0f, exp_(neg_(flush_(x)))));
}
DEVICE float sigmoid_(float x) {
  return div_(1.0f, add_(1.0f, exp_(neg_(flush_(x)))));
}

DEVICE ushort to_bf16(float value) {
  const uint bits = (uint)AS_INT(value);
  const uint magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7fc0;
  if (magnitude < 0x00800000u) return (ushort)((bits >> 16) & 0x8000u);
  return (ushort)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
DEVICE float from_bf16(ushort bits) {
  return AS_FLOAT((int)((uint)bits << 16));
}
DEVICE float round_bf16_(float value) {
  return from_bf16(to_bf16(value));
}

// Exact; subnormal ones become normal f32.
DEVICE float from_f16(ushort half_bits) {
  const uint sign = (uint)(half_bits & 0x8000u) << 16;
  const uint exponent = (half_bits >> 10) & 0x1fu;
  uint mantissa = half_bits & 0x3ffu;
  if (exponent == 31) return AS_FLOAT((int)(sign | 0x7f800000u | (mantissa << 13)));
  if (exponent != 0) return AS_FLOAT((int)(sign | ((exponent + 112) << 23) | (mantissa << 13)));
  if (mantissa == 0) return AS_FLOAT((int)sign);
  uint place = 113;
  while ((mantissa & 0x400u) == 0) mantissa <<= 1, place -= 1;
  return AS_FLOAT((int)(sign | (place << 23) | ((mantissa & 0x3ffu) << 13)));
}

#ifdef NARU_F8_IS_STRUCT
#define FILL8(r, value) \
  F8 r;                 \
  for (int j_ = 0; j_ < 8; ++j_) r.v[j_] = (value)
#ifdef __OPENCL_VERSION__
DEVICE void STORE8_LOCAL(F8 a, LOCAL_POINTER float* p) {
  for (int j_ = 0; j_ < 8; ++j_) p[j_] = a.v[j_];
}
DEVICE F8 LOAD8(const GLOBAL float* p) {
  FILL8(r, p[j_]);
  return r;
}
DEVICE F8 LOAD8_BF16(const GLOBAL ushort* p) {
  FILL8(r, from_bf16(p[j_]));
  return r;
}
DEVICE F8 LOAD8_LOCAL(const LOCAL_POINTER float* p) {
  FILL8(r, p[j_]);
  return r;
}
#else
// All of them begin at multiples of their own bytes, or of 16.
DEVICE F8 LOAD8(const float* p) {
  const float4 a = ((const float4*)p)[0], b = ((const float4*)p)[1];
  const F8 r = {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
  return r;
}
DEVICE void STORE8_LOCAL(F8 a, float* p) {
  ((float4*)p)[0] = make_float4(a.v[0], a.v[1], a.v[2], a.v[3]);
  ((float4*)p)[1] = make_float4(a.v[4], a.v[5], a.v[6], a.v[7]);
}
DEVICE F8 LOAD8_LOCAL(const float* p) {
  return LOAD8(p);
}
DEVICE F8 LOAD8_BF16(const ushort* p) {
  const int4 bits = *(const int4*)p;
  const int words[4] = {bits.x, bits.y, bits.z, bits.w};
  FILL8(r, AS_FLOAT(j_ % 2 == 0 ? words[j_ / 2] << 16 : words[j_ / 2] & (int)0xffff0000u));
  return r;
}
#endif
DEVICE void STORE8(F8 a, float* p) {
  for (int j_ = 0; j_ < 8; ++j_) p[j_] = a.v[j_];
}
DEVICE F8 ZERO8(void) {
  FILL8(r, 0.0f);
  return r;
}
DEVICE F8 ADD8(F8 a, F8 b) {
  FILL8(r, add_(a.v[j_], b.v[j_]));
  return r;
}
DEVICE F8 FMA8(float a, F8 b, F8 c) {
  FILL8(r, fma_(a, b.v[j_], c.v[j_]));
  return r;
}
#endif
