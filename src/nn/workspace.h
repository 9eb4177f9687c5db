// Workspace: the memory of a forward pass, handed out from one chip buffer like a stack. Layers take views, and give
// back everything since a mark. With a measuring workspace (bytes_max only) a program runs on the null chip to learn
// how much it needs.
#pragma once

#include <cstdint>
#include <memory>

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

  // A contiguous [rows, cols] view; its contents are whatever was there before.
  View take(int64_t rows, int64_t cols, DType dtype = DType::kF32) {
    const int64_t bytes = round_up(rows * cols * dtype_info(dtype).block_bytes, kAlignment);
    NARU_CHECK(used_ + bytes <= buffer_->bytes(), "workspace too small:", used_, bytes, buffer_->bytes());
    void* data = static_cast<char*>(buffer_->data()) + used_;
    used_ += bytes;
    peak_ = std::max(peak_, used_);
    return make_view(data, dtype, rows, cols);
  }

  int64_t mark() const { return used_; }
  void release(int64_t mark) { used_ = mark; }
  // While kept, scopes give nothing back: a tape (tape.h) needs the values of a layer until it has run backwards.
  void keep(bool is_kept) { is_kept_ = is_kept; }
  bool is_kept() const { return is_kept_; }
  const void* data() const { return buffer_->data(); }
  int64_t bytes() const { return buffer_->bytes(); }
  int64_t peak_bytes() const { return peak_; }

 private:
  static constexpr int64_t kAlignment = 64;
  Workspace() = default;
  std::unique_ptr<contract::Buffer> buffer_;
  int64_t used_ = 0;
  int64_t peak_ = 0;
  bool is_kept_ = false;
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
