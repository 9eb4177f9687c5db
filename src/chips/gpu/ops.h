// The ops that the GPU chip has: run() of each queues its kernels. An op that is not named here is refused by the chip.
#pragma once

#include <memory>

#include "chips/gpu/device.h"
#include "contract/ops.h"

namespace naru::gpu {

using SharedDevice = std::shared_ptr<Device>;

// A packed matrix in one memory: panels of 32 outputs (float rules, and blocks), integers with the scales behind them
// (w8a8).
class Matrix : public contract::PackedMatrix {
 public:
  Matrix(SharedDevice device, Memory data) : device_(std::move(device)), memory(std::move(data)) {}
  ~Matrix() override { device_->give_back(memory->bytes()); }
  MemoryPlace place() const { return {memory.get(), 0}; }

 private:
  SharedDevice device_;

 public:
  Memory memory;
};
constexpr int64_t kPanel = 32;  // PANEL of text/dots.cl
int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs, int64_t inputs);
Result<std::unique_ptr<contract::PackedMatrix>> pack(const SharedDevice& device, const contract::MatrixSource& source,
                                                     contract::Rule rule);

// The sequences of a batch in the device's memory: of each row its position (-1: none) in the last sequence that names
// it and where that one's page table begins; the page tables; of each row of each sequence (an entry) its row of the
// batch, its position and where its page table begins.
class GpuSequences : public contract::Sequences {
 public:
  static Result<std::unique_ptr<contract::Sequences>> make(const SharedDevice& device,
                                                           std::span<const contract::SequenceRows> rows);
  ~GpuSequences() override;
  MemoryPlace tokens() const { return {memory_.get(), 0}; }
  MemoryPlace pages() const { return {memory_.get(), pages_offset_}; }
  MemoryPlace entries() const { return {memory_.get(), entries_offset_}; }
  int64_t n_rows() const { return n_rows_; }
  int64_t n_entries() const { return n_entries_; }

 private:
  GpuSequences(SharedDevice device, std::span<const contract::SequenceRows> rows)
      : Sequences(rows), device_(std::move(device)) {}
  SharedDevice device_;
  Memory memory_;
  int64_t pages_offset_ = 0, entries_offset_ = 0, n_rows_ = 0, n_entries_ = 0;
};
inline const GpuSequences& of_device(const contract::SequencesRef& sequences) {
  return static_cast<const GpuSequences&>(*sequences.get());
}

// A cache page: [heads][kCachePage][width] in the stream's dtype.
inline int64_t cache_page_bytes(const contract::CacheShape& shape) {
  return shape.heads * contract::kCachePage * shape.width * dtype_info(shape.dtype).block_bytes;
}
// Where pages 0 .. of a stream lie.
MemoryPlace place_of(const Device& device, const contract::CacheStream& stream);

// Queues the check of the lists of selected positions; what follows does nothing where one is none.
Status check_selected_lists(Device& device, std::string_view op, const View& selected,
                            const contract::SequencesRef& sequences);

// Segments of 2048 inputs of a dot; one of none.
int64_t segments_of(int64_t inputs);
// Rows of activations as the integers that a matrix of an integer rule wants, and their scales (text/integers.cl).
int64_t integer_bytes(const contract::PackedMatrix& weight, int64_t rows);
int64_t scale_bytes(const contract::PackedMatrix& weight, int64_t rows);

// An error of numbers of rows: `what` is not finite.
Describe non_finite_rows(std::string_view op, std::string_view what);
// Of kernels that find nothing but indices out of range, as marks of kind 2. None comes from the host, which checks
// its own, so that the device is at fault.
Describe no_row_fails(std::string_view op);
// The error of a launch that failed and left no mark that says why, or one that no kernel leaves.
Error fault_of_device(std::string_view op);

Status run(Device& device, const contract::Fill& op);
Status run(Device& device, const contract::Add& op);
Status run(Device& device, const contract::RoundBF16& op);
Status run(Device& device, const contract::Axpby& op);
Status run(Device& device, const contract::SiluMul& op);
Status run(Device& device, const contract::Rope& op);
Status run(Device& device, const contract::RopeGrad& op);
Status run(Device& device, const contract::RopeTable& op);
Status run(Device& device, const contract::Combine& op);
Status run(Device& device, const contract::SumSlots& op);
Status run(Device& device, const contract::SiluMulGrad& op);
Status run(Device& device, const contract::AdamW& op);

Status run(Device& device, const contract::RmsNorm& op);
Status run(Device& device, const contract::LogProb& op);
Status run(Device& device, const contract::CrossEntropy& op);
Status run(Device& device, const contract::SumOfSquares& op);
Status run(Device& device, const contract::ColumnSum& op);
Status run(Device& device, const contract::RmsNormGrad& op);
Status run(Device& device, const contract::CombineGrad& op);
Status run(Device& device, const contract::EmbedGrad& op);

Status run(Device& device, const contract::Embed& op);
Status run(Device& device, const contract::Matmul& op);
Status run(Device& device, const contract::GroupedMatmul& op);
Status run(Device& device, const contract::Product& op);
Status run(Device& device, const contract::WeightGrad& op);
Status run(Device& device, const contract::Pack& op);

Status run(Device& device, const contract::CacheWrite& op);
Status run(Device& device, const contract::Attention& op);
Status run(Device& device, const contract::AttentionGrad& op);
Status run(Device& device, const contract::Route& op);
Status run(Device& device, const contract::RouteGrad& op);
Status run(Device& device, const contract::BalanceLoss& op);

}  // namespace naru::gpu
