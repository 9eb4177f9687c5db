// Row functions and elementwise ops (docs/arithmetic.md sections 1, 4 and 6).
#include <fmt/format.h>

#include <algorithm>

#include "base/double_math.h"
#include "chips/reference/ops.h"
#include "contract/op_table.h"

namespace naru::reference {

using contract::add;
using contract::fma;
using contract::mul;

template <>
Status run(const contract::RmsNorm& op) {
  const int64_t n = op.x.cols;
  BadRows bad("rms_norm", op.x.rows);
  for (int64_t t = 0; t < op.x.rows; ++t) {
    const float* x = f32(op.x, t);
    const float squares = contract::row_sum_of_squares(x, n);
    if (!std::isfinite(squares)) {
      bad.add(t, "sum of squares", squares);
      continue;
    }
    const float mean = contract::div(squares, static_cast<float>(n));
    const float r = contract::div(1.0f, contract::sqrt(add(mean, op.eps)));
    for (int64_t k = 0; k < n; ++k) f32(op.out, t)[k] = mul(mul(x[k], r), f32(op.weight)[k]);
  }
  return bad.status();
}

template <>
Status run(const contract::RopeTable& op) {
  for (int64_t t = 0; t < op.positions.rows; ++t) {
    for (int64_t i = 0; i < op.frequencies.cols; ++i) {
      const float angle = mul(contract::to_f32(*i32(op.positions, t)), f32(op.frequencies)[i]);
      f32(op.cos, t)[i] = mul(static_cast<float>(cos_double(angle)), op.factor);
      f32(op.sin, t)[i] = mul(static_cast<float>(sin_double(angle)), op.factor);
    }
  }
  return {};
}

template <>
Status run(const contract::Rope& op) {
  const int64_t n_pairs = op.cos.cols;
  const bool is_interleaved = op.layout == contract::RopeLayout::kInterleaved;
  for (int64_t row = 0; row < op.x.rows; ++row) {
    const float* cos = f32(op.cos, row / op.rows_per_token);
    const float* sin = f32(op.sin, row / op.rows_per_token);
    for (int64_t i = 0; i < n_pairs; ++i) {
      const int64_t first = is_interleaved ? 2 * i : i;
      const int64_t second = is_interleaved ? 2 * i + 1 : i + n_pairs;
      const float a = f32(op.x, row)[first], b = f32(op.x, row)[second];
      f32(op.out, row)[first] = fma(a, cos[i], -mul(b, sin[i]));
      f32(op.out, row)[second] = fma(a, sin[i], mul(b, cos[i]));
    }
  }
  return {};
}

template <>
Status run(const contract::RoundBF16& op) {
  for (int64_t t = 0; t < op.x.rows; ++t) {
    for (int64_t k = 0; k < op.x.cols; ++k) f32(op.out, t)[k] = round_to_bf16(f32(op.x, t)[k]);
  }
  return {};
}

template <>
Status run(const contract::SiluMul& op) {
  for (int64_t t = 0; t < op.gate.rows; ++t) {
    for (int64_t k = 0; k < op.gate.cols; ++k) {
      f32(op.out, t)[k] = mul(contract::silu(f32(op.gate, t)[k]), f32(op.up, t)[k]);
    }
  }
  return {};
}

template <>
Status run(const contract::Add& op) {
  for (int64_t t = 0; t < op.a.rows; ++t) {
    for (int64_t k = 0; k < op.a.cols; ++k) f32(op.out, t)[k] = add(f32(op.a, t)[k], f32(op.b, t)[k]);
  }
  return {};
}

template <>
Status run(const contract::Combine& op) {
  const int64_t n_chosen = op.gates.cols;
  for (int64_t t = 0; t < op.out.rows; ++t) {
    for (int64_t k = 0; k < op.out.cols; ++k) {
      float acc = 0.0f;
      for (int64_t s = 0; s < n_chosen; ++s) acc = fma(f32(op.gates, t)[s], f32(op.y, t * n_chosen + s)[k], acc);
      if (!op.shared.empty()) acc = add(acc, f32(op.shared, t)[k]);
      f32(op.out, t)[k] = add(f32(op.residual, t)[k], acc);
    }
  }
  return {};
}

std::optional<SoftmaxRow> softmax_row(int64_t row, const float* x, int64_t n, float* e, BadRows& bad) {
  const float m = contract::row_max(x, n);
  for (int64_t k = 0; k < n; ++k) e[k] = contract::exp(contract::sub(x[k], m));
  const float l = contract::row_sum(e, n);
  if (std::isfinite(m) && std::isfinite(l)) return SoftmaxRow{m, l};
  bad.add(row, "largest logit", m);
  return std::nullopt;
}

void BadRows::add(int64_t row, std::string_view what, float found) {
  add(row, fmt::format("{}: row {}: the {} is {}, a finite number was wanted; the weights or an earlier layer "
                       "overflowed",
                       op_, row, what, found));
}

void BadRows::add(int64_t row, std::string message) {
  if (rows_.empty()) message_ = std::move(message);
  rows_.push_back(row);
}

Status BadRows::status() {
  if (rows_.empty()) return {};
  std::sort(rows_.begin(), rows_.end());
  rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
  return contract::row_error(op_, n_rows_, std::move(rows_), std::move(message_));
}

template <>
Status run(const contract::LogProb& op) {
  const int64_t n = op.logits.cols;
  std::vector<float> e(static_cast<size_t>(n));
  BadRows bad("log_prob", op.logits.rows);
  for (int64_t t = 0; t < op.logits.rows; ++t) {
    const float* x = f32(op.logits, t);
    const auto row = softmax_row(t, x, n, e.data(), bad);
    if (!row) continue;
    const int64_t target = *i32(op.targets, t);
    NARU_CHECK(target >= 0 && target < n, target, n);
    *f32(op.out, t) = contract::sub(contract::sub(x[target], row->m), contract::log(row->l));
  }
  return bad.status();
}

}  // namespace naru::reference
