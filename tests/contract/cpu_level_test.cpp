// Levels of the CPU chip: which there are, how one is chosen, what is refused, and that the chip leaves the caller's
// floating-point mode as it was.

#include <gtest/gtest.h>

#include <cstdlib>

#include "chips/cpu/cpu_chip.h"
#include "chips/cpu/machine.h"
#include "tests/contract/cpu_chips.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace naru {
namespace {

// Sets NARU_CPU for the life of the object.
class CpuVariable {
 public:
  explicit CpuVariable(const char* value) {
    const char* old = std::getenv("NARU_CPU");
    if (old != nullptr) old_ = old;
    had_ = old != nullptr;
    value == nullptr ? ::unsetenv("NARU_CPU") : ::setenv("NARU_CPU", value, 1);
  }
  ~CpuVariable() { had_ ? ::setenv("NARU_CPU", old_.c_str(), 1) : ::unsetenv("NARU_CPU"); }

 private:
  std::string old_;
  bool had_ = false;
};

std::string best_level() {
  std::string best;
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    if (level.present) best = level.name;
  }
  return best;
}

TEST(CpuLevels, BaselineIsAlwaysThere) {
  ASSERT_FALSE(cpu::cpu_levels().empty());
  EXPECT_EQ(cpu::cpu_levels().front().name, "baseline");
  EXPECT_TRUE(cpu::cpu_levels().front().present);
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) EXPECT_EQ(level.present, level.why_not.empty()) << level.name;
}

TEST(CpuLevels, TheBestIsChosenUnlessTheVariableSaysOtherwise) {
  {
    const CpuVariable none(nullptr);
    auto chip = cpu::make_cpu_chip();
    ASSERT_TRUE(chip.ok());
    EXPECT_EQ((*chip)->info().level, best_level());
  }
  const CpuVariable baseline("baseline");
  auto forced = cpu::make_cpu_chip();
  ASSERT_TRUE(forced.ok());
  EXPECT_EQ((*forced)->info().level, "baseline");
  // What the caller names comes before the variable.
  auto named = cpu::make_cpu_chip({.n_threads = 1, .level = best_level(), .bf16_dot = {}, .emulate_tiles = false});
  ASSERT_TRUE(named.ok());
  EXPECT_EQ((*named)->info().level, best_level());
}

TEST(CpuLevels, UnknownLevelsAreRefusedWithAList) {
  const CpuVariable wrong("avx1024");
  const auto chip = cpu::make_cpu_chip();
  ASSERT_FALSE(chip.ok());
  EXPECT_EQ(chip.error().code, Code::kUnsupported);
  EXPECT_EQ(chip.error().message.find("choosing the CPU level from NARU_CPU: there is no level 'avx1024'"), 0u)
      << chip.error().message;
  EXPECT_NE(chip.error().message.find("baseline"), std::string::npos);
}

TEST(CpuLevels, AbsentLevelsAreRefusedWithTheReason) {
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    if (level.present) continue;
    const auto chip =
        cpu::make_cpu_chip({.n_threads = 1, .level = std::string(level.name), .bf16_dot = {}, .emulate_tiles = false});
    ASSERT_FALSE(chip.ok());
    EXPECT_EQ(chip.error().code, Code::kUnsupported);
    EXPECT_NE(chip.error().message.find(level.why_not), std::string::npos) << chip.error().message;
    EXPECT_NE(chip.error().message.find("baseline"), std::string::npos) << chip.error().message;
  }
}

TEST(CpuLevels, ThreadsOutOfRangeAreRefused) {
  for (const int n_threads : {-1, 100000}) {
    const auto chip =
        cpu::make_cpu_chip({.n_threads = n_threads, .level = "baseline", .bf16_dot = {}, .emulate_tiles = false});
    ASSERT_FALSE(chip.ok());
    EXPECT_EQ(chip.error().code, Code::kInvalidArgument);
  }
}

TEST(CpuMachine, DescribesItself) {
  const cpu::Machine machine = cpu::describe_machine();
  EXPECT_GE(machine.cores, 1);
  EXPECT_FALSE(machine.processor.empty());
  for (const test::NamedChip& chip : test::staged_cpu_chips()) {
    EXPECT_EQ(chip.chip->info().name, "cpu");
    EXPECT_NE(chip.chip->info().detail.find(machine.processor), std::string::npos);
  }
}

