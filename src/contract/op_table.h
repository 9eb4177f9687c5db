// What is known of each op beside its meaning: its name, what it moves and computes, and whether its operands fit each
// other. Documents, tests, benches and the support matrix are made from this.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
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

  Cost& operator+=(const Cost& other) {
    flops += other.flops, bytes += other.bytes;
    return *this;
  }
};

// The error of an op whose numbers went wrong: `message` is of the first of `rows`, which are counted in an operand of
// n_rows rows and ascend.
inline Error row_error(std::string_view op, int64_t n_rows, std::vector<int64_t> rows, std::string message) {
  return {Code::kOutOfRange, std::move(message), {op, n_rows, std::move(rows)}};
}

// Each op specialises both, side by side in the source of its family (op_table.cpp, grad_op_table.cpp); a missing one
// does not link.
template <typename O>
Cost cost(const O& op);
// Stops the program where operands do not fit each other: a mistake of the caller, never of a user's file.
template <typename O>
void validate(const O& op);

Cost cost(const Op& op);
void validate(const Op& op);

}  // namespace naru::contract
