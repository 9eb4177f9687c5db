// The distant chip: another chip behind everything that a chip of its own memory and queue may do and the host must
// bear. What passes its tests needs only kernels to run on such a chip.
//
//   addresses   numbers that mean nothing on the host
//   queue       run(), copy_in() and copy_cache_page() return before they are done; a thread of the chip does them in
//               order, from copies: whatever the caller passed is free as soon as a call returned
//   errors      of a queued call come with a later one
//   memory      little, of its own, and refused where there is none left
//   faults      a call of the caller's choice fails
#pragma once

#include <memory>
#include <optional>

#include "contract/chip.h"

namespace naru::distant {

enum class Call { kAllocate, kPack, kCopyIn, kCopyOut, kRun };

// The call of this kind that `at` others of the kind preceded fails: kUnavailable, and kResourceExhausted where it asks
// for memory.
struct Fault {
  Call call = Call::kRun;
  int64_t at = 0;
};

struct Options {
  int64_t memory_bytes = int64_t{1} << 30;  // of buffers and packed matrices together
  std::optional<Fault> fault;
};

// Takes the chip that computes.
std::unique_ptr<contract::Chip> make_distant_chip(std::unique_ptr<contract::Chip> inner, const Options& options = {});

}  // namespace naru::distant
