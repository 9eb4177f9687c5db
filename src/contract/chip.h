// The chip interface: the narrow bottom of naru. A chip has memory, packs matrices in a form of its own, and runs ops.
// Every chip that calls itself exact gives the bits of the reference chip.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "contract/cache.h"
#include "contract/matrix.h"
#include "contract/ops.h"

namespace naru::contract {

struct ChipInfo {
  std::string name;    // "reference", "cpu"
  std::string level;   // the instruction level in use, "" where there is none
  std::string detail;  // processor name and what it has
  int n_threads = 1;
  bool is_planner = false;  // computes nothing: its memory is numbers, and whatever is run on it costs nothing
};

// How often a kernel ran, for `naru bench` and --explain.
struct KernelUse {
  std::string_view op;
  std::string_view kernel;
  int64_t calls = 0;
};

// Chip memory with one owner. Fresh memory reads as zero.
class Buffer {
 public:
  virtual ~Buffer() = default;
  ChipAddress address() const { return address_; }
  int64_t bytes() const { return bytes_; }

 protected:
  ChipAddress address_;
  int64_t bytes_ = 0;
};

class Chip {
 public:
  virtual ~Chip() = default;

  virtual ChipInfo info() const = 0;
  // A chip that computes nothing, with this one's sizes of packed matrices and cache pages: a program runs on it to
  // learn what it needs. It must not outlive this chip; buffers of it may.
  virtual std::unique_ptr<Chip> planner() const = 0;

  // Memory that costs nothing until it is touched, where the system can do that.
  virtual Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) = 0;
  virtual Status copy_in(ChipAddress to, const void* from_host, int64_t bytes) = 0;
  virtual Status copy_out(void* to_host, ChipAddress from, int64_t bytes) = 0;

  virtual Result<std::unique_ptr<PackedMatrix>> pack(const MatrixSource& source, Rule rule) = 0;
  // Bytes that pack() will take, for planning.
  virtual int64_t packed_bytes(DType stored, Rule rule, int64_t groups, int64_t outputs, int64_t inputs) const = 0;

  virtual int64_t cache_page_bytes(const CacheShape& shape) const = 0;
  virtual Status copy_cache_page(const CacheStream& stream, int32_t from, int32_t to) = 0;

  // Runs the op, or queues it in order. An error (non-finite values, lost chip) may come from here or from wait().
  virtual Status run(const Op& op) = 0;
  virtual Status wait() = 0;

  virtual std::vector<KernelUse> kernel_uses() const = 0;
};

}  // namespace naru::contract
