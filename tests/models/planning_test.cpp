// What planning runs on: a planner's addresses and the workspace that measures. Neither takes memory or addresses of
// the process, and what is beyond all bounds is an error, never a CHECK.
#include <fstream>
#include <set>

#include "chips/cpu/cpu_chip.h"
#include "chips/reference/reference_chip.h"
#include "nn/context.h"
#include "tests/models/harness.h"

namespace naru::models {
namespace {

const contract::Chip& reference_chip() {
  static const auto chip = reference::make_reference_chip();
  return *chip;
}

int64_t pages_of_addresses() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages;
}

TEST(Planning, AddressesAreApartAndCostNothing) {
  const auto chip = reference_chip().planner();
  const int64_t pages = pages_of_addresses();
  std::vector<std::unique_ptr<contract::Buffer>> buffers;
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{100}, int64_t{1} << 44, int64_t{1} << 50}) {
    buffers.push_back(chip->allocate(bytes).value());
    EXPECT_GE(buffers.back()->bytes(), bytes);
    EXPECT_FALSE(buffers.back()->address().is_null());
  }
  EXPECT_LT(pages_of_addresses() - pages, (int64_t{1} << 30) / 4096);
  buffers.erase(buffers.begin() + 2);  // those behind it are still held
  buffers.push_back(chip->allocate(1000).value());
  std::set<std::pair<ChipAddress, ChipAddress>> ranges;
  for (const auto& buffer : buffers) ranges.insert({buffer->address(), buffer->address() + buffer->bytes()});
  ChipAddress end;
  for (const auto& range : ranges) {
    EXPECT_LT(end, range.first);
    end = range.second;
  }
}

TEST(Planning, AddressesComeBack) {
  const auto chip = reference_chip().planner();
  for (int i = 0; i < 100000; ++i) ASSERT_TRUE(chip->allocate(int64_t{1} << 50).ok()) << i;
  const auto none = chip->allocate(INT64_MAX);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, Code::kResourceExhausted);
  // A buffer may be the last that is left of its chip.
  auto buffer = reference_chip().planner()->allocate(64).value();
  buffer.reset();
}

TEST(Planning, SizesAreThoseOfTheChip) {
  for (const bool is_cpu : {false, true}) {
    const auto chip = is_cpu ? cpu::make_cpu_chip({.n_threads = 1, .level = {}, .bf16_dot = {}}).value()
                             : reference::make_reference_chip();
    const auto planner = chip->planner();
    EXPECT_TRUE(planner->info().is_planner && !chip->info().is_planner);
    EXPECT_TRUE(planner->planner()->info().is_planner);
    for (const contract::CacheUse use : {contract::CacheUse::kKey, contract::CacheUse::kValue}) {
      const contract::CacheShape shape{3, 17, DType::kBF16, use};
      EXPECT_EQ(planner->cache_page_bytes(shape), chip->cache_page_bytes(shape)) << chip->info().name;
    }
    contract::MatrixSource source;  // of rows that cannot be asked for
    source.outputs = 33;
    source.inputs = 100;
    const auto packed = planner->pack(source, contract::Rule::kBF16).value();
    EXPECT_EQ(packed->bytes, chip->packed_bytes(DType::kF32, contract::Rule::kBF16, 1, 33, 100)) << chip->info().name;
    EXPECT_GT(packed->bytes, 0);
  }
}

TEST(Planning, AMeasuringWorkspaceCountsToItsBound) {
  const auto chip = reference_chip().planner();
  nn::Workspace workspace = nn::Workspace::measuring(*chip).value();
  workspace.take(int64_t{1} << 24, int64_t{1} << 23);  // 2^49 bytes
  workspace.take(int64_t{1} << 24, (int64_t{1} << 23) - 1);
  EXPECT_TRUE(workspace.within_bounds().ok());
  const int64_t counted = workspace.peak_bytes();
  EXPECT_EQ(counted, (int64_t{1} << 50) - (int64_t{1} << 26));
  nn::Context ctx{.chip = *chip, .workspace = workspace, .sequences = {}, .cos = {}, .sin = {}};
  for (const int64_t cols : {int64_t{1} << 23, int64_t{1} << 40, int64_t{1} << 62}) {
    const View view = workspace.take(int64_t{1} << 24, cols);
    EXPECT_FALSE(view.empty());
    const Status status = ctx.run(contract::Fill{.out = view, .value = 0});
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::kResourceExhausted);
    EXPECT_EQ(workspace.peak_bytes(), counted);
  }
}

TEST(PlanningDeathTest, OperandsLieInBuffersAndThoseOfAListInOne) {
  const auto planner = reference_chip().planner();
  const auto first = planner->allocate(4 * 64).value(), second = planner->allocate(4 * 64).value();
  const View a = make_view(first->address(), DType::kF32, 8, 8), b = make_view(second->address(), DType::kF32, 8, 8);
  const std::vector<View> one = {a.slice_rows(0, 4), a.slice_rows(4, 4)},
                          two = {a.slice_rows(0, 4), b.slice_rows(0, 4)};
  const auto weight_grad = [&](const std::vector<View>& out) {
    return planner->run(contract::WeightGrad{.dy = b.slice_cols(0, 4), .x = b, .out = out});
  };
  EXPECT_TRUE(weight_grad(one).ok());
  EXPECT_DEATH((void)weight_grad(two), "a list of views in several buffers");
  EXPECT_DEATH((void)planner->run(contract::Fill{.out = make_view(second->address() + (1 << 20), DType::kF32, 1, 1)}),
               "a view outside of all buffers");
  const Status beyond = planner->run(contract::Fill{.out = make_view(second->address(), DType::kF32, 9, 8)});
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, Code::kResourceExhausted);
}

TEST(PlanningDeathTest, OnlyAPlannerMeasures) {
  const auto chip = reference::make_reference_chip();
  EXPECT_DEATH((void)nn::Workspace::measuring(*chip), "measuring takes a planner");
}

}  // namespace
}  // namespace naru::models
