// The tensors of a GGUF file: planned by names, shapes and kinds, then written in pieces of whole rows, a few at a time
// and each by one thread. Pieces change no byte, and no more of a model is in memory than they hold.
#pragma once

#include <string>
#include <vector>

#include "export/gguf_kinds.h"
#include "formats/gguf_writer.h"
#include "formats/tensor_file.h"
#include "models/model.h"
#include "models/stored_rows.h"

namespace naru::exports {

// A tensor of the GGUF file: rows of one parameter, or one after another those of all experts.
struct GgufOutTensor {
  std::string name;
  TensorKind kind;
  std::vector<int64_t> shape;
  int64_t n_values = 0;  // of each parameter
  size_t which = 0;      // of the tensors that its parameters' placements name
  std::vector<size_t> parameters;
  const formats::TensorEntry* same = nullptr;  // of a GGUF source: a tensor of the same blocks, which are copied

  int64_t bytes_of_parameter() const { return dtype_bytes(kind.dtype, n_values).value(); }
  int64_t bytes() const { return std::ssize(parameters) * bytes_of_parameter(); }
};

class GgufPlan {
 public:
  // `plain` is the source's plain_config. kUnsupported where a quantised kind fits no tensor.
  static Result<GgufPlan> make(const models::ModelFiles& files, const formats::ModelConfig& plain, GgufKind kind);

  const std::vector<GgufOutTensor>& tensors() const { return tensors_; }
  // One line for each way in which tensors are not of the kind that the rule wants; and where blocks are made of
  // blocks.
  std::vector<std::string> notes() const;
  // Writes the bytes of all tensors, behind what the writer has.
  Status write(int n_threads, formats::GgufWriter& writer, const formats::ProgressCallback& progress) const;

 private:
  struct Piece {
    const GgufOutTensor* tensor = nullptr;
    models::ParameterRows rows;
    std::vector<std::byte> bytes;
    std::optional<Error> error;
  };

  GgufPlan(const models::ModelFiles& files, const formats::ModelConfig& plain);
  void add(const models::Parameter& parameter, const models::Placement::Tensor& to, size_t which, GgufKind kind);
  void find_same(GgufOutTensor& tensor) const;
  models::Placement placement_of(const models::Parameter& parameter) const {
    return models::placement_of(config_, parameter, nullptr);
  }
  std::string requantised_note() const;
  Status check_kind_fits(GgufKind kind) const;
  std::vector<Piece> pieces_of(const GgufOutTensor& tensor, size_t parameter) const;
  Status make_bytes(Piece& piece) const;

  const models::ModelFiles* files_;
  formats::ModelConfig config_;  // as the file will say it
  std::vector<models::Parameter> parameters_;
  std::vector<GgufOutTensor> tensors_;
};

}  // namespace naru::exports
