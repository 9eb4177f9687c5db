#include "engine/text_stream.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/utf8.h"

namespace naru::engine {
namespace {

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

bool StringFinder::push(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    held_.push_back(text[i]);
    size_t longest_match = 0;
    const Pattern* match = nullptr;
    for (Pattern& pattern : patterns_) {
      int32_t& k = pattern.matched;
      while (k > 0 && pattern.text[static_cast<size_t>(k)] != text[i]) k = pattern.fallback[static_cast<size_t>(k)];
      if (pattern.text[static_cast<size_t>(k)] == text[i]) ++k;
      if (static_cast<size_t>(k) == pattern.text.size() && pattern.text.size() > longest_match) {
        longest_match = pattern.text.size();
        match = &pattern;
      }
    }
    if (match == nullptr) continue;
    match_ = match->text;
    out.append(held_, 0, held_.size() - longest_match);
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
  return TextStream(tokenizer, std::move(options));
}

TextStream::TextStream(const text::Tokenizer& tokenizer, TextOptions options)
    : tokenizer_(&tokenizer),
      options_(std::move(options)),
      decoder_(tokenizer, false),
      stops_(options_.stop),
      tag_tokens_(text::reasoning_tokens(tokenizer)),
      splitter_(options_.starts_in_reasoning, tag_tokens_) {
  if (!options_.calls) return;
  NARU_CHECK(options_.split_reasoning, "calls are told from content only where reasoning is");
  marker_tokens_ = text::tool_call_tokens(tokenizer, options_.calls->form);
  calls_.emplace(*options_.calls, marker_tokens_);
}

TextDelta TextStream::push(int32_t id) {
  NARU_CHECK(!is_stopped_);
  TextDelta delta;
  // Some vocabularies call the tags of reasoning special; they split all the same.
  const bool is_tag = options_.split_reasoning && (id == tag_tokens_.open || id == tag_tokens_.close);
  const auto marker = std::find(marker_tokens_.begin(), marker_tokens_.end(), id);
  const bool is_marker = marker != marker_tokens_.end();
  const bool is_hidden = options_.skip_special && tokenizer_->is_special(id);
  if (is_hidden && !is_tag && !is_marker) return delta;
  const std::string text = decoder_.push(id);
  n_decoded_ += text.size();
  if (is_tag || is_marker) {
    Tag tag{n_decoded_ - tokenizer_->piece(id).size(), tokenizer_->piece(id), std::nullopt, !is_hidden};
    if (is_marker) tag.marker = static_cast<size_t>(marker - marker_tokens_.begin());
    tags_.push_back(tag);
  }
  take(text, delta);
  return delta;
}

TextDelta TextStream::finish() {
  TextDelta delta;
  if (is_stopped_) return delta;
  take(decoder_.finish(), delta);
  if (is_stopped_) return delta;
  std::string held;
  stops_.finish(held);
  split(held, true, delta);
  is_stopped_ = true;
  return delta;
}

void TextStream::take(std::string_view text, TextDelta& delta) {
  std::string sure;
  is_stopped_ = stops_.push(text, sure);
  if (is_stopped_) delta.stop = stops_.match();
  split(sure, is_stopped_, delta);
  if (calls_ && calls_->is_full() && !is_stopped_) is_stopped_ = true;
  delta.is_stopped = is_stopped_;
}

// Tags keep their places in the text: what is held back for a stop string may hold one, and a stop string may cut one,
// which is text then.
void TextStream::split(std::string_view text, bool is_end, TextDelta& delta) {
  if (!options_.split_reasoning) {
    delta.content += text;
    return;
  }
  sure_ += text;
  size_t n_done = 0, n_tags = 0;
  const auto rest = [&] { return std::string_view(sure_).substr(n_done); };
  while (n_done < sure_.size()) {
    const bool has_tag = n_tags < tags_.size();
    const size_t n_before = has_tag ? tags_[n_tags].begin - n_split_ - n_done : rest().size();
    if (n_before > 0) {
      const std::string_view plain = rest().substr(0, n_before);
      add_pieces(splitter_.push(plain), delta);
      n_done += plain.size();
      continue;
    }
    const Tag& tag = tags_[n_tags];
    if (rest().size() < tag.text.size() && !is_end) break;
    if (rest().size() < tag.text.size()) {
      add_pieces(splitter_.push(rest()), delta);
    } else {
      split_tag(tag, delta);
    }
    n_done += std::min(rest().size(), tag.text.size());
    ++n_tags;
  }
  n_split_ += n_done;
  sure_.erase(0, n_done);
  tags_.erase(tags_.begin(), tags_.begin() + static_cast<std::ptrdiff_t>(n_tags));
  if (!is_end) return;
  add_pieces(splitter_.finish(), delta);
  if (calls_) add_calls(calls_->finish(), delta);
}

void TextStream::split_tag(const Tag& tag, TextDelta& delta) {
  if (!tag.marker) return add_pieces(splitter_.push_tag(tag.text), delta);
  if (splitter_.in_reasoning()) {
    if (tag.is_shown) add_pieces(splitter_.push(tag.text), delta);
    return;
  }
  add_pieces(splitter_.begin_content(), delta);
  add_calls(calls_->push_marker(*tag.marker, tag.is_shown), delta);
}

void TextStream::add_pieces(const std::vector<text::AnswerPiece>& pieces, TextDelta& delta) {
  for (size_t i = 0; i < pieces.size(); ++i) {
    const bool is_before_tag = i + 1 < pieces.size() && pieces[i + 1].part == text::AnswerPart::kTag;
    has_tag_ = has_tag_ || pieces[i].part == text::AnswerPart::kTag;
    if (pieces[i].part == text::AnswerPart::kReasoning) delta.reasoning += pieces[i].text;
    if (pieces[i].part != text::AnswerPart::kContent || is_before_tag) continue;
    if (calls_) {
      add_calls(calls_->push(pieces[i].text), delta);
    } else {
      delta.content += pieces[i].text;
    }
  }
}

void TextStream::add_calls(text::ToolCallDelta&& part, TextDelta& delta) {
  delta.content += part.content;
  for (text::ToolCall& call : part.calls) delta.calls.push_back(std::move(call));
}

}  // namespace naru::engine
