// Device: what the ops of the GPU chip stand on. Addresses are numbers of a space of its own, which it turns into
// places of the driver's memory; kernels are launched by name; an op whose numbers went wrong is found out later.
//
// That goes so: each launch has a number, and a word of the device's memory holds the number of the launch that failed,
// 0 as long as none did. A kernel that finds a bad row leaves its number there and what it found in `marks`; kernels
// that were queued behind it do nothing. check() reads the word and makes the error, with what the op left for that
// purpose. The word is 0 again whenever check() returns; a device on which that fails runs nothing more.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "chips/gpu/driver.h"
#include "chips/gpu/kernel_table.h"
#include "chips/gpu/scratch_bytes.h"
#include "contract/chip.h"

namespace naru::gpu {

// What a kernel left of each row of an op: two words a row, the first 0 where nothing is wrong.
using Marks = std::span<const int32_t>;
using Describe = std::function<Error(Marks)>;

class Device {
 public:
  explicit Device(std::unique_ptr<Driver> driver);
  // Memory that every launch needs.
  Status open();

  const DriverInfo& info() const { return driver_->info(); }
  int64_t used_bytes() const { return used_bytes_; }
  // An error where the status word is not known to be 0: kernels would do nothing, and nobody would hear of it.
  Status usable() const;
  Driver& driver() { return *driver_; }

  // Memory that counts as used until give_back(). kResourceExhausted where there is none left.
  Result<Memory> take(int64_t bytes);
  void give_back(int64_t bytes) { used_bytes_ -= bytes; }

  // Addresses: a range for a memory, far from all others.
  ChipAddress map(Memory memory);
  void unmap(ChipAddress begin);
  // The place of an address that has `bytes` bytes behind it in one memory.
  MemoryPlace place(ChipAddress address, int64_t bytes) const;
  MemoryPlace place(const View& view) const;  // a place that is not read for an empty one

  // A new op, for kernel_uses(), with the memory for its slots: what an earlier op had there is lost in the order of
  // the queue. kResourceExhausted where that is not there.
  Status begin_op(std::string_view op, const contract::Place& place, const ScratchSlots& slots = {});
  // A slot of the op, of at most so many bytes as it began with.
  Result<MemoryPlace> scratch(size_t slot, int64_t bytes) const;
  // What ops hold beside their operands.
  int64_t scratch_bytes() const { return bytes_of(arena_) + bytes_of(marks_); }

  // A launch of `groups` groups in each dimension; nothing where one of them is 0. Views, places, numbers.
  struct Groups {
    int64_t x = 1, y = 1, z = 1;
  };
  template <typename... Parts>
  Status launch(std::string_view kernel, Groups groups, const Parts&... parts) {
    arguments_.clear();
    push(MemoryPlace{status_.get(), 0});
    push(next_number());
    (push(parts), ...);
    return launch(kernel_of(kernel), groups);
  }
  // An item a column, rows in the second dimension.
  template <typename... Parts>
  Status launch_elements(std::string_view kernel, int64_t rows, int64_t cols, const Parts&... parts) {
    return launch(kernel, {groups_of(kernel, cols), std::min<int64_t>(rows, kGroupsMax), 1}, parts...);
  }
  // An item a row.
  template <typename... Parts>
  Status launch_rows(std::string_view kernel, int64_t rows, const Parts&... parts) {
    return launch(kernel, {groups_of(kernel, rows), 1, 1}, parts...);
  }
  static int64_t groups_of(std::string_view kernel, int64_t items);
  static constexpr int64_t kGroupsMax = 16384;  // of the second dimension

  // The marks of an op with so many rows, for kernels that may find bad ones. The next launch is the one that may fail;
  // `describe` makes its error.
  Result<MemoryPlace> watch(int64_t rows, Describe describe);
  bool is_watching() const { return !watched_.empty(); }
  bool has_many_watched() const { return watched_.size() >= 256; }
  // Waits for all that is queued. The error of the op that failed, with the place that it was given; then all is as
  // new.
  Status check();

  std::vector<contract::KernelUse> kernel_uses() const;

 private:
  struct Watched {
    int64_t number = 0;
    int64_t rows = 0;
    Memory marks;
    Describe describe;
    contract::Place place;
  };
  static int64_t bytes_of(const Memory& memory) { return memory == nullptr ? 0 : memory->bytes(); }
  void push(const View& view);
  void push(const MemoryPlace& place) { arguments_.emplace_back(place); }
  void push(int64_t number) { arguments_.emplace_back(number); }
  void push(int number) { push(static_cast<int64_t>(number)); }
  void push(bool flag) { push(static_cast<int64_t>(flag)); }
  void push(float number) { arguments_.emplace_back(number); }
  int64_t next_number() { return ++number_; }
  Status launch(const KernelInfo& kernel, Groups groups);
  // The error of the launch of that number.
  Error error_of(int32_t number, const std::deque<Watched>& watched);
  // The status word is 0 and no marks are left from here on; lost_ where that fails.
  void clear_failure();

  std::unique_ptr<Driver> driver_;
  std::map<uint64_t, Memory> ranges_;  // by the first address
  uint64_t next_address_;
  int64_t used_bytes_ = 0;
  Memory status_, marks_;
  Memory arena_;          // of the slots
  ScratchSlots slots_{};  // of the op that runs
  int64_t number_ = 0;
  std::deque<Watched> watched_;
  std::optional<Error> lost_;
  std::vector<Argument> arguments_;
  std::string_view op_;
  contract::Place place_;
  std::map<std::pair<std::string_view, std::string_view>, int64_t> uses_;
};

}  // namespace naru::gpu
