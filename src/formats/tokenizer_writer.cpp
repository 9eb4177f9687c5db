// See tokenizer_writer.h. The small parts are JSON trees; vocabulary and merges, which can be large, are written by
// hand in the same layout: two blanks a level, one value a line.
#include "formats/tokenizer_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/file.h"
#include "formats/json.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

using OrderedJson = nlohmann::ordered_json;

Error cannot_write(Code code, std::string_view what) {
  return {code, fmt::format("writing a tokenizer: {}", what)};
}

// --- what is written must be sayable and right ----------------------------------------------------------------------

Status check_text(const std::string& text, int64_t bytes_max, std::string_view what) {
  if (is_valid_utf8(text) && static_cast<int64_t>(text.size()) <= bytes_max) return {};
  return cannot_write(Code::kInvalidArgument, fmt::format("the {} '{}' has {} bytes, valid UTF-8 of at most {} was "
                                                          "wanted; choose another",
                                                          what, printable(text), text.size(), bytes_max));
}

bool is_known_id(const TokenizerData& data, int32_t id) {
  return id >= 0 && id < data.n_ids() && !data.vocab[static_cast<size_t>(id)].empty();
}

Status check_vocab(const TokenizerData& data) {
  if (std::all_of(data.vocab.begin(), data.vocab.end(), [](const std::string& text) { return text.empty(); })) {
    return cannot_write(Code::kInvalidArgument, "the vocabulary has no token, at least one was wanted; give it some");
  }
  std::unordered_set<std::string_view> seen;
  for (const std::string& text : data.vocab) {
    if (text.empty()) continue;
    NARU_TRY(check_text(text, kTokenBytesMax, "token"));
    if (!seen.insert(text).second) {
      return cannot_write(Code::kInvalidArgument,
                          fmt::format("the token '{}' is there twice, once was wanted; give it once", printable(text)));
    }
  }
  for (const Merge& merge : data.merges) {
    if (is_known_id(data, merge.left) && is_known_id(data, merge.right)) continue;
    return cannot_write(Code::kInvalidArgument, fmt::format("a merge of ids {} and {}, ids of tokens below {} were "
                                                            "wanted; make the merges of this vocabulary",
                                                            merge.left, merge.right, data.n_ids()));
  }
  return {};
}

// Readers give an added token its id in the vocabulary, and without one the next id behind the vocabulary.
Status check_added_tokens(const TokenizerData& data) {
  const auto n_model = static_cast<int32_t>(
      std::count_if(data.vocab.begin(), data.vocab.end(), [](const auto& t) { return !t.empty(); }));
  int32_t next = n_model;
  int32_t last = -1;
  for (const AddedToken& token : data.added_tokens) {
    NARU_TRY(check_text(token.text, kTokenBytesMax, "added token"));
    if (token.text.empty() || token.id <= last) {
      return cannot_write(Code::kInvalidArgument,
                          fmt::format("the added token '{}' with id {} behind id {}, a text and "
                                      "ascending ids were wanted; sort them",
                                      printable(token.text), token.id, last));
    }
    last = token.id;
    if (is_known_id(data, token.id) && data.vocab[static_cast<size_t>(token.id)] == token.text) continue;
    if (is_known_id(data, token.id) || token.id != next) {
      return cannot_write(Code::kUnsupported,
                          fmt::format("the added token '{}' has id {}, readers would give it {}; put "
                                      "it into the vocabulary or behind it",
                                      printable(token.text), token.id, next));
    }
    ++next;
  }
  return {};
}

// The text of the token with this id.
Result<std::string> text_of(const TokenizerData& data, int32_t id, std::string_view role) {
  for (const AddedToken& token : data.added_tokens) {
    if (token.id == id) return token.text;
  }
  if (is_known_id(data, id)) return data.vocab[static_cast<size_t>(id)];
  return cannot_write(Code::kInvalidArgument, fmt::format("the {} has id {}, the id of a token below {} was wanted; "
                                                          "choose another",
                                                          role, id, data.n_ids()));
}

// --- tokenizer.json -------------------------------------------------------------------------------------------------

OrderedJson added_token_json(const AddedToken& token) {
  return {{"id", token.id},          {"content", token.text},  {"single_word", token.single_word},
          {"lstrip", token.lstrip},  {"rstrip", token.rstrip}, {"normalized", token.normalized},
          {"special", token.special}};
}

