// LoadedParameters: which rows of which parameters every matrix and vector of a decoder was made of, so that training
// can make them again from changed values and bring gradients home.
#pragma once

#include <cstdint>
#include <vector>

#include "contract/matrix.h"
#include "tensor/view.h"

namespace naru::models {

struct LoadedParameters {
  // Rows [row_begin, row_begin + n_rows) of a parameter, by its index in list_parameters().
  struct Rows {
    int64_t parameter = 0;
    int64_t row_begin = 0;
    int64_t n_rows = 0;
  };
  struct Matrix {
    contract::PackedMatrix* matrix = nullptr;
    std::vector<Rows> groups;       // one for each group of the matrix
    bool is_transposed = false;     // the matrix holds the rows as its inputs
    bool is_rounded_first = false;  // to bf16, before the matrix's own rule
    bool is_lookup = false;         // rows are looked up, never multiplied
  };
  struct Vector {
    View view;  // on the chip
    int64_t parameter = 0;
    bool is_rounded = false;  // to bf16
  };
  std::vector<Matrix> matrices;
  std::vector<Vector> vectors;
};

}  // namespace naru::models
