// FormConstraint: an answer whose content has a form (text/forms/form.h), by a mask over the vocabulary. Reasoning
// before it runs free. End tokens may come where the form is complete, and where nothing else fits nothing else may
// come. An answer that ends at its token limit is the beginning of one.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "engine/constraint.h"
#include "text/forms/form.h"
#include "text/forms/matcher.h"
#include "text/forms/token_trie.h"
#include "text/reasoning.h"
#include "text/tokenizer.h"

namespace naru::engine {

inline constexpr size_t kFormMasksKeptMax = 1024;  // of one form, each a bit a token

// What is made once for a vocabulary, and all forms share. Any thread.
class FormVocabulary {
 public:
  // The tokenizer must outlive it. `n_ids`: that the logits have. `end_ids`: ascending.
  FormVocabulary(const text::Tokenizer& tokenizer, int64_t n_ids, std::vector<int32_t> end_ids);

  // What compile() must know. `calls`: the form of calls that may come.
  text::FormSigns signs(text::ToolCallForm calls) const;

  const text::Tokenizer& tokenizer() const { return tokenizer_; }
  const text::TokenTrie& trie() const { return trie_; }
  const text::ReasoningTokens& tags() const { return tags_; }
  const std::vector<int32_t>& end_ids() const { return end_ids_; }
  size_t n_words() const { return others_.size(); }
  // Neither text nor ends, and no sign.
  const std::vector<uint64_t>& others() const { return others_; }

 private:
  const text::Tokenizer& tokenizer_;
  std::vector<int32_t> end_ids_;
  text::ReasoningTokens tags_;
  text::TokenTrie trie_;
  std::vector<uint64_t> others_;
};

// A form with what is known of its states and masks, which all answers of it share. Any thread.
class SharedForm {
 public:
  SharedForm(std::shared_ptr<const FormVocabulary> vocabulary, text::CompiledForm form, text::ToolCallForm calls);

  using Mask = std::shared_ptr<const std::vector<uint64_t>>;
  // Where an answer stands: a state of the matcher while that keeps it, and all that is needed to find it again.
  struct Place {
    uint64_t round = 0;
    text::FormMatcher::State state = text::FormMatcher::kDead;
    text::FormMatcher::Saved saved;
  };
  Place begin(text::RuleId root);
  Mask mask_of(Place& place);
  bool may_end(Place& place);
  // Behind a token that may not come the place is one where nothing may.
  void accept(Place& place, int32_t id);
  const text::CompiledForm& form() const { return form_; }
  // That it takes, about: its states and masks among them.
  size_t bytes() const { return bytes_; }

 private:
  // The place's state as the matcher knows it now.
  text::FormMatcher::State find(Place& place);
  std::vector<uint64_t> make_mask(text::FormMatcher::State state);
  void count_bytes();

  std::shared_ptr<const FormVocabulary> vocabulary_;
  text::CompiledForm form_;
  std::unordered_map<int32_t, text::FormSymbol> signs_;  // tokens that are signs
  std::mutex mutex_;
  text::FormMatcher matcher_;
  uint64_t round_ = 1;  // of states: it rises where they are forgotten
  std::unordered_map<text::FormMatcher::State, Mask> masks_;
  std::deque<text::FormMatcher::State> masks_order_;  // the oldest first
  size_t grammar_bytes_;
  std::atomic<size_t> bytes_ = 0;
};

class FormConstraint final : public Constraint {
 public:
  // As JsonConstraint.
  FormConstraint(std::shared_ptr<SharedForm> form, bool splits_reasoning, bool starts_in_reasoning)
      : form_(std::move(form)), splits_reasoning_(splits_reasoning), starts_in_reasoning_(starts_in_reasoning) {}
  std::unique_ptr<ConstraintState> begin() const override;

 private:
  std::shared_ptr<SharedForm> form_;
  bool splits_reasoning_, starts_in_reasoning_;
};

}  // namespace naru::engine
