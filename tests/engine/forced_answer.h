// An answer of given tokens, whatever the model says: a constraint that allows one token at each place, and then none.
// It is complete there, or a beginning that nothing goes on with.
#pragma once

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "engine/constraint.h"

namespace naru::engine {

class ForcedAnswer final : public Constraint {
 public:
  ForcedAnswer(std::vector<int32_t> ids, int64_t vocab, bool is_whole = true)
      : ids_(std::move(ids)), vocab_(vocab), is_whole_(is_whole) {}
  std::unique_ptr<ConstraintState> begin() const override { return std::make_unique<State>(ids_, vocab_, is_whole_); }

 private:
  class State final : public ConstraintState {
   public:
    State(const std::vector<int32_t>& ids, int64_t vocab, bool is_whole)
        : ids_(ids), mask_(static_cast<size_t>((vocab + 63) / 64)), is_whole_(is_whole) {}
    std::span<const uint64_t> allowed() override {
      std::fill(mask_.begin(), mask_.end(), 0);
      if (at_ < ids_.size()) mask_[static_cast<size_t>(ids_[at_]) / 64] |= uint64_t{1} << (ids_[at_] % 64);
      return mask_;
    }
    bool is_complete() override { return is_whole_ && at_ == ids_.size(); }
    void accept(int32_t id) override {
      NARU_CHECK(id == ids_[at_], id);
      ++at_;
    }

   private:
    const std::vector<int32_t>& ids_;
    std::vector<uint64_t> mask_;
    size_t at_ = 0;
    bool is_whole_;
  };
  std::vector<int32_t> ids_;
  int64_t vocab_;
  bool is_whole_;
};

}  // namespace naru::engine
