// Text to token ids and back, id by id as the official `tokenizers` library does it for byte-level BPE vocabularies:
// added tokens are found first, the rest is normalised, cut into pieces and merged.
//
// Text from outside never becomes a control token: encode_segments() takes the parts of a rendered conversation and
// finds control tokens in the parts of our own making only, while byte pairs merge across the borders of the parts as
// they do in the whole string. Any bytes may be given; invalid UTF-8 is replaced first (text/utf8.h says how).
// Const methods may run on many threads at once. Time is linear in the text times a logarithm, for any text.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "formats/tokenizer_files.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/segment.h"
#include "text/splitter.h"
#include "text/utf8.h"

namespace naru::text {

struct EncodeOptions {
  bool add_special = false;   // put what the tokenizer's files ask for around the text (BOS, sometimes EOS)
  bool parse_special = true;  // special tokens written in the text become their ids; else they are plain text
};

class Tokenizer {
 public:
  // Code::kUnsupported, by name, for what would change ids and is not done here: an unknown pre-tokenizer, normaliser
  // or decoder, byte_fallback.
  static Result<Tokenizer> create(formats::TokenizerData data);

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // The same ids as the segments' texts joined, where no content holds the text of a control token (or a part of one
  // that the next segment completes). Adds nothing around them: a chat template writes BOS itself.
  std::vector<int32_t> encode_segments(std::span<const Segment> segments) const;

  // Ids outside the vocabulary are left out; so are special ones where `skip_special`.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  // The raw bytes of one token, maybe no whole characters; empty for an id that is not there.
  std::string_view piece(int32_t id) const;

  int64_t n_ids() const { return n_ids_; }  // the greatest id + 1
  bool is_special(int32_t id) const;        // flagged special: left out by decode(skip_special)
  bool is_control(int32_t id) const;        // never made from content; every special one is
  // The id of an added token by its text, else of a model token by its raw bytes.
  std::optional<int32_t> find(std::string_view text) const;

  std::optional<int32_t> bos_id() const { return bos_id_; }
  std::optional<int32_t> eos_id() const { return eos_id_; }
  std::optional<int32_t> pad_id() const { return pad_id_; }
  std::optional<int32_t> eot_id() const { return eot_id_; }
  // All that end an answer as far as the tokenizer's files say; a model's config may name more.
  const std::vector<int32_t>& end_ids() const { return end_ids_; }
  // What encode(add_special) puts before and after the text.
  const std::vector<int32_t>& prefix_ids() const { return prefix_ids_; }
  const std::vector<int32_t>& suffix_ids() const { return suffix_ids_; }

 private:
  struct Scratch {
    BpeScratch bpe;
    std::vector<size_t> ends, spare;
    std::vector<TokenMatch> matches, normalized_matches;
    std::string normalized;
    std::vector<Stretch> stretches, normalized_stretches;
  };
  struct ScratchPool {
    std::mutex mutex;
    std::vector<std::unique_ptr<Scratch>> free;
  };
  struct AddedInfo {
    std::string text;
    std::string piece;
    bool special;
    bool control;
  };

  Tokenizer() = default;
  Status take_added_tokens(const std::vector<formats::AddedToken>& tokens);
  void take_special_ids(const formats::TokenizerData& data);
  std::unique_ptr<Scratch> take_scratch() const;
  void encode_stretches(std::string_view text, std::vector<Stretch> stretches, std::vector<int32_t>& ids) const;
  void encode_raw(std::string_view text, std::span<const Stretch> stretches, Scratch& scratch,
                  std::vector<int32_t>& ids) const;
  void encode_normalized(std::string_view text, std::span<const Stretch> stretches, Scratch& scratch,
                         std::vector<int32_t>& ids) const;
  void encode_plain(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;
  void normalize(std::string_view text, std::span<const Stretch> stretches, Scratch& scratch) const;

  Bpe bpe_;
  Splitter splitter_;
  AddedTokenFinder raw_finder_;
  AddedTokenFinder normalized_finder_;
  bool uses_nfc_ = false;
  int64_t n_ids_ = 0;
  std::unordered_map<int32_t, AddedInfo> added_;
  std::unordered_map<std::string_view, int32_t> added_by_text_;  // views into added_
  std::optional<int32_t> bos_id_, eos_id_, pad_id_, eot_id_;
  std::vector<int32_t> end_ids_, prefix_ids_, suffix_ids_;
  std::unique_ptr<ScratchPool> scratch_pool_;
};

// Decodes a stream of ids, giving out whole characters only. The texts given out, joined, are decode() of all ids.
// The tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  std::string push(int32_t id);
  // The end of the stream: a character still incomplete becomes U+FFFD.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  Utf8Repairer repairer_;
};

}  // namespace naru::text
