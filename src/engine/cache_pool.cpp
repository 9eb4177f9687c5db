#include "engine/cache_pool.h"

#include <algorithm>
#include <numeric>

#include "base/philox.h"

namespace naru::engine {

Result<CachePool> CachePool::create(contract::Chip& chip, std::span<const nn::LayerCacheShape> shapes,
                                    int64_t n_pages) {
  NARU_CHECK(n_pages > 0 && n_pages <= INT32_MAX, n_pages);
  CachePool pool;
  pool.chip_ = &chip;
  const auto add_stream = [&](const contract::CacheShape& shape) -> Result<contract::CacheStream> {
    const int64_t page_bytes = chip.cache_page_bytes(shape);
    NARU_ASSIGN(auto buffer, chip.allocate(page_bytes * n_pages));
    pool.buffers_.push_back(std::move(buffer));
    return contract::CacheStream{shape, pool.buffers_.back()->address(), page_bytes};
  };
  for (const nn::LayerCacheShape& shape : shapes) {
    NARU_ASSIGN(pool.layers_.emplace_back(), nn::LayerCache::create(shape, add_stream));
  }
  pool.references_.assign(static_cast<size_t>(n_pages), 0);
  pool.is_cached_.assign(static_cast<size_t>(n_pages), 0);
  pool.free_.resize(static_cast<size_t>(n_pages));
  std::iota(pool.free_.rbegin(), pool.free_.rend(), 0);
  return pool;
}

int32_t CachePool::allocate() {
  if (free_.empty()) return -1;
  const int32_t page = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(page)] = 1;
  return page;
}

void CachePool::add_reference(int32_t page) {
  int32_t& n = references_[static_cast<size_t>(page)];
  NARU_CHECK(n > 0, page);
  if (n == 1 && is_cached_[static_cast<size_t>(page)] != 0) --n_cached_;
  ++n;
}

void CachePool::release(int32_t page) {
  int32_t& n = references_[static_cast<size_t>(page)];
  NARU_CHECK(n > 0, page);
  --n;
  const bool is_cached = is_cached_[static_cast<size_t>(page)] != 0;
  if (n == 1 && is_cached) ++n_cached_;
  if (n > 0) return;
  NARU_CHECK(!is_cached, page);
  free_.push_back(page);
}

void CachePool::set_cached(int32_t page, bool is_cached) {
  char& flag = is_cached_[static_cast<size_t>(page)];
  const int32_t n = references_[static_cast<size_t>(page)];
  NARU_CHECK(n > 0 && (flag != 0) != is_cached, page, n);
  flag = is_cached ? 1 : 0;
  if (n == 1) n_cached_ += is_cached ? 1 : -1;
}

Result<int32_t> CachePool::copy(int32_t page) {
  const int32_t to = allocate();
  if (to < 0) return to;
  for (const nn::LayerCache& layer : layers_) {
    for (const nn::LayerCache::Stream& each : layer.streams()) {
      Status status = chip_->copy_cache_page(each.stream, page, to);
      if (status.ok()) continue;
      release(to);
      return std::move(status).error();
    }
  }
  return to;
}

void CachePool::shuffle_free(uint64_t seed) {
  for (size_t i = free_.size(); i > 1; --i) {
    const PhiloxBlock block = draw(seed, DrawPurpose::kTest, 0, i);
    std::swap(free_[i - 1], free_[block[0] % i]);
  }
}

}  // namespace naru::engine