TEST(CpuChip, FreshMemoryIsZeroAndCostsNothingUntilTouched) {
  const auto& chip = test::staged_cpu_chips().front().chip;
  auto buffer = chip->allocate(int64_t{64} << 30);  // more than the machine has
  ASSERT_TRUE(buffer.ok());
  for (const int64_t at : {int64_t{0}, (int64_t{64} << 30) - 1}) {
    unsigned char byte = 7;
    ASSERT_TRUE(chip->copy_out(&byte, (*buffer)->address() + at, 1).ok());
    EXPECT_EQ(byte, 0);
  }
  auto none = chip->allocate(0);
  ASSERT_TRUE(none.ok());
}

TEST(CpuChip, MemoryThatCannotBeIsAnError) {
  const auto buffer = test::staged_cpu_chips().front().chip->allocate(int64_t{1} << 60);
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(buffer.error().code, Code::kResourceExhausted);
}

TEST(CpuChip, CountsTheKernelsThatRan) {
  auto chip = cpu::make_cpu_chip({.n_threads = 1, .level = "baseline", .bf16_dot = {}, .emulate_tiles = false});
  ASSERT_TRUE(chip.ok());
  test::StagingChip staged(std::move(*chip));
  EXPECT_TRUE(staged.kernel_uses().empty());
  float a[4] = {1, 2, 3, 4}, b[4] = {1, 1, 1, 1}, out[4] = {};
  const contract::Add add{test::host_view(a, DType::kF32, 1, 4), test::host_view(b, DType::kF32, 1, 4),
                          test::host_view(out, DType::kF32, 1, 4)};
  ASSERT_TRUE(staged.run(add).ok());
  ASSERT_TRUE(staged.run(add).ok());
  ASSERT_EQ(staged.kernel_uses().size(), 1u);
  EXPECT_EQ(staged.kernel_uses()[0].op, "add");
  EXPECT_EQ(staged.kernel_uses()[0].calls, 2);
  EXPECT_EQ(out[3], 5.0f);
}

#if defined(__x86_64__)
TEST(CpuChip, LeavesTheFloatingPointModeAsItWas) {
  for (const uint32_t mode : {0x1f80u, 0x1f80u | 0x6000u, 0x9fc0u}) {
    const uint32_t before = _mm_getcsr();
    _mm_setcsr(mode);
    auto chip = cpu::make_cpu_chip({.n_threads = 2, .level = {}, .bf16_dot = {}, .emulate_tiles = false});
    const uint32_t after_start = _mm_getcsr();
    float a[1] = {0x1p-126f}, b[1] = {-0x1.8p-126f}, out[1] = {7};
    const contract::Add add{test::host_view(a, DType::kF32, 1, 1), test::host_view(b, DType::kF32, 1, 1),
                            test::host_view(out, DType::kF32, 1, 1)};
    const bool ran = chip.ok() && test::StagingChip(std::move(*chip)).run(add).ok();
    const uint32_t after_run = _mm_getcsr();
    _mm_setcsr(before);
    EXPECT_TRUE(ran);
    // The sticky exception flags (low six bits) may be set.
    EXPECT_EQ(after_start & ~0x3fu, mode & ~0x3fu);
    EXPECT_EQ(after_run & ~0x3fu, mode & ~0x3fu);
    EXPECT_EQ(std::bit_cast<uint32_t>(out[0]), 0x80000000u);  // flushed, whatever mode the caller had
  }
}
#endif

// The calling thread takes part in every pool: what a pool prepared it for must outlive the ops of a chip.
TEST(CpuLevels, AThreadStaysPreparedBehindAnOp) {
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    if (!level.present) continue;
    const cpu::KernelTable& table = *cpu::choose_level(std::string(level.name)).value();
    const cpu::FloatMode whole_test(table);
    EXPECT_TRUE(cpu::is_prepared(table)) << level.name;
    for (const test::NamedChip& chip : test::staged_cpu_chips()) {  // of this and of other levels
      float a[1] = {1}, out[1] = {};
      const View x = test::host_view(a, DType::kF32, 1, 1), y = test::host_view(out, DType::kF32, 1, 1);
      ASSERT_TRUE(chip.chip->run(contract::Add{x, x, y}).ok());
      EXPECT_EQ(out[0], 2.0f);
      EXPECT_TRUE(cpu::is_prepared(table)) << level.name << " behind an op of " << chip.name;
    }
    {
      const cpu::FloatMode inner(*cpu::choose_level("baseline").value());
      EXPECT_EQ(cpu::is_prepared(table), level.name == "baseline") << level.name;
    }
    EXPECT_TRUE(cpu::is_prepared(table)) << level.name;
  }
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    EXPECT_FALSE(level.present && cpu::is_prepared(**cpu::choose_level(std::string(level.name)))) << level.name;
  }
}

}  // namespace
}  // namespace naru
