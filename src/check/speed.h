// How fast a chip runs an op, at a shape as models have it: seconds beside what the contract says that the op moves and
// computes.
#pragma once

#include <optional>
#include <string_view>

#include "check/case.h"
#include "contract/chip.h"
#include "contract/op_table.h"

namespace naru::check {

// Which peak of a chip the products of a case are held against.
enum class Arithmetic : uint8_t { kF32, kBF16, kInt8 };
Arithmetic arithmetic_of(const Case& c);

struct Speed {
  Case c;               // what was timed
  double seconds = 0;   // of its ops of that name, once; the least of several runs
  contract::Cost cost;  // of the same
};

// The case of this op and kind (of one of its cases) that is timed; of a smaller shape where `is_small`.
Case timed_case(const Case& like, bool is_small);
// Runs it for about `seconds`, once at least, and twice where that is not slow. The chip's errors.
Result<Speed> measure_speed(const Case& c, contract::Chip& chip, double seconds);

}  // namespace naru::check
