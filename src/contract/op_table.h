// One row for each op: its name, and what it moves and computes. Documents, tests, benches and the support matrix are
// made from this table.
#pragma once

#include <string_view>

#include "contract/ops.h"

namespace naru::contract {

// Name of the op with this index in the variant, as "rms_norm".
std::string_view op_name(int op_index);
inline std::string_view op_name(const Op& op) {
  return op_name(static_cast<int>(op.index()));
}

struct Cost {
  double flops = 0;  // multiplies and adds, counted apart
  double bytes = 0;  // of weights, cache and operands, each read or written once
};
Cost cost(const Op& op);

// Stops the program where operands do not fit each other: a mistake of the caller, never of a user's file.
void validate(const Op& op);

}  // namespace naru::contract
