#include "export/gguf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "formats/generation_config.h"
#include "formats/gguf.h"
#include "formats/utf8.h"
#include "text/splitter.h"

namespace naru::exports {
namespace {

using formats::AddedToken;
using formats::GgufWriter;
using formats::ModelConfig;
using formats::TokenizerData;

// tokenizer.ggml.token_type
constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

Error no_word_for(std::string_view what) {
  return {Code::kUnsupported,
          fmt::format("writing the tokenizer to GGUF: it has no word for {}; use the Hugging Face folder", what)};
}

struct Tokens {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
};

Result<Tokens> list_tokens(const TokenizerData& data, int64_t vocab) {
  const int64_t n_ids = data.n_ids();
  if (n_ids > vocab) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("writing the tokenizer to GGUF: it has ids up to {}, the model has a vocabulary of {}; put "
                    "the model's own tokenizer beside it",
                    n_ids - 1, vocab)};
  }
  Tokens tokens{data.vocab, std::vector<int32_t>(static_cast<size_t>(vocab), kNormal)};
  tokens.texts.resize(static_cast<size_t>(vocab));
  for (const AddedToken& token : data.added_tokens) {
    if (token.lstrip || token.rstrip || token.single_word) {
      return no_word_for(fmt::format("an added token that takes white space into itself or keeps to whole words ('{}')",
                                     formats::printable(token.text)));
    }
    tokens.texts[static_cast<size_t>(token.id)] = token.text;
    tokens.types[static_cast<size_t>(token.id)] = token.special ? kControl : kUserDefined;
  }
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    if (!tokens.texts[id].empty()) continue;
    tokens.texts[id] = fmt::format("[PAD{}]", id);
    tokens.types[id] = kUnused;
  }
  return tokens;
}

// BOS before and EOS after the text is all that the keys can say.
Status add_surroundings(const TokenizerData& data, GgufWriter& writer) {
  const auto is_one = [](const std::vector<int32_t>& ids, const std::optional<int32_t>& id) {
    return ids.size() == 1 && id && ids[0] == *id;
  };
  const bool has_template = !data.prefix_ids.empty() || !data.suffix_ids.empty();
  if ((!data.prefix_ids.empty() && !is_one(data.prefix_ids, data.bos_id)) ||
      (!data.suffix_ids.empty() && !is_one(data.suffix_ids, data.eos_id))) {
    return no_word_for("other tokens around a text than BOS and EOS");
  }
  const bool adds_bos = data.add_bos.value_or(text::gguf_pre_adds_bos(data.gguf_pre));
  const bool has_bos = has_template ? !data.prefix_ids.empty() : adds_bos && data.bos_id;
  const bool has_eos = has_template ? !data.suffix_ids.empty() : data.add_eos.value_or(false) && data.eos_id;
  writer.add_bool("tokenizer.ggml.add_bos_token", has_bos);
  writer.add_bool("tokenizer.ggml.add_eos_token", has_eos);
  return {};
}

// Whatever ends an answer by the tokenizer and the config, EOS first.
std::vector<int32_t> ends_of(const TokenizerData& data, const ModelConfig& config) {
  std::vector<int32_t> ends;
  const auto add = [&ends](int32_t id) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  };
  // EOS of the tokenizer, where the model too takes it for an end.
  const std::vector<int32_t>& of_config = config.eos_ids;
  if (data.eos_id &&
      (of_config.empty() || std::find(of_config.begin(), of_config.end(), *data.eos_id) != of_config.end())) {
    add(*data.eos_id);
  }
  for (const int32_t id : of_config) add(id);
  if (data.eot_id) add(*data.eot_id);
  for (const int32_t id : data.end_ids) add(id);
  return ends;
}

