// The chip interface: the narrow bottom of naru. A chip has memory, packs matrices in a form of its own, and runs ops.
// Every chip that calls itself exact gives the bits of the reference chip.
//
// A chip is one queue and belongs to one thread. What it promises, and what the tests of the contract hold it to:
//
//   order     run(), copy_in(), copy_out(), copy_cache_page() and make_sequences() take effect as they were called. All
//             of them but copy_out() may return before that; copy_out() and wait() return when everything before is
//             done. pack() and allocate() stand in no order: what they make is new.
//   operands  When a call returned, the chip has read what the caller passed in memory of the host: the source of a
//             copy, the lists of an op, page tables, rows to pack. Objects of the chip (buffers, matrices, sequences)
//             may go as soon as the calls that name them returned: the chip keeps what is queued.
//   errors    An error of a call that was queued is returned once, by a later call of those above, or by wait() at the
//             latest. What was queued between the two is not done, nor is the call that returns the error; then the
//             chip is as good as new, with memory that the failed op may have written in part. An error of numbers
//             (kOutOfRange) names the op and all of its rows that failed in Error::failed, and writes no less to the
//             other rows; that of a list of positions names the first, and writes nothing. Shapes that do not fit stop
//             the program (validate(), op_table.h).
//   memory    Fresh memory reads as zero. kResourceExhausted where there is none left; memory() says before.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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

// Bytes that a plan counts to. A buffer of so many on a planner is a range to measure in, whatever its chip could give.
inline constexpr int64_t kMeasuredBytesMax = int64_t{1} << 50;

// Memory of a chip in bytes.
struct ChipMemory {
  int64_t free = 0;     // that buffers, packed matrices and the scratch of kernels may still take
  int64_t scratch = 0;  // that kernels hold beside operands; of a planner: would, for the ops that ran on it
  bool is_host = true;  // it is the host's memory: what the program takes is gone from it too
};

// Where in a program ops stand, as {"layer", 3}: it opens the messages of their errors.
struct Place {
  std::string_view what;  // empty: nowhere
  int64_t number = 0;
  // Where the operands are rows [row_begin, row_begin + ...) of the n_rows of a batch, errors name the batch's rows.
  int64_t row_begin = 0;
  int64_t n_rows = 0;
};

// The error of an op that stands there.
inline Error at_place(Error error, const Place& place) {
  if (!place.what.empty()) {
    error.message = std::string(place.what) + " " + std::to_string(place.number) + ": " + error.message;
  }
  if (place.n_rows > 0) {
    error.failed.n_rows = place.n_rows;
    for (int64_t& row : error.failed.rows) row += place.row_begin;
  }
  return error;
}

// How often a kernel ran, for `naru bench` and --explain.
struct KernelUse {
  std::string_view op;
  std::string_view kernel;
  int64_t calls = 0;
};

// Chip memory with one owner.
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
  virtual ChipMemory memory() const = 0;
  // A chip that computes nothing, with this one's memory and its sizes of packed matrices and cache pages: a program
  // runs on it to learn what it needs. It must not outlive this chip; buffers of it may.
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

  // Once a batch.
  virtual Result<std::unique_ptr<Sequences>> make_sequences(std::span<const SequenceRows> rows) = 0;

  // Of the ops from here on.
  virtual void set_place(Place place) { place_ = place; }
  virtual Status run(const Op& op) = 0;
  virtual Status wait() = 0;
  // Bytes that run() holds beside the operands while it does the op, about. Of matrices only their shape is read.
  virtual int64_t scratch_bytes(const Op& op) const = 0;

  virtual std::vector<KernelUse> kernel_uses() const = 0;

 protected:
  // The status of an op, its error with the place.
  Status at_place(Status status) const {
    if (status.ok()) return status;
    return contract::at_place(std::move(status).error(), place_);
  }
  Place place_;
};

}  // namespace naru::contract
