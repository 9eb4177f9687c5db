#include "formats/tokenizer_reader.h"

#include <fmt/format.h>

#include "formats/utf8.h"

namespace naru::formats {

bool TokenizerReader::pass(bool good) {
  return good || fail(tree_.error()->code, tree_.error()->message);
}

bool TokenizerReader::unexpected(std::string_view found) {
  table_status_ =
      mode_ == Mode::kVocab
          ? table_->error(fmt::format("model.vocab says that the id of '{}' is {}", printable(token_), found),
                          "an integer")
          : table_->error(fmt::format("merge {} in model.merges has {}", merge_sides_.size(), found),
                          "\"a b\" or [\"a\", \"b\"]");
  return fail(Code::kCorrupt, "");
}

bool TokenizerReader::on_integer(int64_t value) {
  if (mode_ == Mode::kTree) return pass(tree_.on_integer(value));
  if (mode_ != Mode::kVocab) return unexpected(std::to_string(value));
  if (token_.empty()) return true;  // no text can become it
  table_status_ = table_->add_token(value, std::move(token_));
  token_.clear();
  return table_status_.ok() || fail(Code::kCorrupt, "");
}

bool TokenizerReader::on_string(std::string&& value) {
  switch (mode_) {
    case Mode::kTree: return pass(tree_.on_string(std::move(value)));
    case Mode::kVocab: break;
    case Mode::kMerges:
      add_merge_side(value);
      merge_sides_.push_back(1);
      return true;
    case Mode::kMergePair:
      if (++n_sides_ > 2) return unexpected("more than two texts");
      add_merge_side(value);
      return true;
  }
  return unexpected(fmt::format("\"{}\"", printable(value, 40)));
}

void TokenizerReader::add_merge_side(std::string_view text) {
  merge_texts_ += text;
  merge_ends_.push_back(static_cast<uint32_t>(merge_texts_.size()));  // the file has fewer than 2^32 bytes
}

bool TokenizerReader::on_key(std::string&& key) {
  if (mode_ == Mode::kVocab) {
    token_ = std::move(key);
    return true;
  }
  if (depth_ == 1) {
    outer_key_ = key;
    inner_key_.clear();
  } else if (depth_ == 2) {
    inner_key_ = key;
  }
  return pass(tree_.on_key(std::move(key)));
}

bool TokenizerReader::on_start_object() {
  if (mode_ != Mode::kTree) return unexpected("an object");
  if (at_model_key("vocab")) mode_ = Mode::kVocab;
  ++depth_;
  return pass(tree_.on_start_object());
}

bool TokenizerReader::on_end_object() {
  mode_ = Mode::kTree;
  --depth_;
  return pass(tree_.on_end_object());
}

bool TokenizerReader::on_start_array() {
  if (mode_ == Mode::kMerges) {
    mode_ = Mode::kMergePair;
    n_sides_ = 0;
    return true;
  }
  if (mode_ != Mode::kTree) return unexpected("an array");
  if (at_model_key("merges")) mode_ = Mode::kMerges;
  ++depth_;
  return pass(tree_.on_start_array());
}

bool TokenizerReader::on_end_array() {
  if (mode_ == Mode::kMergePair) {
    if (n_sides_ != 2) return unexpected(fmt::format("an array of {}", n_sides_));
    merge_sides_.push_back(2);
    mode_ = Mode::kMerges;
    return true;
  }
  mode_ = Mode::kTree;
  --depth_;
  return pass(tree_.on_end_array());
}

Status TokenizerReader::add_merges() {
  const std::string_view texts = merge_texts_;
  size_t begin = 0, side = 0;
  const auto next = [&] {
    const size_t end = merge_ends_[side++];
    const std::string_view text = texts.substr(begin, end - begin);
    begin = end;
    return text;
  };
  for (const uint8_t n_sides : merge_sides_) {
    const std::string_view left = next();
    NARU_TRY(n_sides == 1 ? table_->add_merge(left) : table_->add_merge(left, next()));
  }
  return {};
}

}  // namespace naru::formats
