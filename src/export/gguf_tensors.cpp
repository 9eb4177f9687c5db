#include "export/gguf_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/thread_pool.h"
#include "formats/ggml_blocks.h"
#include "formats/quantise_blocks.h"

namespace naru::exports {
namespace {

using formats::ModelConfig;
using models::Parameter;
using models::ParameterRows;

constexpr int64_t kPieceValues = 1 << 18;  // about: a megabyte of f32
constexpr size_t kPiecesAtOnce = 32;

// f16 ends at 65504, and so do the scales of blocks.
Status check_values(const GgufOutTensor& tensor, const std::vector<float>& values) {
  const DType dtype = tensor.kind.dtype;
  const float largest = dtype == DType::kF16  ? 65504.0f
                        : is_quantised(dtype) ? formats::largest_in_blocks(dtype)
                                              : INFINITY;
  for (const float value : values) {
    if (std::fabs(value) <= largest) continue;
    const bool is_number = std::isfinite(value);
    return Error{Code::kUnsupported,
                 fmt::format("writing tensor '{}': it has the value {}, which {} cannot hold; {}", tensor.name, value,
                             dtype_name(dtype),
                             is_number ? "convert with --dtype bf16 or f32"
                                       : "the model is damaged or its training went wrong: get it again, or an earlier "
                                         "checkpoint")};
  }
  return {};
}

// "blk.0.attn_q.weight, blk.0.attn_k.weight and 58 others"
std::string some_names(const std::vector<const GgufOutTensor*>& tensors) {
  constexpr size_t kNamed = 2;
  std::vector<std::string_view> names;
  for (const GgufOutTensor* tensor : tensors) {
    if (names.size() < kNamed) names.push_back(tensor->name);
  }
  const size_t others = tensors.size() - names.size();
  return fmt::format("{}{}", fmt::join(names, ", "),
                     others == 0 ? "" : fmt::format(" and {} other{}", others, others == 1 ? "" : "s"));
}

}  // namespace

GgufPlan::GgufPlan(const models::ModelFiles& files, const ModelConfig& plain)
    : files_(&files), config_(plain), parameters_(models::list_parameters(plain)) {  // without prediction layers
  config_.from_gguf = true;
  config_.rope.interleaved = formats::gguf_interleaves(plain.family);
}

Result<GgufPlan> GgufPlan::make(const models::ModelFiles& files, const ModelConfig& plain, GgufKind kind) {
  GgufPlan plan(files, plain);
  std::map<std::string, size_t> index_of;
  for (size_t i = 0; i < plan.parameters_.size(); ++i) {
    const models::Placement placement = plan.placement_of(plan.parameters_[i]);
    for (size_t which = 0; which < placement.tensors.size(); ++which) {
      const auto [at, is_new] = index_of.try_emplace(placement.tensors[which].name, plan.tensors_.size());
      if (is_new) plan.add(plan.parameters_[i], placement.tensors[which], which, kind);
      plan.tensors_[at->second].parameters.push_back(i);
    }
  }
  for (GgufOutTensor& tensor : plan.tensors_) plan.find_same(tensor);
  NARU_TRY(plan.check_kind_fits(kind));
  return plan;
}

void GgufPlan::add(const Parameter& parameter, const models::Placement::Tensor& to, size_t which, GgufKind kind) {
  tensors_.push_back({.name = to.name,
                      .kind = tensor_kind(kind, config_, parameter, to.cols()),
                      .shape = to.shape,
                      .n_values = to.n_rows * to.cols(),
                      .which = which,
                      .parameters = {},
                      .same = nullptr});
}

// Blocks that stay as they are lose nothing, whatever made them.
void GgufPlan::find_same(GgufOutTensor& tensor) const {
  const ModelConfig& source = files_->config;
  const bool is_same_order = source.is_mla() || source.rope.interleaved == config_.rope.interleaved;
  if (!source.from_gguf || !is_same_order) return;
  const formats::TensorEntry* entry = files_->tensors.find(tensor.name);
  if (entry == nullptr || entry->dtype != tensor.kind.dtype || !is_quantised(entry->dtype)) return;
  if (entry->shape.back() == tensor.shape.back() && entry->bytes == tensor.bytes()) tensor.same = entry;
}

Status GgufPlan::check_kind_fits(GgufKind kind) const {
  if (!is_quantised(main_dtype(kind))) return {};
  std::set<int64_t> lengths;
  for (const GgufOutTensor& tensor : tensors_) {
    if (is_quantised(tensor.kind.dtype)) return {};
    if (tensor.kind.dtype == DType::kF16) lengths.insert(tensor.shape.back());
  }
  return Error{
      Code::kUnsupported,
      fmt::format("converting {}: no tensor of it can be {} or of blocks of 32 in its place: rows of {} are no "
                  "whole blocks; convert with --dtype f16, bf16 or f32",
                  files_->path.string(), gguf_kind_name(kind), fmt::join(lengths, ", "))};
}

std::string GgufPlan::requantised_note() const {
  std::set<std::string_view> kinds;
  for (const GgufOutTensor& tensor : tensors_) {
    if (!is_quantised(tensor.kind.dtype) || tensor.same != nullptr) continue;
    const Parameter& parameter = parameters_[tensor.parameters.front()];
    for (const auto& from : models::placement_of(files_->config, parameter, &files_->tensors).tensors) {
      const formats::TensorEntry* entry = files_->tensors.find(from.name);
      if (entry != nullptr && is_quantised(entry->dtype)) kinds.insert(dtype_name(entry->dtype));
    }
  }
  if (kinds.empty()) return "";
  return fmt::format("{} is quantised already ({}): to its errors come those of this; better convert the original",
                     files_->path.filename().string(), fmt::join(kinds, ", "));
}

std::vector<std::string> GgufPlan::notes() const {
  struct Way {
    DType wanted, dtype;
    int64_t cols;
    auto operator<=>(const Way&) const = default;
  };
  std::map<Way, std::vector<const GgufOutTensor*>> groups;
  for (const GgufOutTensor& tensor : tensors_) {
    if (tensor.kind.wanted == tensor.kind.dtype) continue;
    groups[{tensor.kind.wanted, tensor.kind.dtype, tensor.shape.back()}].push_back(&tensor);
  }
  std::vector<std::string> notes;
  if (std::string note = requantised_note(); !note.empty()) notes.push_back(std::move(note));
  for (const auto& [way, tensors] : groups) {
    notes.push_back(fmt::format("{} tensor{} {} in the place of {}, whose blocks of {} do not divide rows of {}: {}",
                                tensors.size(), tensors.size() == 1 ? " is" : "s are", dtype_name(way.dtype),
                                dtype_name(way.wanted), dtype_info(way.wanted).block_elements, way.cols,
                                some_names(tensors)));
  }
  return notes;
}

std::vector<GgufPlan::Piece> GgufPlan::pieces_of(const GgufOutTensor& tensor, size_t index) const {
  const Parameter& parameter = parameters_[index];
  const int64_t rows = parameter.shape[0], unit = placement_of(parameter).unit_rows(parameter);
  const int64_t unit_values = parameter.n_elements() / rows * unit;
  const int64_t step = unit * std::max<int64_t>(kPieceValues / unit_values, 1);
  std::vector<Piece> pieces;
  for (int64_t row = 0; row < rows; row += step) {
    pieces.push_back({&tensor, {&parameter, row, std::min(step, rows - row)}, {}, {}});
  }
  return pieces;
}

Status GgufPlan::make_bytes(Piece& piece) const {
  const GgufOutTensor& tensor = *piece.tensor;
  const Parameter& parameter = *piece.rows.parameter;
  NARU_ASSIGN(const models::StoredRows rows,
              models::StoredRows::find(files_->tensors, files_->config, {&piece.rows, 1}));
  std::vector<float> values(static_cast<size_t>(parameter.n_elements() / parameter.shape[0] * piece.rows.n_rows));
  rows.widen(0, values.data());
  const models::Placement placement = placement_of(parameter);
  values = placement.arranged(tensor.which, piece.rows, values);
  NARU_TRY(check_values(tensor, values));
  const auto n = static_cast<int64_t>(values.size());
  piece.bytes.resize(static_cast<size_t>(dtype_bytes(tensor.kind.dtype, n).value()));
  if (tensor.same == nullptr) {  // rows are whole blocks, so all is one row
    formats::quantise_row(tensor.kind.dtype, values.data(), n, piece.bytes.data());
  } else {
    const int64_t row_bytes = dtype_bytes(tensor.kind.dtype, tensor.shape.back()).value();
    const int64_t first = placement.stretch(tensor.which, piece.rows).first;
    const Bytes stored = files_->tensors.bytes(*tensor.same).subspan(static_cast<size_t>(first * row_bytes));
    std::copy_n(stored.begin(), piece.bytes.size(), piece.bytes.begin());
  }
  rows.drop(files_->tensors);
  return {};
}

Status GgufPlan::write(int n_threads, formats::GgufWriter& writer, const formats::ProgressCallback& progress) const {
  NARU_ASSIGN(const std::unique_ptr<ThreadPool> pool, ThreadPool::create(n_threads));
  int64_t done = 0, total = 0;
  for (const GgufOutTensor& tensor : tensors_) total += tensor.bytes();
  std::vector<Piece> pieces;
  const auto flush = [&]() -> Status {
    NARU_TRY(files_->tensors.check_unchanged());
    pool->parallel_for(std::ssize(pieces), [&](int64_t i, int) {
      Piece& piece = pieces[static_cast<size_t>(i)];
      Status status = make_bytes(piece);
      if (!status.ok()) piece.error = std::move(status).error();
    });
    NARU_TRY(files_->tensors.check_unchanged());
    for (Piece& piece : pieces) {
      if (piece.error) return *std::move(piece.error);
      NARU_TRY(writer.write(piece.bytes));
      done += std::ssize(piece.bytes);
      if (progress && !progress(done, total)) {
        return Error{Code::kCancelled,
                     fmt::format("converting {}: stopped as asked; nothing was left behind", files_->path.string())};
      }
    }
    pieces.clear();
    return {};
  };
  for (const GgufOutTensor& tensor : tensors_) {
    for (const size_t parameter : tensor.parameters) {
      for (Piece& piece : pieces_of(tensor, parameter)) {
        pieces.push_back(std::move(piece));
        if (pieces.size() == kPiecesAtOnce) NARU_TRY(flush());
      }
    }
  }
  NARU_TRY(flush());
  return files_->tensors.check_unchanged();
}

}  // namespace naru::exports
