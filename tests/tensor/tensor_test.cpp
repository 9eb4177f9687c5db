// Kinds of elements, addresses and views: sizes, refusals, order; which bytes a slice shows.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <set>
#include <unordered_set>
#include <vector>

#include "chips/memory/address_space.h"
#include "tensor/quant_blocks.h"
#include "tensor/view.h"

namespace naru {
namespace {

constexpr int kDTypes = static_cast<int>(DType::kQ6_K) + 1;
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(DType, EveryKindHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i < kDTypes; ++i) {
    const DTypeInfo& info = dtype_info(static_cast<DType>(i));
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_EQ(info.block_elements == 1, !is_quantised(static_cast<DType>(i))) << info.name;
  }
}

TEST(DType, BytesAreThoseOfWholeBlocks) {
  EXPECT_EQ(dtype_bytes(DType::kF32, 5), 20);
  EXPECT_EQ(dtype_bytes(DType::kQ8_0, 64), 68);
  EXPECT_EQ(dtype_bytes(DType::kQ6_K, 256), 210);
  for (int i = 0; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    const DTypeInfo& info = dtype_info(dtype);
    EXPECT_EQ(dtype_bytes(dtype, 0), 0) << info.name;
    EXPECT_EQ(dtype_bytes(dtype, 3 * info.block_elements), 3 * info.block_bytes) << info.name;
    EXPECT_EQ(dtype_bytes(dtype, -info.block_elements), std::nullopt) << info.name;
    if (info.block_elements > 1) {
      EXPECT_EQ(dtype_bytes(dtype, info.block_elements - 1), std::nullopt) << info.name;
    }
    if (info.block_bytes > info.block_elements) {
      EXPECT_EQ(dtype_bytes(dtype, kMax / info.block_elements * info.block_elements), std::nullopt) << info.name;
    }
  }
}

TEST(ChipAddress, MovesComparesAndHashes) {
  const ChipAddress none, begin = AddressSpace::address(1000), end = begin + 24;
  EXPECT_TRUE(none.is_null());
  EXPECT_FALSE(begin.is_null());
  EXPECT_EQ(end - begin, 24);
  EXPECT_EQ(begin - end, -24);
  EXPECT_EQ(end + -24, begin);
  EXPECT_LT(begin, end);
  EXPECT_EQ(std::unordered_set<ChipAddress>({begin, end, end + 0}).size(), 2u);
  const ChipAddress high = AddressSpace::address(uint64_t{1} << 63);  // above all that a signed number holds
  EXPECT_GT(high, end);
  EXPECT_EQ(AddressSpace::number(high + 8), (uint64_t{1} << 63) + 8);
}

TEST(View, SlicesShowTheirPart) {
  const View all{AddressSpace::address(4096), DType::kF32, 5, 12, 20};
  const View rows = all.slice_rows(2, 3), cols = all.slice_cols(4, 8);
  EXPECT_EQ(rows.address - all.address, 2 * 20 * 4);
  EXPECT_EQ(rows.rows, 3);
  EXPECT_EQ(rows.row_stride, 20);
  EXPECT_EQ(cols.address - all.address, 4 * 4);
  EXPECT_EQ(cols.cols, 8);
  EXPECT_EQ(cols.rows, 5);
  EXPECT_EQ(all.slice_rows(5, 0).rows, 0);
  const View parts = make_view(all.address, DType::kF32, 3, 12).split_cols(4);
  EXPECT_EQ(parts.rows, 12);
  EXPECT_EQ(parts.cols, 3);
  EXPECT_EQ(parts.row_stride, 3);
}

TEST(ViewDeathTest, ASliceBeyondItsViewIsOurMistake) {
  const View all = make_view(AddressSpace::address(4096), DType::kF32, 5, 12);
  EXPECT_DEATH((void)all.slice_rows(3, 3), "begin");
  EXPECT_DEATH((void)all.slice_cols(-1, 2), "begin");
  EXPECT_DEATH((void)all.split_cols(5), "parts");
}

// A block of Q8_0 is an f16 scale and 32 signed bytes.
TEST(QuantBlocks, ValuesOfABlock) {
  std::vector<std::byte> bytes(34);
  const uint16_t half = 0x3800;  // 0.5
  std::memcpy(bytes.data(), &half, 2);
  for (int e = 0; e < 32; ++e) bytes[static_cast<size_t>(2 + e)] = static_cast<std::byte>(e * 8 - 128);
  QuantBlock block;
  read_quant_block(DType::kQ8_0, bytes.data(), block);
  for (int e = 0; e < 32; ++e) {
    EXPECT_EQ(quant_block_value(DType::kQ8_0, block, e), 0.5f * static_cast<float>(e * 8 - 128)) << e;
  }
}

}  // namespace
}  // namespace naru
