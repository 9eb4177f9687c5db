// The CPU chip: the ops of the contract in kernels for each instruction level, on a fixed set of threads. Exact at
// every level and with every number of threads.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "chips/cpu/cpu_level.h"
#include "contract/chip.h"

namespace naru::cpu {

struct CpuOptions {
  int n_threads = 0;                 // 0: all cores that this process may use
  std::optional<std::string> level;  // empty: NARU_CPU, else the best that the machine has
  // Which of two kernels runs bf16 products at level avx512vnni: true VDPBF16PS, false f32 fma. Empty: by maker
  // (full rate on AMD, half the rate of fma on Intel). The bits are the same.
  std::optional<bool> bf16_dot;
  // For tests: runs the kernels of AMX on a plain model of its tiles, at any level (bf16_dot must be off).
  bool emulate_tiles = false;
};

Result<std::unique_ptr<contract::Chip>> make_cpu_chip(const CpuOptions& options = {});

}  // namespace naru::cpu
