#include "chips/cpu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/checked.h"
#include "chips/cpu/kernels/kernels.h"

namespace naru::cpu {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

}  // namespace

Result<Memory> Memory::map(int64_t bytes, std::string_view what) {
  const int64_t size = std::max<int64_t>(bytes, 1);
  void* data = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return Error{Code::kResourceExhausted,
                 fmt::format("allocating memory for {}: the system has no {} bytes left; use a smaller context or "
                             "model, or free memory",
                             what, size)};
  }
  // Advice only: a system without huge pages says no, and nothing changes.
  if (size >= kHugePage) (void)::madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);
  Memory memory;
  memory.data_ = static_cast<std::byte*>(data);
  memory.bytes_ = size;
  return memory;
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Memory::~Memory() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(bytes_));
}

void Scratch::Free::operator()(std::byte* p) const {
  std::free(p);
}

std::byte* Scratch::get(size_t bytes) {
  if (bytes > bytes_) {
    const size_t size = static_cast<size_t>(round_up(static_cast<int64_t>(bytes), 4096));
    memory_.reset();
    bytes_ = 0;
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, size)));
    NARU_CHECK(memory_ != nullptr, "scratch memory of a kernel:", size);
    bytes_ = size;
  }
  return memory_.get();
}

}  // namespace naru::cpu
