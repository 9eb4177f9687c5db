// Matrices that stay: where their rows come from (MatrixSource) and the form in which a chip keeps them (PackedMatrix).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "contract/kinds.h"
#include "tensor/dtype.h"

namespace naru::contract {

// `groups` matrices of one shape [outputs, inputs] (experts, heads; usually one), row by row in stored form.
struct MatrixSource {
  // F32, F16, BF16 (rules f32 and bf16), I8 (rule w8a8), or the quantised kind of the rule itself.
  DType dtype = DType::kF32;
  int64_t groups = 1;
  int64_t outputs = 0;
  int64_t inputs = 0;
  // Row `output` of `group`: dtype_bytes(dtype, inputs) bytes. May be written into `scratch` (as large as a row of
  // f32) or point elsewhere; valid until the next call with that scratch. Called from several threads at once.
  std::function<const std::byte*(int64_t group, int64_t output, std::byte* scratch)> row;
  // Rule w8a8: the scale of each output, [groups * outputs].
  const float* scales = nullptr;
};

// A chip's own form of a MatrixSource. Only the chip that made it can read it.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;

  Rule rule = Rule::kF32;
  DType stored = DType::kF32;  // the kind it was packed from
  int64_t groups = 1;
  int64_t outputs = 0;
  int64_t inputs = 0;
  int64_t bytes = 0;  // of chip memory
};

}  // namespace naru::contract
