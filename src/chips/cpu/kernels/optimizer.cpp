// What optimizers are made of: each op one pass over memory. Where rows lie close together they are one long row.
#include <cstring>

#include "chips/cpu/kernels/row_loops.h"

namespace naru::cpu::NARU_LEVEL {

namespace {

constexpr int64_t kElementsPerPiece = 4096;  // of a tensor's rows, where tensors of all sizes share tasks

}  // namespace

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
  const F32x16 a = splat(op.a), b = splat(op.b);
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

// Tasks are segments of rows; then the tree over the segments of each row, and the tree over the rows of each tensor.
template <>
Status run(const contract::SumOfSquares& op, Work& work, std::string_view* kernel) {
  *kernel = "segments";
  const auto n_tensors = static_cast<int64_t>(op.x.size());
  const auto segments_of = [](const View& x) { return (x.cols + kRowSegment - 1) / kRowSegment; };
  int64_t n_sums = 0;
  for (const View& x : op.x) n_sums += x.rows * segments_of(x);
  // [tensors + 1] where a tensor's tasks start, [tensors] where its sums do, the sums.
  auto* starts = reinterpret_cast<int64_t*>(work.shared.get(static_cast<size_t>(2 * n_tensors + 1) * sizeof(int64_t) +
                                                            static_cast<size_t>(n_sums) * sizeof(float)));
  int64_t* sums_begin = starts + n_tensors + 1;
  auto* sums = reinterpret_cast<float*>(sums_begin + n_tensors);
  for (int64_t i = 0, next = 0; i < n_tensors; ++i) {
    sums_begin[i] = next;
    next += op.x[static_cast<size_t>(i)].rows * segments_of(op.x[static_cast<size_t>(i)]);
  }
  const auto pieces_of = [&](int64_t i) {
    const View& x = op.x[static_cast<size_t>(i)];
    return Pieces{x.rows * segments_of(x), x.cols < 16 ? 16 : x.cols < kRowSegment ? x.cols : kRowSegment};
  };
  for_list(work, n_tensors, starts, pieces_of, [&](int64_t tensor, int64_t first, int64_t last) {
    const View& x = op.x[static_cast<size_t>(tensor)];
    const int64_t n = x.cols, n_segments = segments_of(x);
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = i % n_segments * kRowSegment;
      const float* from = f32(x, i / n_segments) + begin;
      const int64_t size = n - begin < kRowSegment ? n - begin : kRowSegment;
      F32x16 lanes = zero();
      for_lanes(size, [&](int64_t k, int64_t) {
        const F32x16 v = load_at(from, k, size);
        lanes = fma(v, v, lanes);
      });
      sums[sums_begin[tensor] + i] = sum_lanes(lanes);
    }
  });
  for (int64_t tensor = 0; tensor < n_tensors; ++tensor) {
    const View& x = op.x[static_cast<size_t>(tensor)];
    const int64_t n_segments = segments_of(x);
    const float* of_row = sums + sums_begin[tensor];
    TreeSum tree;
    for (int64_t t = 0; t < x.rows; ++t, of_row += n_segments) {
      TreeSum row;
      for (int64_t segment = 0; segment < n_segments; ++segment) row.push(of_row[segment]);
      tree.push(row.total());
    }
    *f32(op.out, tensor) = tree.total();
  }
  return {};
}

namespace {

// The factors of a step.
struct AdamWFactors {
  explicit AdamWFactors(const contract::AdamW& op)
      : grad_scale(splat(op.grad_scale)),
        beta1(splat(op.beta1)),
        rest1(splat(op.one_minus_beta1)),
        beta2(splat(op.beta2)),
        rest2(splat(op.one_minus_beta2)),
        inverse_root(splat(op.inverse_root_bias2)),
        eps(splat(op.eps)),
        step(splat(-op.step_size)) {}
  F32x16 grad_scale, beta1, rest1, beta2, rest2, inverse_root, eps, step;
};

NARU_INLINE void update_elements(const AdamWFactors& k, F32x16 decay, int64_t n, const float* grad, float* weight,
                                 float* first, float* second) {
  for_lanes(n, [&](int64_t i, int64_t) {
    const F32x16 g = mul(load_at(grad, i, n), k.grad_scale);
    const F32x16 m = fma(k.beta1, load_at(first, i, n), mul(k.rest1, g));
    const F32x16 v = fma(k.beta2, load_at(second, i, n), mul(k.rest2, mul(g, g)));
    const F32x16 u = div(m, fma(sqrt(v), k.inverse_root, k.eps));
    store_at(first, i, n, m);
    store_at(second, i, n, v);
    store_at(weight, i, n, fma(k.step, u, mul(load_at(weight, i, n), decay)));
  });
}

}  // namespace

// Pieces are chunks of rows; a tensor without gaps is one row.
template <>
Status run(const contract::AdamW& op, Work& work, std::string_view* kernel) {
  *kernel = "elements";
  const AdamWFactors factors(op);
  const auto n_tensors = static_cast<int64_t>(op.weight.size());
  auto* starts = reinterpret_cast<int64_t*>(work.shared.get(static_cast<size_t>(n_tensors + 1) * sizeof(int64_t)));
  const auto cols_of = [&](size_t i) {
    const View& weight = op.weight[i];
    const bool is_flat =
        is_contiguous(weight) && is_contiguous(op.grad[i]) && is_contiguous(op.m[i]) && is_contiguous(op.v[i]);
    return is_flat ? weight.rows * weight.cols : weight.cols;
  };
  const auto pieces_of = [&](int64_t tensor) {
    const View& weight = op.weight[static_cast<size_t>(tensor)];
    const int64_t cols = cols_of(static_cast<size_t>(tensor));
    if (cols == 0) return Pieces{};
    const int64_t rows = weight.rows * weight.cols / cols;
    return Pieces{rows * ((cols + kElementsPerPiece - 1) / kElementsPerPiece),
                  cols < kElementsPerPiece ? cols : kElementsPerPiece};
  };
  for_list(work, n_tensors, starts, pieces_of, [&](int64_t tensor, int64_t first, int64_t last) {
    const auto at = static_cast<size_t>(tensor);
    const int64_t cols = cols_of(at), n_chunks = (cols + kElementsPerPiece - 1) / kElementsPerPiece;
    const F32x16 decay = splat(op.decay[at]);
    for (int64_t i = first; i < last; ++i) {
      const int64_t row = i / n_chunks, begin = i % n_chunks * kElementsPerPiece;
      const int64_t n = cols - begin < kElementsPerPiece ? cols - begin : kElementsPerPiece;
      update_elements(factors, decay, n, f32(op.grad[at], row) + begin, f32(op.weight[at], row) + begin,
                      f32(op.m[at], row) + begin, f32(op.v[at], row) + begin);
    }
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
