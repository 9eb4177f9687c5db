// The kernels of the CPU chip. The sources in this folder are compiled once for each level that has instructions of
// their own for them (cmake/cpu_levels.cmake) with NARU_LEVEL naming it, and define their functions in namespace
// naru::cpu::NARU_LEVEL; level.cpp gathers them in one KernelTable a level. What a function computes is defined by
// contract/ops.h; all levels give the same bits.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "chips/memory/host_memory.h"
#include "contract/ops.h"

namespace naru::cpu {

// Memory of one thread that kernels may use while they run; grows, never shrinks, 64-byte aligned.
class Scratch {
 public:
  std::byte* get(size_t bytes);
  int64_t bytes() const { return static_cast<int64_t>(bytes_); }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> memory_;
  size_t bytes_ = 0;
};

// What a kernel runs with: the threads and their scratch memory (index = thread of ThreadPool::parallel_for), and
// shared scratch for operands that all threads read (quantised activations), and for what lists of positions say.
struct Work {
  ThreadPool& pool;
  std::vector<Scratch>& scratch;
  Scratch& shared;
  Scratch& lists;
  // Rows that meet panels again and again should stay in the second-level cache, beside the panels: half of it.
  int64_t row_group_bytes = int64_t{512} << 10;
  bool bf16_dot = false;       // level avx512vnni: bf16 products by VDPBF16PS, not by f32 fma
  bool emulate_tiles = false;  // for tests: the kernels of AMX on a plain model of its tiles, at any level
};

// Runs an op; `*kernel` is set to the name of the kernel that ran.
template <typename O>
using Kernel = Status (*)(const O&, Work&, std::string_view* kernel);

// A kernel for each alternative of the Op variant. Bases, not a tuple: level.cpp fills them without a function of the
// standard library, which the linker might keep as compiled for that level.
template <typename O>
struct KernelOf {
  Kernel<O> kernel;
};
template <typename Ops>
struct KernelsOf;
template <typename... O>
struct KernelsOf<std::variant<O...>> : KernelOf<O>... {};

struct KernelTable : KernelsOf<contract::Op> {
  std::string_view level;
  // Packs a source (chips/cpu/packed.h); the layout may differ from level to level.
  Result<std::unique_ptr<contract::PackedMatrix>> (*pack)(const contract::MatrixSource&, contract::Rule, Work&);
  int64_t (*packed_bytes)(DType stored, contract::Rule, int64_t groups, int64_t outputs, int64_t inputs);

  template <typename O>
  Status run(const O& op, Work& work, std::string_view* ran) const {
    return static_cast<const KernelOf<O>&>(*this).kernel(op, work, ran);
  }
};

}  // namespace naru::cpu
