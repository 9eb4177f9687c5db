// The kernels of the CPU chip. The sources in this folder are compiled once for each level that has instructions of
// their own for them (cmake/cpu_levels.cmake) with NARU_LEVEL naming it, and define their functions in namespace
// naru::cpu::NARU_LEVEL; level.cpp gathers them in one KernelTable a level. What a function computes is defined by
// contract/ops.h; all levels give the same bits.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "contract/ops.h"

namespace naru::cpu {

// Memory of one thread that kernels may use while they run; grows, never shrinks, 64-byte aligned.
class Scratch {
 public:
  std::byte* get(size_t bytes);

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> memory_;
  size_t bytes_ = 0;
};

// What a kernel runs with: the threads and their scratch memory (index = thread of ThreadPool::parallel_for), and
// shared scratch for operands that all threads read (quantised activations).
struct Work {
  ThreadPool& pool;
  std::vector<Scratch>& scratch;
  Scratch& shared;
  // Rows that meet panels again and again should stay in the second-level cache, beside the panels: half of it.
  int64_t row_group_bytes = int64_t{512} << 10;
  bool bf16_dot = false;       // level avx512vnni: bf16 products by VDPBF16PS, not by f32 fma
  bool emulate_tiles = false;  // for tests: the kernels of AMX on a plain model of its tiles, at any level
};

struct KernelTable {
  std::string_view level;
  // Runs the op; `*kernel` is set to the name of the kernel that ran.
  Status (*embed)(const contract::Embed&, Work&, std::string_view* kernel);
  Status (*rms_norm)(const contract::RmsNorm&, Work&, std::string_view* kernel);
  Status (*matmul)(const contract::Matmul&, Work&, std::string_view* kernel);
  Status (*grouped_matmul)(const contract::GroupedMatmul&, Work&, std::string_view* kernel);
  Status (*rope_table)(const contract::RopeTable&, Work&, std::string_view* kernel);
  Status (*rope)(const contract::Rope&, Work&, std::string_view* kernel);
  Status (*round_bf16)(const contract::RoundBF16&, Work&, std::string_view* kernel);
  Status (*cache_write)(const contract::CacheWrite&, Work&, std::string_view* kernel);
  Status (*attention)(const contract::Attention&, Work&, std::string_view* kernel);
  Status (*silu_mul)(const contract::SiluMul&, Work&, std::string_view* kernel);
  Status (*add)(const contract::Add&, Work&, std::string_view* kernel);
  Status (*route)(const contract::Route&, Work&, std::string_view* kernel);
  Status (*combine)(const contract::Combine&, Work&, std::string_view* kernel);
  Status (*log_prob)(const contract::LogProb&, Work&, std::string_view* kernel);
  Status (*repack)(const contract::Pack&, Work&, std::string_view* kernel);
  Status (*weight_grad)(const contract::WeightGrad&, Work&, std::string_view* kernel);
  Status (*product)(const contract::Product&, Work&, std::string_view* kernel);
  Status (*column_sum)(const contract::ColumnSum&, Work&, std::string_view* kernel);
  Status (*sum_slots)(const contract::SumSlots&, Work&, std::string_view* kernel);
  Status (*rms_norm_grad)(const contract::RmsNormGrad&, Work&, std::string_view* kernel);
  Status (*rope_grad)(const contract::RopeGrad&, Work&, std::string_view* kernel);
  Status (*attention_grad)(const contract::AttentionGrad&, Work&, std::string_view* kernel);
  Status (*silu_mul_grad)(const contract::SiluMulGrad&, Work&, std::string_view* kernel);
  Status (*combine_grad)(const contract::CombineGrad&, Work&, std::string_view* kernel);
  Status (*route_grad)(const contract::RouteGrad&, Work&, std::string_view* kernel);
  Status (*balance_loss)(const contract::BalanceLoss&, Work&, std::string_view* kernel);
  Status (*cross_entropy)(const contract::CrossEntropy&, Work&, std::string_view* kernel);
  Status (*embed_grad)(const contract::EmbedGrad&, Work&, std::string_view* kernel);
  Status (*fill)(const contract::Fill&, Work&, std::string_view* kernel);
  Status (*axpby)(const contract::Axpby&, Work&, std::string_view* kernel);
  Status (*sum_of_squares)(const contract::SumOfSquares&, Work&, std::string_view* kernel);
  Status (*adamw)(const contract::AdamW&, Work&, std::string_view* kernel);
  // Packs a source (chips/cpu/packed.h); the layout may differ from level to level.
  Result<std::unique_ptr<contract::PackedMatrix>> (*pack)(const contract::MatrixSource&, contract::Rule, Work&);
  int64_t (*packed_bytes)(DType stored, contract::Rule, int64_t groups, int64_t outputs, int64_t inputs);
};

}  // namespace naru::cpu
