#include "chips/cuda/memory.h"

#include <algorithm>
#include <cstring>

namespace naru::cuda {
namespace {

constexpr size_t kAsideBytes = size_t{1} << 20, kAsideMost = size_t{64} << 10, kAlignment = 256;

}  // namespace

Heap::~Heap() {
  api_.set_context(context_);
  wait();
  for (const Address address : unused_) api_.free(address);
  if (aside_ != nullptr) api_.free_host(aside_);
}

DriverCode Heap::open() {
  return api_.allocate_host(&aside_, kAsideBytes);
}

DriverCode Heap::allocate(Address* address, size_t bytes) {
  DriverCode code = api_.allocate(address, bytes);
  if (code != kOutOfMemory || unused_.empty()) return code;
  if (const DriverCode waited = wait(); waited != kSuccess) return waited;
  return api_.allocate(address, bytes);
}

DriverCode Heap::copy_in(Address to, const void* from, size_t bytes) {
  if (bytes > kAsideMost) {
    const DriverCode code = api_.copy_in(to, from, bytes, stream_);
    return code == kSuccess ? wait() : code;
  }
  if (aside_used_ + bytes > kAsideBytes) {
    if (const DriverCode code = wait(); code != kSuccess) return code;
  }
  auto* place = static_cast<std::byte*>(aside_) + aside_used_;
  std::memcpy(place, from, bytes);
  aside_used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return api_.copy_in(to, place, bytes, stream_);
}

DriverCode Heap::wait() {
  DriverCode code = api_.synchronize(stream_);
  if (code != kSuccess) return code;
  aside_used_ = 0;
  for (const Address address : std::exchange(unused_, {})) {
    const DriverCode freed = api_.free(address);
    if (code == kSuccess) code = freed;
  }
  return code;
}

}  // namespace naru::cuda
