#include "chips/cuda/memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace naru::cuda {
namespace {

constexpr size_t kAsideBytes = size_t{4} << 20, kPartBytes = size_t{2} << 20, kAlignment = 256;

}  // namespace

Heap::~Heap() {
  api_.set_context(context_);
  wait();
  for (const Address address : unused_) api_.free(address);
  if (aside_ != nullptr) api_.free_host(aside_);
}

DriverCode Heap::open() {
  void* memory = nullptr;
  const DriverCode code = api_.allocate_host(&memory, kAsideBytes);
  if (code == kSuccess) aside_ = static_cast<std::byte*>(memory);
  return code;
}

DriverCode Heap::allocate(Address* address, size_t bytes) {
  DriverCode code = api_.allocate(address, bytes);
  if (code != kOutOfMemory || unused_.empty()) return code;
  if (const DriverCode waited = wait(); waited != kSuccess) return waited;
  return api_.allocate(address, bytes);
}

DriverCode Heap::take_aside(size_t bytes, std::byte** place) {
  if (aside_used_ + bytes > kAsideBytes) {
    if (const DriverCode code = wait(); code != kSuccess) return code;
  }
  *place = aside_ + aside_used_;
  aside_used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return kSuccess;
}

DriverCode Heap::copy_in(Address to, const void* from, size_t bytes) {
  const auto* source = static_cast<const std::byte*>(from);
  for (size_t at = 0; at < bytes; at += kPartBytes) {
    const size_t part = std::min(bytes - at, kPartBytes);
    std::byte* place = nullptr;
    if (const DriverCode code = take_aside(part, &place); code != kSuccess) return code;
    std::memcpy(place, source + at, part);
    if (const DriverCode code = api_.copy_in(to + at, place, part, stream_); code != kSuccess) return code;
  }
  return kSuccess;
}

DriverCode Heap::copy_out(void* to, Address from, size_t bytes) {
  auto* target = static_cast<std::byte*>(to);
  for (size_t at = 0; at < bytes; at += kPartBytes) {
    const size_t part = std::min(bytes - at, kPartBytes);
    std::byte* place = nullptr;
    if (const DriverCode code = take_aside(part, &place); code != kSuccess) return code;
    if (const DriverCode code = api_.copy_out(place, from + at, part, stream_); code != kSuccess) return code;
    if (const DriverCode code = wait(); code != kSuccess) return code;
    std::memcpy(target + at, place, part);
  }
  return bytes == 0 ? wait() : kSuccess;
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
