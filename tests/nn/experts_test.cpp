// A layer of experts on the CPU chip: decoding a token takes no memory from the host's heap.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "check/values.h"
#include "chips/cpu/cpu_chip.h"
#include "chips/cpu/cpu_level.h"
#include "nn/layers.h"
#include "tests/chip_memory.h"

namespace {
std::atomic<int64_t> allocations{0};
}

// All of the program's; only differences are read. Not inlined: the compiler would take the pairs for mismatched.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace naru::nn {
namespace {

constexpr int64_t kWidth = 256, kInner = 512, kExperts = 24, kChosen = 6;

std::unique_ptr<contract::PackedMatrix> random_matrix(contract::Chip& chip, DType dtype, contract::Rule rule,
                                                      int64_t groups, int64_t outputs, int64_t inputs) {
  const int64_t row_bytes = *dtype_bytes(dtype, inputs);
  const std::vector<std::byte> bytes = check::stored_rows(dtype, 1, 1, groups * outputs, inputs, check::Values::kPlain);
  contract::MatrixSource source;
  source.dtype = dtype;
  source.groups = groups;
  source.outputs = outputs;
  source.inputs = inputs;
  source.row = [&](int64_t group, int64_t output, std::byte*) {
    return bytes.data() + (group * outputs + output) * row_bytes;
  };
  return chip.pack(source, rule).value();
}

Experts make_experts(contract::Chip& chip, DType dtype, contract::Rule rule) {
  Experts experts;
  experts.n_chosen = kChosen;
  experts.scoring = contract::Scoring::kSigmoid;
  experts.group_score = contract::GroupScore::kTopTwoSum;
  experts.n_group = 4;
  experts.topk_group = 2;
  experts.normalise = true;
  experts.router.weight = random_matrix(chip, DType::kF32, contract::Rule::kF32, 1, kExperts, kWidth);
  experts.gate = random_matrix(chip, dtype, rule, kExperts, kInner, kWidth);
  experts.up = random_matrix(chip, dtype, rule, kExperts, kInner, kWidth);
  experts.down = random_matrix(chip, dtype, rule, kExperts, kWidth, kInner);
  experts.shared = std::make_unique<FeedForward>();
  experts.shared->gate.weight = random_matrix(chip, dtype, rule, 1, kInner, kWidth);
  experts.shared->up.weight = random_matrix(chip, dtype, rule, 1, kInner, kWidth);
  experts.shared->down.weight = random_matrix(chip, dtype, rule, 1, kWidth, kInner);
  return experts;
}

struct Kind {
  DType dtype;
  contract::Rule rule;
};

TEST(Experts, DecodingAllocatesNothing) {
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    if (!level.present) continue;
    cpu::CpuOptions options;
    options.n_threads = 2;
    options.level = std::string(level.name);
    const auto made = cpu::make_cpu_chip(options).value();  // the chip itself: one of tests would allocate
    for (const Kind kind : {Kind{DType::kF32, contract::Rule::kF32}, Kind{DType::kF32, contract::Rule::kBF16},
                            Kind{DType::kQ4_K, contract::Rule::kQ4_K}}) {
      contract::Chip& chip = *made;
      const Experts experts = make_experts(chip, kind.dtype, kind.rule);
      Workspace workspace = Workspace::create(chip, int64_t{1} << 24).value();
      constexpr int64_t kTokens = 5;
      const std::vector<float> values = check::drawn_floats(1, 3, kTokens * kWidth, check::Values::kPlain);
      const test::ChipRows x = test::rows_on(chip, values.data(), DType::kF32, kTokens, kWidth);
      const test::ChipRows out = test::rows_on(chip, values.data(), DType::kF32, 1, kWidth);
      int64_t before = 0;
      for (int64_t token = 0; token < kTokens; ++token) {
        const WorkspaceScope scope(workspace);
        const View row = x.view.slice_rows(token, 1);
        Context ctx{.chip = chip, .workspace = workspace, .sequences = {}, .n_rows = 1, .cos = {}, .sin = {}};
        ASSERT_TRUE(experts.forward(ctx, row, row, out.view).ok()) << level.name;
        if (token == 0) before = allocations;  // the first one brings scratch memory to its size
      }
      EXPECT_EQ(allocations - before, 0) << level.name << ", rule " << contract::rule_name(kind.rule);
    }
  }
}

}  // namespace
}  // namespace naru::nn
