// See bpe_trainer.h.
#include "text/bpe_trainer.h"

#include <unordered_set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "formats/utf8.h"
#include "text/bpe.h"
#include "text/byte_level.h"
#include "text/cut_text.h"
#include "text/nfc.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

constexpr size_t kPartBytes = size_t{1} << 20;  // of a long text that is split at once

Error bad_option(std::string_view what) {
  return {Code::kInvalidArgument, fmt::format("training a tokenizer: {}", what)};
}

Status check_numbers(const BpeTrainerOptions& options) {
  const int64_t n_added = static_cast<int64_t>(options.added_tokens.size());
  if (n_added > formats::kAddedTokensMax) {
    return bad_option(fmt::format("there are {} added tokens, at most {} were wanted; give fewer", n_added,
                                  formats::kAddedTokensMax));
  }
  const int64_t least = kBytesInAlphabet + n_added;
  if (options.vocab_size < least || options.vocab_size > formats::kTokenIdsMax) {
    return bad_option(
        fmt::format("a vocabulary of {} was asked for, {} to {} were wanted (256 bytes and {} added tokens "
                    "come first); choose another size",
                    options.vocab_size, least, formats::kTokenIdsMax, n_added));
  }
  if (options.pair_count_min < 1) {
    return bad_option(
        fmt::format("pairs seen {} times or more are to be merged, 1 or more was wanted; choose another "
                    "number",
                    options.pair_count_min));
  }
  if (options.token_bytes_max < 2 || options.token_bytes_max > kLearntTokenBytesMax) {
    return bad_option(fmt::format("tokens of up to {} bytes were asked for, 2 to {} were wanted; choose another number",
                                  options.token_bytes_max, kLearntTokenBytesMax));
  }
  return {};
}

}  // namespace

Result<BpeTrainer> BpeTrainer::create(BpeTrainerOptions options) {
  NARU_TRY(check_numbers(options));
  BpeTrainer trainer;
  auto steps = pre_tokenizer_steps(options.pre_tokenizer);
  if (!steps) {
    return bad_option(fmt::format("there is no pre-tokenizer '{}', one of {} was wanted; choose one of these",
                                  formats::printable(options.pre_tokenizer), fmt::join(pre_tokenizer_names(), ", ")));
  }
  formats::TokenizerData& data = trainer.data_;
  data.pre_tokenizer = std::move(*steps);
  data.decoder = "ByteLevel";
  data.ignore_merges = gguf_pre_ignores_merges(options.pre_tokenizer);
  if (gguf_pre_uses_nfc(options.pre_tokenizer)) data.normalizer = formats::NormalizerKind::kNfc;
  NARU_ASSIGN(trainer.splitter_, Splitter::create(data));
  trainer.options_ = std::move(options);
  NARU_TRY(trainer.check_added_tokens());
  for (const NewToken& token : trainer.options_.added_tokens) {
    formats::AddedToken& added = data.added_tokens.emplace_back();
    added.id = static_cast<int32_t>(data.added_tokens.size() - 1);
    added.text = token.text;
    added.special = token.special;
    data.vocab.push_back(token.text);
  }
  trainer.budget_ = std::make_unique<MemoryBudget>(trainer.options_.memory_bytes_max);
  trainer.words_ = std::make_unique<WordCounts>(trainer.budget_.get());
  return trainer;
}

// An added token must not be one piece of plain text: else the text of a user could become it without being sought.
Status BpeTrainer::check_added_tokens() {
  std::unordered_set<std::string_view> seen;
  for (const NewToken& token : options_.added_tokens) {
    const std::string shown = formats::printable(token.text);
    if (token.text.empty() || !is_valid_utf8(token.text) ||
        static_cast<int64_t>(token.text.size()) > formats::kTokenBytesMax) {
      return bad_option(
          fmt::format("the added token '{}' has {} bytes, valid UTF-8 of 1 to {} bytes was wanted; choose "
                      "another",
                      shown, token.text.size(), formats::kTokenBytesMax));
    }
    if (!seen.insert(token.text).second) {
      return bad_option(fmt::format("the added token '{}' is given twice, once was wanted; leave one out", shown));
    }
    splitter_.split(token.text, ends_, spare_);
    if (ends_.size() < 2) {
      return bad_option(
          fmt::format("the added token '{}' looks like a word of plain text, signs and letters together "
                      "were wanted; choose one like <|name|>",
                      shown));
    }
  }
  return {};
}

Status BpeTrainer::add_text(std::string_view bytes) {
  ++n_texts_;
  n_bytes_ += static_cast<int64_t>(bytes.size());
  while (!bytes.empty()) {
    const size_t n = place_to_cut(bytes, kPartBytes);
    NARU_TRY(add_part(bytes.substr(0, n)));
    bytes.remove_prefix(n);
  }
  return {};
}

Status BpeTrainer::add_part(std::string_view part) {
  if (!is_valid_utf8(part)) {
    has_repaired_ = true;
    repaired_ = repair_utf8(part);
    part = repaired_;
  }
  if (data_.normalizer == formats::NormalizerKind::kNfc && !is_plainly_nfc(part)) {
    normalized_.clear();
    append_nfc(part, normalized_);
    part = normalized_;
  }
  splitter_.split(part, ends_, spare_);
  size_t begin = 0;
  for (const size_t end : ends_) {
    NARU_TRY(words_->add(part.substr(begin, end - begin)));
    begin = end;
  }
  return {};
}

Result<formats::TokenizerData> BpeTrainer::train(const MergeLearner::Progress& progress) {
  MergeLearnerOptions learner_options;
  learner_options.vocab_size = options_.vocab_size;
  learner_options.first_id = static_cast<int32_t>(options_.added_tokens.size());
  learner_options.pair_count_min = options_.pair_count_min;
  learner_options.token_bytes_max = options_.token_bytes_max;
  for (const NewToken& token : options_.added_tokens) {
    if (auto bytes = bytes_of_token(token.text)) learner_options.forbidden.insert(std::move(*bytes));
  }
  MergeLearner learner(std::move(learner_options), budget_.get());
  NARU_TRY(learner.learn(*words_, progress));
  formats::TokenizerData data = data_;
  for (const std::string& bytes : learner.tokens()) data.vocab.push_back(token_of_bytes(bytes));
  data.merges = learner.merges();
  return data;
}

Result<int64_t> BpeTrainer::count_tokens(const formats::TokenizerData& data) const {
  NARU_ASSIGN(const Bpe bpe, Bpe::create(data));
  BpeScratch scratch;
  std::vector<int32_t> ids;
  int64_t n = 0;
  for (int64_t i = 0; i < words_->size(); ++i) {
    ids.clear();
    bpe.encode(words_->word(i), scratch, ids);
    n += words_->count(i) * static_cast<int64_t>(ids.size());
  }
  return n;
}

}  // namespace naru::text
