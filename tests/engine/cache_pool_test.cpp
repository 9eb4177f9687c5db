// The pool's areas: layers may differ in their streams, and a page is one index in all of them.
#include "engine/cache_pool.h"

#include <gtest/gtest.h>

#include "tests/test_chip.h"

namespace naru::engine {
namespace {

using contract::CacheUse;
using nn::StreamRole;

std::vector<nn::LayerCacheShape> three_layers() {
  return {{{StreamRole::kKey, {1, 6, DType::kF32, CacheUse::kKeyAndValue}},
           {StreamRole::kIndexKey, {1, 3, DType::kBF16, CacheUse::kKey}}},
          {{StreamRole::kKey, {2, 4, DType::kF32, CacheUse::kKey}},
           {StreamRole::kValue, {2, 5, DType::kF32, CacheUse::kValue}}},
          {{StreamRole::kKey, {1, 6, DType::kF32, CacheUse::kKeyAndValue}}}};
}

std::vector<std::byte> page_of(contract::Chip& chip, const contract::CacheStream& stream, int32_t page) {
  std::vector<std::byte> bytes(static_cast<size_t>(stream.page_bytes));
  EXPECT_TRUE(chip.copy_out(bytes.data(), stream.address + page * stream.page_bytes, stream.page_bytes).ok());
  return bytes;
}

TEST(CachePool, LayersMayDiffer) {
  const auto chip = test::make_chip("reference");
  const std::vector<nn::LayerCacheShape> shapes = three_layers();
  auto pool = CachePool::create(*chip, shapes, 4);
  ASSERT_TRUE(pool.ok());
  ASSERT_EQ(pool->layers().size(), 3u);
  EXPECT_TRUE(pool->layers()[0].has(StreamRole::kIndexKey));
  EXPECT_FALSE(pool->layers()[0].has(StreamRole::kValue));
  EXPECT_EQ(pool->layers()[0][StreamRole::kIndexKey].shape.width, 3);
  EXPECT_EQ(pool->layers()[1][StreamRole::kValue].shape.width, 5);
  EXPECT_EQ(pool->layers()[2].streams().size(), 1u);

  const int32_t from = pool->allocate();
  int mark = 1;
  for (const nn::LayerCache& layer : pool->layers()) {
    for (const nn::LayerCache::Stream& each : layer.streams()) {
      const std::vector<std::byte> bytes(static_cast<size_t>(each.stream.page_bytes), static_cast<std::byte>(mark++));
      ASSERT_TRUE(
          chip->copy_in(each.stream.address + from * each.stream.page_bytes, bytes.data(), each.stream.page_bytes)
              .ok());
    }
  }
  const auto to = pool->copy(from);
  ASSERT_TRUE(to.ok());
  mark = 1;
  for (const nn::LayerCache& layer : pool->layers()) {
    for (const nn::LayerCache::Stream& each : layer.streams()) {
      const std::vector<std::byte> want(static_cast<size_t>(each.stream.page_bytes), static_cast<std::byte>(mark++));
      EXPECT_EQ(page_of(*chip, each.stream, *to), want) << mark;
    }
  }
}

TEST(CachePool, ADecodersLayersMayDiffer) {
  nn::GroupedQueryAttention grouped;
  grouped.heads = 4, grouped.kv_heads = 2, grouped.head_dim = 8;
  nn::LatentAttention latent[2];
  for (nn::LatentAttention& one : latent)
    one.heads = 4, one.nope_dim = 8, one.rope_dim = 2, one.v_dim = 6, one.latent_dim = 5;
  latent[1].is_latent_form = false;
  models::Decoder decoder;
  decoder.layers.resize(3);
  decoder.layers[0].attention = std::move(grouped);
  for (size_t i = 0; i < 2; ++i) decoder.layers[i + 1].attention = std::move(latent[i]);
  const std::vector<nn::LayerCacheShape> shapes = decoder.cache_shapes(DType::kBF16);
  ASSERT_EQ(shapes.size(), 3u);
  ASSERT_EQ(shapes[1].size(), 1u);
  EXPECT_EQ(shapes[1][0].role, StreamRole::kKey);
  EXPECT_EQ(shapes[1][0].shape.use, CacheUse::kKeyAndValue);
  EXPECT_EQ(shapes[1][0].shape.width, 7);
  ASSERT_EQ(shapes[2].size(), 2u);
  EXPECT_EQ(shapes[2][1].role, StreamRole::kValue);
  EXPECT_EQ(shapes[2][1].shape.width, 6);
  const auto chip = test::make_chip("reference");
  const auto bytes = [&](const nn::LayerCacheShape& shape) { return nn::page_bytes(*chip, shape); };
  EXPECT_EQ(bytes(shapes[0]), 32 * 4 * (2 * 8 + 2 * 8));
  EXPECT_EQ(bytes(shapes[1]), 32 * 4 * 7);
  EXPECT_EQ(bytes(shapes[2]), 32 * 4 * (4 * 10 + 4 * 6));
}

}  // namespace
}  // namespace naru::engine
