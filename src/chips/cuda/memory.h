// Memory of a CUDA device, and the bytes on their way to it and back. Memory that nobody has any more is given back
// when what was queued with it is done. Copies go through pinned memory of our own: a source is free at once, and a
// copy that is still queued after an error knows no memory of a caller.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "chips/cuda/driver_api.h"
#include "chips/gpu/driver.h"

namespace naru::cuda {

class Heap {
 public:
  // The context is current in every call.
  Heap(const DriverApi& api, ContextId context, StreamId stream) : api_(api), context_(context), stream_(stream) {}
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // Pinned memory.
  DriverCode open();

  DriverCode allocate(Address* address, size_t bytes);
  void give_back(Address address) { unused_.push_back(address); }
  // Queues a copy; `from` is free when this returns.
  DriverCode copy_in(Address to, const void* from, size_t bytes);
  // Waits for all that is queued, and the copy.
  DriverCode copy_out(void* to, Address from, size_t bytes);
  // Waits for all that is queued.
  DriverCode wait();

 private:
  // So many bytes of pinned memory, which waits where it is full of what is under way.
  DriverCode take_aside(size_t bytes, std::byte** place);

  const DriverApi& api_;
  ContextId context_;
  StreamId stream_;
  std::vector<Address> unused_;
  std::byte* aside_ = nullptr;
  size_t aside_used_ = 0;
};

class CudaMemory : public gpu::DeviceMemory {
 public:
  CudaMemory(std::shared_ptr<Heap> heap, Address address, int64_t bytes) : heap_(std::move(heap)), address_(address) {
    bytes_ = bytes;
  }
  ~CudaMemory() override { heap_->give_back(address_); }
  Address address() const { return address_; }

 private:
  std::shared_ptr<Heap> heap_;
  Address address_;
};

}  // namespace naru::cuda
