#include "engine/form_constraint.h"

#include <algorithm>

#include "text/tool_calls.h"

namespace naru::engine {
namespace {

using text::FormMatcher;
using text::FormSymbol;

void set_token(std::vector<uint64_t>& mask, int32_t id) {
  mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
}

void clear_token(std::vector<uint64_t>& mask, int32_t id) {
  mask[static_cast<size_t>(id) / 64] &= ~(uint64_t{1} << (id % 64));
}

std::vector<int32_t> ids_within(std::vector<int32_t> ids, int64_t n_ids) {
  std::erase_if(ids, [n_ids](int32_t id) { return id < 0 || id >= n_ids; });
  return ids;
}

size_t bytes_of(const text::Grammar& grammar) {
  size_t bytes = grammar.n_nodes() * sizeof(text::Grammar::Node) + grammar.n_rules() * sizeof(text::FormRule);
  for (text::NodeId id = 0; id < grammar.n_nodes(); ++id) {
    bytes += grammar.ranges(id).size_bytes() + grammar.calls(id).size_bytes() + grammar.jumps(id).size_bytes();
  }
  return bytes;
}

class FormState final : public ConstraintState {
 public:
  FormState(std::shared_ptr<SharedForm> form, text::RuleId root) : form_(std::move(form)), place_(form_->begin(root)) {}

  std::span<const uint64_t> allowed() override {
    if (mask_ == nullptr) mask_ = form_->mask_of(place_);
    return *mask_;
  }
  bool is_complete() override { return form_->may_end(place_); }
  void accept(int32_t id) override {
    mask_ = nullptr;
    form_->accept(place_, id);
  }

 private:
  std::shared_ptr<SharedForm> form_;
  SharedForm::Place place_;
  SharedForm::Mask mask_;
};

}  // namespace

FormVocabulary::FormVocabulary(const text::Tokenizer& tokenizer, int64_t n_ids, std::vector<int32_t> end_ids)
    : tokenizer_(tokenizer),
      end_ids_(ids_within(std::move(end_ids), n_ids)),
      tags_(text::reasoning_tokens(tokenizer)),
      trie_(tokenizer, n_ids, end_ids_),
      others_(static_cast<size_t>((n_ids + 63) / 64)) {
  for (int32_t id = 0; id < n_ids; ++id) {
    const bool is_text = id < tokenizer.n_ids() && !tokenizer.is_control(id) && !tokenizer.piece(id).empty();
    if (!is_text) set_token(others_, id);
  }
  for (const int32_t id : end_ids_) clear_token(others_, id);
}

text::FormSigns FormVocabulary::signs(text::ToolCallForm calls) const {
  text::FormSigns signs;
  signs.has_open_token = tags_.open.has_value();
  signs.has_close_token = tags_.close.has_value();
  for (const auto& token : text::tool_call_tokens(tokenizer_, calls)) signs.marker_tokens.push_back(token.has_value());
  signs.longest_token = static_cast<uint32_t>(trie_.longest());
  return signs;
}

SharedForm::SharedForm(std::shared_ptr<const FormVocabulary> vocabulary, text::CompiledForm form,
                       text::ToolCallForm calls)
    : vocabulary_(std::move(vocabulary)),
      form_(std::move(form)),
      matcher_(form_.grammar),
      grammar_bytes_(bytes_of(*form_.grammar)) {
  const auto add = [&](const std::optional<int32_t>& id, size_t symbol) {
    if (id && static_cast<size_t>(*id) / 64 < vocabulary_->n_words()) signs_[*id] = static_cast<FormSymbol>(symbol);
  };
  add(vocabulary_->tags().open, text::kReasoningOpen);
  add(vocabulary_->tags().close, text::kReasoningClose);
  const auto markers = text::tool_call_tokens(vocabulary_->tokenizer(), calls);
  for (size_t i = 0; i < markers.size(); ++i) add(markers[i], text::kFirstCallMarker + i);
  count_bytes();
}

void SharedForm::count_bytes() {
  bytes_ = grammar_bytes_ + matcher_.bytes() + masks_.size() * vocabulary_->n_words() * sizeof(uint64_t);
}

SharedForm::Place SharedForm::begin(text::RuleId root) {
  const std::lock_guard lock(mutex_);
  Place place;
  place.round = round_;
  place.state = matcher_.begin(root);
  matcher_.save(place.state, place.saved);
  return place;
}

FormMatcher::State SharedForm::find(Place& place) {
  if (matcher_.is_full()) {
    matcher_.forget();
    masks_.clear();
    masks_order_.clear();
    ++round_;
  }
  if (place.round != round_) {
    place.state = matcher_.restore(place.saved);
    place.round = round_;
  }
  return place.state;
}

SharedForm::Mask SharedForm::mask_of(Place& place) {
  const std::lock_guard lock(mutex_);
  const FormMatcher::State state = matcher_.twin(find(place));
  if (const auto at = masks_.find(state); at != masks_.end()) return at->second;
  auto mask = std::make_shared<const std::vector<uint64_t>>(make_mask(state));
  if (masks_order_.size() >= kFormMasksKeptMax) {
    masks_.erase(masks_order_.front());
    masks_order_.pop_front();
  }
  masks_order_.push_back(state);
  masks_.emplace(state, mask);
  count_bytes();
  return mask;
}

std::vector<uint64_t> SharedForm::make_mask(FormMatcher::State state) {
  std::vector<uint64_t> mask(vocabulary_->n_words());
  if (state == FormMatcher::kDead) return mask;
  if (matcher_.step(state, text::kOtherToken) != FormMatcher::kDead) mask = vocabulary_->others();
  for (const auto& [id, symbol] : signs_) {
    if (matcher_.step(state, symbol) != FormMatcher::kDead) {
      set_token(mask, id);
    } else {
      clear_token(mask, id);
    }
  }
  vocabulary_->trie().mark_allowed(matcher_, state, mask);
  if (matcher_.may_end(state)) {
    for (const int32_t id : vocabulary_->end_ids()) set_token(mask, id);
  }
  return mask;
}

bool SharedForm::may_end(Place& place) {
  const std::lock_guard lock(mutex_);
  return matcher_.may_end(find(place));
}

void SharedForm::accept(Place& place, int32_t id) {
  const std::lock_guard lock(mutex_);
  FormMatcher::State state = find(place);
  const std::vector<int32_t>& ends = vocabulary_->end_ids();
  if (std::binary_search(ends.begin(), ends.end(), id)) return;
  const text::Tokenizer& tokenizer = vocabulary_->tokenizer();
  if (const auto sign = signs_.find(id); sign != signs_.end()) {
    state = matcher_.step(state, sign->second);
  } else if (tokenizer.is_control(id) || tokenizer.piece(id).empty()) {
    state = matcher_.step(state, text::kOtherToken);
  } else {
    state = matcher_.step(state, tokenizer.piece(id));
  }
  place.state = state;
  matcher_.save(state, place.saved);
}

std::unique_ptr<ConstraintState> FormConstraint::begin() const {
  const text::CompiledForm& form = form_->form();
  const text::RuleId root = !splits_reasoning_     ? form.content
                            : starts_in_reasoning_ ? form.inside_reasoning
                                                   : form.maybe_reasoning;
  return std::make_unique<FormState>(form_, root);
}

}  // namespace naru::engine
