// The limits of this machine, measured: how fast its threads together read memory, and how many multiplications and
// additions they do in registers, with the instructions of a level of the CPU chip. What a model reaches is judged by
// these.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::cpu {

struct Peak {
  double per_s = 0;         // multiplications and additions, counted apart
  std::string instruction;  // that did them
};

struct MachineLimits {
  std::string level;
  int n_threads = 1;
  double memory_bytes_per_s = 0;
  Peak f32;
  Peak bf16;
  Peak int8;
};

// Takes about a second. `level` is one that the machine has; "" stands for the best.
Result<MachineLimits> measure_machine(const std::string& level, int n_threads);
// The arithmetic alone: takes no memory, and memory_bytes_per_s stays 0.
Result<MachineLimits> measure_arithmetic(const std::string& level, int n_threads);

}  // namespace naru::cpu
