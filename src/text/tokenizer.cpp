// The order of work (see tokenizer.h): raw added tokens, then, in each gap between them, NFC, added tokens that are
// sought in normalised text, and the pieces of what is left.
#include "text/tokenizer.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/byte_level.h"
#include "text/nfc.h"

namespace naru::text {
namespace {

Error unsupported(std::string_view what, std::string_view found, std::string_view wanted) {
  return {Code::kUnsupported,
          fmt::format("preparing the tokenizer: {} is '{}', {} is wanted; use a model of a known family", what, found,
                      wanted)};
}

// The stretches of [begin, end) of the whole text, measured from `begin`.
void cut_stretches(std::span<const Stretch> whole, size_t begin, size_t end, std::vector<Stretch>& out) {
  out.clear();
  auto first = std::upper_bound(whole.begin(), whole.end(), begin,
                                [](size_t place, const Stretch& stretch) { return place < stretch.end; });
  for (; first != whole.end(); ++first) {
    out.push_back({std::min(first->end, end) - begin, first->specials});
    if (first->end >= end) break;
  }
}

void push_stretch(std::vector<Stretch>& stretches, size_t end, Specials specials) {
  const size_t begin = stretches.empty() ? 0 : stretches.back().end;
  if (end == begin) return;
  if (!stretches.empty() && stretches.back().specials == specials) {
    stretches.back().end = end;
  } else {
    stretches.push_back({end, specials});
  }
}

}  // namespace

Result<Tokenizer> Tokenizer::create(formats::TokenizerData data) {
  if (data.byte_fallback) return unsupported("model.byte_fallback", "true", "a byte-level vocabulary without it");
  if (data.normalizer == formats::NormalizerKind::kOther) {
    return unsupported("normalizer", data.normalizer_name, "none or NFC");
  }
  if (!data.decoder.empty() && data.decoder != "ByteLevel") {
    return unsupported("decoder", data.decoder, "ByteLevel");
  }
  Tokenizer tokenizer;
  if (!data.gguf_pre.empty()) {
    if (gguf_pre_ignores_merges(data.gguf_pre)) data.ignore_merges = true;
    if (gguf_pre_uses_nfc(data.gguf_pre)) data.normalizer = formats::NormalizerKind::kNfc;
    if (!data.add_bos) data.add_bos = gguf_pre_adds_bos(data.gguf_pre);
  }
  tokenizer.uses_nfc_ = data.normalizer == formats::NormalizerKind::kNfc;
  NARU_ASSIGN(tokenizer.splitter_, Splitter::create(data));
  NARU_ASSIGN(tokenizer.bpe_, Bpe::create(data));
  tokenizer.n_ids_ = data.n_ids();
  NARU_TRY(tokenizer.take_added_tokens(data.added_tokens));
  tokenizer.take_special_ids(data);
  tokenizer.scratch_pool_ = std::make_unique<ScratchPool>();
  return tokenizer;
}

Status Tokenizer::take_added_tokens(const std::vector<formats::AddedToken>& tokens) {
  std::vector<formats::AddedToken> raw, normalized;
  std::vector<std::string> raw_texts, normalized_texts;
  for (const formats::AddedToken& token : tokens) {
    n_ids_ = std::max<int64_t>(n_ids_, int64_t{token.id} + 1);
    auto piece = bytes_of_token(token.text);
    added_[token.id] = {token.text, piece ? std::move(*piece) : token.text, token.special, is_control_token(token)};
    std::string sought = token.text;
    if (token.normalized && uses_nfc_) {
      sought.clear();
      append_nfc(token.text, sought);
    }
    (token.normalized ? normalized : raw).push_back(token);
    (token.normalized ? normalized_texts : raw_texts).push_back(std::move(sought));
  }
  for (const auto& [id, info] : added_) added_by_text_[info.text] = id;
  NARU_ASSIGN(raw_finder_, AddedTokenFinder::create(std::move(raw), raw_texts));
  NARU_ASSIGN(normalized_finder_, AddedTokenFinder::create(std::move(normalized), normalized_texts));
  return {};
}

void Tokenizer::take_special_ids(const formats::TokenizerData& data) {
  bos_id_ = data.bos_id;
  eos_id_ = data.eos_id;
  pad_id_ = data.pad_id;
  eot_id_ = data.eot_id;
  end_ids_ = data.end_ids;
  for (const auto& id : {data.eos_id, data.eot_id}) {
    if (id && std::find(end_ids_.begin(), end_ids_.end(), *id) == end_ids_.end()) end_ids_.push_back(*id);
  }
  // The post-processor's own template wins; without one, the flags of the configuration say what to add.
  prefix_ids_ = data.prefix_ids;
  suffix_ids_ = data.suffix_ids;
  if (prefix_ids_.empty() && suffix_ids_.empty()) {
    if (data.add_bos.value_or(false) && bos_id_) prefix_ids_ = {*bos_id_};
    if (data.add_eos.value_or(false) && eos_id_) suffix_ids_ = {*eos_id_};
  }
}

std::unique_ptr<Tokenizer::Scratch> Tokenizer::take_scratch() const {
  {
    const std::lock_guard lock(scratch_pool_->mutex);
    if (!scratch_pool_->free.empty()) {
      auto scratch = std::move(scratch_pool_->free.back());
      scratch_pool_->free.pop_back();
      return scratch;
    }
  }
  return std::make_unique<Scratch>();
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<int32_t> ids;
  if (options.add_special) ids = prefix_ids_;
  std::string repaired;
  if (!is_valid_utf8(text)) {
    repaired = repair_utf8(text);
    text = repaired;
  }
  encode_stretches(text, {{text.size(), options.parse_special ? Specials::kAll : Specials::kNotSpecial}}, ids);
  if (options.add_special) ids.insert(ids.end(), suffix_ids_.begin(), suffix_ids_.end());
  return ids;
}

std::vector<int32_t> Tokenizer::encode_segments(std::span<const Segment> segments) const {
  std::string text;
  std::vector<Stretch> stretches;
  for (const Segment& segment : segments) {
    if (is_valid_utf8(segment.text)) {
      text += segment.text;
    } else {
      text += repair_utf8(segment.text);
    }
    push_stretch(stretches, text.size(), segment.is_content ? Specials::kNotControl : Specials::kAll);
  }
  std::vector<int32_t> ids;
  encode_stretches(text, std::move(stretches), ids);
  return ids;
}

void Tokenizer::encode_stretches(std::string_view text, std::vector<Stretch> stretches,
                                 std::vector<int32_t>& ids) const {
  auto scratch = take_scratch();
  ids.reserve(ids.size() + text.size() / 3);
  encode_raw(text, stretches, *scratch, ids);
  const std::lock_guard lock(scratch_pool_->mutex);
  scratch_pool_->free.push_back(std::move(scratch));
}

void Tokenizer::encode_raw(std::string_view text, std::span<const Stretch> stretches, Scratch& scratch,
                           std::vector<int32_t>& ids) const {
  scratch.matches.clear();
  raw_finder_.find(text, stretches, scratch.matches);
  size_t begin = 0;
  const auto encode_gap = [&](size_t end) {
    if (end <= begin) return;
    cut_stretches(stretches, begin, end, scratch.stretches);
    const std::string_view gap = text.substr(begin, end - begin);
    if (uses_nfc_ && !is_plainly_nfc(gap)) {
      normalize(gap, scratch.stretches, scratch);
      encode_normalized(scratch.normalized, scratch.normalized_stretches, scratch, ids);
    } else {
      encode_normalized(gap, scratch.stretches, scratch, ids);
    }
  };
  for (const TokenMatch& match : scratch.matches) {
    encode_gap(match.begin);
    ids.push_back(match.id);
    begin = match.end;
  }
  encode_gap(text.size());
}

// NFC of the whole of `text`, stretch by stretch. Where a stretch begins with a character that interacts with what is
// before it, the characters that interact are normalised together, and count as the most restricted of their stretches.
void Tokenizer::normalize(std::string_view text, std::span<const Stretch> stretches, Scratch& scratch) const {
  scratch.normalized.clear();
  scratch.normalized_stretches.clear();
  size_t begin = 0;
  const auto take = [&](size_t end, Specials specials) {
    append_nfc(text.substr(begin, end - begin), scratch.normalized);
    push_stretch(scratch.normalized_stretches, scratch.normalized.size(), specials);
    begin = end;
  };
  for (size_t i = 0; i < stretches.size(); ++i) {
    const size_t border = stretches[i].end;
    if (border <= begin) continue;
    if (begins_apart_for_nfc(text.substr(border))) {
      take(border, stretches[i].specials);
      continue;
    }
    take(begin + last_apart_for_nfc(text.substr(begin, border - begin)), stretches[i].specials);
    size_t end = border;
    while (!begins_apart_for_nfc(text.substr(end))) end += code_point_at(text.data() + end).bytes;
    Specials specials = stretches[i].specials;
    for (size_t j = i + 1; j < stretches.size() && stretches[j - 1].end < end; ++j) {
      specials = std::max(specials, stretches[j].specials);
    }
    take(end, specials);
  }
}

void Tokenizer::encode_normalized(std::string_view text, std::span<const Stretch> stretches, Scratch& scratch,
                                  std::vector<int32_t>& ids) const {
  if (normalized_finder_.empty()) return encode_plain(text, scratch, ids);
  scratch.normalized_matches.clear();
  normalized_finder_.find(text, stretches, scratch.normalized_matches);
  size_t begin = 0;
  for (const TokenMatch& match : scratch.normalized_matches) {
    if (match.begin > begin) encode_plain(text.substr(begin, match.begin - begin), scratch, ids);
    ids.push_back(match.id);
    begin = match.end;
  }
  if (begin < text.size()) encode_plain(text.substr(begin), scratch, ids);
}

void Tokenizer::encode_plain(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
  splitter_.split(text, scratch.ends, scratch.spare);
  size_t begin = 0;
  for (const size_t end : scratch.ends) {
    bpe_.encode(text.substr(begin, end - begin), scratch.bpe, ids);
    begin = end;
  }
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string out;
  Utf8Repairer repairer;
  for (const int32_t id : ids) {
    if (!skip_special || !is_special(id)) repairer.push(piece(id), out);
  }
  repairer.finish(out);
  return out;
}

std::string_view Tokenizer::piece(int32_t id) const {
  const auto added = added_.find(id);
  return added != added_.end() ? std::string_view(added->second.piece) : bpe_.bytes(id);
}

bool Tokenizer::is_special(int32_t id) const {
  const auto added = added_.find(id);
  return added != added_.end() && added->second.special;
}

bool Tokenizer::is_control(int32_t id) const {
  const auto added = added_.find(id);
  return added != added_.end() && added->second.control;
}

std::optional<int32_t> Tokenizer::find(std::string_view text) const {
  const auto added = added_by_text_.find(text);
  if (added != added_by_text_.end()) return added->second;
  const int32_t id = bpe_.find(text);
  if (id >= 0) return id;
  return std::nullopt;
}

std::string StreamDecoder::push(int32_t id) {
  std::string out;
  if (!skip_special_ || !tokenizer_->is_special(id)) repairer_.push(tokenizer_->piece(id), out);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out;
  repairer_.finish(out);
  return out;
}

}  // namespace naru::text
