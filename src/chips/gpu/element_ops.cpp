// Ops of elements, and the table of rotations, which is made on the host: its cosines and sines are those of our own
// functions in double.
#include "base/double_math.h"
#include "chips/gpu/ops.h"
#include "contract/scalar.h"

namespace naru::gpu {

Status run(Device& device, const contract::Fill& op) {
  return device.launch_elements("fill", op.out.rows, op.out.cols, op.out, op.out.rows, op.out.cols, op.value);
}

Status run(Device& device, const contract::Add& op) {
  return device.launch_elements("add", op.out.rows, op.out.cols, op.a, op.b, op.out, op.out.rows, op.out.cols);
}

Status run(Device& device, const contract::RoundBF16& op) {
  return device.launch_elements("round_bf16", op.out.rows, op.out.cols, op.x, op.out, op.out.rows, op.out.cols);
}

Status run(Device& device, const contract::Axpby& op) {
  return device.launch_elements("axpby", op.out.rows, op.out.cols, op.x, op.y, op.out, op.out.rows, op.out.cols,
                                !op.y.empty(), op.a, op.b);
}

Status run(Device& device, const contract::SiluMul& op) {
  return device.launch_elements("silu_mul", op.out.rows, op.out.cols, op.gate, op.up, op.out, op.out.rows, op.out.cols);
}

namespace {

Status rotate(Device& device, const View& x, const View& cos, const View& sin, const View& out, int64_t rows_per_token,
              contract::RopeLayout layout, bool is_backward) {
  return device.launch_elements("rope", x.rows, cos.cols, x, cos, sin, out, x.rows, cos.cols, rows_per_token,
                                layout == contract::RopeLayout::kInterleaved, is_backward);
}

}  // namespace

Status run(Device& device, const contract::Rope& op) {
  return rotate(device, op.x, op.cos, op.sin, op.out, op.rows_per_token, op.layout, false);
}

Status run(Device& device, const contract::RopeGrad& op) {
  return rotate(device, op.dy, op.cos, op.sin, op.dx, op.rows_per_token, op.layout, true);
}

namespace {

// In one copy where nothing lies between the rows.
Status write_table(Device& device, const View& to, const std::vector<float>& values) {
  const int64_t at_once = to.row_stride == to.cols ? to.rows : 1;
  for (int64_t t = 0; t < to.rows; t += at_once) {
    NARU_TRY(device.driver().write(device.place(to.slice_rows(t, at_once)), values.data() + t * to.cols,
                                   at_once * to.cols * 4));
  }
  return {};
}

}  // namespace

Status run(Device& device, const contract::RopeTable& op) {
  const int64_t rows = op.positions.rows, pairs = op.frequencies.cols;
  if (rows == 0 || pairs == 0) return {};
  std::vector<int32_t> positions(static_cast<size_t>((rows - 1) * op.positions.row_stride + 1));
  std::vector<float> frequencies(static_cast<size_t>(pairs));
  NARU_TRY(
      device.driver().read(positions.data(), device.place(op.positions), static_cast<int64_t>(positions.size()) * 4));
  NARU_TRY(device.driver().read(frequencies.data(), device.place(op.frequencies), pairs * 4));
  std::vector<float> cos, sin;
  for (int64_t t = 0; t < rows; ++t) {
    const int32_t position = positions[static_cast<size_t>(t * op.positions.row_stride)];
    for (const float frequency : frequencies) {
      const float angle = contract::mul(contract::to_f32(position), frequency);
      cos.push_back(contract::mul(static_cast<float>(cos_double(angle)), op.factor));
      sin.push_back(contract::mul(static_cast<float>(sin_double(angle)), op.factor));
    }
  }
  NARU_TRY(write_table(device, op.cos, cos));
  return write_table(device, op.sin, sin);
}

Status run(Device& device, const contract::Combine& op) {
  return device.launch_elements("combine", op.out.rows, op.out.cols, op.y, op.gates, op.shared, op.residual, op.out,
                                op.out.rows, op.out.cols, op.gates.cols, !op.shared.empty());
}

Status run(Device& device, const contract::SumSlots& op) {
  const int64_t slots = op.out.rows > 0 ? op.x.rows / op.out.rows : 0;
  return device.launch_elements("sum_slots", op.out.rows, op.out.cols, op.x, op.out, op.out.rows, op.out.cols, slots);
}

Status run(Device& device, const contract::SiluMulGrad& op) {
  return device.launch_elements("silu_mul_grad", op.gate.rows, op.gate.cols, op.gate, op.up, op.dy, op.dgate, op.dup,
                                op.gate.rows, op.gate.cols);
}

Status run(Device& device, const contract::AdamW& op) {
  for (size_t i = 0; i < op.weight.size(); ++i) {
    const View& w = op.weight[i];
    NARU_TRY(device.launch_elements("adamw", w.rows, w.cols, w, op.grad[i], op.m[i], op.v[i], w.rows, w.cols,
                                    op.decay[i], op.grad_scale, op.beta1, op.one_minus_beta1, op.beta2,
                                    op.one_minus_beta2, op.inverse_root_bias2, op.eps, op.step_size));
  }
  return {};
}

}  // namespace naru::gpu
