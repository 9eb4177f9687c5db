// Products of int8, whose int32 sums are exact in any order: dots of four in a word, and tiles by the matrix units of a
// device. HAS_DOTS and HAS_MATRIX: the form here is an instruction of the device and not a few lines of C. What a
// device makes of its instructions is measured (probe.cpp): NARU_SOFTWARE_DOTS and NARU_SOFTWARE_MATRIX leave nothing
// to them. With NARU_STANDIN_INT8 the lines of C pass for instructions: where kernels of other devices are tried
// (tests/cuda).

#if defined(NARU_SOFTWARE_DOTS)
#define HAS_DOTS 0
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 610
#define HAS_DOTS 1
#define DOT4(a, b, acc) __dp4a((int)(a), (int)(b), (int)(acc))
#elif defined(__opencl_c_integer_dot_product_input_4x8bit_packed) || defined(cl_khr_integer_dot_product)
#define HAS_DOTS 1
#define DOT4(a, b, acc) ((acc) + dot_4x8packed_ss_int((uint)(a), (uint)(b)))
#elif defined(NARU_STANDIN_INT8)
#define HAS_DOTS 1
#else
#define HAS_DOTS 0
#endif

// acc + the products of the four int8 of a with those of b.
#ifndef DOT4
DEVICE int DOT4(int a, int b, int acc) {
  int a0 = (i8)a, a1 = (i8)(a >> 8), a2 = (i8)(a >> 16), a3 = a >> 24;
#ifdef __CUDA_ARCH__
  asm("" : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3));  // NVRTC would make the very instruction of these lines
#endif
  return acc + a0 * (int)(i8)b + a1 * (int)(i8)(b >> 8) + a2 * (int)(i8)(b >> 16) + a3 * (b >> 24);
}
#endif
#define DOT16(a, b, acc) DOT4((a).w, (b).w, DOT4((a).z, (b).z, DOT4((a).y, (b).y, DOT4((a).x, (b).x, acc))))

// The matrix units take fragments: registers of the 32 items of a sub-group, in the places of PTX's mma.m16n8k32 for
// s8 (PTX ISA, "Matrix Fragments"). With g = lane / 4 and t = lane % 4, as words of four int8 along the inputs:
//
//   a[4]  16 rows x 32 inputs       a[r]: row g + 8 (r % 2), inputs 4 t + 16 (r / 2) ... + 3
//   b[2]  8 outputs x 32 inputs     b[r]: output g, inputs 4 t + 16 r ... + 3
//   c[4]  16 rows x 8 outputs       c[r]: row g + 8 (r / 2), output 2 t + r % 2
//
// A sub-group has 4 x 8 such tiles: a[4][4], b[8][2], c[4][8][4].
#define MATRIX_SPAN 64
#if defined(NARU_SOFTWARE_MATRIX)
#define HAS_MATRIX 0
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 750
#define HAS_MATRIX 1
#elif defined(NARU_STANDIN_INT8)
#define HAS_MATRIX 1
#else
#define HAS_MATRIX 0
#endif

#if HAS_MATRIX && defined(__CUDA_ARCH__)
DEVICE void multiply_fragments(int* c, const int* a, const int* b) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  // The same fragments as four tiles of 8 x 8 outputs and 16 inputs.
  for (int r = 0; r < 4; ++r) {
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+r"(c[r % 2 * 2]), "+r"(c[r % 2 * 2 + 1])
        : "r"(a[r]), "r"(b[r / 2]));
  }
#endif
}
#define MATRIX_LOCAL(sub_groups)
#define MATRIX_STEP(c, a, b)     \
  for (int n_ = 0; n_ < 8; ++n_) \
    for (int m_ = 0; m_ < 4; ++m_) multiply_fragments(c[m_][n_], a[m_], b[n_])
#else
// The items of a sub-group hand each other their registers through local memory. All items of the group must be here.
#define MATRIX_LOCAL(sub_groups) LOCAL int exchange_[(sub_groups)*32 * 32]
#define MATRIX_STEP(c, a, b)                                                                   \
  {                                                                                            \
    LOCAL_POINTER int* all_ = exchange_ + ITEM(1) * 32 * 32;                                   \
    const int lane_ = ITEM(0);                                                                 \
    for (int r_ = 0; r_ < 16; ++r_) all_[lane_ * 32 + r_] = a[r_ / 4][r_ % 4];                 \
    for (int r_ = 0; r_ < 16; ++r_) all_[lane_ * 32 + 16 + r_] = b[r_ / 2][r_ % 2];            \
    BARRIER();                                                                                 \
    ROLLED_NARROW for (int m_ = 0; m_ < 4; ++m_)                                               \
        ROLLED_NARROW for (int n_ = 0; n_ < 8; ++n_) for (int r_ = 0; r_ < 4; ++r_) {          \
      const int row_ = lane_ / 4 + r_ / 2 * 8, col_ = lane_ % 4 * 2 + r_ % 2;                  \
      int sum_ = c[m_][n_][r_];                                                                \
      for (int w_ = 0; w_ < 8; ++w_) {                                                         \
        const int left_ = all_[(row_ % 8 * 4 + w_ % 4) * 32 + m_ * 4 + row_ / 8 + w_ / 4 * 2]; \
        sum_ = DOT4(left_, all_[(col_ * 4 + w_ % 4) * 32 + 16 + n_ * 2 + w_ / 4], sum_);       \
      }                                                                                        \
      c[m_][n_][r_] = sum_;                                                                    \
    }                                                                                          \
    BARRIER();                                                                                 \
  }
#endif

// The fragments of a sub-group at an item, out of words [64 rows or outputs][stride]: 8 words of each are one step.
#define LOAD_FRAGMENTS(a, b, rows, outputs, stride)                                                            \
  {                                                                                                            \
    const int at_ = ITEM(0) / 4 * (stride) + ITEM(0) % 4;                                                      \
    for (int m_ = 0; m_ < 4; ++m_)                                                                             \
      for (int r_ = 0; r_ < 4; ++r_) a[m_][r_] = (rows)[at_ + (m_ * 16 + r_ % 2 * 8) * (stride) + r_ / 2 * 4]; \
    for (int n_ = 0; n_ < 8; ++n_)                                                                             \
      for (int r_ = 0; r_ < 2; ++r_) b[n_][r_] = (outputs)[at_ + n_ * 8 * (stride) + r_ * 4];                  \
  }
// Row and output, of 64 each, of sum r of the tile (m, n) at an item.
#define ROW_OF_SUM(m, r) ((m)*16 + ITEM(0) / 4 + (r) / 2 * 8)
#define OUTPUT_OF_SUM(n, r) ((n)*8 + ITEM(0) % 4 * 2 + (r) % 2)
