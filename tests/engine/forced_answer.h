// An answer of given tokens, whatever the model says: a constraint that allows one token at each place, and then none.
#pragma once

#include <vector>

#include "engine/constraint.h"

namespace naru::engine {

class ForcedAnswer final : public Constraint {
 public:
  ForcedAnswer(std::vector<int32_t> ids, int64_t vocab) : ids_(std::move(ids)), vocab_(vocab) {}
  std::unique_ptr<ConstraintState> begin() const override { return std::make_unique<State>(ids_, vocab_); }

 private:
  class State final : public ConstraintState {
   public:
    State(const std::vector<int32_t>& ids, int64_t vocab) : ids_(ids), mask_(static_cast<size_t>((vocab + 63) / 64)) {}
    std::span<const uint64_t> allowed() override {
      std::fill(mask_.begin(), mask_.end(), 0);
      if (at_ < ids_.size()) mask_[static_cast<size_t>(ids_[at_]) / 64] |= uint64_t{1} << (ids_[at_] % 64);
      return mask_;
    }
    void accept(int32_t id) override {
      NARU_CHECK(id == ids_[at_], id);
      ++at_;
    }

   private:
    const std::vector<int32_t>& ids_;
    std::vector<uint64_t> mask_;
    size_t at_ = 0;
  };
  std::vector<int32_t> ids_;
  int64_t vocab_;
};

}  // namespace naru::engine
