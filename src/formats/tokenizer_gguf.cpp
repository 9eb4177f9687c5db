// The tokenizer.ggml.* keys of a GGUF file to TokenizerData.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "formats/gguf.h"
#include "formats/tokenizer_files.h"
#include "formats/tokenizer_table.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

// tokenizer.ggml.token_type
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// Converters say little of what ends an answer, so llama.cpp knows such tokens by their texts as well, whatever type
// the file gives them; files are made and tested with it.
constexpr std::string_view kEndTexts[] = {
    "<|im_end|>",  "<|eot_id|>",    "<|eom_id|>", "<|endoftext|>",    "<|end_of_text|>",
    "<|end|>",     "<end_of_turn>", "<EOT>",      "_<EOT>",           "[EOT]",
    "[EOS]",       "<eos>",         "</s>",       "<|return|>",       "<|call|>",
    "<|calls|>",   "<|flush|>",     "<turn|>",    "<|tool_response>", "<end_of_utterance>",
    "<|fim_pad|>", "<fim-pad>",     "<fim_pad>",  "<|fim_repo|>",     "<|repo_name|>",
    "<fim-repo>",  "<REPO>",        "<reponame>", "<|file_sep|>"};
constexpr std::string_view kEndKeys[] = {"eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"};

struct GgufTokens {
  std::vector<std::string_view> texts;
  std::vector<int64_t> types;
};

Result<GgufTokens> read_tokens(const GgufIndex& gguf) {
  NARU_ASSIGN(auto texts, gguf.find_strings("tokenizer.ggml.tokens"));
  if (!texts) {
    return Error{Code::kNotFound,
                 fmt::format("reading {}: it holds no tokenizer (key 'tokenizer.ggml.tokens'); token ids work, text "
                             "does not",
                             gguf.name())};
  }
  const auto count = static_cast<int64_t>(texts->size());
  if (count == 0 || count > kTokenIdsMax) {
    return gguf.wrong(Code::kCorrupt, "tokenizer.ggml.tokens", fmt::format("an array of {}", count),
                      fmt::format("one of 1 to {}", kTokenIdsMax), kConvertAgain);
  }
  GgufTokens tokens{std::move(*texts), std::vector<int64_t>(static_cast<size_t>(count), kNormal)};
  NARU_ASSIGN(auto types, gguf.find_ints("tokenizer.ggml.token_type", 0, 1000));
  if (!types) return tokens;
  if (types->size() != tokens.texts.size()) {
    return gguf.wrong(Code::kCorrupt, "tokenizer.ggml.token_type", fmt::format("an array of {}", types->size()),
                      fmt::format("one of {}, as many as tokens,", count), kConvertAgain);
  }
  tokens.types = std::move(*types);
  return tokens;
}

bool is_added(int64_t type) {
  return type == kControl || type == kUserDefined;
}

// Model tokens first, so that merges find them; then the added ones.
Status fill_table(const GgufTokens& tokens, const std::vector<std::string_view>& merges, TokenizerTable* table) {
  // The text of an added token that takes part in a merge is a model token too; such texts are rare, so they are
  // gathered first.
  std::vector<std::string_view> added_texts;
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    if (is_added(tokens.types[i])) added_texts.push_back(tokens.texts[i]);
  }
  std::sort(added_texts.begin(), added_texts.end());
  std::vector<std::string> merged;
  for (const std::string_view merge : merges) {
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos) continue;
    std::string result(merge.substr(0, space));
    result += merge.substr(space + 1);
    if (std::binary_search(added_texts.begin(), added_texts.end(), std::string_view(result)))
      merged.push_back(std::move(result));
  }
  std::sort(merged.begin(), merged.end());

  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    const bool is_gap =
        tokens.types[i] == kUnused ||
        (is_added(tokens.types[i]) && !std::binary_search(merged.begin(), merged.end(), std::string(tokens.texts[i])));
    NARU_TRY(table->add_token(static_cast<int64_t>(i), is_gap ? std::string() : std::string(tokens.texts[i])));
  }
  NARU_TRY(table->check_density(static_cast<int64_t>(tokens.texts.size())));
  for (const std::string_view merge : merges) NARU_TRY(table->add_merge(merge));
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    if (!is_added(tokens.types[i])) continue;
    AddedToken token{
        .id = static_cast<int32_t>(i), .text = std::string(tokens.texts[i]), .special = tokens.types[i] == kControl};
    NARU_TRY(table->add_added(std::move(token)));
  }
  return {};
}

// The ids of the texts that end an answer; their tokens become control tokens.
std::vector<int32_t> find_end_texts(GgufTokens* tokens) {
  std::vector<int32_t> ids;
  std::set<std::string_view> found;
  for (size_t i = 0; i < tokens->texts.size(); ++i) {
    if (std::find(std::begin(kEndTexts), std::end(kEndTexts), tokens->texts[i]) == std::end(kEndTexts)) continue;
    ids.push_back(static_cast<int32_t>(i));
    found.insert(tokens->texts[i]);
  }
  // In two vocabularies a text of the list ends something else.
  const auto drop = [&](std::string_view text) {
    std::erase_if(ids, [&](int32_t id) { return tokens->texts[static_cast<size_t>(id)] == text; });
  };
  const bool has_call = found.contains("<|call|>") || found.contains("<|calls|>");
  if (has_call && (found.contains("<|return|>") || found.contains("<|flush|>"))) drop("<|end|>");
  if (found.contains("<|tool_response>")) drop("</s>");
  for (const int32_t id : ids) tokens->types[static_cast<size_t>(id)] = kControl;
  return ids;
}

