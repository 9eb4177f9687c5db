// Driver: what a vendor's library must give the GPU chip: memory, one queue in order, and the launch of kernels that
// the driver compiles from our text. One class a library (chips/opencl/); everything else of the chip is here.
//
// Calls take effect in their order. write() has read its source when it returned; read() and wait() return when
// everything before is done. An error of something queued may come with any later call.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace naru::gpu {

// Memory of the device. What is queued keeps it.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  int64_t bytes() const { return bytes_; }

 protected:
  int64_t bytes_ = 0;
};
using Memory = std::shared_ptr<DeviceMemory>;

// `offset` bytes behind the begin of a memory.
struct MemoryPlace {
  const DeviceMemory* memory = nullptr;
  int64_t offset = 0;
};

// A parameter of a kernel: MEM(T, x) of the text takes a MemoryPlace, i64 and float a number.
using Argument = std::variant<MemoryPlace, int64_t, float>;

// A kernel as the launch table has it: its name, the text that it is in, and the items of a group.
struct KernelInfo {
  std::string_view name;
  std::string_view program;
  int items_x = 1, items_y = 1;
};

// What the text of kernels does in place of the device (text/scalar.cl, text/int8.cl).
struct Software {
  bool flush = false;     // subnormal values and results around 2^-126
  bool divide = false;    // quotients and roots
  bool dots = false;      // dots of four int8 in a word
  bool matrices = false;  // tiles of int8 by matrix units: without them products of many rows go by dots
  std::string why = {};   // dots or matrices are not the device's although it has them; empty: that was not so

  // "hardware flush, software division, int8 by dots", for the notes of a chip.
  std::string words() const;
  // What the text of kernels is compiled with: "NARU_SOFTWARE_FLUSH", ...
  std::vector<std::string> names() const;
};

struct DriverInfo {
  std::string chip;    // "opencl"
  std::string device;  // for people: device, library and version
  Software software;   // how it is made exact
  int64_t memory_bytes = 0;
  int64_t allocation_max = 0;  // bytes of one buffer
  bool is_host_memory = false;
  bool is_narrow = false;  // a processor: programs are compiled with NARU_NARROW (text/sums.cl, tiles.cl)
};

class Driver {
 public:
  virtual ~Driver() = default;
  virtual const DriverInfo& info() const = 0;
  // How programs are built from here on; those that were built are forgotten.
  virtual void choose(Software software) = 0;

  // Reads as zero.
  virtual Result<Memory> allocate(int64_t bytes) = 0;
  virtual Status write(MemoryPlace to, const void* from, int64_t bytes) = 0;
  virtual Status read(void* to, MemoryPlace from, int64_t bytes) = 0;
  // Items in groups of the kernel's size: as many groups in each dimension.
  virtual Status launch(const KernelInfo& kernel, int64_t groups_x, int64_t groups_y, int64_t groups_z,
                        std::span<const Argument> arguments) = 0;
  virtual Status wait() = 0;
};

}  // namespace naru::gpu
