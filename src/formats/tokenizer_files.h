// Tokenizer files: tokenizer.json with its companions (tokenizer_config.json, special_tokens_map.json,
// added_tokens.json, chat_template.jinja, additional_chat_templates/NAME.jinja), or the tokenizer.ggml.* keys of a GGUF
// file, as one checked struct.
//
// This is description only: nothing here splits, merges or decodes text (src/text does). Only BPE models are read;
// any other model is refused by name. What is checked: every id in [0, kTokenIdsMax), no id and no text twice, all
// texts valid UTF-8, both sides and the result of every merge in the vocabulary, ids named by the post-processor and
// the special-token keys inside the table. What is described and left to the reader's judgement: normaliser,
// pre-tokenizer steps and decoder of a kind that this floor does not know appear with their name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::formats {

class GgufIndex;

inline constexpr int64_t kTokenIdsMax = int64_t{1} << 22;        // ids are below this
inline constexpr int64_t kMergesMax = int64_t{1} << 23;          // merges a file may hold
inline constexpr int64_t kAddedTokensMax = int64_t{1} << 17;     // added tokens a file may hold
inline constexpr int64_t kTokenBytesMax = 64 * 1024;             // bytes of one token's text
inline constexpr int64_t kTokenizerJsonBytesMax = 128ll << 20;   // bytes of tokenizer.json
inline constexpr int64_t kTokenizerConfigBytesMax = 64ll << 20;  // bytes of each companion file
inline constexpr int64_t kChatTemplateBytesMax = 4ll << 20;      // bytes of one chat template
inline constexpr size_t kChatTemplatesMax = 64;                  // named chat templates
inline constexpr std::string_view kNamedTemplatesFolder = "additional_chat_templates";

// A token that is found in the text before the pre-tokenizer runs. Its text is plain UTF-8, as the user writes it
// (not mapped by the byte-to-unicode table). `special` ones are control tokens and left out of decoded text on demand.
struct AddedToken {
  int32_t id = 0;
  std::string text;  // never empty
  bool special = false;
  bool lstrip = false;       // takes the white space on its left into itself
  bool rstrip = false;       // the same on its right
  bool normalized = false;   // sought in the normalised text instead of the raw one
  bool single_word = false;  // only where no word character touches it
};

// One merge, by id in `vocab`: vocab[result] == vocab[left] + vocab[right]. Its rank is its index in `merges`. Where a
// pair occurs twice, the later one counts, as in the official library.
struct Merge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t result = 0;
};

enum class NormalizerKind { kNone, kNfc, kOther };

enum class PreTokenizerKind {
  kSplitRegex,    // `pattern` is a regular expression in the official library's syntax, exact text of the file
  kSplitLiteral,  // `pattern` is a plain string
  kByteLevel,     // the byte-to-unicode mapping; with use_regex the GPT-2 pattern splits first
  kDigits,        // runs of digits apart; each digit apart where `individual_digits`
  kOther,         // `name` says which
};

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// One step of the pre-tokenizer; steps apply in order, each to the pieces that the one before left.
struct PreTokenizerStep {
  PreTokenizerKind kind = PreTokenizerKind::kOther;
  std::string name;     // the file's word for the kind: "Split", "ByteLevel", "Digits", "Whitespace", ...
  std::string pattern;  // kSplit* only
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;
  bool add_prefix_space = false;  // kByteLevel
  bool use_regex = false;         // kByteLevel
  bool individual_digits = false;
};

struct NamedTemplate {
  std::string name;
  std::string text;
};

struct NamedToken {
  std::string name;  // "cls_token", "image_token", ...
  int32_t id = 0;
};

struct TokenizerData {
  // Text of the model's token by id, in the byte-to-unicode alphabet, exactly as in the file ("Ġthe"). Empty where the
  // id has no model token: a gap, or an id that is only an added token. The size is the largest id of any token + 1.
  // In a GGUF file the tokens of type 3 (control) and 4 (user defined) are added tokens only (unless a merge makes
  // their text), those of type 5 (unused) are gaps.
  std::vector<std::string> vocab;
  std::vector<Merge> merges;             // in rank order
  std::vector<AddedToken> added_tokens;  // ascending id; no id twice, no text twice. May share an id with `vocab`
                                         // (then the text is the same); such an id decodes as the added token.

