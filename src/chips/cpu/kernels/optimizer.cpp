// What optimizers are made of: each op one pass over memory. Where rows lie close together they are one long row.
#include <cstring>

#include "chips/cpu/kernels/row_loops.h"

namespace naru::cpu::NARU_LEVEL {

template <>
Status run(const contract::Fill& op, Work& work, std::string_view* kernel) {
  *kernel = "elements";
  const float value = flush(op.value);
  const bool is_zero = __builtin_bit_cast(uint32_t, value) == 0;
  for_elements(work, op.out.rows, op.out.cols, is_contiguous(op.out), [&](int64_t row, int64_t begin, int64_t end) {
    float* out = f32(op.out, row) + begin;
    const int64_t n = end - begin;
    if (is_zero) {  // the library knows how to write without reading first
      std::memset(out, 0, static_cast<size_t>(n) * sizeof(float));
      return;
    }
    for_lanes(n, [&](int64_t i, int64_t) { store_at(out, i, n, splat(value)); });
  });
  return {};
}

template <>
Status run(const contract::Axpby& op, Work& work, std::string_view* kernel) {
  *kernel = "elements";
  const F16 a = splat(op.a), b = splat(op.b);
  const bool has_y = !op.y.empty();
  const bool is_flat = is_contiguous(op.x) && is_contiguous(op.out) && (!has_y || is_contiguous(op.y));
  for_elements(work, op.out.rows, op.out.cols, is_flat, [&](int64_t row, int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    const float* x = f32(op.x, row) + begin;
    float* out = f32(op.out, row) + begin;
    if (!has_y) {
      for_lanes(n, [&](int64_t i, int64_t) { store_at(out, i, n, mul(a, load_at(x, i, n))); });
      return;
    }
    const float* y = f32(op.y, row) + begin;
    for_lanes(n, [&](int64_t i, int64_t) { store_at(out, i, n, fma(a, load_at(x, i, n), mul(b, load_at(y, i, n)))); });
  });
  return {};
}

// Tasks are segments of rows; then the tree over the segments of each row, and the tree over rows.
template <>
Status run(const contract::SumOfSquares& op, Work& work, std::string_view* kernel) {
  *kernel = "segments";
  const int64_t rows = op.x.rows, n = op.x.cols, n_segments = (n + kRowSegment - 1) / kRowSegment;
  auto* sums = reinterpret_cast<float*>(work.shared.get(static_cast<size_t>(rows * n_segments) * sizeof(float)));
  const int64_t longest = n < kRowSegment ? n : kRowSegment;
  for_row_ranges(work, rows * n_segments, longest, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = i % n_segments * kRowSegment;
      const float* x = f32(op.x, i / n_segments) + begin;
      const int64_t size = n - begin < kRowSegment ? n - begin : kRowSegment;
      F16 lanes = zero();
      for_lanes(size, [&](int64_t k, int64_t) {
        const F16 v = load_at(x, k, size);
        lanes = fma(v, v, lanes);
      });
      sums[i] = sum_lanes(lanes);
    }
  });
  TreeSum tree;
  for (int64_t t = 0; t < rows; ++t) {
    TreeSum row;
    for (int64_t segment = 0; segment < n_segments; ++segment) row.push(sums[t * n_segments + segment]);
    tree.push(row.total());
  }
  *f32(op.out) = tree.total();
  return {};
}

template <>
Status run(const contract::AdamW& op, Work& work, std::string_view* kernel) {
  *kernel = "elements";
  const F16 grad_scale = splat(op.grad_scale), eps = splat(op.eps), decay = splat(op.decay);
  const F16 beta1 = splat(op.beta1), rest1 = splat(op.one_minus_beta1);
  const F16 beta2 = splat(op.beta2), rest2 = splat(op.one_minus_beta2);
  const F16 inverse_root = splat(op.inverse_root_bias2), step = splat(-op.step_size);
  const bool is_flat = is_contiguous(op.weight) && is_contiguous(op.grad) && is_contiguous(op.m) && is_contiguous(op.v);
  for_elements(work, op.weight.rows, op.weight.cols, is_flat, [&](int64_t row, int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    float* weight = f32(op.weight, row) + begin;
    const float* grad = f32(op.grad, row) + begin;
    float* first = f32(op.m, row) + begin;
    float* second = f32(op.v, row) + begin;
    for_lanes(n, [&](int64_t i, int64_t) {
      const F16 g = mul(load_at(grad, i, n), grad_scale);
      const F16 m = fma(beta1, load_at(first, i, n), mul(rest1, g));
      const F16 v = fma(beta2, load_at(second, i, n), mul(rest2, mul(g, g)));
      const F16 u = div(m, fma(sqrt(v), inverse_root, eps));
      store_at(first, i, n, m);
      store_at(second, i, n, v);
      store_at(weight, i, n, fma(step, u, mul(load_at(weight, i, n), decay)));
    });
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
