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
namespace {

KernelTable make_table() {
#if defined(NARU_LOWER_LEVEL)
  KernelTable table = NARU_LOWER_LEVEL::table();
#else
  KernelTable table{};
  table.embed = embed;
  table.rms_norm = rms_norm;
  table.rope_table = rope_table;
  table.rope = rope;
  table.round_bf16 = round_bf16;
  table.cache_write = cache_write;
  table.silu_mul = silu_mul;
  table.add = add;
  table.route = route;
  table.combine = combine;
  table.log_prob = log_prob;
  table.column_sum = column_sum;
  table.sum_slots = sum_slots;
  table.rms_norm_grad = rms_norm_grad;
  table.rope_grad = rope_grad;
  table.silu_mul_grad = silu_mul_grad;
  table.combine_grad = combine_grad;
  table.route_grad = route_grad;
  table.balance_loss = balance_loss;
  table.cross_entropy = cross_entropy;
  table.embed_grad = embed_grad;
  table.fill = fill;
  table.axpby = axpby;
  table.sum_of_squares = sum_of_squares;
  table.adamw = adamw;
#endif
#if !defined(NARU_LOWER_LEVEL) || defined(NARU_LEVEL_avx512vnni)
  table.attention = attention;
  table.attention_grad = attention_grad;
#endif
  table.matmul = matmul;
  table.grouped_matmul = grouped_matmul;
  table.repack = repack;
  table.weight_grad = weight_grad;
  table.product = product;
  table.pack = pack;
  table.packed_bytes = packed_bytes;
  table.level = NARU_TEXT(NARU_LEVEL);
  return table;
}

}  // namespace

const KernelTable& table() {
  static const KernelTable kTable = make_table();
  return kTable;
}

}  // namespace naru::cpu::NARU_LEVEL
