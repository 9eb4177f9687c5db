// Whether two chips hold the same values in a packed matrix. Its form is each chip's own; embed reads its rows out of
// it, by every rule.
#pragma once

#include <optional>
#include <string>

#include "contract/chip.h"

namespace naru::check {

// The first value that differs: "row 3, column 5 is ... on one and ... on the other"; nothing where all are alike.
// kUnsupported for a matrix of several groups, and where embed does not read the same twice; else the chips' errors.
Result<std::optional<std::string>> matrix_difference(contract::Chip& checked, const contract::PackedMatrix& its,
                                                     contract::Chip& against, const contract::PackedMatrix& other);

}  // namespace naru::check
