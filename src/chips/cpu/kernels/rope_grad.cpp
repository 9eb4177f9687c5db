// The rotation back: da = fma(dA, c, dB * s), db = fma(dB, c, -(dA * s)).
#include "chips/cpu/kernels/rope_pairs.h"

namespace naru::cpu::NARU_LEVEL {

template <>
Status run(const contract::RopeGrad& op, Work& work, std::string_view* kernel) {
  const bool is_interleaved = op.layout == contract::RopeLayout::kInterleaved;
  *kernel = is_interleaved ? "interleaved" : "half_split";
  rotate_rows(work, op.dy, op.dx, op.cos, op.sin, op.rows_per_token, is_interleaved,
              [](F32x16 a, F32x16 b, F32x16 c, F32x16 s) {
                return Pair{fma(a, c, mul(b, s)), fma(b, c, negate(mul(a, s)))};
              });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
