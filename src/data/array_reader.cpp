#include "data/array_reader.h"

#include <fmt/format.h>

#include "data/limits.h"
#include "formats/utf8.h"

namespace naru::data {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

}  // namespace

Error ArrayReader::wrong(std::string_view what, std::string_view next) const {
  return {Code::kCorrupt,
          fmt::format("reading {}: at line {}, column {}: {}; {}", name_, at_.line, at_.column, what, next)};
}

Result<std::optional<char>> ArrayReader::look() {
  while (block_.empty()) {
    NARU_ASSIGN(const auto block, reader_.next_block());
    if (!block) return std::optional<char>();
    block_ = *block;
    const bool is_first = at_.line == 1 && at_.column == 1;
    if (is_first) block_ = formats::without_byte_order_mark(block_);
  }
  return std::optional<char>(block_.front());
}

void ArrayReader::take() {
  const bool is_line_end = block_.front() == '\n';
  at_ = is_line_end ? formats::JsonPlace{at_.line + 1, 1} : formats::JsonPlace{at_.line, at_.column + 1};
  block_.remove_prefix(1);
}

Status ArrayReader::skip_blanks() {
  while (true) {
    NARU_ASSIGN(const auto c, look());
    if (!c || !is_blank(*c)) return {};
    take();
  }
}

Status ArrayReader::read_element() {
  element_.clear();
  begin_ = at_;
  int64_t depth = 0;
  bool is_text = false, is_escaped = false;
  while (true) {
    NARU_ASSIGN(const auto c, look());
    if (!c) return wrong("the file ends inside of the array", "is it whole? bring the rest back, or close the array");
    if (!is_text && depth == 0 && (*c == ',' || *c == ']')) return {};
    if (!is_text && depth == 0 && *c == '}') return wrong("a } that closes nothing", "correct it there");
    if (static_cast<int64_t>(element_.size()) >= kDataLineBytesMax) {
      return Error{Code::kResourceExhausted,
                   fmt::format("reading {}[{}]: the element has more than {} bytes, the most that one may have; cut it "
                               "into several",
                               name_, index_ + 1, kDataLineBytesMax)};
    }
    if (is_text) {
      is_text = is_escaped || *c != '"';
      is_escaped = !is_escaped && *c == '\\';
    } else {
      is_text = *c == '"';
      depth += *c == '{' || *c == '[' ? 1 : *c == '}' || *c == ']' ? -1 : 0;
    }
    element_.push_back(*c);
    take();
  }
}

Status ArrayReader::check_end() {
  NARU_TRY(skip_blanks());
  NARU_ASSIGN(const auto c, look());
  if (!c) return {};
  return wrong("more text behind the array",
               "one array is all that a file may hold: join them, or write an object on "
               "every line");
}

Result<std::optional<std::string_view>> ArrayReader::next() {
  NARU_TRY(skip_blanks());
  NARU_ASSIGN(auto c, look());
  if (!is_open_) {
    NARU_CHECK(c == '[');
    is_open_ = true;
    take();
    NARU_TRY(skip_blanks());
    NARU_ASSIGN(c, look());
    if (c == ']') {
      take();
      NARU_TRY(check_end());
      return std::optional<std::string_view>();
    }
  } else if (c == ']') {
    take();
    NARU_TRY(check_end());
    return std::optional<std::string_view>();
  } else if (c) {  // the comma behind the element before
    take();
    NARU_TRY(skip_blanks());
  }
  NARU_TRY(read_element());
  ++index_;
  while (!element_.empty() && is_blank(element_.back())) element_.pop_back();
  return std::optional<std::string_view>(element_);
}

}  // namespace naru::data
