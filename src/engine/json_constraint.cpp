#include "engine/json_constraint.h"

#include <algorithm>

#include "text/segment.h"

namespace naru::engine {
namespace {

void set_bit(std::span<uint64_t> mask, int32_t id) {
  mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
}

std::vector<int32_t> within(std::vector<int32_t> ids, int64_t n_ids) {
  std::erase_if(ids, [n_ids](int32_t id) { return id < 0 || id >= n_ids; });
  return ids;
}

class JsonState final : public ConstraintState {
 public:
  JsonState(std::shared_ptr<const JsonMasks> masks, const JsonAnswer& answer)
      : masks_(std::move(masks)), answer_(answer) {}

  std::span<const uint64_t> allowed() override {
    if (mask_ == nullptr) mask_ = is_broken_ ? masks_->nothing() : masks_->mask_of(answer_);
    return *mask_;
  }

  bool is_complete() override { return !is_broken_ && answer_.is_whole(); }

  void accept(int32_t id) override {
    mask_ = nullptr;
    if (masks_->is_end(id)) return;
    const text::ReasoningTokens& tags = masks_->tags();
    if (answer_.is_reasoning() && id == tags.close) return answer_.close_reasoning();
    if (answer_.may_open_reasoning() && id == tags.open) return answer_.open_reasoning();
    if (masks_->tokenizer().is_control(id)) return;
    for (const char byte : masks_->tokenizer().piece(id)) {
      is_broken_ = is_broken_ || !answer_.push(byte);
    }
  }

 private:
  std::shared_ptr<const JsonMasks> masks_;
  JsonAnswer answer_;
  JsonMasks::Mask mask_;
  bool is_broken_ = false;  // a token has come that was not allowed
};

}  // namespace

bool JsonAnswer::push(char byte) {
  if (!is_reasoning_) {
    // White space may follow reasoning; an answer that is nothing but the object begins with its brace.
    const bool is_blank = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
    return !(is_blank && is_bare_ && json_.is_blank()) && json_.push(byte);
  }
  if (closes_by_token_) return true;
  if (byte != text::kThinkClose[n_closed_]) n_closed_ = 0;  // the tag begins with a byte that is not in it again
  if (byte == text::kThinkClose[n_closed_]) ++n_closed_;
  if (n_closed_ < text::kThinkClose.size()) return true;
  is_reasoning_ = false;
  n_closed_ = 0;
  return true;
}

std::array<uint64_t, 2> JsonAnswer::key() const {
  std::array<uint64_t, 2> key = json_.key();
  // A bare answer has no blanks before its brace: which it is matters there alone, where no key of a prefix has a
  // depth.
  key[0] ^= json_.is_blank() && is_bare_ ? ~uint64_t{0} : 0;
  key[1] |= (uint64_t{n_closed_} << 2 | uint64_t{may_open_} << 1 | uint64_t{is_reasoning_}) << 58;
  return key;
}

JsonMasks::JsonMasks(const text::Tokenizer& tokenizer, int64_t n_ids, std::vector<int32_t> end_ids)
    : tokenizer_(tokenizer),
      end_ids_(within(std::move(end_ids), n_ids)),
      tags_(text::reasoning_tokens(tokenizer)),
      tokens_(tokenizer, n_ids, end_ids_),
      others_(static_cast<size_t>((n_ids + 63) / 64)) {
  tokens_.mark_all(others_);
  for (uint64_t& word : others_) word = ~word;
  for (const int32_t id : end_ids_) others_[static_cast<size_t>(id) / 64] &= ~(uint64_t{1} << (id % 64));
  if (n_ids % 64 != 0) others_.back() &= (uint64_t{1} << (n_ids % 64)) - 1;
}

bool JsonMasks::is_end(int32_t id) const {
  return std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

JsonMasks::Mask JsonMasks::mask_of(const JsonAnswer& answer) const {
  const std::array<uint64_t, 2> key = answer.key();
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = kept_.find(key); at != kept_.end()) return at->second;
  }
  auto mask = std::make_shared<const std::vector<uint64_t>>(make_mask(answer));
  const std::lock_guard lock(mutex_);
  if (kept_.contains(key)) return mask;  // another thread was faster
  if (std::ssize(kept_order_) >= kJsonMasksKeptMax) {
    kept_.erase(kept_order_.front());
    kept_order_.pop_front();
  }
  kept_order_.push_back(key);
  kept_.emplace(key, mask);
  return mask;
}

std::vector<uint64_t> JsonMasks::make_mask(const JsonAnswer& answer) const {
  std::vector<uint64_t> mask(others_.size());
  if (answer.is_whole()) {
    for (const int32_t id : end_ids_) set_bit(mask, id);
    return mask;
  }
  if (answer.is_reasoning()) mask = others_;
  tokens_.mark_allowed(answer, mask);
  if (answer.may_open_reasoning() && tags_.open) set_bit(mask, *tags_.open);
  return mask;
}

std::unique_ptr<ConstraintState> JsonConstraint::begin() const {
  const bool is_reasoning = splits_reasoning_ && starts_in_reasoning_;
  const JsonAnswer answer(is_reasoning, splits_reasoning_ && !is_reasoning, masks_->tags().close.has_value());
  return std::make_unique<JsonState>(masks_, answer);
}

}  // namespace naru::engine
