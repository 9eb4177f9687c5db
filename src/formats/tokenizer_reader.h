// tokenizer.json as a stream: its vocabulary and merges, nearly all of the file, go straight into the table; the rest
// becomes a small tree.
#pragma once

#include <string>
#include <vector>

#include "formats/json_tree.h"
#include "formats/tokenizer_table.h"

namespace naru::formats {

class TokenizerReader final : public JsonEvents {
 public:
  explicit TokenizerReader(TokenizerTable* table) : table_(table) {}

  bool on_null() override { return mode_ == Mode::kTree ? pass(tree_.on_null()) : unexpected("null"); }
  bool on_bool(bool value) override {
    return mode_ == Mode::kTree ? pass(tree_.on_bool(value)) : unexpected("a boolean");
  }
  bool on_double(double value) override {
    return mode_ == Mode::kTree ? pass(tree_.on_double(value)) : unexpected("a fraction");
  }
  bool on_integer(int64_t value) override;
  bool on_string(std::string&& value) override;
  bool on_key(std::string&& key) override;
  bool on_start_object() override;
  bool on_end_object() override;
  bool on_start_array() override;
  bool on_end_array() override;

  // What the table said to a token of the file; look here first when the walk failed.
  const Status& table_status() const { return table_status_; }
  // After the walk: the merges, now that every token is known.
  Status add_merges();
  // The document without the contents of model.vocab and model.merges.
  nlohmann::json take_tree() { return tree_.take(); }

 private:
  enum class Mode { kTree, kVocab, kMerges, kMergePair };

  bool pass(bool good);
  bool unexpected(std::string_view found);
  bool at_model_key(std::string_view key) const { return depth_ == 2 && outer_key_ == "model" && inner_key_ == key; }
  void add_merge_side(std::string_view text);

  TokenizerTable* table_;
  JsonTree tree_;
  Status table_status_;
  Mode mode_ = Mode::kTree;
  int depth_ = 0;          // containers open in the tree
  std::string outer_key_;  // the last key of the root, and the last one inside its value
  std::string inner_key_;
  std::string token_;  // the last key of the vocabulary

  // Merges wait for the end, since nothing says that the vocabulary comes first. All their texts in one string, and
  // where each ends; a merge of one text "a b" has one end, one of two texts has two.
  std::string merge_texts_;
  std::vector<uint32_t> merge_ends_;
  std::vector<uint8_t> merge_sides_;
  int n_sides_ = 0;
};

}  // namespace naru::formats
