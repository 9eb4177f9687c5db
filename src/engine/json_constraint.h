// JsonConstraint: an answer whose content is one JSON object and nothing else, by a mask over the vocabulary. Reasoning
// before it runs free. End tokens may come where the object is closed, and there nothing else may; white space between
// values is bounded, so that the model cannot write blanks until its tokens are used up. An answer that ends at its
// token limit is the beginning of an object.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/constraint.h"
#include "engine/token_list.h"
#include "text/json_prefix.h"
#include "text/reasoning.h"
#include "text/tokenizer.h"

namespace naru::engine {

inline constexpr uint16_t kJsonBlanksMax = 64;     // in a row, between values: a line break and its indentation
inline constexpr int64_t kJsonMasksKeptMax = 256;  // of one vocabulary, each a bit a token

// Where an answer stands. `push` is of the bytes of tokens that are text; tags that are tokens come by themselves.
class JsonAnswer {
 public:
  JsonAnswer(bool is_reasoning, bool may_open, bool closes_by_token)
      : json_(kJsonBlanksMax),
        is_reasoning_(is_reasoning),
        is_bare_(!is_reasoning),
        may_open_(may_open),
        closes_by_token_(closes_by_token) {}

  bool push(char byte);
  void open_reasoning() {
    is_reasoning_ = true;
    is_bare_ = false;
    may_open_ = false;
  }
  void close_reasoning() { is_reasoning_ = false; }

  bool is_reasoning() const { return is_reasoning_; }
  bool may_open_reasoning() const { return may_open_ && json_.is_blank(); }
  bool is_whole() const { return json_.is_whole(); }
  std::array<uint64_t, 2> key() const;

 private:
  text::JsonPrefix json_;
  bool is_reasoning_;
  bool is_bare_;   // without reasoning before it
  bool may_open_;  // it opens once (text/reasoning.h), and by its token alone
  bool closes_by_token_;
  uint8_t n_closed_ = 0;  // bytes of the closing tag, where its characters are the sign
};

// What is made once for a vocabulary and its masks, which many answers share. Any thread.
class JsonMasks {
 public:
  // The tokenizer must outlive it. `n_ids`: that the logits have. `end_ids`: ascending.
  JsonMasks(const text::Tokenizer& tokenizer, int64_t n_ids, std::vector<int32_t> end_ids);

  using Mask = std::shared_ptr<const std::vector<uint64_t>>;
  Mask mask_of(const JsonAnswer& answer) const;
  Mask nothing() const { return std::make_shared<const std::vector<uint64_t>>(others_.size()); }

  const text::Tokenizer& tokenizer() const { return tokenizer_; }
  const text::ReasoningTokens& tags() const { return tags_; }
  bool is_end(int32_t id) const;

 private:
  std::vector<uint64_t> make_mask(const JsonAnswer& answer) const;

  const text::Tokenizer& tokenizer_;
  std::vector<int32_t> end_ids_;
  text::ReasoningTokens tags_;
  TokenList tokens_;
  std::vector<uint64_t> others_;  // neither text nor ends: free where reasoning is
  mutable std::mutex mutex_;
  mutable std::map<std::array<uint64_t, 2>, Mask> kept_;
  mutable std::deque<std::array<uint64_t, 2>> kept_order_;  // their keys, the oldest first
};

class JsonConstraint final : public Constraint {
 public:
  // `splits_reasoning`: the answer may begin with reasoning, as TextOptions says; or is in it where the prompt opened
  // it.
  JsonConstraint(std::shared_ptr<const JsonMasks> masks, bool splits_reasoning, bool starts_in_reasoning)
      : masks_(std::move(masks)), splits_reasoning_(splits_reasoning), starts_in_reasoning_(starts_in_reasoning) {}
  std::unique_ptr<ConstraintState> begin() const override;

 private:
  std::shared_ptr<const JsonMasks> masks_;
  bool splits_reasoning_, starts_in_reasoning_;
};

}  // namespace naru::engine
