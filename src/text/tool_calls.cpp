#include "text/tool_calls.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/value.h"

namespace naru::text {
namespace {

constexpr std::string_view kCallBlanks = " \t\r\n";

constexpr std::array<std::string_view, 2> kHermesMarkers = {"<tool_call>", "</tool_call>"};
enum HermesMarker : size_t { kCallOpen, kCallClose };
constexpr std::array<std::string_view, 1> kBareMarkers = {"<|python_tag|>"};
constexpr std::array<std::string_view, 5> kDeepSeekMarkers = {
    "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"};
enum DeepSeekMarker : size_t { kCallsBegin, kCallsEnd, kCallBegin, kCallEnd, kSeparator };

bool is_call_blank(char byte) {
  return kCallBlanks.find(byte) != std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kCallBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kCallBlanks) - begin + 1);
}

// The end of the JSON value that begins at `at`, in text known to be valid JSON.
size_t end_of_value(std::string_view json, size_t at) {
  int64_t depth = 0;
  bool is_in_string = false;
  for (; at < json.size(); ++at) {
    const char c = json[at];
    if (is_in_string) {
      if (c == '\\') ++at;
      is_in_string = c != '"';
      if (!is_in_string && depth == 0) return at + 1;
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}' || c == ']' || is_call_blank(c))) return at;
    if (c == '"') is_in_string = true;
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return at + 1;
  }
  return at;
}

// The text of a field of an object, which is known to be valid JSON; nothing where it is not there under that spelling.
std::optional<std::string_view> text_of_field(std::string_view object, std::string_view name) {
  size_t at = object.find('{') + 1;
  while (true) {
    at = object.find_first_not_of(" \t\r\n,", at);
    if (at == std::string_view::npos || object[at] != '"') return std::nullopt;
    const size_t key_end = end_of_value(object, at);
    const std::string_view key = object.substr(at + 1, key_end - at - 2);
    at = object.find_first_not_of(kCallBlanks, object.find(':', key_end) + 1);
    const size_t end = end_of_value(object, at);
    if (key == name) return object.substr(at, end - at);
    at = end;
  }
}

}  // namespace

std::span<const std::string_view> tool_call_markers(ToolCallForm form) {
  switch (form) {
    case ToolCallForm::kNone: break;
    case ToolCallForm::kHermes: return kHermesMarkers;
    case ToolCallForm::kBare: return kBareMarkers;
    case ToolCallForm::kDeepSeek: return kDeepSeekMarkers;
  }
  return {};
}

std::vector<std::optional<int32_t>> tool_call_tokens(const Tokenizer& tokenizer, ToolCallForm form) {
  std::vector<std::optional<int32_t>> tokens;
  for (const std::string_view marker : tool_call_markers(form)) {
    const std::optional<int32_t> id = tokenizer.find(marker);
    tokens.push_back(id && tokenizer.is_control(*id) ? id : std::nullopt);
  }
  return tokens;
}

ToolCallSplitter::ToolCallSplitter(ToolCallOptions options, const std::vector<std::optional<int32_t>>& tokens)
    : options_(std::move(options)), markers_(tool_call_markers(options_.form)) {
  for (size_t i = 0; i < markers_.size(); ++i) is_token_.push_back(i < tokens.size() && tokens[i].has_value());
  if (options_.form == ToolCallForm::kNone || options_.names.empty()) state_ = State::kPlain;
}

ToolCallDelta ToolCallSplitter::push(std::string_view text) {
  for (const char byte : text) lex(byte);
  return std::exchange(delta_, {});
}

ToolCallDelta ToolCallSplitter::push_marker(size_t index, bool is_shown) {
  const std::string rest = std::exchange(partial_, {});
  for (const char byte : rest) take_byte(byte);
  take_marker(index, is_shown ? markers_[index] : std::string_view(), true);
  return std::exchange(delta_, {});
}

ToolCallDelta ToolCallSplitter::finish() {
  const std::string rest = std::exchange(partial_, {});
  for (const char byte : rest) take_byte(byte);
  if (state_ == State::kPending) {
    give_call();
  } else if (state_ != State::kTail) {
    if (state_ != State::kOutside && state_ != State::kPlain) reject();
    if (!is_after_call_) delta_.content += std::exchange(blanks_, {});
  }
  state_ = State::kPlain;
  return std::exchange(delta_, {});
}