// -1 and 2^32 - 1 mean none.
Result<std::optional<int32_t>> read_id(const GgufIndex& gguf, std::string_view key, int64_t n_tokens) {
  NARU_ASSIGN(const auto id, gguf.find_int(key, -1, UINT32_MAX));
  if (!id || *id == -1 || *id == UINT32_MAX) return std::optional<int32_t>();
  if (*id >= n_tokens) {
    return gguf.wrong(Code::kCorrupt, key, std::to_string(*id), fmt::format("the id of one of the {} tokens", n_tokens),
                      kConvertAgain);
  }
  return std::optional(static_cast<int32_t>(*id));
}

// Of the keys for ends, the ids that `ids` lacks.
Status add_end_keys(const GgufIndex& gguf, int64_t n_tokens, std::vector<int32_t>* ids) {
  for (const std::string_view key : kEndKeys) {
    NARU_ASSIGN(const auto id, read_id(gguf, fmt::format("tokenizer.ggml.{}_token_id", key), n_tokens));
    if (id && std::find(ids->begin(), ids->end(), *id) == ids->end()) ids->push_back(*id);
  }
  return {};
}

Status read_templates(const GgufIndex& gguf, TokenizerData* data) {
  const auto check = [&](std::string_view key, std::string_view text) -> Status {
    if (static_cast<int64_t>(text.size()) <= kChatTemplateBytesMax) return {};
    return gguf.wrong(Code::kCorrupt, key, fmt::format("{} bytes long", text.size()),
                      fmt::format("at most {}", kChatTemplateBytesMax), kConvertAgain);
  };
  NARU_ASSIGN(const auto text, gguf.find_string("tokenizer.chat_template"));
  if (text) {
    NARU_TRY(check("tokenizer.chat_template", *text));
    data->chat_template = std::string(*text);
  }
  NARU_ASSIGN(const auto names, gguf.find_strings("tokenizer.chat_templates"));
  if (!names) return {};
  for (const std::string_view name : *names) {
    if (data->named_chat_templates.size() >= kChatTemplatesMax) break;
    const std::string key = fmt::format("tokenizer.chat_template.{}", name);
    NARU_ASSIGN(const auto named, gguf.find_string(key));
    if (!named) continue;
    NARU_TRY(check(key, *named));
    data->named_chat_templates.push_back({std::string(name), std::string(*named)});
  }
  return {};
}

}  // namespace

Result<TokenizerData> tokenizer_from_gguf(const GgufIndex& gguf) {
  NARU_ASSIGN(GgufTokens tokens, read_tokens(gguf));
  NARU_ASSIGN(const std::string_view model, gguf.get_string("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return gguf.wrong(Code::kUnsupported, "tokenizer.ggml.model", fmt::format("\"{}\"", printable(model)),
                      "\"gpt2\" (byte-level BPE)", "use a model with such a tokenizer");
  }
  NARU_ASSIGN(const auto merges, gguf.find_strings("tokenizer.ggml.merges"));
  TokenizerData data;
  const auto n_tokens = static_cast<int64_t>(tokens.texts.size());
  // The list of a file of naru's own says it all.
  NARU_ASSIGN(const auto all_ends, gguf.find_ints(kGgufEndIdsKey, 0, n_tokens - 1));
  if (all_ends) {
    data.end_ids.assign(all_ends->begin(), all_ends->end());
  } else {
    data.end_ids = find_end_texts(&tokens);
  }
  TokenizerTable table(gguf.name());
  NARU_TRY(fill_table(tokens, merges.value_or(std::vector<std::string_view>()), &table));
  NARU_ASSIGN(const auto pre, gguf.find_string("tokenizer.ggml.pre"));
  data.gguf_pre = printable(pre.value_or("default"));
  data.decoder = "ByteLevel";
  NARU_ASSIGN(data.bos_id, read_id(gguf, "tokenizer.ggml.bos_token_id", n_tokens));
  NARU_ASSIGN(data.eos_id, read_id(gguf, "tokenizer.ggml.eos_token_id", n_tokens));
  NARU_ASSIGN(data.eot_id, read_id(gguf, "tokenizer.ggml.eot_token_id", n_tokens));
  if (!all_ends) NARU_TRY(add_end_keys(gguf, n_tokens, &data.end_ids));
  NARU_ASSIGN(data.unk_id, read_id(gguf, "tokenizer.ggml.unknown_token_id", n_tokens));
  NARU_ASSIGN(data.pad_id, read_id(gguf, "tokenizer.ggml.padding_token_id", n_tokens));
  NARU_ASSIGN(data.add_bos, gguf.find_bool("tokenizer.ggml.add_bos_token"));
  NARU_ASSIGN(data.add_eos, gguf.find_bool("tokenizer.ggml.add_eos_token"));
  NARU_TRY(read_templates(gguf, &data));
  table.move_into(&data);
  return data;
}

}  // namespace naru::formats
