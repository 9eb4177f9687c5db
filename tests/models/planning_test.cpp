// What planning runs on: the null chip's addresses and the workspace that measures. Neither takes memory or addresses
// of the process, and what is beyond all bounds is an error, never a CHECK.
#include <fstream>
#include <set>

#include "chips/null/null_chip.h"
#include "chips/reference/reference_chip.h"
#include "nn/context.h"
#include "tests/models/harness.h"

namespace naru::models {
namespace {

int64_t pages_of_addresses() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages;
}

TEST(Planning, AddressesOfTheNullChipAreApartAndCostNothing) {
  const auto chip = null::make_null_chip();
  const int64_t pages = pages_of_addresses();
  std::vector<std::unique_ptr<contract::Buffer>> buffers;
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{100}, int64_t{1} << 44, int64_t{1} << 50}) {
    buffers.push_back(chip->allocate(bytes).value());
    EXPECT_GE(buffers.back()->bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffers.back()->data()) % 64, 0u);
  }
  EXPECT_LT(pages_of_addresses() - pages, (int64_t{1} << 30) / 4096);
  buffers.erase(buffers.begin() + 2);  // those behind it are still held
  buffers.push_back(chip->allocate(1000).value());
  std::set<std::pair<uintptr_t, uintptr_t>> ranges;
  for (const auto& buffer : buffers) {
    const auto begin = reinterpret_cast<uintptr_t>(buffer->data());
    ranges.insert({begin, begin + static_cast<uintptr_t>(buffer->bytes())});
  }
  uintptr_t end = 0;
  for (const auto& range : ranges) {
    EXPECT_LT(end, range.first);
    end = range.second;
  }
}

TEST(Planning, AddressesComeBack) {
  const auto chip = null::make_null_chip();
  for (int i = 0; i < 100000; ++i) ASSERT_TRUE(chip->allocate(int64_t{1} << 50).ok()) << i;
  const auto none = chip->allocate(INT64_MAX);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, Code::kResourceExhausted);
  // A buffer may be the last that is left of its chip.
  auto buffer = null::make_null_chip()->allocate(64).value();
  buffer.reset();
}

TEST(PlanningDeathTest, NothingIsReadThere) {
  const auto buffer = null::make_null_chip()->allocate(1 << 20).value();
  EXPECT_DEATH((void)*static_cast<volatile char*>(buffer->data()), "");
  EXPECT_DEATH((void)*(static_cast<volatile char*>(buffer->data()) + (1 << 19)), "");
}

TEST(Planning, AMeasuringWorkspaceCountsToItsBound) {
  const auto chip = null::make_null_chip();
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

TEST(PlanningDeathTest, OnlyAChipWithoutMemoryMeasures) {
  const auto chip = reference::make_reference_chip();
  EXPECT_DEATH((void)nn::Workspace::measuring(*chip), "measuring takes a chip without memory");
}

}  // namespace
}  // namespace naru::models
