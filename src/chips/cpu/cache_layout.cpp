#include "chips/cpu/cache_layout.h"

#include <cstring>

#include "base/checked.h"
#include "chips/memory/host_memory.h"

namespace naru::cpu {

int64_t cache_page_bytes(const contract::CacheShape& shape) {
  return round_up(shape.heads * cache_head_bytes(shape), 64);
}

void copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) {
  std::byte* base = pointer_of(stream.address);
  std::memmove(base + to * stream.page_bytes, base + from * stream.page_bytes, static_cast<size_t>(stream.page_bytes));
}

}  // namespace naru::cpu
