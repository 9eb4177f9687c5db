// CachePool: the memory of the cache. One area per stream of a layer, cut into pages of contract::kCachePage positions;
// a page index means the same positions in every area. Pages are counted by reference: sessions, snapshots and the
// prefix cache share them. A page with more than one reference is never written.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/decoder.h"

namespace naru::engine {

class CachePool {
 public:
  static Result<CachePool> create(contract::Chip& chip, std::span<const nn::LayerCacheShape> shapes, int64_t n_pages);

  int64_t n_pages() const { return static_cast<int64_t>(references_.size()); }
  int64_t n_free() const { return static_cast<int64_t>(free_.size()); }
  // Pages that only the prefix cache refers to.
  int64_t n_cached() const { return n_cached_; }
  int32_t references(int32_t page) const { return references_[static_cast<size_t>(page)]; }

  // A page with one reference, or -1 where none is free. Its rows are whatever was there.
  int32_t allocate();
  void add_reference(int32_t page);
  // The last reference frees the page.
  void release(int32_t page);
  // A page of one reference with the rows of `page`; -1 where none is free.
  Result<int32_t> copy(int32_t page);

  // Says that one of the page's references is, or no longer is, that of the prefix cache.
  void set_cached(int32_t page, bool is_cached);

  std::span<const nn::LayerCache> layers() const { return layers_; }

  // Puts the free pages in an order drawn from `seed`: which page a sequence gets must never matter.
  void shuffle_free(uint64_t seed);

 private:
  CachePool() = default;

  contract::Chip* chip_ = nullptr;
  std::vector<std::unique_ptr<contract::Buffer>> buffers_;
  std::vector<nn::LayerCache> layers_;
  std::vector<int32_t> references_;
  std::vector<char> is_cached_;
  std::vector<int32_t> free_;  // the next one is at the back
  int64_t n_cached_ = 0;
};

}  // namespace naru::engine
