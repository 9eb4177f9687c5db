// Where files hold the rows of a model's parameters. One rule (Placement) says it for every layout of every container,
// to who reads and to who writes; StoredRows are rows found by it. Serving, training, export and conversion read a
// checkpoint through these, so none of them knows a layout.
#pragma once

#include <span>
#include <vector>

#include "models/parameters.h"
#include "models/stored_tensor.h"

namespace naru::models {

// Rows [row_begin, row_begin + n_rows) of a parameter.
struct ParameterRows {
  const Parameter* parameter = nullptr;
  int64_t row_begin = 0;
  int64_t n_rows = 0;
};

struct Placement {
  // A tensor that holds rows of the parameter.
  struct Tensor {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<int64_t> flat_shape;  // that it may have as well: its matrices one below the other
    int64_t first = 0;                // rows [first, first + n_rows) of it are the parameter's
    int64_t n_rows = 0;
    int64_t cols() const { return shape.size() == 1 ? 1 : shape.back(); }
  };
  // Row `row` of a tensor; or with a column the values of that column in the rows from `row` on.
  struct Spot {
    size_t tensor = 0;
    int64_t row = 0;
    int64_t column = -1;
  };

  std::vector<Tensor> tensors;    // one; or the keys and the values of a split kv_b
  int64_t interleaved_width = 0;  // of a head whose rows are interleaved; 0: none are
  // Of a split kv_b: rows of a head, those of them that are keys, and their width.
  int64_t head_rows = 0, key_rows = 0, key_cols = 0;

  // Of a row of the parameter; of a vector's value, which counts as a row of one.
  Spot spot(int64_t row) const;

  // Rows of the parameter that every layout keeps together: it may be taken apart before any multiple of them.
  int64_t unit_rows(const Parameter& parameter) const;
  // Rows of a tensor.
  struct Stretch {
    int64_t first = 0;
    int64_t n_rows = 0;
  };
  // Where whole units of the parameter lie in one of the tensors, and of their values those that lie there, as they do.
  Stretch stretch(size_t tensor, const ParameterRows& rows) const;
  std::vector<float> arranged(size_t tensor, const ParameterRows& rows, std::span<const float> values) const;
};

// In these files; without files in new ones, in the layout that the config's container has today.
Placement placement_of(const formats::ModelConfig& config, const Parameter& parameter,
                       const formats::TensorFiles* files);

class StoredRows {
 public:
  // Finds the tensors that the rows lie in, and no others: kNotFound, kCorrupt or kUnsupported where one is missing or
  // not what the config says.
  static Result<StoredRows> find(const formats::TensorFiles& files, const formats::ModelConfig& config,
                                 std::span<const ParameterRows> groups);

  // Each once.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  // Whether the file holds the rows as columns.
  bool are_columns() const { return first_spot(0).column >= 0; }
  // The file's line `line` of a group: its row; where the file holds columns, what they have in row `line`.
  std::pair<size_t, int64_t> line(size_t group, int64_t line) const;
  // A group's rows [n_rows, cols] in f32: each element's exact value rounded once.
  void widen(size_t group, float* out) const;
  // Tells the files that the rows are not read again soon.
  void drop(const formats::TensorFiles& files) const;

 private:
  struct Group {
    ParameterRows rows;
    Placement placement;
    std::vector<size_t> tensors;  // of the placement's, where they are in tensors_
  };
  Placement::Spot first_spot(size_t group) const {
    return groups_[group].placement.spot(groups_[group].rows.row_begin);
  }
  Status find_tensor(const formats::TensorFiles& files, const formats::ModelConfig& config, Group& group, size_t which);

  std::vector<Group> groups_;
  std::vector<StoredTensor> tensors_;
};

}  // namespace naru::models
