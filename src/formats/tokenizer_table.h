// The vocabulary while it is being read: gathers tokens, added tokens and merges from either kind of file, keeps the
// rules that both share, and hands them over to a TokenizerData.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "formats/tokenizer_files.h"

namespace naru::formats {

class TokenizerTable {
 public:
  explicit TokenizerTable(std::string document) : document_(std::move(document)) {}

  // A model's token. Ids and texts once; an empty text makes a gap.
  Status add_token(int64_t id, std::string text);
  // The largest id must stay near the number of tokens, or of the ids that the file lists one by one, gaps included, so
  // that a few bytes cannot ask for a table of millions. At least one token.
  Status check_density(int64_t n_listed = 0) const;
  // One merge of two tokens that are there, whose concatenation is there too.
  Status add_merge(std::string_view left, std::string_view right);
  Status add_merge(std::string_view both);  // "left right"
  // A token of the added list. The same id with the same text twice counts once, with the flags of the later.
  Status add_added(AddedToken token);

  // The id of a text: an added token's, else a model token's.
  std::optional<int32_t> find(std::string_view text) const;
  bool has_id(int64_t id) const;
  bool is_added(std::string_view text) const;
  int64_t n_ids() const { return static_cast<int64_t>(text_of_.size()); }  // the largest id + 1
  // The id that the official library gives to the next added token that no vocabulary has.
  int32_t next_id() const;
  // An added token that the file names as one of its special roles is special.
  void mark_special(std::optional<int32_t> id);

  // Takes everything; the table is empty afterwards.
  void move_into(TokenizerData* data);

  Error error(std::string_view what, std::string_view wanted) const;

 private:
  Status check_id(int64_t id, std::string_view text) const;

  std::string document_;
  std::unordered_map<std::string, int32_t> id_of_;  // model tokens
  std::vector<const std::string*> text_of_;         // by id, into id_of_; nullptr at gaps
  std::vector<Merge> merges_;
  std::vector<AddedToken> added_;
  int32_t last_added_ = -1;  // the largest id of added_
  std::unordered_map<std::string, size_t> added_by_text_;
  std::unordered_map<int32_t, size_t> added_by_id_;
};

}  // namespace naru::formats
