// Loops of one arithmetic instruction on registers: as many independent chains as hide its latency.
#pragma once

#include <cstdint>
#include <string_view>

namespace naru::cpu {

struct PeakKernel {
  std::string_view instruction;
  double operations = 0;  // multiplications and additions in one round
  void (*run)(int64_t rounds) = nullptr;
};

struct PeakKernels {
  PeakKernel f32, bf16, int8;
};

// Of a level of the CPU chip, by name; the threads that run them must be prepared for that level.
PeakKernels peak_kernels(std::string_view level);

// Reads n bytes (a multiple of 512, aligned to 64) and returns something that depends on all of them.
uint64_t read_memory(const std::byte* data, int64_t n);

}  // namespace naru::cpu
