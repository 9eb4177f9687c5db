// The table of the level: its functions, gathered for the chip.

#include "chips/cpu/kernels/declarations.h"

#define NARU_TEXT_2(x) #x
#define NARU_TEXT(x) NARU_TEXT_2(x)

namespace naru::cpu::NARU_LEVEL {

const KernelTable& table() {
  static const KernelTable kTable = {.level = NARU_TEXT(NARU_LEVEL),
                                     .embed = embed,
                                     .rms_norm = rms_norm,
                                     .matmul = matmul,
                                     .grouped_matmul = grouped_matmul,
                                     .rope_table = rope_table,
                                     .rope = rope,
                                     .round_bf16 = round_bf16,
                                     .cache_write = cache_write,
                                     .attention = attention,
                                     .silu_mul = silu_mul,
                                     .add = add,
                                     .route = route,
                                     .combine = combine,
                                     .log_prob = log_prob,
                                     .pack = pack,
                                     .packed_bytes = packed_bytes};
  return kTable;
}

}  // namespace naru::cpu::NARU_LEVEL
