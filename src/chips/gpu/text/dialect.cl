// The dialect of all kernels: C that these macros make OpenCL C 1.2 of, or CUDA C++. Another vendor's language needs
// its own column here and nothing else (docs/chips.md).
//
// Memory comes as a base and an offset in bytes: MEM(T, x) among the parameters, USE(T, x) to have the pointer x. A
// matrix that lies by rows is VIEW(T, x): its pointer by USE too, and x_stride in elements.
//
// int4 is four ints, which LOAD4 reads at a multiple of 16 bytes.
//
// A loop behind ROLLED stays one: unrolled, its body would be most of a program, and of the time to compile it; behind
// ROLLED_NARROW it stays one on processors, which have no registers for what it works on.
//
// Every kernel has the status word of the chip and the number of its launch first (HEAD). An op that failed has left
// its number there, and what was queued behind it does nothing: IS_DUE.
#ifdef __OPENCL_VERSION__
#pragma OPENCL FP_CONTRACT OFF
#define KERNEL(x, y) __kernel __attribute__((reqd_work_group_size(x, y, 1))) void
#define DEVICE static
#define GLOBAL __global
#define LOCAL __local
#define LOCAL_ALIGNED __local __attribute__((aligned(64)))
#define LOCAL_POINTER __local
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define ITEM(d) ((int)get_local_id(d))
#define GROUP(d) ((i64)get_group_id(d))
#define GROUPS(d) ((i64)get_num_groups(d))
#define INDEX(d) ((i64)get_global_id(d))
#define ITEMS(d) ((i64)get_global_size(d))
#define AS_INT(x) as_int(x)
#define AS_FLOAT(x) as_float(x)
#define CLAIM(p, old, mine) atomic_cmpxchg(p, old, mine)
#define ROLLED
#if defined(NARU_NARROW) || defined(NARU_STANDIN_INT8)
#define ROLLED_NARROW _Pragma("unroll 1")
#else
#define ROLLED_NARROW
#endif
#define LOAD4(p) vload4(0, p)
#define ZERO4() ((int4)(0))
typedef long i64;
typedef ulong u64;
typedef char i8;
#else
#define KERNEL(x, y) extern "C" __global__ void __launch_bounds__((x) * (y))
#define DEVICE static __device__ __forceinline__
#define GLOBAL
#define LOCAL __shared__
#define LOCAL_ALIGNED __shared__ __align__(16)
#define LOCAL_POINTER
#define BARRIER() __syncthreads()
#define ITEM(d) ((int)((d) == 0 ? threadIdx.x : threadIdx.y))
#define GROUP(d) ((i64)((d) == 0 ? blockIdx.x : (d) == 1 ? blockIdx.y : blockIdx.z))
#define GROUPS(d) ((i64)((d) == 0 ? gridDim.x : (d) == 1 ? gridDim.y : gridDim.z))
#define INDEX(d) (GROUP(d) * (i64)((d) == 0 ? blockDim.x : (d) == 1 ? blockDim.y : 1) + ((d) == 2 ? 0 : ITEM(d)))
#define ITEMS(d) (GROUPS(d) * (i64)((d) == 0 ? blockDim.x : (d) == 1 ? blockDim.y : 1))
#define AS_INT(x) __float_as_int(x)
#define AS_FLOAT(x) __int_as_float(x)
#define CLAIM(p, old, mine) atomicCAS(p, old, mine)
#define ROLLED _Pragma("unroll 1")
#define ROLLED_NARROW
#define LOAD4(p) (*(const int4*)(p))
#define ZERO4() make_int4(0, 0, 0, 0)
typedef long long i64;
typedef unsigned long long u64;
typedef signed char i8;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
#endif

#define MEM(T, name) GLOBAL T *name##_base, i64 name##_offset
#define VIEW(T, name) MEM(T, name), i64 name##_stride
#define USE(T, name) GLOBAL T* name = (GLOBAL T*)((GLOBAL i8*)name##_base + name##_offset)
#define HEAD MEM(int, status), i64 number
#define IS_DUE (status_base[0] == 0 || status_base[0] == (int)number)

// The op failed at a row: `what` (not 0) and a value go to its marks, which the host reads.
#define FAIL(row, what, value)                     \
  {                                                \
    CLAIM(status_base, 0, (int)number);            \
    marks[2 * (row)] = (what);                     \
    marks[2 * (row) + 1] = AS_INT((float)(value)); \
  }

// Eight floats that are worked on together: a vector where the language has one, else a struct whose loops unroll.
#if defined(__OPENCL_VERSION__) && !defined(NARU_SOFTWARE_FLUSH)
typedef float8 F8;
#define LOAD8(p) vload8(0, p)
#define LOAD8_LOCAL(p) vload8(0, p)
#define LOAD8_BF16(p) as_float8(convert_uint8(vload8(0, p)) << 16)
#define STORE8_LOCAL(v, p) vstore8(v, 0, p)
#define STORE8(v, p) vstore8(v, 0, p)
#define ZERO8() ((float8)(0.0f))
#define ADD8(a, b) ((a) + (b))
#define FMA8(a, b, c) fma((float8)(a), b, c)
#else
typedef struct {
  float v[8];
} F8;
#define NARU_F8_IS_STRUCT
#endif

// As many floats as a register of a processor has, where that says so (NARU_VECTOR), else eight.
#if defined(NARU_VECTOR) && !defined(NARU_F8_IS_STRUCT)
#define VECTOR NARU_VECTOR
#else
#define VECTOR 8
#endif
#if VECTOR == 16
typedef float16 FV;
#define LOADV_LOCAL(p) vload16(0, p)
#define STOREV(v, p) vstore16(v, 0, p)
#define ZEROV() ((float16)(0.0f))
#define ADDV(a, b) ((a) + (b))
#define FMAV(a, b, c) fma((float16)(a), b, c)
#else
typedef F8 FV;
#define LOADV_LOCAL(p) LOAD8_LOCAL(p)
#define STOREV(v, p) STORE8(v, p)
#define ZEROV() ZERO8()
#define ADDV(a, b) ADD8(a, b)
#define FMAV(a, b, c) FMA8(a, b, c)
#endif

// Rows x columns, a column an item; there may be fewer rows of items than rows.
#define FOR_ELEMENTS(t, rows, k, cols) \
  const i64 k = INDEX(0);              \
  if (k < (cols) && IS_DUE)            \
    for (i64 t = INDEX(1); t < (rows); t += ITEMS(1))
#define FOR_ROWS(t, rows) \
  if (IS_DUE)             \
    for (i64 t = INDEX(0); t < (rows); t += ITEMS(0))
