#include <cstdlib>

#include "chips/reference/ops.h"
#include "tensor/quant_blocks.h"

namespace naru::reference {
namespace {

using contract::kBlock;
using contract::kSegment;
using contract::Rule;
using contract::SegmentSum;

// Activations in blocks: q[k] in [-127, 127], one scale a block.
struct QuantisedRow {
  std::vector<int32_t> q;
  std::vector<float> scales;
};

// One block of n elements: s = amax / 127, q = rne(x * (127 / amax)); amax < 2^-64 gives zeros and scale 0, a
// non-finite amax zeros and scale NaN.
float quantise_block(const float* x, int64_t n, int32_t* q) {
  float amax = 0.0f;
  for (int64_t k = 0; k < n; ++k) amax = contract::max(amax, std::fabs(x[k]));
  for (int64_t k = 0; k < n; ++k) q[k] = 0;
  if (!std::isfinite(amax)) return std::bit_cast<float>(0x7fc00000u);
  if (amax < 0x1p-64f) return 0.0f;
  const float inverse = contract::div(127.0f, amax);
  for (int64_t k = 0; k < n; ++k) q[k] = static_cast<int32_t>(contract::rint(contract::mul(x[k], inverse)));
  return contract::div(amax, 127.0f);
}

QuantisedRow quantise_row(const float* x, int64_t n, int64_t block) {
  QuantisedRow row;
  row.q.resize(static_cast<size_t>(n));
  for (int64_t k = 0; k < n; k += block) {
    row.scales.push_back(quantise_block(x + k, std::min(block, n - k), row.q.data() + k));
  }
  if (n == 0) row.scales.push_back(0.0f);
  return row;
}

int32_t integer_dot(const int8_t* w, const int32_t* q, int64_t n) {
  int32_t sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += static_cast<int32_t>(w[k]) * q[k];
  return sum;
}

int32_t integer_sum(const int32_t* q, int64_t n) {
  int32_t sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += q[k];
  return sum;
}

// One stored block of the weight row against its activations: the chain step(s) of section 3.
float block_step(DType dtype, const QuantBlock& w, const int32_t* q, const float* scales, float acc) {
  using contract::fma;
  using contract::mul;
  using contract::to_f32;
  switch (dtype) {
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ5_0: return fma(to_f32(integer_dot(w.q, q, 32)), mul(w.d, scales[0]), acc);
    case DType::kQ4_1:
    case DType::kQ5_1:
      acc = fma(to_f32(integer_dot(w.q, q, 32)), mul(w.d, scales[0]), acc);
      return fma(to_f32(integer_sum(q, 32)), mul(w.m, scales[0]), acc);
    case DType::kQ4_K:
    case DType::kQ5_K: {
      float s = 0.0f, t = 0.0f;
      for (int b = 0; b < 8; ++b) {
        s = fma(to_f32(integer_dot(w.q + 32 * b, q + 32 * b, 32) * w.sc[b]), scales[b], s);
        t = fma(to_f32(w.mn[b]), mul(to_f32(integer_sum(q + 32 * b, 32)), scales[b]), t);
      }
      acc = fma(w.d, s, acc);
      return fma(-w.m, t, acc);
    }
    case DType::kQ6_K:
      for (int b = 0; b < 8; ++b) {
        const int32_t i0 = integer_dot(w.q + 32 * b, q + 32 * b, 16);
        const int32_t i1 = integer_dot(w.q + 32 * b + 16, q + 32 * b + 16, 16);
        acc = fma(to_f32(w.sc[2 * b] * i0 + w.sc[2 * b + 1] * i1), mul(w.d, scales[b]), acc);
      }
      return acc;
    default: NARU_CHECK(false, dtype_name(dtype));
  }
  return acc;
}

float dot_blocks(const Matrix& matrix, int64_t row, const QuantisedRow& x) {
  const DTypeInfo& info = dtype_info(matrix.stored);
  const std::byte* bytes = matrix.blocks.data() + row * *dtype_bytes(matrix.stored, matrix.inputs);
  SegmentSum sum;
  for (int64_t begin = 0; begin < matrix.inputs; begin += kSegment) {
    float acc = 0.0f;
    for (int64_t k = begin; k < std::min(begin + kSegment, matrix.inputs); k += info.block_elements) {
      QuantBlock block;
      read_quant_block(matrix.stored, bytes + k / info.block_elements * info.block_bytes, block);
      acc = block_step(matrix.stored, block, x.q.data() + k, x.scales.data() + k / kBlock, acc);
    }
    sum.push(acc);
  }
  return sum.total();
}

float dot_w8a8(const Matrix& matrix, int64_t row, const QuantisedRow& x) {
  const int8_t* w = matrix.integers.data() + row * matrix.inputs;
  const int32_t sum = integer_dot(w, x.q.data(), matrix.inputs);
  const float scaled = contract::mul(contract::to_f32(sum), x.scales[0]);
  return contract::add(contract::mul(scaled, matrix.scales[static_cast<size_t>(row)]), 0.0f);
}

// One row of activations against the outputs of one group.
void multiply_row(const Matrix& matrix, int64_t group, const float* x, float* out) {
  const int64_t n = matrix.inputs;
  const int64_t first = group * matrix.outputs;
  if (contract::has_integer_activations(matrix.rule)) {
    const bool is_block = contract::is_block_rule(matrix.rule);
    const QuantisedRow q = quantise_row(x, n, is_block ? kBlock : std::max<int64_t>(n, 1));
    for (int64_t o = 0; o < matrix.outputs; ++o) {
      out[o] = is_block ? dot_blocks(matrix, first + o, q) : dot_w8a8(matrix, first + o, q);
    }
    return;
  }
  std::vector<float> rounded(x, x + n);
  if (matrix.rule == Rule::kBF16) {
    for (float& value : rounded) value = round_to_bf16(value);
  }
  for (int64_t o = 0; o < matrix.outputs; ++o) {
    const float* w = matrix.values.data() + (first + o) * n;
    out[o] = matrix.rule == Rule::kBF16 ? dot_bf16(rounded.data(), w, n) : dot_f32(rounded.data(), w, n);
  }
}

}  // namespace

float dot_f32(const float* a, const float* b, int64_t n) {
  SegmentSum sum;
  for (int64_t begin = 0; begin < n; begin += kSegment) {
    float acc = 0.0f;
    for (int64_t k = begin; k < std::min(begin + kSegment, n); ++k) acc = contract::fma(a[k], b[k], acc);
    sum.push(acc);
  }
  return sum.total();
}

float dot_bf16(const float* a, const float* b, int64_t n) {
  SegmentSum sum;
  for (int64_t begin = 0; begin < n; begin += kSegment) {
    float acc = 0.0f;
    const int64_t end = std::min(begin + kSegment, n);
    for (int64_t block = begin; block < end; block += kBlock) {
      float even = 0.0f, odd = 0.0f;
      for (int64_t k = block; k < block + kBlock; k += 2) {
        even = contract::fma(k < end ? a[k] : 0.0f, k < end ? b[k] : 0.0f, even);
        odd = contract::fma(k + 1 < end ? a[k + 1] : 0.0f, k + 1 < end ? b[k + 1] : 0.0f, odd);
      }
      acc = contract::add(acc, contract::add(even, odd));
    }
    sum.push(acc);
  }
  return sum.total();
}

template <>
Status run(const contract::Matmul& op) {
  for (int i = 0; i < op.n_targets; ++i) {
    const contract::MatmulTarget& target = op.targets[i];
    for (int64_t t = 0; t < op.x.rows; ++t) {
      float* out = f32(target.out, t);
      multiply_row(static_cast<const Matrix&>(*target.weight), 0, f32(op.x, t), out);
      if (target.bias.empty()) continue;
      for (int64_t o = 0; o < target.out.cols; ++o) out[o] = contract::add(out[o], f32(target.bias)[o]);
    }
  }
  return {};
}

template <>
Status run(const contract::GroupedMatmul& op) {
  for (int target = 0; target < op.n_targets; ++target) {
    const auto& matrix = static_cast<const Matrix&>(*op.targets[target].weight);
    for (int64_t i = 0; i < op.x.rows * op.rows_share; ++i) {
      const int64_t group = op.groups.empty() ? i % matrix.groups : *i32(op.groups, i);
      NARU_CHECK(group >= 0 && group < matrix.groups, group, matrix.groups);
      multiply_row(matrix, group, f32(op.x, i / op.rows_share), f32(op.targets[target].out, i));
    }
  }
  return {};
}

}  // namespace naru::reference
