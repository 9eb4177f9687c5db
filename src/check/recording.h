// Recording: what one sequence's pass computed, token by token: of every output of every op a hash of the token's rows.
// Two recordings of one sequence are compared op by op, whatever batches they were made in.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contract/matrix.h"
#include "tensor/dtype.h"

namespace naru::check {

// Where an output stands in the pass of one token.
struct OutputPlace {
  enum class Stage : uint8_t { kEmbedding, kLayer, kHead };  // before, in and behind the layers
  Stage stage = Stage::kEmbedding;
  int64_t layer = 0;
  int op = 0;         // index in the variant
  int64_t count = 0;  // ops of this kind before it in this stage (and layer)
  int64_t output = 0;

  auto operator<=>(const OutputPlace&) const = default;
};

// "embedding, embed"; "layer 3, attention"; "head, matmul". The second op of a kind and later ones have their number:
// "layer 3, matmul 2".
std::string place_text(const OutputPlace& place);

// An output of one token: its rows of the op's view, one or several (heads, chosen experts).
struct OutputValues {
  std::string name;                                // of the op's member
  const contract::PackedMatrix* weight = nullptr;  // of a product
  DType dtype = DType::kF32;
  int64_t rows = 0, cols = 0;
  std::vector<uint32_t> bits;  // row after row; of f32 canonical

  uint32_t at(int64_t row, int64_t col) const { return bits[static_cast<size_t>(row * cols + col)]; }
};
uint64_t hash_of(const OutputValues& values);
// As value_text() has it.
std::string element_text(const OutputValues& values, int64_t row, int64_t col);
// The first element that differs, as {row, column}; none: they are alike. Of one shape.
std::optional<std::pair<int64_t, int64_t>> first_element(const OutputValues& a, const OutputValues& b);

struct Recording {
  struct Entry {
    OutputPlace place;
    uint64_t hash = 0;
  };
  std::vector<std::vector<Entry>> tokens;  // by position, in the order of the ops
};

// One output of one token.
struct Spot {
  int64_t position = 0;
  OutputPlace place;
};

// The first output that both have and that differs: by position, then in `a`'s order. And how many were alike before
// it.
struct RecordingComparison {
  std::optional<Spot> first;
  int64_t n_alike = 0;
};
RecordingComparison compare_recordings(const Recording& a, const Recording& b);

}  // namespace naru::check