// Finds markers that are characters. A byte that continues none may begin the next one.
void ToolCallSplitter::lex(char byte) {
  const auto find_marker = [this](bool is_whole) {
    for (size_t i = 0; i < markers_.size(); ++i) {
      if (is_token_[i] || !markers_[i].starts_with(partial_)) continue;
      if (!is_whole || markers_[i].size() == partial_.size()) return i;
    }
    return markers_.size();
  };
  if (state_ == State::kPlain) return take_byte(byte);
  partial_ += byte;
  if (find_marker(false) == markers_.size()) {
    partial_.pop_back();
    const std::string rest = std::exchange(partial_, {});
    for (const char each : rest) take_byte(each);
    if (byte != '<' || state_ == State::kPlain) return take_byte(byte);
    partial_ = byte;
    if (find_marker(false) != markers_.size()) return;
    partial_.clear();
    return take_byte(byte);
  }
  const size_t whole = find_marker(true);
  if (whole == markers_.size()) return;
  partial_.clear();
  take_marker(whole, markers_[whole], false);
}

void ToolCallSplitter::take_byte(char byte) {
  if (is_full()) return;
  if (state_ == State::kPlain) {
    delta_.content += byte;
    return;
  }
  if (state_ != State::kOutside) {
    if (continue_call(byte)) return;
    reject();
    return take_byte(byte);
  }
  if (is_call_blank(byte)) {
    blanks_ += byte;
  } else if (options_.form == ToolCallForm::kBare && !has_words_ && n_calls_ == 0 && byte == '{') {
    begin(State::kObject, {});
    continue_call(byte);
  } else {
    give_content({&byte, 1});
    if (options_.form == ToolCallForm::kBare) state_ = State::kPlain;
  }
}

void ToolCallSplitter::take_marker(size_t index, std::string_view text, bool is_token) {
  if (is_full()) return;
  if (state_ == State::kPlain) {
    delta_.content += text;
    return;
  }
  // In a string of the arguments a marker's characters are no marker; its token never is text.
  if (JsonPrefix json = json_; state_ == State::kJson && !is_token && json.push('<')) {
    for (const char byte : text) take_byte(byte);
    return;
  }
  if (state_ != State::kOutside) {
    if (continue_call_at(index)) {
      raw_ += text;
      if (index == kSeparator && state_ == State::kName) name_begin_ = raw_.size();
      return;
    }
    reject();
    return take_marker(index, text, is_token);
  }
  const bool is_deep = options_.form == ToolCallForm::kDeepSeek;
  if (options_.form == ToolCallForm::kHermes && index == kCallOpen) return begin(State::kObject, text);
  if (options_.form == ToolCallForm::kBare && !has_words_ && n_calls_ == 0) return begin(State::kObject, text);
  if (is_deep && index == kCallsBegin) return begin(State::kBlock, text);
  if (is_deep && index == kCallBegin) return begin(State::kHeader, text);
  if (is_after_call_ && (is_deep ? index == kCallsEnd : index == kCallClose)) return blanks_.clear();
  give_content(text);
}

void ToolCallSplitter::begin(State state, std::string_view text) {
  state_ = state;
  raw_ = text;
  header_.clear();
  name_begin_ = object_begin_ = raw_.size();
  json_ = JsonPrefix();
}

bool ToolCallSplitter::continue_call(char byte) {
  if (raw_.size() >= kToolCallBytesMax) return false;
  const bool is_blank = is_call_blank(byte);
  switch (state_) {
    case State::kJson: return take_json(byte);
    case State::kObject:
      if (!is_blank && byte != '{') return false;
      if (is_blank) break;
      state_ = State::kJson;
      object_begin_ = raw_.size();
      return take_json(byte);
    case State::kBlock:
      if (!is_blank) return false;
      break;
    case State::kHeader:
      if (header_.size() == kToolHeaderBytesMax) return false;
      header_ += byte;
      break;
    case State::kName:
      if (raw_.size() - name_begin_ == kToolHeaderBytesMax) return false;
      if (byte != '{') break;
      if (!read_header()) return false;
      state_ = State::kJson;
      object_begin_ = raw_.size();
      return take_json(byte);
    case State::kTail:
      if (!is_blank && (byte != '`' || options_.form != ToolCallForm::kDeepSeek)) return false;
      break;
    case State::kPending:
      if (byte == ';') {
        give_call();
        if (!is_full()) begin(State::kObject, ";");
        return true;
      }
      if (!is_blank) return false;
      break;
    case State::kOutside:
    case State::kPlain: return false;
  }
  raw_ += byte;
  return true;
}

