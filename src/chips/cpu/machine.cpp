#include "chips/cpu/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace naru::cpu {
namespace {

#if defined(__x86_64__)

struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

uint64_t xgetbv_0() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

constexpr bool bit(uint32_t value, int index) {
  return (value >> index & 1u) != 0;
}

Features detect_features() {
  Features f;
  const Registers vendor = cpuid(0, 0);
  f.is_amd = vendor.b == 0x68747541u && vendor.d == 0x69746e65u && vendor.c == 0x444d4163u;  // "AuthenticAMD"
  const Registers one = cpuid(1, 0);
  if (!bit(one.c, 27)) return f;  // the system does not offer xgetbv
  const uint64_t saved = xgetbv_0();
  const bool has_ymm = (saved & 0x6) == 0x6;
  const bool has_zmm = (saved & 0xe6) == 0xe6;
  const bool has_tiles = (saved & 0x60000) == 0x60000;
  const Registers seven = cpuid(7, 0);
  const Registers seven_1 = cpuid(7, 1);
  f.avx2 = has_ymm && bit(one.c, 28) && bit(seven.b, 5);
  f.fma = has_ymm && bit(one.c, 12);
  f.f16c = has_ymm && bit(one.c, 29);
  f.bmi2 = bit(seven.b, 8);
  f.avx512f = has_zmm && bit(seven.b, 16);
  f.avx512dq = has_zmm && bit(seven.b, 17);
  f.avx512cd = has_zmm && bit(seven.b, 28);
  f.avx512bw = has_zmm && bit(seven.b, 30);
  f.avx512vl = has_zmm && bit(seven.b, 31);
  f.avx512vnni = has_zmm && bit(seven.c, 11);
  f.avx512bf16 = has_zmm && bit(seven_1.a, 5);
  f.amx_bf16 = has_tiles && bit(seven.d, 22);
  f.amx_tile = has_tiles && bit(seven.d, 24);
  f.amx_int8 = has_tiles && bit(seven.d, 25);
  return f;
}

#else

Features detect_features() {
  return {};
}

#endif

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line)) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos || colon + 2 >= line.size()) continue;
    return line.substr(colon + 2);
  }
  return "unknown processor";
}

int64_t positive_or_zero(long value) {
  return value > 0 ? value : 0;
}

// The cores that a control group's quota and period stand for, rounded up; a large number where there is no limit.
int quota_cores(double quota, double period) {
  if (quota <= 0 || period <= 0) return 1 << 20;
  return std::max(1, static_cast<int>(quota / period + 0.999));
}

int cgroup_cores() {
  int cores = 1 << 20;
  std::ifstream unified("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (unified >> quota >> period && quota != "max")
    cores = std::min(cores, quota_cores(std::atof(quota.c_str()), period));
  std::ifstream old_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), old_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double old_q = 0, old_p = 0;
  if (old_quota >> old_q && old_period >> old_p) cores = std::min(cores, quota_cores(old_q, old_p));
  return cores;
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = static_cast<int>(positive_or_zero(::sysconf(_SC_NPROCESSORS_ONLN)));
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) cores = CPU_COUNT(&set);
  return std::max(1, std::min(cores, cgroup_cores()));
}

}  // namespace

const Features& features() {
  static const Features kFeatures = detect_features();
  return kFeatures;
}

std::string feature_names(const Features& f) {
  std::string names;
  const auto put = [&names](bool has, std::string_view name) {
    if (!has) return;
    if (!names.empty()) names += ' ';
    names += name;
  };
  put(f.avx2, "avx2"), put(f.fma, "fma"), put(f.f16c, "f16c"), put(f.bmi2, "bmi2");
  put(f.avx512f, "avx512f"), put(f.avx512bw, "avx512bw"), put(f.avx512dq, "avx512dq"), put(f.avx512vl, "avx512vl");
  put(f.avx512vnni, "avx512vnni"), put(f.avx512bf16, "avx512bf16");
  put(f.amx_tile, "amx_tile"), put(f.amx_bf16, "amx_bf16"), put(f.amx_int8, "amx_int8");
  return names;
}

Machine describe_machine() {
  Machine machine;
  machine.processor = processor_name();
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  machine.l1_bytes = positive_or_zero(::sysconf(_SC_LEVEL1_DCACHE_SIZE));
  machine.l2_bytes = positive_or_zero(::sysconf(_SC_LEVEL2_CACHE_SIZE));
  machine.l3_bytes = positive_or_zero(::sysconf(_SC_LEVEL3_CACHE_SIZE));
#endif
  machine.cores = usable_cores();
  return machine;
}

}  // namespace naru::cpu