  NormalizerKind normalizer = NormalizerKind::kNone;
  std::string normalizer_name;  // the file's words where kOther ("NFKC", "Sequence[Replace,NFC]")

  std::vector<PreTokenizerStep> pre_tokenizer;  // empty for a GGUF file
  std::string gguf_pre;  // tokenizer.ggml.pre; empty for tokenizer.json. Where it is set, it stands for the
                         // normaliser, the pre-tokenizer and ignore_merges too, which GGUF does not carry.
  std::string decoder;   // "ByteLevel", "" for none, or the file's words: "Sequence[Replace,ByteFallback]"

  bool ignore_merges = false;  // a pre-token that is in the vocabulary as a whole is that token
  bool byte_fallback = false;
  bool fuse_unk = false;

  std::optional<int32_t> unk_id;
  std::optional<int32_t> bos_id;
  std::optional<int32_t> eos_id;
  std::optional<int32_t> pad_id;
  std::optional<int32_t> eot_id;        // end of turn; GGUF only
  std::vector<int32_t> end_ids;         // all that end an answer, besides what the config of the model says; GGUF only
  std::vector<NamedToken> other_roles;  // further roles that templates know by name, each once
  std::optional<bool> add_bos;          // tokenizer_config.json / tokenizer.ggml.add_bos_token, where the file says so
  std::optional<bool> add_eos;

  // What the post-processor's template for a single text puts around it (TemplateProcessing, also inside a Sequence).
  std::vector<int32_t> prefix_ids;
  std::vector<int32_t> suffix_ids;

  std::optional<std::string> chat_template;         // the default one, Jinja text
  std::vector<NamedTemplate> named_chat_templates;  // the others ("tool_use", "rag"), in file order
  std::optional<int64_t> model_max_length;          // absent also where the file says a number beyond int64
  std::string tokenizer_class;                      // tokenizer_config.json; empty where not said
  int64_t n_named_only = 0;  // the last ids, of tokens that no file lists, only roles and lists of special tokens name:
                             // a model need not have rows for them

  int64_t n_ids() const { return static_cast<int64_t>(vocab.size()); }
};

// The text of an id: an added token's, else a model token's as it stands in `vocab`. Nothing where no token has the id.
std::optional<std::string> token_text(const TokenizerData& data, int32_t id);

// The bytes of a tokenizer's files. Only tokenizer_json is needed.
struct TokenizerSources {
  Bytes tokenizer_json;
  std::optional<Bytes> tokenizer_config_json;
  std::optional<Bytes> special_tokens_map_json;
  std::optional<Bytes> added_tokens_json;
  std::optional<Bytes> chat_template_jinja;  // wins over the templates in tokenizer_config.json, as do the named ones
  std::vector<std::pair<std::string, Bytes>> named_templates_jinja;
};

// Pure; `name` (a folder or file) only appears in messages.
Result<TokenizerData> parse_tokenizer(const TokenizerSources& sources, std::string_view name);

// From the tokenizer.ggml.* keys; a file without them is Code::kNotFound.
Result<TokenizerData> tokenizer_from_gguf(const GgufIndex& gguf);

// Takes away tokens that only companions name (n_named_only) and that a model of `vocab` ids has no row for. kCorrupt
// where one of them stands around every text.
Status leave_out_foreign_tokens(TokenizerData& data, int64_t vocab);

// True where the folder holds a tokenizer.json.
bool has_tokenizer(const std::filesystem::path& folder);

// Reads the files named above from a folder; missing companions are fine, a missing tokenizer.json is kNotFound.
Result<TokenizerData> read_tokenizer_folder(const std::filesystem::path& folder);

}  // namespace naru::formats
