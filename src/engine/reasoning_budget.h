// ReasoningBudget: an answer whose reasoning has at most so many tokens. When they are used up, the tokens of the
// closing tag are the only ones that may come; before and behind that it constrains nothing, or what another constraint
// does. Where reasoning begins and ends is as TextStream has it (text/reasoning.h). The other constraint may have it
// elsewhere, and has the last word: the tag waits for where that allows it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/constraint.h"
#include "text/reasoning.h"
#include "text/tokenizer.h"

namespace naru::engine {

class ReasoningBudget final : public Constraint {
 public:
  // `tokens_max`: at least 1; the tags do not count. `n_ids`: that the logits have. `starts_in_reasoning`: the prompt
  // opened it. `inner`: what else constrains the answer, by masks of `n_ids` bits; may be null. The tokenizer must
  // outlive it.
  ReasoningBudget(const text::Tokenizer& tokenizer, int64_t n_ids, int64_t tokens_max, bool starts_in_reasoning,
                  std::shared_ptr<const Constraint> inner);
  std::unique_ptr<ConstraintState> begin() const override;

  // False where logits have no place for the tokens of the closing tag: then nothing is bounded.
  bool can_close() const { return !close_ids_.empty(); }

 private:
  friend class ReasoningBudgetState;
  const text::Tokenizer& tokenizer_;
  int64_t n_ids_;
  int64_t tokens_max_;
  bool starts_in_reasoning_;
  std::shared_ptr<const Constraint> inner_;
  text::ReasoningTokens tags_;
  std::vector<int32_t> close_ids_;
};

}  // namespace naru::engine
