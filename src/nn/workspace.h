// Workspace: the memory of a forward pass, handed out from one chip buffer like a stack. Layers take views, and give
// back everything since a mark. A measuring workspace has no memory and no size: a program runs on it, on a
// chip's planner, to learn how much it needs (peak_bytes). A program that needs more than contract::kMeasuredBytesMax
// ends with an error of within_bounds(), which whoever runs ops asks for before each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/check.h"
#include "base/checked.h"
#include "contract/chip.h"
#include "tensor/view.h"

namespace naru::nn {

class Workspace {
 public:
  static Result<Workspace> create(contract::Chip& chip, int64_t bytes) {
    Workspace workspace;
    NARU_ASSIGN(workspace.buffer_, chip.allocate(bytes));
    return workspace;
  }
  // Addresses of a planner cost nothing, and nobody follows them.
  static Result<Workspace> measuring(contract::Chip& planner) {
    NARU_CHECK(planner.info().is_planner, "measuring takes a planner", planner.info().name);
    NARU_ASSIGN(Workspace workspace, create(planner, contract::kMeasuredBytesMax));
    workspace.is_measuring_ = true;
    return workspace;
  }

  // A contiguous [rows, cols] view; its contents are whatever was there before.
  View take(int64_t rows, int64_t cols, DType dtype = DType::kF32) {
    const std::optional<int64_t> bytes = bytes_of(rows, cols, dtype);
    const bool fits = bytes && *bytes <= buffer_->bytes() - used_;
    if (!fits && is_measuring_) {  // any place does: no op will see it
      is_beyond_ = true;
      return make_view(buffer_->address(), dtype, rows, cols);
    }
    NARU_CHECK(fits, "workspace too small:", used_, rows, cols, buffer_->bytes());
    const ChipAddress address = buffer_->address() + used_;
    used_ += *bytes;
    peak_ = std::max(peak_, used_);
    return make_view(address, dtype, rows, cols);
  }

  // Only a measuring workspace can fail, and stays so.
  Status within_bounds() const {
    if (!is_beyond_) return {};
    return Error{
        Code::kResourceExhausted,
        "planning memory: the values of one pass: they take more bytes than a plan counts to (2^50); use fewer "
        "rows at once or a smaller model"};
  }

  int64_t mark() const { return used_; }
  void release(int64_t mark) { used_ = mark; }
  // While kept, scopes give nothing back: a tape (tape.h) needs the values of a layer until it has run backwards.
  void keep(bool is_kept) { is_kept_ = is_kept; }
  bool is_kept() const { return is_kept_; }
  ChipAddress address() const { return buffer_->address(); }
  int64_t bytes() const { return buffer_->bytes(); }
  int64_t peak_bytes() const { return peak_; }

 private:
  static constexpr int64_t kAlignment = 64;
  Workspace() = default;
  static std::optional<int64_t> bytes_of(int64_t rows, int64_t cols, DType dtype) {
    const std::optional<int64_t> elements = checked_mul(rows, cols);
    if (!elements) return std::nullopt;
    const std::optional<int64_t> bytes = checked_mul(*elements, dtype_info(dtype).block_bytes);
    return bytes ? checked_align_up(*bytes, kAlignment) : std::nullopt;
  }

  std::unique_ptr<contract::Buffer> buffer_;
  int64_t used_ = 0;
  int64_t peak_ = 0;
  bool is_kept_ = false;
  bool is_measuring_ = false;
  bool is_beyond_ = false;
};

// Gives back on leaving a scope what the scope took.
class WorkspaceScope {
 public:
  explicit WorkspaceScope(Workspace& workspace) : workspace_(workspace), mark_(workspace.mark()) {}
  ~WorkspaceScope() {
    if (!workspace_.is_kept()) workspace_.release(mark_);
  }
  WorkspaceScope(const WorkspaceScope&) = delete;
  WorkspaceScope& operator=(const WorkspaceScope&) = delete;

 private:
  Workspace& workspace_;
  int64_t mark_;
};

}  // namespace naru::nn
