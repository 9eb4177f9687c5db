#include "engine/text_stream.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/utf8.h"

namespace naru::engine {
namespace {

bool is_white(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

Status validate_stops(const std::vector<std::string>& stops) {
  if (static_cast<int64_t>(stops.size()) > kStopStringsMax) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading stop strings: {} were given, at most {} may be", stops.size(), kStopStringsMax)};
  }
  for (size_t i = 0; i < stops.size(); ++i) {
    const auto n = static_cast<int64_t>(stops[i].size());
    if (n >= 1 && n <= kStopStringBytesMax && text::is_valid_utf8(stops[i])) continue;
    return Error{Code::kInvalidArgument,
                 fmt::format("reading stop strings: number {} has {} bytes{}; give 1 to {} bytes of UTF-8", i + 1, n,
                             text::is_valid_utf8(stops[i]) ? "" : " that are not UTF-8", kStopStringBytesMax)};
  }
  return {};
}

}  // namespace

StringFinder::StringFinder(std::vector<std::string> strings) {
  for (std::string& text : strings) {
    NARU_CHECK(!text.empty());
    Pattern pattern{std::move(text), {}, 0};
    pattern.fallback.assign(pattern.text.size() + 1, 0);
    int32_t k = 0;
    for (size_t i = 1; i < pattern.text.size(); ++i) {
      while (k > 0 && pattern.text[i] != pattern.text[static_cast<size_t>(k)]) {
        k = pattern.fallback[static_cast<size_t>(k)];
      }
      if (pattern.text[i] == pattern.text[static_cast<size_t>(k)]) ++k;
      pattern.fallback[i + 1] = k;
    }
    patterns_.push_back(std::move(pattern));
  }
}

bool StringFinder::push(std::string_view text, std::string& out, std::string& rest) {
  for (size_t i = 0; i < text.size(); ++i) {
    held_.push_back(text[i]);
    size_t longest_match = 0;
    for (Pattern& pattern : patterns_) {
      int32_t& k = pattern.matched;
      while (k > 0 && pattern.text[static_cast<size_t>(k)] != text[i]) k = pattern.fallback[static_cast<size_t>(k)];
      if (pattern.text[static_cast<size_t>(k)] == text[i]) ++k;
      if (static_cast<size_t>(k) == pattern.text.size()) longest_match = std::max(longest_match, pattern.text.size());
    }
    if (longest_match == 0) continue;
    out.append(held_, 0, held_.size() - longest_match);
    rest.assign(text.substr(i + 1));
    held_.clear();
    for (Pattern& pattern : patterns_) pattern.matched = 0;
    return true;
  }
  int32_t n_held = 0;
  for (const Pattern& pattern : patterns_) n_held = std::max(n_held, pattern.matched);
  const size_t n_sure = held_.size() - static_cast<size_t>(n_held);
  out.append(held_, 0, n_sure);
  held_.erase(0, n_sure);
  return false;
}

void StringFinder::finish(std::string& out) {
  out += held_;
  held_.clear();
  for (Pattern& pattern : patterns_) pattern.matched = 0;
}

Result<TextStream> TextStream::create(const text::Tokenizer& tokenizer, TextOptions options) {
  NARU_TRY(validate_stops(options.stop));
  if (options.split_reasoning && (options.reasoning_open.empty() || options.reasoning_close.empty())) {
    return Error{Code::kInvalidArgument, "splitting reasoning: a marker is empty; give both"};
  }
  return TextStream(tokenizer, std::move(options));
}

TextStream::TextStream(const text::Tokenizer& tokenizer, TextOptions options)
    : tokenizer_(&tokenizer),
      options_(std::move(options)),
      decoder_(tokenizer, false),
      stops_(options_.stop),
      close_(options_.split_reasoning ? std::vector<std::string>{options_.reasoning_close}
                                      : std::vector<std::string>{}),
      state_(!options_.split_reasoning      ? State::kContent
             : options_.starts_in_reasoning ? State::kReasoning
                                            : State::kStart) {}

TextDelta TextStream::push(int32_t id) {
  NARU_CHECK(!is_stopped_);
  TextDelta delta;
  if (options_.skip_special && tokenizer_->is_special(id)) {
    // Markers split reasoning even where the vocabulary calls them special.
    const std::string_view piece = tokenizer_->piece(id);
    const bool is_marker =
        options_.split_reasoning && (piece == options_.reasoning_open || piece == options_.reasoning_close);
    if (!is_marker) return delta;
  }
  take(decoder_.push(id), delta);
  return delta;
}

TextDelta TextStream::finish() {
  TextDelta delta;
  if (is_stopped_) return delta;
  take(decoder_.finish(), delta);
  if (!delta.is_stopped) {
    std::string text;
    stops_.finish(text);
    split(text, delta);
    if (state_ == State::kStart) delta.content += start_;
    if (state_ == State::kReasoning) close_.finish(delta.reasoning);
  }
  is_stopped_ = true;
  return delta;
}

void TextStream::take(std::string_view text, TextDelta& delta) {
  std::string sure, rest;
  is_stopped_ = stops_.push(text, sure, rest);
  delta.is_stopped = is_stopped_;
  split(sure, delta);
  if (!is_stopped_) return;
  if (state_ == State::kStart) delta.content += start_;
  if (state_ == State::kReasoning) close_.finish(delta.reasoning);
}

void TextStream::split(std::string_view text, TextDelta& delta) {
  std::string rest(text);
  if (state_ == State::kStart) {
    start_ += rest;
    size_t n_white = 0;
    while (n_white < start_.size() && is_white(start_[n_white])) ++n_white;
    const std::string_view word = std::string_view(start_).substr(n_white);
    const std::string_view open = options_.reasoning_open;
    if (word.size() < open.size() && open.substr(0, word.size()) == word) return;
    const bool is_open = word.substr(0, open.size()) == open;
    state_ = is_open ? State::kReasoning : State::kContent;
    rest = is_open ? std::string(word.substr(open.size())) : start_;
    start_.clear();
  }
  if (state_ == State::kReasoning) {
    std::string behind;
    if (!close_.push(rest, delta.reasoning, behind)) return;
    state_ = State::kContent;
    rest = std::move(behind);
  }
  delta.content += rest;
}

}  // namespace naru::engine
