// The cache of a layer: a short list of streams by role. Layers may differ in theirs.
#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "contract/chip.h"

namespace naru::nn {

// What the rows of a stream are to their layer.
enum class StreamRole : uint8_t {
  kKey,       // keys; in latent attention the one row of a position, key and value at once
  kValue,     // values, where they are rows of their own
  kIndexKey,  // what queries are compared with to select keys
};

struct StreamShape {
  StreamRole role = StreamRole::kKey;
  contract::CacheShape shape;
};
using LayerCacheShape = std::vector<StreamShape>;  // one of a role at most

// Chip memory of one page of all streams.
inline int64_t page_bytes(const contract::Chip& chip, const LayerCacheShape& shape) {
  int64_t bytes = 0;
  for (const StreamShape& stream : shape) bytes += chip.cache_page_bytes(stream.shape);
  return bytes;
}

class LayerCache {
 public:
  struct Stream {
    StreamRole role = StreamRole::kKey;
    contract::CacheStream stream;
  };

  // make(CacheShape) gives the Result<CacheStream> of each stream, in their order.
  template <typename Make>
  static Result<LayerCache> create(const LayerCacheShape& shape, const Make& make) {
    LayerCache cache;
    for (const StreamShape& stream : shape) {
      NARU_CHECK(cache.find(stream.role) == nullptr, static_cast<int>(stream.role));
      cache.streams_.push_back({stream.role, {}});
      NARU_ASSIGN(cache.streams_.back().stream, make(stream.shape));
    }
    return cache;
  }

  // Every page of every stream at one place: for programs that run on a planner, which nobody writes.
  static Result<LayerCache> create_on(const LayerCacheShape& shape, ChipAddress page) {
    return create(shape, [page](const contract::CacheShape& of) -> Result<contract::CacheStream> {
      return contract::CacheStream{of, page, 1};
    });
  }

  const std::vector<Stream>& streams() const { return streams_; }
  bool has(StreamRole role) const { return find(role) != nullptr; }
  const contract::CacheStream& operator[](StreamRole role) const {
    const contract::CacheStream* stream = find(role);
    NARU_CHECK(stream != nullptr, "a layer without a stream of this role", static_cast<int>(role));
    return *stream;
  }

 private:
  const contract::CacheStream* find(StreamRole role) const {
    for (const Stream& stream : streams_) {
      if (stream.role == role) return &stream.stream;
    }
    return nullptr;
  }

  std::vector<Stream> streams_;
};

}  // namespace naru::nn
