// What this machine is: the processor's name, its caches, its instruction sets as the system lets programs use them,
// and how many cores this process may use (affinity and the processor quota of its control group).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace naru::cpu {

// Instruction sets that both the processor has and the system saves on a context switch.
struct Features {
  bool avx2 = false, fma = false, f16c = false, bmi2 = false;
  bool avx512f = false, avx512bw = false, avx512dq = false, avx512vl = false, avx512cd = false;
  bool avx512vnni = false, avx512bf16 = false;
  bool amx_tile = false, amx_bf16 = false, amx_int8 = false;
  bool is_amd = false;
};
const Features& features();
std::string feature_names(const Features& features);

struct Machine {
  std::string processor;
  int64_t l1_bytes = 0;  // data, of one core; 0 where the system does not say
  int64_t l2_bytes = 0;
  int64_t l3_bytes = 0;
  int cores = 1;  // that this process may use
};
Machine describe_machine();

}  // namespace naru::cpu
