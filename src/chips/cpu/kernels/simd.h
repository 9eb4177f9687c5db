// The one vocabulary of these kernels: lane types and what is done with them, documented here and defined in one header
// a level. Each operation gives the bits of contract/scalar.h in every lane, so all levels give the same ones.
//   avx512, avx512vnni, amx   zmm registers    simd_avx512.h
//   avx2                      ymm registers    simd_avx2.h
//   baseline                  arrays           simd_portable.h
// simd_scalar.h has plain floats for the vector levels, simd_math.h what is made of these operations.
//
// Types: the element, then how many of them. A lane is 32 bits.
//   F32x16  I32x16  Boolx16   sixteen lanes, the step of all loops over rows: f32, int32, one truth a lane
//   F32xN   I32xN             N = kLanes lanes: one register, the unit of the products. 8 in avx2, 16 elsewhere
//   I16x2N  U8x4N   I8x4N     N lanes of two int16, four uint8 or four int8. At the vector levels one type with I32xN
//
// Rules of all operations, where a line does not say otherwise:
//   - f32: a subnormal operand is zero of its sign; one rounding to nearest even; a subnormal result becomes zero of
//     its sign; of a NaN comes a NaN, which one is open. The vector levels need flush-to-zero and denormals-are-zero in
//     MXCSR (the chip sets them on its threads); baseline does not.
//   - Integers wrap around.
//   - p is the address of the first element, of any alignment. n counts lanes, 0 to 16; other memory is not touched.
//
// Beware of compilers: x * 1 and x - 0 are folded to x, which loses the flush. flush() is always safe.
//
// Into lanes and out of them; no value changes, nothing is flushed.
//   zero(), zero<V>()         +0 in all lanes: F32x16; V: F32xN, I32xN
//   splat(x), splat_i32(i)    in all lanes: F32x16, I32x16
//   load(p), load_i32(p)      F32x16, I32x16
//   load_first(p, n)          F32x16, the other lanes +0
//   load<V>(p)                V: F32xN, I32xN, U8x4N
//   load_splat<V>(p)          the dword at p in all lanes; V: F32xN, I32xN, I8x4N
//   load_f16(p), load_bf16(p) N elements of two bytes, widened: F32xN
//   load_u8(p), load_i8(p)    N bytes, widened: I32xN
//   store(p, x)               F32x16, I32x16, F32xN
//   store_first(p, x, n)      F32x16
//   first_lane(x)             float, of F32x16
//   as_i32(x), as_f32(x)      the same bits: F32x16 and I32x16
//   upper_halves(i), lower_halves(i)  the bf16 in one half of each dword, widened: I32x16 to F32x16, I32xN to F32xN
//   interleave(a, b, x, y)    (a0 b0 a1 b1 ...): its first sixteen to x, the others to y; F32x16
//   deinterleave(x, y, a, b)  and back
//
// f32: F32x16, and F32xN where it says so.
//   add sub mul div(a, b), sqrt(x)    F32xN: add, mul
//   fma(a, b, c)              a * b + c with one rounding; F32xN too
//   fnma(a, b, c)             fma(-a, b, c); F32xN alone
//   fma_splat(p, b, c)        fma(load_splat(p), b, c); F32xN alone. In avx512 one instruction with its load
//   rint(x)                   the nearest integer, of two the even one
//   negate(x)                 the other sign, of zeros and NaN too; flushes nothing
//   flush(x)                  subnormals to zeros of their sign, all else as it is
//   max(a, b)                 contract::max: a NaN of a wins, then one of b; a where both are equal
//   larger(a, b)              of numbers; which of two equal or subnormal ones is open
//   sum_lanes(x)              float: to lane i is added i + 8, then i + 4, i + 2, i + 1; no + (+0) at the end
//   to_f32(i)                 nearest even; I32x16 to F32x16, I32xN to F32xN
//   to_i32(x)                 of integral values; INT32_MIN for NaN and what int32 does not hold
//
// int32: I32x16, and I32xN where it says so.
//   add sub(i, j), bit_and bit_or(i, j)    I32xN: add, at levels without NARU_BYTE_DOT
//   shift_left<K>(i), shift_right<K>(i) (the sign comes in), shift_right_logical<K>(i) (zeros do)
//   pair_bf16(lower, upper)   two F32x16 rounded as by round_bf16, as the halves of dwords. Which NaN is open
//
// Truths.
//   less(a, b)                F32x16 (subnormals are zeros; false for NaN), I32x16
//   equal(i, j)               I32x16
//   is_nan(x)                 F32x16
//   first_lanes(n)            true below lane n
//   both(s, t), either(s, t)
//   any(t), bits_of(t)        bool; uint32_t, bit i of lane i
//   select(t, x, y)           x where true, else y, bits as they are: F32x16, I32x16
//
// Bytes and pairs, for the dots of the products. a is int8, w uint8, four of each a lane; they are multiplied as such.
//   low_nibbles(w), high_nibbles(w)   of each byte
//   put_above<kFrom, kMask>(w, plane) w | (plane >> kFrom << 4 & kMask) of each byte: bits of a plane above a nibble
//   with NARU_BYTE_DOT (avx512vnni, amx, baseline):
//     dot_bytes(a, w, sum)            I32xN: sum + the four products
//     dot_bytes_splat(p, w, sum)      dot_bytes(load_splat(p), w, sum). With VNNI one instruction with its load
//   without:
//     multiply_pairs(w, a)            I16x2N: sums of two products, which int16 must hold
//     add_16(x, y)                    I16x2N
//     sum_pairs(x)                    I32xN: the two int16 of a lane added
//     split_sign(w)                   SplitSign: the magnitude and the sign of w - 128
//     take_sign(s, a)                 a, negated where s is negative; open where s is 0
//   with NARU_LANES_VNNI (avx512vnni, amx); these flush, and round as docs/arithmetic.md says of VDPBF16PS:
//     dot_bf16(a, w, sum)             F32xN: sum + the products of the upper halves, then + those of the lower ones,
//                                     each step an fma. (Attention has the intrinsic: attention_tile.h)
//     store_bf16_pairs(p, x)          8 dwords, upper and lower half of dword i the bf16 in lanes 2i and 2i + 1
#pragma once

#include <cstdint>

// Everything here is inlined, in debug builds too.
#define NARU_INLINE [[gnu::always_inline]] inline

#if defined(NARU_LEVEL_avx512) || defined(NARU_LEVEL_avx512vnni) || defined(NARU_LEVEL_amx)
#define NARU_LANES_512 1
#if !defined(NARU_LEVEL_avx512)
#define NARU_LANES_VNNI 1  // VPDPBUSD, VDPBF16PS
#define NARU_BYTE_DOT 1
#endif
#include "chips/cpu/kernels/simd_avx512.h"
#elif defined(NARU_LEVEL_avx2)
#define NARU_LANES_256 1
#include "chips/cpu/kernels/simd_avx2.h"
#else
#define NARU_BYTE_DOT 1
#include "chips/cpu/kernels/simd_portable.h"
#endif

#include "chips/cpu/kernels/simd_math.h"