Result<OrderedJson> step_json(const PreTokenizerStep& step) {
  constexpr const char* kBehaviors[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  switch (step.kind) {
    case PreTokenizerKind::kSplitRegex:
    case PreTokenizerKind::kSplitLiteral: {
      NARU_TRY(check_text(step.pattern, kTokenBytesMax, "pattern"));
      const char* how = step.kind == PreTokenizerKind::kSplitRegex ? "Regex" : "String";
      return OrderedJson{{"type", "Split"},
                         {"pattern", {{how, step.pattern}}},
                         {"behavior", kBehaviors[static_cast<size_t>(step.behavior)]},
                         {"invert", step.invert}};
    }
    case PreTokenizerKind::kByteLevel:
      return OrderedJson{{"type", "ByteLevel"},
                         {"add_prefix_space", step.add_prefix_space},
                         {"trim_offsets", true},
                         {"use_regex", step.use_regex}};
    case PreTokenizerKind::kDigits:
      return OrderedJson{{"type", "Digits"}, {"individual_digits", step.individual_digits}};
    case PreTokenizerKind::kOther: break;
  }
  return cannot_write(Code::kUnsupported, fmt::format("the pre-tokenizer '{}' is not known, Split, ByteLevel or Digits "
                                                      "was wanted; use a tokenizer of a known family",
                                                      printable(step.name)));
}

Result<OrderedJson> pre_tokenizer_json(const TokenizerData& data) {
  if (!data.gguf_pre.empty()) {
    return cannot_write(Code::kUnsupported, fmt::format("it has the pre-tokenizer name '{}' of a GGUF file, steps were "
                                                        "wanted; put the steps of that name in its place",
                                                        printable(data.gguf_pre)));
  }
  OrderedJson steps = OrderedJson::array();
  for (const PreTokenizerStep& step : data.pre_tokenizer) {
    NARU_ASSIGN(OrderedJson json, step_json(step));
    steps.push_back(std::move(json));
  }
  if (steps.empty()) return OrderedJson();
  if (steps.size() == 1) return OrderedJson(std::move(steps.front()));
  return OrderedJson{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

// The template that puts prefix and suffix around a text, for one text and for two.
Result<OrderedJson> post_processor_json(const TokenizerData& data) {
  if (data.prefix_ids.empty() && data.suffix_ids.empty()) return OrderedJson();
  OrderedJson tokens = OrderedJson::object();
  OrderedJson single = OrderedJson::array(), pair = OrderedJson::array();
  const auto add_ids = [&](const std::vector<int32_t>& ids, OrderedJson& parts, int type_id) -> Status {
    for (const int32_t id : ids) {
      NARU_ASSIGN(const std::string text, text_of(data, id, "token around a text"));
      parts.push_back({{"SpecialToken", {{"id", text}, {"type_id", type_id}}}});
      tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
    }
    return {};
  };
  const auto add_text = [](const char* name, OrderedJson& parts, int type_id) {
    parts.push_back({{"Sequence", {{"id", name}, {"type_id", type_id}}}});
  };
  const auto add_all = [&](const char* name, OrderedJson& parts, int type_id) -> Status {
    NARU_TRY(add_ids(data.prefix_ids, parts, type_id));
    add_text(name, parts, type_id);
    return add_ids(data.suffix_ids, parts, type_id);
  };
  NARU_TRY(add_all("A", single, 0));
  NARU_TRY(add_all("A", pair, 0));
  NARU_TRY(add_all("B", pair, 1));
  std::vector<std::pair<std::string, OrderedJson>> sorted;
  for (auto& [text, token] : tokens.items()) sorted.emplace_back(text, token);
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  OrderedJson special = OrderedJson::object();
  for (auto& [text, token] : sorted) special[text] = std::move(token);
  return OrderedJson{{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

Result<OrderedJson> decoder_json(const TokenizerData& data) {
  if (data.decoder.empty()) return OrderedJson();
  if (data.decoder == "ByteLevel") {
    return OrderedJson{{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  }
  return cannot_write(Code::kUnsupported,
                      fmt::format("the decoder '{}' is not known, ByteLevel or none was wanted; use "
                                  "a tokenizer of a known family",
                                  printable(data.decoder)));
}

Status append_model(const TokenizerData& data, std::string& out) {
  OrderedJson head = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", data.fuse_unk},
                      {"byte_fallback", data.byte_fallback},
                      {"ignore_merges", data.ignore_merges}};
  if (data.unk_id) {
    NARU_ASSIGN(head["unk_token"], text_of(data, *data.unk_id, "unknown token"));
  }
  out += "  \"model\": {\n";
  for (const auto& [key, value] : head.items()) out += fmt::format("    \"{}\": {},\n", key, value.dump());
  out += "    \"vocab\": {";
  const char* separator = "\n";
  for (size_t id = 0; id < data.vocab.size(); ++id) {
    if (data.vocab[id].empty()) continue;
    out += fmt::format("{}      {}: {}", separator, json_quoted(data.vocab[id]), id);
    separator = ",\n";
  }
  out += "\n    },\n";
  out += "    \"merges\": [";
  separator = "\n";
  for (const Merge& merge : data.merges) {
    out += fmt::format("{}      [\n        {},\n        {}\n      ]", separator,
                       json_quoted(data.vocab[static_cast<size_t>(merge.left)]),
                       json_quoted(data.vocab[static_cast<size_t>(merge.right)]));
    separator = ",\n";
  }
  out += *separator == ',' ? "\n    ]\n" : "]\n";
  out += "  }\n";
  return {};
}

Result<std::string> tokenizer_json(const TokenizerData& data) {
  if (data.normalizer == NormalizerKind::kOther) {
    return cannot_write(Code::kUnsupported,
                        fmt::format("the normaliser '{}' is not known, none or NFC was wanted; use a "
                                    "tokenizer of a known family",
                                    printable(data.normalizer_name)));
  }
  OrderedJson root = {
      {"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", OrderedJson::array()}};
  for (const AddedToken& token : data.added_tokens) root["added_tokens"].push_back(added_token_json(token));
  root["normalizer"] = data.normalizer == NormalizerKind::kNfc ? OrderedJson{{"type", "NFC"}} : OrderedJson();
  NARU_ASSIGN(root["pre_tokenizer"], pre_tokenizer_json(data));
  NARU_ASSIGN(root["post_processor"], post_processor_json(data));
  NARU_ASSIGN(root["decoder"], decoder_json(data));
  std::string out = root.dump(2);
  out.resize(out.size() - 2);  // "\n}": the model follows
  out += ",\n";
  NARU_TRY(append_model(data, out));
  out += "}";
  if (static_cast<int64_t>(out.size()) > kTokenizerJsonBytesMax) {
    return cannot_write(Code::kResourceExhausted,
                        fmt::format("tokenizer.json would have {} bytes, at most {} are read; "
                                    "choose a smaller vocabulary or shorter tokens",
                                    out.size(), kTokenizerJsonBytesMax));
  }
  return out;
}

// --- the companions -------------------------------------------------------------------------------------------------

Result<OrderedJson> roles_json(const TokenizerData& data) {
  OrderedJson roles = OrderedJson::object();
  const std::pair<const char*, std::optional<int32_t>> ids[] = {
      {"bos_token", data.bos_id}, {"eos_token", data.eos_id}, {"pad_token", data.pad_id}, {"unk_token", data.unk_id}};
  for (const auto& [role, id] : ids) {
    if (!id) continue;
    NARU_ASSIGN(roles[role], text_of(data, *id, role));
  }
  return roles;
}

Result<OrderedJson> config_json(const TokenizerData& data) {
  NARU_ASSIGN(OrderedJson config, roles_json(data));
  if (data.add_bos) config["add_bos_token"] = *data.add_bos;
  if (data.add_eos) config["add_eos_token"] = *data.add_eos;
  if (data.chat_template) {
    NARU_TRY(check_text(*data.chat_template, kChatTemplateBytesMax, "chat template"));
    config["chat_template"] = *data.chat_template;
  }
  if (!data.named_chat_templates.empty()) {
    OrderedJson templates = OrderedJson::array();
    if (data.chat_template) templates.push_back({{"name", "default"}, {"template", *data.chat_template}});
    for (const NamedTemplate& named : data.named_chat_templates) {
      NARU_TRY(check_text(named.name, kTokenBytesMax, "name of a chat template"));
      NARU_TRY(check_text(named.text, kChatTemplateBytesMax, "chat template"));
      templates.push_back({{"name", named.name}, {"template", named.text}});
    }
    config["chat_template"] = std::move(templates);
  }
  config["clean_up_tokenization_spaces"] = false;
  if (data.model_max_length) config["model_max_length"] = *data.model_max_length;
  NARU_TRY(check_text(data.tokenizer_class, kTokenBytesMax, "tokenizer class"));
  config["tokenizer_class"] = data.tokenizer_class.empty() ? "PreTrainedTokenizerFast" : data.tokenizer_class;
  return config;
}

}  // namespace

Result<TokenizerTexts> tokenizer_texts(const TokenizerData& data) {
  NARU_TRY(check_vocab(data));
  NARU_TRY(check_added_tokens(data));
  TokenizerTexts texts;
  NARU_ASSIGN(texts.tokenizer_json, tokenizer_json(data));
  NARU_ASSIGN(const OrderedJson config, config_json(data));
  NARU_ASSIGN(const OrderedJson roles, roles_json(data));
  texts.tokenizer_config_json = config.dump(2) + "\n";
  texts.special_tokens_map_json = roles.dump(2) + "\n";
  return texts;
}

Status write_tokenizer_folder(const TokenizerData& data, const std::filesystem::path& folder,
                              const TokenizerWriteOptions& options) {
  NARU_ASSIGN(const TokenizerTexts texts, tokenizer_texts(data));
  std::vector<std::pair<const char*, const std::string*>> files = {
      {"tokenizer.json", &texts.tokenizer_json}, {"tokenizer_config.json", &texts.tokenizer_config_json}};
  if (options.special_tokens_map) files.emplace_back("special_tokens_map.json", &texts.special_tokens_map_json);
  for (const auto& [name, text] : files) {
    NARU_ASSIGN(AtomicFile file, AtomicFile::create(folder / name));
    NARU_TRY(file.write(as_bytes(*text)));
    NARU_TRY(file.commit());
  }
  return {};
}

}  // namespace naru::formats
