// Program: the ops of one case with all that they need, as data of the host that belongs to no chip: an image of the
// memory that the views show, matrices in stored form, streams of the cache by their shapes, sequences. It is made once
// and run on any chip (run_program.h), where every address becomes one of that chip's.
//
// Between and around the rows of every view lie canaries, 64 bytes before and behind it and `gap` columns between its
// rows. With a gap views begin at any multiple of 4 bytes; without one at a multiple of 64, as those of models do.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "check/values.h"
#include "contract/ops.h"

namespace naru::check {

class Program {
 public:
  struct Drawing {
    Values values = Values::kPlain;
    uint64_t seed = 1;
    int64_t gap = 3;
  };
  // What views hold that nobody has written, and canaries.
  static constexpr float kUnwritten = 12345.0f;

  explicit Program(const Drawing& drawing) : drawing_(drawing) {}
  Program(Program&&) = default;

  // Operands. Streams tell the operands of a program apart: each has values of its own.
  View drawn(uint32_t stream, int64_t rows, int64_t cols) { return drawn(stream, rows, cols, drawing_.values); }
  View plain(uint32_t stream, int64_t rows, int64_t cols) { return drawn(stream, rows, cols, Values::kPlain); }
  View drawn(uint32_t stream, int64_t rows, int64_t cols, Values values);  // golden ones where the drawing's are
  View floats(std::span<const float> values, int64_t rows, int64_t cols);
  View ints(std::span<const int32_t> values, int64_t rows, int64_t cols);
  View unwritten(int64_t rows, int64_t cols, DType dtype = DType::kF32);
  Filler filler(uint32_t stream) const { return {drawing_.seed, stream}; }

  // Outputs: views whose values count, in the order in which they are named. All other memory must stay as it is.
  View output(std::string name, int64_t rows, int64_t cols, DType dtype = DType::kF32) {
    return output(std::move(name), unwritten(rows, cols, dtype));
  }
  View output(std::string name, const View& view);

  // A matrix of drawn values; of given rows in stored form; of f32 zeros, which an op refreshes.
  const contract::PackedMatrix* matrix(DType stored, contract::Rule rule, uint32_t stream, int64_t groups,
                                       int64_t outputs, int64_t inputs);
  const contract::PackedMatrix* matrix(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                                       int64_t inputs, std::vector<std::byte> rows, std::vector<float> scales);
  contract::PackedMatrix* blank_matrix(contract::Rule rule, int64_t groups, int64_t outputs, int64_t inputs);

  // Pages of NaN.
  contract::CacheStream stream(const contract::CacheShape& shape, int64_t n_pages);
  contract::SequencesRef sequences(std::span<const contract::SequenceRows> rows);
  std::span<const View> list(std::vector<View> views);
  std::span<const float> list(std::vector<float> values);

  void run(const contract::Op& op) { ops_.push_back(op); }
  void replace_last(const contract::Op& op) { ops_.back() = op; }

  // The image's values of a view, to change before the program runs.
  float* row(const View& view, int64_t r) { return reinterpret_cast<float*>(bytes_of(view, r)); }
  int32_t* row_i32(const View& view, int64_t r) { return reinterpret_cast<int32_t*>(bytes_of(view, r)); }

  // Takes the sign from every float of the image and of matrices of floats. Whole numbers of the image must not be
  // below zero, quantised matrices must not be there.
  void drop_signs();

  const Drawing& drawing() const { return drawing_; }
  const std::vector<contract::Op>& ops() const { return ops_; }
  struct Output {
    std::string name;
    View view;
  };
  const std::vector<Output>& outputs() const { return outputs_; }

  // For whoever runs it. A view's address is its place in the image.
  struct Matrix : contract::PackedMatrix {
    size_t index = 0;
    std::vector<std::byte> rows;  // in stored form, group after group
    std::vector<float> scales;    // rule w8a8
    contract::MatrixSource source() const;
  };
  struct Stream {
    contract::CacheShape shape;
    int64_t n_pages = 0;
  };
  struct NumberedSequences : contract::Sequences {
    NumberedSequences(std::span<const contract::SequenceRows> list, size_t n) : Sequences(list), index(n) {}
    size_t index;
  };
  static int64_t place_of(const View& view) { return view.address - ChipAddress(); }
  static size_t index_of(const contract::CacheStream& stream) {
    return static_cast<size_t>(stream.address - ChipAddress()) - 1;
  }
  static size_t index_of(const contract::PackedMatrix* matrix) { return static_cast<const Matrix*>(matrix)->index; }
  static size_t index_of(const contract::SequencesRef& sequences) {
    return static_cast<const NumberedSequences*>(sequences.get())->index;
  }
  const std::vector<std::byte>& image() const { return image_; }
  const std::vector<std::unique_ptr<Matrix>>& matrices() const { return matrices_; }
  const std::vector<Stream>& streams() const { return streams_; }
  const std::vector<std::unique_ptr<NumberedSequences>>& all_sequences() const { return sequences_; }

 private:
  View place(DType dtype, int64_t rows, int64_t cols);
  std::byte* bytes_of(const View& view, int64_t r);

  Drawing drawing_;
  std::vector<std::byte> image_;
  int64_t n_views_ = 0;
  std::vector<std::unique_ptr<Matrix>> matrices_;
  std::vector<Stream> streams_;
  std::vector<std::unique_ptr<NumberedSequences>> sequences_;
  std::vector<std::unique_ptr<std::vector<View>>> view_lists_;
  std::vector<std::unique_ptr<std::vector<float>>> float_lists_;
  std::vector<contract::Op> ops_;
  std::vector<Output> outputs_;
};

}  // namespace naru::check
