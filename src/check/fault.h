// Faults: what goes wrong on chips whose software is young, as words, to be put in front of a chip (faulty_chip.h) so
// that it is seen whether the checks find them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::check {

enum class FaultKind : uint8_t {
  kFlip,        // one bit of an output
  kRounding,    // results that are cut and not rounded
  kUnfused,     // a product that is rounded before it is added
  kSubnormals,  // results that are not flushed
  kOrder,       // sums from their end
  kNarrow,      // sums kept in bf16
  kStale,       // the last row of an output is what stood there before
  kLost,        // an op that does not run
  kDoubled,     // an op that runs twice
  kHang,        // an op that does not end
  kError,       // an op that ends with an error of the chip's
  kMemory,      // an op for which the chip finds no memory
  kGone,        // a chip that is not there any more: every call from then on is an error
};

struct FaultInfo {
  FaultKind kind;
  std::string_view name;
  std::string_view what;
  bool is_of_products = false;  // made in matmul and product alone, where the rule is f32
};
std::span<const FaultInfo> all_faults();
const FaultInfo& fault_info(FaultKind kind);

struct Fault {
  FaultKind kind = FaultKind::kFlip;
  int op = -1;      // index in the variant of the ops that it comes to; -1: all that it can be made in
  double rate = 1;  // of those, drawn by counter

  bool comes_to(int op_index) const;
};

// "FAULT[@OP][:RATE]", as "flip@matmul:0.01". kInvalidArgument for what is none.
Result<Fault> parse_fault(std::string_view text);
std::string fault_text(const Fault& fault);

}  // namespace naru::check
