// The table of the level: its functions, gathered for the chip. A level that has a NARU_LOWER_LEVEL
// (cmake/cpu_levels.cmake) defines only some, and takes the others from there.

#include "chips/cpu/kernels/declarations.h"

#define NARU_TEXT_2(x) #x
#define NARU_TEXT(x) NARU_TEXT_2(x)

#if defined(NARU_LOWER_LEVEL)
namespace naru::cpu::NARU_LOWER_LEVEL {
const KernelTable& table();
}
#endif

namespace naru::cpu::NARU_LEVEL {

#if defined(NARU_LOWER_LEVEL)
namespace {

KernelTable over_lower_level() {
  KernelTable table = NARU_LOWER_LEVEL::table();
  table.level = NARU_TEXT(NARU_LEVEL);
  table.matmul = matmul;
  table.grouped_matmul = grouped_matmul;
  table.repack = repack;
  table.weight_grad = weight_grad;
  table.product = product;
  table.pack = pack;
  table.packed_bytes = packed_bytes;
#if defined(NARU_LEVEL_avx512vnni)
  table.attention = attention;
  table.attention_grad = attention_grad;
#endif
  return table;
}

}  // namespace

const KernelTable& table() {
  static const KernelTable kTable = over_lower_level();
  return kTable;
}
#else
const KernelTable& table() {
  // By name, so that the compiler misses a member that is forgotten.
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
                                     .repack = repack,
                                     .weight_grad = weight_grad,
                                     .product = product,
                                     .column_sum = column_sum,
                                     .sum_slots = sum_slots,
                                     .rms_norm_grad = rms_norm_grad,
                                     .rope_grad = rope_grad,
                                     .attention_grad = attention_grad,
                                     .silu_mul_grad = silu_mul_grad,
                                     .combine_grad = combine_grad,
                                     .route_grad = route_grad,
                                     .balance_loss = balance_loss,
                                     .cross_entropy = cross_entropy,
                                     .embed_grad = embed_grad,
                                     .fill = fill,
                                     .axpby = axpby,
                                     .sum_of_squares = sum_of_squares,
                                     .adamw = adamw,
                                     .pack = pack,
                                     .packed_bytes = packed_bytes};
  return kTable;
}
#endif

}  // namespace naru::cpu::NARU_LEVEL
