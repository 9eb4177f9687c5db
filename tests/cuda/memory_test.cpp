// Memory of the GPU chip: an op takes what was planned for it, what a device never gives in one piece is refused by the
// planner, and so is what it does not have.
#include "chips/gpu/device.h"
#include "chips/gpu/gpu_chip.h"
#include "contract/chip.h"
#include "tests/cuda/cuda_rig.h"

namespace naru {
namespace {

using gpu::ScratchSlots;

std::unique_ptr<contract::Chip> make_chip() {
  return gpu::make_gpu_chip(test::open_driver().value()).value();
}

// A product of [n, inputs] with [n, inputs]: of 5000 inputs its dots have three segments, of n x n parts each.
struct Product {
  std::unique_ptr<contract::Buffer> a, b, out;
  contract::Op op;
};
Product product(contract::Chip& chip, int64_t n, int64_t inputs) {
  Product made;
  for (auto* buffer : {&made.a, &made.b}) *buffer = chip.allocate(n * inputs * 4).value();
  made.out = chip.allocate(n * n * 4).value();
  made.op = contract::Product{.a = make_view(made.a->address(), DType::kF32, n, inputs),
                              .b = make_view(made.b->address(), DType::kF32, n, inputs),
                              .a_transposed = false,
                              .b_transposed = false,
                              .rule = contract::Rule::kF32,
                              .out = make_view(made.out->address(), DType::kF32, n, n)};
  return made;
}

TEST(GpuMemory, SlotsLieOneBehindAnother) {
  test::Standin standin;
  gpu::Device device(test::open_driver().value());
  ASSERT_TRUE(device.open().ok());
  const int64_t before = device.used_bytes();
  EXPECT_EQ(device.scratch_bytes(), 0);
  const ScratchSlots slots{100, 300, 0, 8};
  EXPECT_EQ(gpu::total_bytes(slots), 256 + 512 + 256);
  ASSERT_TRUE(device.begin_op("first", {}, slots).ok());
  const gpu::MemoryPlace first = device.scratch(0, 100).value(), second = device.scratch(1, 300).value();
  EXPECT_EQ(first.offset, 0);
  EXPECT_EQ(second.offset, 256);
  EXPECT_EQ(device.scratch(3, 8)->offset, 768);
  EXPECT_EQ(device.scratch(1, 4)->offset, 256) << "again";
  EXPECT_EQ(device.scratch_bytes(), 4096);
  // Smaller ones take no more, whichever slots they have; a larger one takes its own and not both.
  ASSERT_TRUE(device.begin_op("second", {}, {0, 0, 0, 0, 0, 4096}).ok());
  EXPECT_EQ(device.scratch(5, 4096)->memory, first.memory);
  EXPECT_EQ(device.used_bytes(), before + 4096);
  ASSERT_TRUE(device.begin_op("third", {}, {4097}).ok());
  EXPECT_EQ(device.scratch_bytes(), 8192);
  EXPECT_EQ(device.used_bytes(), before + 8192);
}

TEST(GpuMemoryDeathTest, AnOpTakesNoMoreThanItSaid) {
  test::Standin standin;
  gpu::Device device(test::open_driver().value());
  ASSERT_TRUE(device.open().ok() && device.begin_op("attention", {}, {100}).ok());
  EXPECT_DEATH(static_cast<void>(device.scratch(0, 101).ok()), "more than was planned.*attention");
}

TEST(GpuMemory, WhatAnOpHoldsIsPlannedAndTold) {
  test::Standin standin;
  const auto chip = make_chip();
  const auto planner = chip->planner();
  ASSERT_TRUE(planner->run(product(*planner, 6, 5000).op).ok());
  EXPECT_EQ(planner->memory().scratch, 512) << "3 x 6 x 6 x 4";
  const Product made = product(*chip, 6, 5000);
  EXPECT_EQ(chip->memory().scratch, 0);
  const int64_t free = chip->memory().free;
  ASSERT_TRUE(chip->run(made.op).ok());
  EXPECT_EQ(chip->memory().scratch, 4096);
  EXPECT_EQ(chip->memory().free, free - 4096);
  ASSERT_TRUE(chip->run(made.op).ok());
  EXPECT_EQ(chip->memory().free, free - 4096);
}

void expect_refused(const Status& status, std::string_view words) {
  ASSERT_FALSE(status.ok()) << words;
  EXPECT_EQ(status.error().code, Code::kResourceExhausted) << status.error().message;
  EXPECT_NE(status.error().message.find(words), std::string::npos) << status.error().message;
}

// The stand-in has 64 MiB, and gives them at once.
TEST(GpuMemory, WhatIsTooLargeInOnePieceIsRefusedByThePlanner) {
  const test::Variable limit("NARU_STANDIN_MEMORY", "64");
  test::Standin standin;
  const auto chip = make_chip();
  for (const auto& planner : {chip->planner(), chip->planner()->planner()}) {
    EXPECT_TRUE(planner->allocate(int64_t{64} << 20).ok());
    expect_refused(Status(std::move(planner->allocate((int64_t{64} << 20) + 1)).error()),
                   "planning memory: a buffer takes 64.0 MiB in one piece, but chip cuda gives 64.0 MiB at once at "
                   "most; use a smaller model (a quantised kind), context or batch, or chip cpu");
    EXPECT_TRUE(planner->allocate(int64_t{1} << 50).ok()) << "a range to measure in";
    contract::MatrixSource experts{.dtype = DType::kF32, .groups = 64, .outputs = 512, .inputs = 1024, .row = {}};
    expect_refused(Status(std::move(planner->pack(experts, contract::Rule::kF32)).error()),
                   "64 matrices of 512 x 1024 takes 128.0 MiB in one piece");
    experts.groups = 16;
    EXPECT_TRUE(planner->pack(experts, contract::Rule::kF32).ok());
    planner->set_place({"layer", 3});
    expect_refused(planner->run(product(*planner, 3000, 4096).op),
                   "layer 3: planning memory: what product works in takes 68.7 MiB in one piece");
  }
}

TEST(GpuMemory, AnOpThatFindsNoMemoryIsAnErrorAndTheChipGoesOn) {
  const test::Variable limit("NARU_STANDIN_MEMORY", "64");
  test::Standin standin;
  const auto chip = make_chip();
  const Product made = product(*chip, 6, 5000);
  const int64_t free = chip->memory().free;
  auto rest = chip->allocate(free).value();
  chip->set_place({"layer", 3});
  expect_refused(chip->run(made.op), "layer 3: allocating ");
  rest.reset();
  EXPECT_TRUE(chip->run(made.op).ok());
}

}  // namespace
}  // namespace naru
