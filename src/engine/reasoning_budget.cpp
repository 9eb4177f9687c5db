#include "engine/reasoning_budget.h"

#include <algorithm>
#include <string>

#include "text/segment.h"

namespace naru::engine {

class ReasoningBudgetState final : public ConstraintState {
 public:
  ReasoningBudgetState(const ReasoningBudget& budget, std::unique_ptr<ConstraintState> inner)
      : budget_(budget), inner_(std::move(inner)), splitter_(budget.starts_in_reasoning_, budget.tags_) {}

  std::span<const uint64_t> allowed() override {
    const std::span<const uint64_t> inner = inner_ != nullptr ? inner_->allowed() : std::span<const uint64_t>();
    if (!is_closing_) return inner;
    const int32_t id = budget_.close_ids_[n_closed_];
    const auto word = static_cast<size_t>(id) / 64;
    const uint64_t bit = uint64_t{1} << (id % 64);
    if (!inner.empty() && (inner[word] & bit) == 0) return inner;
    mask_.assign(static_cast<size_t>((budget_.n_ids_ + 63) / 64), 0);
    mask_[word] |= bit;
    return mask_;
  }

  bool is_complete() override { return inner_ == nullptr || inner_->is_complete(); }

  void accept(int32_t id) override {
    if (inner_ != nullptr) inner_->accept(id);
    if (is_over_) return;
    const bool was_reasoning = splitter_.in_reasoning();
    push(id);
    if (is_closing_ && id != budget_.close_ids_[n_closed_]) n_closed_ = 0;
    if (is_closing_ && id == budget_.close_ids_[n_closed_]) ++n_closed_;
    is_over_ = (was_reasoning && !splitter_.in_reasoning()) || (is_closing_ && n_closed_ == budget_.close_ids_.size());
    if (is_over_) is_closing_ = false;
    if (is_over_ || is_closing_ || !was_reasoning) return;
    is_closing_ = ++n_tokens_ >= budget_.tokens_max_ && budget_.can_close();
  }

 private:
  // As TextStream splits it.
  void push(int32_t id) {
    const std::string_view piece = budget_.tokenizer_.piece(id);
    if (id == budget_.tags_.open || id == budget_.tags_.close) {
      splitter_.push_tag(piece);
    } else if (!budget_.tokenizer_.is_special(id)) {
      splitter_.push(piece);
    }
  }

  const ReasoningBudget& budget_;
  std::unique_ptr<ConstraintState> inner_;
  text::ReasoningSplitter splitter_;
  std::vector<uint64_t> mask_;
  int64_t n_tokens_ = 0;     // of the reasoning
  size_t n_closed_ = 0;      // tokens of the closing tag that have come one after the other since the budget is used up
  bool is_closing_ = false;  // the next one comes as soon as it may
  bool is_over_ = false;     // reasoning is, and comes once
};

ReasoningBudget::ReasoningBudget(const text::Tokenizer& tokenizer, int64_t n_ids, int64_t tokens_max,
                                 bool starts_in_reasoning, std::shared_ptr<const Constraint> inner)
    : tokenizer_(tokenizer),
      n_ids_(n_ids),
      tokens_max_(tokens_max),
      starts_in_reasoning_(starts_in_reasoning),
      inner_(std::move(inner)),
      tags_(text::reasoning_tokens(tokenizer)) {
  NARU_CHECK(tokens_max >= 1, tokens_max);
  if (tags_.close) {
    close_ids_ = {*tags_.close};
  } else {
    close_ids_ = tokenizer.encode(text::kThinkClose, {.add_special = false, .parse_special = false});
  }
  const auto is_foreign = [n_ids](int32_t id) { return id < 0 || id >= n_ids; };
  if (std::any_of(close_ids_.begin(), close_ids_.end(), is_foreign)) close_ids_.clear();
}

std::unique_ptr<ConstraintState> ReasoningBudget::begin() const {
  return std::make_unique<ReasoningBudgetState>(*this, inner_ != nullptr ? inner_->begin() : nullptr);
}

}  // namespace naru::engine
