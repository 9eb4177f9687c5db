// The operands of a small program in words, for whoever looks at the case that shows a fault.
#pragma once

#include <string>
#include <vector>

#include "check/program.h"

namespace naru::check {

struct OperandText {
  std::string name;                // "product, view 2"; "pack, matrix 1"
  std::string shape;               // "4 x 33 f32", "2 x 17 x 32 q8_0 as q8_0"
  std::vector<std::string> lines;  // a row's first values, of its first rows; none of stored kinds of blocks
};

// What each op of the program points to, by its place among the members of the op's struct (contract/ops.h): views as
// they are before the first op, but for those that nobody has written yet, and matrices.
std::vector<OperandText> operand_texts(const Program& program);

}  // namespace naru::check
