// Memory of the CPU chip: anonymous mappings that read as zero, cost nothing until they are touched, and ask for huge
// pages (weights are streamed; fewer address translations).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace naru::cpu {

class Memory {
 public:
  Memory() = default;
  // `what` names the use in the message of a failure.
  static Result<Memory> map(int64_t bytes, std::string_view what);
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace naru::cpu
