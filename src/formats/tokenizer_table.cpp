#include "formats/tokenizer_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/utf8.h"

namespace naru::formats {

Error TokenizerTable::error(std::string_view what, std::string_view wanted) const {
  return {Code::kCorrupt,
          fmt::format("reading {}: {}, {} was wanted; the file is damaged, get it again", document_, what, wanted)};
}

Status TokenizerTable::check_id(int64_t id, std::string_view text) const {
  if (id < 0 || id >= kTokenIdsMax) {
    return error(fmt::format("token '{}' has the id {}", printable(text), id),
                 fmt::format("one from 0 to {}", kTokenIdsMax - 1));
  }
  if (static_cast<int64_t>(text.size()) > kTokenBytesMax) {
    return error(fmt::format("token {} has {} bytes of text", id, text.size()),
                 fmt::format("at most {}", kTokenBytesMax));
  }
  return {};
}

Status TokenizerTable::add_token(int64_t id, std::string text) {
  NARU_TRY(check_id(id, text));
  const auto index = static_cast<size_t>(id);
  if (index < text_of_.size() && text_of_[index] != nullptr) {
    return error(
        fmt::format("the tokens '{}' and '{}' both have the id {}", printable(*text_of_[index]), printable(text), id),
        "an id of its own for each");
  }
  // A pointer a slot, before the density is known: at most 32 MB.
  if (index >= text_of_.size()) text_of_.resize(index + 1, nullptr);
  if (text.empty()) return {};
  const auto [place, inserted] = id_of_.try_emplace(std::move(text), static_cast<int32_t>(id));
  if (!inserted) {
    return error(fmt::format("the token '{}' is there twice, with the ids {} and {}", printable(place->first),
                             place->second, id),
                 "every token once");
  }
  text_of_[index] = &place->first;
  return {};
}

Status TokenizerTable::check_density(int64_t n_listed) const {
  const auto slots = static_cast<int64_t>(text_of_.size());
  const auto tokens = static_cast<int64_t>(id_of_.size());
  if (tokens == 0) return error("the vocabulary is empty", "at least one token");
  if (slots > 8 * std::max(tokens, n_listed) + 65536) {
    return error(fmt::format("its {} tokens have ids up to {}", tokens, slots - 1), "ids without such gaps");
  }
  return {};
}

Status TokenizerTable::add_merge(std::string_view left, std::string_view right) {
  if (static_cast<int64_t>(merges_.size()) >= kMergesMax) {
    return error(fmt::format("it has more than {} merges", kMergesMax), "fewer");
  }
  const auto name = [&] {
    return fmt::format("merge {} ('{}' and '{}')", merges_.size(), printable(left, 40), printable(right, 40));
  };
  if (left.empty() || right.empty()) return error(fmt::format("{} has an empty side", name()), "two tokens");
  std::string text(left);
  const auto left_place = id_of_.find(text);
  text.assign(right);
  const auto right_place = id_of_.find(text);
  text.insert(0, left);
  const auto result_place = id_of_.find(text);
  if (left_place == id_of_.end() || right_place == id_of_.end() || result_place == id_of_.end()) {
    return error(fmt::format("{}: {} is not in the vocabulary", name(),
                             left_place == id_of_.end()    ? "its left side"
                             : right_place == id_of_.end() ? "its right side"
                                                           : "its result"),
                 "merges of tokens that are there");
  }
  merges_.push_back({left_place->second, right_place->second, result_place->second});
  return {};
}

Status TokenizerTable::add_merge(std::string_view both) {
  const size_t space = both.find(' ');
  if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos) {
    return error(fmt::format("merge {} is '{}'", merges_.size(), printable(both)),
                 "two tokens with one space between them");
  }
  return add_merge(both.substr(0, space), both.substr(space + 1));
}

Status TokenizerTable::add_added(AddedToken token) {
  NARU_TRY(check_id(token.id, token.text));
  if (token.text.empty()) return {};
  if (const auto same_text = added_by_text_.find(token.text); same_text != added_by_text_.end()) {
    AddedToken& old = added_[same_text->second];
    if (old.id != token.id) {
      return error(fmt::format("the added token '{}' is there twice, with the ids {} and {}", printable(token.text),
                               old.id, token.id),
                   "every token once");
    }
    old = std::move(token);
    return {};
  }
  const auto index = static_cast<size_t>(token.id);
  const std::string* model_text = index < text_of_.size() ? text_of_[index] : nullptr;
  const auto same_id = added_by_id_.find(token.id);
  const std::string* other = same_id != added_by_id_.end() ? &added_[same_id->second].text : model_text;
  if (other != nullptr && *other != token.text) {
    return error(
        fmt::format("the tokens '{}' and '{}' both have the id {}", printable(*other), printable(token.text), token.id),
        "an id of its own for each");
  }
  if (const auto in_model = id_of_.find(token.text); in_model != id_of_.end() && in_model->second != token.id) {
    return error(fmt::format("the added token '{}' has the id {} and the model's vocabulary says {}",
                             printable(token.text), token.id, in_model->second),
                 "the same id in both");
  }
  if (static_cast<int64_t>(added_.size()) >= kAddedTokensMax) {
    return error(fmt::format("it has more than {} added tokens", kAddedTokensMax), "fewer");
  }
  added_by_text_.emplace(token.text, added_.size());
  added_by_id_.emplace(token.id, added_.size());
  if (index >= text_of_.size()) {
    if (static_cast<int64_t>(index) > 8 * static_cast<int64_t>(id_of_.size() + added_.size() + 1) + 65536) {
      return error(fmt::format("the added token '{}' has the id {}", printable(token.text), token.id),
                   "ids without such gaps");
    }
    text_of_.resize(index + 1, nullptr);
  }
  last_added_ = std::max(last_added_, token.id);
  added_.push_back(std::move(token));
  return {};
}

std::optional<int32_t> TokenizerTable::find(std::string_view text) const {
  const std::string key(text);
  if (const auto place = added_by_text_.find(key); place != added_by_text_.end()) return added_[place->second].id;
  if (const auto place = id_of_.find(key); place != id_of_.end()) return place->second;
  return std::nullopt;
}

bool TokenizerTable::has_id(int64_t id) const {
  if (id < 0 || id >= static_cast<int64_t>(text_of_.size())) return false;
  return text_of_[static_cast<size_t>(id)] != nullptr || added_by_id_.contains(static_cast<int32_t>(id));
}

bool TokenizerTable::is_added(std::string_view text) const {
  return added_by_text_.contains(std::string(text));
}

int32_t TokenizerTable::next_id() const {
  const auto n_model = static_cast<int32_t>(id_of_.size());
  return last_added_ >= n_model ? last_added_ + 1 : n_model;
}

void TokenizerTable::mark_special(std::optional<int32_t> id) {
  if (!id) return;
  if (const auto place = added_by_id_.find(*id); place != added_by_id_.end()) added_[place->second].special = true;
}

void TokenizerTable::move_into(TokenizerData* data) {
  data->vocab.assign(text_of_.size(), std::string());
  // The strings are keys of the map, so they are moved out node by node.
  while (!id_of_.empty()) {
    auto node = id_of_.extract(id_of_.begin());
    data->vocab[static_cast<size_t>(node.mapped())] = std::move(node.key());
  }
  data->merges = std::move(merges_);
  std::sort(added_.begin(), added_.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  data->added_tokens = std::move(added_);
  text_of_.clear();
  added_by_text_.clear();
  added_by_id_.clear();
}

}  // namespace naru::formats
