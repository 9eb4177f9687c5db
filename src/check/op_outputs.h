// What an op writes, by the names of its members: for whoever looks at every value of a pass, whatever op made it.
#pragma once

#include <string_view>
#include <vector>

#include "contract/ops.h"

namespace naru::check {

struct OpOutput {
  std::string_view name;  // of the op's member
  View view;
  const contract::PackedMatrix* weight = nullptr;  // of a product: what x was multiplied by
  bool is_read = false;                            // what stands there before is added to, or moved on from
};

// In the order of the op's members; views that the op leaves out are not among them. Rows of a cache and packed
// matrices are in a form of the chip's own, and no views.
std::vector<OpOutput> outputs_of(const contract::Op& op);

}  // namespace naru::check
