// The table of the level: its functions, gathered for the chip. A level that has a NARU_LOWER_LEVEL
// (cmake/cpu_levels.cmake) defines only some, and takes the others from there.

#include <type_traits>

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

// The ops whose kernels this level has of its own.
#if !defined(NARU_LOWER_LEVEL)
using OwnOps = contract::Op;
#elif defined(NARU_LEVEL_avx512vnni)
using OwnOps = std::variant<contract::Matmul, contract::GroupedMatmul, contract::Pack, contract::WeightGrad,
                            contract::Product, contract::Attention, contract::AttentionGrad>;
#else
using OwnOps =
    std::variant<contract::Matmul, contract::GroupedMatmul, contract::Pack, contract::WeightGrad, contract::Product>;
#endif

template <typename... O>
void take_own(KernelTable& table, std::type_identity<std::variant<O...>>) {
  ((static_cast<KernelOf<O>&>(table).kernel = run<O>), ...);
}

KernelTable make_table() {
#if defined(NARU_LOWER_LEVEL)
  KernelTable table = NARU_LOWER_LEVEL::table();
#else
  KernelTable table{};
#endif
  take_own(table, std::type_identity<OwnOps>{});
  table.level = NARU_TEXT(NARU_LEVEL);
  table.pack = pack;
  table.packed_bytes = packed_bytes;
  return table;
}

}  // namespace

const KernelTable& table() {
  static const KernelTable kTable = make_table();
  return kTable;
}

}  // namespace naru::cpu::NARU_LEVEL
