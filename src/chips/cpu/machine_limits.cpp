#include "chips/cpu/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "chips/cpu/cpu_level.h"
#include "chips/cpu/machine.h"
#include "chips/cpu/memory.h"
#include "chips/cpu/peak_kernels.h"

namespace naru::cpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kRunSeconds = 0.05;
constexpr int kRuns = 4;
constexpr int64_t kMemoryBytesMin = int64_t{256} << 20;

double seconds_of(const auto& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The best of some runs of about kRunSeconds on all threads together.
Peak measure_peak(const PeakKernel& kernel, const KernelTable& table, ThreadPool& pool) {
  const int n = pool.n_threads();
  int64_t rounds = 1000;
  const auto run = [&] {
    return seconds_of([&] {
      pool.parallel_for(n, [&](int64_t, int) {
        NARU_CHECK(is_prepared(table), table.level);
        kernel.run(rounds);
      });
    });
  };
  double seconds = run();
  while (seconds < kRunSeconds) {
    rounds =
        std::max(2 * rounds, static_cast<int64_t>(static_cast<double>(rounds) * kRunSeconds / std::max(seconds, 1e-6)));
    seconds = run();
  }
  for (int i = 1; i < kRuns; ++i) seconds = std::min(seconds, run());
  return {kernel.operations * static_cast<double>(rounds) * n / seconds, std::string(kernel.instruction)};
}

// Every thread reads a part of its own, far larger together than any cache; 0 where there is no room to measure.
double measure_memory(ThreadPool& pool) {
  const int64_t n = pool.n_threads();
  int64_t bytes = std::max(kMemoryBytesMin, 2 * describe_machine().l3_bytes);
  bytes = std::min(bytes, available_memory_bytes() / 4) / n / 4096 * 4096;  // of one thread
  if (bytes == 0) return 0;
  const auto memory = Memory::map(bytes * n, "measuring how fast it is read");
  if (!memory.ok()) return 0;
  std::memset(memory->data(), 1, static_cast<size_t>(bytes * n));
  std::atomic<uint64_t> sum{0};
  double seconds = 1e30;
  for (int i = 0; i < kRuns; ++i) {
    seconds = std::min(seconds, seconds_of([&] {
                         pool.parallel_for(
                             n, [&](int64_t part, int) { sum += read_memory(memory->data() + part * bytes, bytes); });
                       }));
  }
  return static_cast<double>(bytes * n) / seconds;
}

Result<MachineLimits> measure(const std::string& level, int n_threads, bool with_memory) {
  NARU_ASSIGN(const KernelTable* table, choose_level(level.empty() ? std::nullopt : std::optional<std::string>(level)));
  const FloatMode mode(*table);
  NARU_ASSIGN(const auto pool, ThreadPool::create(n_threads, [table] { prepare_thread(*table); }));
  const PeakKernels kernels = peak_kernels(table->level);
  MachineLimits limits;
  limits.level = table->level;
  limits.n_threads = n_threads;
  if (with_memory) limits.memory_bytes_per_s = measure_memory(*pool);
  limits.f32 = measure_peak(kernels.f32, *table, *pool);
  limits.bf16 = measure_peak(kernels.bf16, *table, *pool);
  // Where the dot instruction runs at half the rate, f32 fma is the better way to the same bits.
  if (limits.bf16.per_s < limits.f32.per_s) limits.bf16 = limits.f32;
  limits.int8 = measure_peak(kernels.int8, *table, *pool);
  return limits;
}

}  // namespace

Result<MachineLimits> measure_machine(const std::string& level, int n_threads) {
  return measure(level, n_threads, true);
}

Result<MachineLimits> measure_arithmetic(const std::string& level, int n_threads) {
  return measure(level, n_threads, false);
}

}  // namespace naru::cpu