// BOS; then EOS, end of turn and end of message in the keys that all readers know, and the whole list in a key of our
// own: a model may have more ends, and what only looks like one is none.
void add_ids(const TokenizerData& data, const ModelConfig& config, GgufWriter& writer) {
  const auto add = [&](std::string_view key, int32_t id) { writer.add_u32(key, static_cast<uint32_t>(id)); };
  if (data.bos_id) {
    add("tokenizer.ggml.bos_token_id", *data.bos_id);
  } else if (!config.bos_ids.empty()) {
    add("tokenizer.ggml.bos_token_id", config.bos_ids[0]);
  }
  const std::vector<int32_t> all = ends_of(data, config);
  if (!all.empty()) writer.add_i32s(formats::kGgufEndIdsKey, all);
  std::vector<int32_t> keyed = all;
  const auto is_eom = [&data](int32_t id) { return formats::token_text(data, id) == "<|eom_id|>"; };
  if (keyed.size() > 1) std::stable_partition(keyed.begin() + 1, keyed.end(), std::not_fn(is_eom));
  if (keyed.size() > 2 && is_eom(keyed.back())) std::swap(keyed[2], keyed.back());
  constexpr std::string_view kKeys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id"};
  for (size_t i = 0; i < keyed.size() && i < std::size(kKeys); ++i) add(kKeys[i], keyed[i]);
  const auto pad = config.pad_id ? config.pad_id : data.pad_id;
  if (pad) add("tokenizer.ggml.padding_token_id", *pad);
}

}  // namespace

Status add_gguf_tokenizer(const TokenizerData& data, const ModelConfig& config, GgufWriter& writer) {
  if (data.byte_fallback || data.normalizer == formats::NormalizerKind::kOther) {
    return no_word_for("a vocabulary that is no plain byte-level BPE");
  }
  const std::string pre = text::gguf_pre_of(data);
  if (pre.empty()) return no_word_for("its pre-tokenizer, normaliser and rule of merges together");
  NARU_ASSIGN(const Tokens tokens, list_tokens(data, config.vocab));
  std::vector<std::string> merges;
  for (const formats::Merge& merge : data.merges) {
    merges.push_back(data.vocab[static_cast<size_t>(merge.left)] + " " + data.vocab[static_cast<size_t>(merge.right)]);
  }
  writer.add_string("tokenizer.ggml.model", "gpt2");
  writer.add_string("tokenizer.ggml.pre", pre);
  writer.add_strings("tokenizer.ggml.tokens", tokens.texts);
  writer.add_i32s("tokenizer.ggml.token_type", tokens.types);
  writer.add_strings("tokenizer.ggml.merges", merges);
  add_ids(data, config, writer);
  if (data.unk_id) writer.add_u32("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(*data.unk_id));
  NARU_TRY(add_surroundings(data, writer));
  if (data.chat_template) writer.add_string("tokenizer.chat_template", *data.chat_template);
  std::vector<std::string> names;
  for (const formats::NamedTemplate& named : data.named_chat_templates) {
    if (std::find(names.begin(), names.end(), named.name) != names.end()) continue;
    names.push_back(named.name);
    writer.add_string(fmt::format("tokenizer.chat_template.{}", named.name), named.text);
  }
  if (!names.empty()) writer.add_strings("tokenizer.chat_templates", names);
  return {};
}

Status add_gguf_tokenizer(const formats::TensorFiles& files, const ModelConfig& config, GgufWriter& writer) {
  if (files.gguf() != nullptr && files.gguf()->has("tokenizer.ggml.tokens")) {
    NARU_ASSIGN(const TokenizerData data, formats::tokenizer_from_gguf(*files.gguf()));
    return add_gguf_tokenizer(data, config, writer);
  }
  // What generation_config.json calls an end is one, whatever config.json says.
  ModelConfig with_advice = config;
  if (files.gguf() == nullptr) {
    NARU_ASSIGN(const formats::GenerationConfig advice, formats::read_generation_config(files.folder()));
    for (const int32_t id : advice.eos_ids) {
      const auto& ends = with_advice.eos_ids;
      if (id < config.vocab && std::find(ends.begin(), ends.end(), id) == ends.end()) with_advice.eos_ids.push_back(id);
    }
  }
  if (files.gguf() == nullptr && formats::has_tokenizer(files.folder())) {
    NARU_ASSIGN(TokenizerData data, formats::read_tokenizer_folder(files.folder()));
    NARU_TRY(formats::leave_out_foreign_tokens(data, config.vocab));
    return add_gguf_tokenizer(data, with_advice, writer);
  }
  writer.add_string("tokenizer.ggml.model", "none");
  add_ids({}, with_advice, writer);
  return {};
}

}  // namespace naru::exports