bool ToolCallSplitter::continue_call_at(size_t marker) {
  switch (state_) {
    case State::kBlock:
      if (marker != kCallBegin) return false;
      state_ = State::kHeader;
      return true;
    case State::kHeader:
      if (marker != kSeparator) return false;
      state_ = State::kName;
      return true;
    case State::kTail:
      if (marker != (options_.form == ToolCallForm::kDeepSeek ? size_t{kCallEnd} : size_t{kCallClose})) return false;
      state_ = State::kOutside;
      return true;
    default: return false;
  }
}

bool ToolCallSplitter::take_json(char byte) {
  if (!json_.push(byte)) return false;
  raw_ += byte;
  if (!json_.is_whole()) return true;
  if (!finish_object()) {
    raw_.pop_back();  // the caller puts it behind what is rejected
    return false;
  }
  return true;
}

// The object is whole: a call, where it is one of the request's tools.
bool ToolCallSplitter::finish_object() {
  const std::string_view object = std::string_view(raw_).substr(object_begin_);
  if (options_.form == ToolCallForm::kDeepSeek) {
    if (!parse_value(object, "a call").ok()) return false;  // a key twice
    call_.arguments = object;
  } else if (!read_object(object)) {
    return false;
  }
  state_ = State::kPending;
  if (options_.form != ToolCallForm::kBare) give_call();
  return true;
}

bool ToolCallSplitter::read_object(std::string_view object) {
  const auto parsed = parse_value(object, "a call");
  const Value* name = parsed.ok() ? parsed->find("name") : nullptr;
  if (name == nullptr || name->as_string() == nullptr) return false;
  if (std::find(options_.names.begin(), options_.names.end(), *name->as_string()) == options_.names.end()) return false;
  const std::string_view field = parsed->find("arguments") ? "arguments" : "parameters";
  const Value* arguments = parsed->find(field);
  call_.name = *name->as_string();
  call_.arguments = "{}";
  if (arguments == nullptr) return options_.form == ToolCallForm::kHermes;
  const auto text = text_of_field(object, field);
  if (arguments->as_object() == nullptr || !text) return false;
  call_.arguments = *text;
  return true;
}

// What stands before DeepSeek's object: NAME<sep>, or TYPE<sep>NAME and the opening of a fence.
bool ToolCallSplitter::read_header() {
  std::string_view before = trimmed(std::string_view(raw_).substr(name_begin_));
  std::string_view name = trimmed(header_);
  if (!before.empty()) {
    for (const std::string_view fence : {"```json", "```"}) {
      if (!before.ends_with(fence)) continue;
      before.remove_suffix(fence.size());
      break;
    }
    name = trimmed(before);
  }
  if (std::find(options_.names.begin(), options_.names.end(), name) == options_.names.end()) return false;
  call_.name = name;
  return true;
}

void ToolCallSplitter::give_call() {
  if (!is_after_call_ && has_words_) {
    std::string_view blanks = blanks_;
    if (blanks.ends_with(options_.separator)) blanks.remove_suffix(options_.separator.size());
    delta_.content += blanks;
  }
  blanks_.clear();
  call_.index = n_calls_++;
  delta_.calls.push_back(std::exchange(call_, {}));
  is_after_call_ = true;
  raw_.clear();
  state_ = State::kTail;
}

void ToolCallSplitter::reject() {
  const bool is_bare = options_.form == ToolCallForm::kBare;
  state_ = is_bare ? State::kPlain : State::kOutside;
  call_ = {};
  const std::string raw = std::exchange(raw_, {});
  give_content(raw);
  if (is_bare) delta_.content += std::exchange(blanks_, {});
}

void ToolCallSplitter::give_content(std::string_view bytes) {
  const size_t last = bytes.find_last_not_of(kCallBlanks);
  if (last == std::string_view::npos) {
    blanks_ += bytes;
    return;
  }
  delta_.content += std::exchange(blanks_, std::string(bytes.substr(last + 1)));
  delta_.content += bytes.substr(0, last + 1);
  has_words_ = true;
  is_after_call_ = false;
}

}  // namespace naru::text
