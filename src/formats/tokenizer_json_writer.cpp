#include "formats/tokenizer_json_writer.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace naru::formats {
namespace {

using Json = nlohmann::ordered_json;

std::string quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json byte_level(bool add_prefix_space, bool trim_offsets, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", trim_offsets},
          {"use_regex", use_regex}};
}

std::string_view behavior_name(SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kRemoved: return "Removed";
    case SplitBehavior::kIsolated: return "Isolated";
    case SplitBehavior::kMergedWithPrevious: return "MergedWithPrevious";
    case SplitBehavior::kMergedWithNext: return "MergedWithNext";
    case SplitBehavior::kContiguous: return "Contiguous";
  }
  return "Isolated";
}

Json step_json(const PreTokenizerStep& step) {
  const auto split = [&](std::string_view kind) {
    return Json{{"type", "Split"},
                {"pattern", {{kind, step.pattern}}},
                {"behavior", behavior_name(step.behavior)},
                {"invert", step.invert}};
  };
  switch (step.kind) {
    case PreTokenizerKind::kSplitRegex: return split("Regex");
    case PreTokenizerKind::kSplitLiteral: return split("String");
    case PreTokenizerKind::kByteLevel: return byte_level(step.add_prefix_space, true, step.use_regex);
    case PreTokenizerKind::kDigits: return {{"type", "Digits"}, {"individual_digits", step.individual_digits}};
    case PreTokenizerKind::kOther: break;
  }
  NARU_CHECK(false, step.name);
  return nullptr;
}

Json pre_tokenizer_json(const TokenizerData& data) {
  if (data.pre_tokenizer.empty()) return nullptr;
  Json steps = Json::array();
  for (const PreTokenizerStep& step : data.pre_tokenizer) steps.push_back(step_json(step));
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

// The text of an id, an added token's first.
std::string text_of(const TokenizerData& data, int32_t id) {
  for (const AddedToken& token : data.added_tokens) {
    if (token.id == id) return token.text;
  }
  return id >= 0 && id < data.n_ids() ? data.vocab[static_cast<size_t>(id)] : std::string();
}

Json post_processor_json(const TokenizerData& data) {
  std::vector<int32_t> prefix = data.prefix_ids, suffix = data.suffix_ids;
  if (prefix.empty() && suffix.empty()) {  // GGUF says it by flags
    if (data.add_bos.value_or(false) && data.bos_id) prefix = {*data.bos_id};
    if (data.add_eos.value_or(false) && data.eos_id) suffix = {*data.eos_id};
  }
  if (prefix.empty() && suffix.empty()) return byte_level(true, false, true);
  Json specials = Json::object();
  const auto add = [&](Json& parts, const std::vector<int32_t>& ids, int type) {
    for (const int32_t id : ids) {
      const std::string text = text_of(data, id);
      parts.push_back({{"SpecialToken", {{"id", text}, {"type_id", type}}}});
      specials[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
    }
  };
  const auto around = [&](Json& parts, std::string_view which, int type) {
    add(parts, prefix, type);
    parts.push_back({{"Sequence", {{"id", which}, {"type_id", type}}}});
    add(parts, suffix, type);
  };
  Json single = Json::array(), pair = Json::array();
  around(single, "A", 0);
  around(pair, "A", 0);
  around(pair, "B", 1);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
}

Json added_token_json(const AddedToken& token) {
  return {{"content", token.text},  {"single_word", token.single_word}, {"lstrip", token.lstrip},
          {"rstrip", token.rstrip}, {"normalized", token.normalized},   {"special", token.special}};
}

// Vocabulary and merges hold nearly all of the file, so they are written as text: {"a":0,...}, ["a b",...].
std::string vocabulary_text(const TokenizerData& data) {
  std::vector<const std::string*> texts(static_cast<size_t>(data.n_ids()), nullptr);
  for (size_t id = 0; id < data.vocab.size(); ++id) {
    if (!data.vocab[id].empty()) texts[id] = &data.vocab[id];
  }
  for (const AddedToken& token : data.added_tokens) texts[static_cast<size_t>(token.id)] = &token.text;
  std::string out = "{";
  for (size_t id = 0; id < texts.size(); ++id) {
    if (texts[id] == nullptr) continue;
    if (out.size() > 1) out += ',';
    out += quoted(*texts[id]) + ":" + std::to_string(id);
  }
  return out + "}";
}

std::string merges_text(const TokenizerData& data) {
  std::string out = "[";
  for (const Merge& merge : data.merges) {
    if (out.size() > 1) out += ',';
    out += quoted(data.vocab[static_cast<size_t>(merge.left)] + " " + data.vocab[static_cast<size_t>(merge.right)]);
  }
  return out + "]";
}

}  // namespace

std::string tokenizer_json(const TokenizerData& data) {
  NARU_CHECK(data.gguf_pre.empty() && data.normalizer != NormalizerKind::kOther, data.gguf_pre, data.normalizer_name);
  Json head = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  Json added = Json::array();
  for (const AddedToken& token : data.added_tokens) {
    Json entry = {{"id", token.id}};
    entry.update(added_token_json(token));
    added.push_back(std::move(entry));
  }
  head["added_tokens"] = std::move(added);
  head["normalizer"] = data.normalizer == NormalizerKind::kNfc ? Json{{"type", "NFC"}} : Json(nullptr);
  head["pre_tokenizer"] = pre_tokenizer_json(data);
  head["post_processor"] = post_processor_json(data);
  head["decoder"] = data.decoder.empty() ? Json(nullptr) : byte_level(true, true, true);
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", data.unk_id ? Json(text_of(data, *data.unk_id)) : Json(nullptr)},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", data.fuse_unk},
                {"byte_fallback", data.byte_fallback},
                {"ignore_merges", data.ignore_merges}};
  std::string text = head.dump();
  text.pop_back();
  std::string model_text = model.dump();
  model_text.pop_back();
  return text + ",\"model\":" + model_text + ",\"vocab\":" + vocabulary_text(data) +
         ",\"merges\":" + merges_text(data) + "}}\n";
}

std::string tokenizer_config_json(const TokenizerData& data) {
  Json json;
  const std::pair<std::string_view, const std::optional<int32_t>*> roles[] = {{"bos_token", &data.bos_id},
                                                                              {"eos_token", &data.eos_id},
                                                                              {"unk_token", &data.unk_id},
                                                                              {"pad_token", &data.pad_id}};
  for (const auto& [key, id] : roles) json[std::string(key)] = *id ? Json(text_of(data, **id)) : Json(nullptr);
  if (data.add_bos) json["add_bos_token"] = *data.add_bos;
  if (data.add_eos) json["add_eos_token"] = *data.add_eos;
  json["clean_up_tokenization_spaces"] = false;
  if (data.model_max_length) json["model_max_length"] = *data.model_max_length;
  json["tokenizer_class"] = "PreTrainedTokenizerFast";
  Json decoder = Json::object();
  for (const AddedToken& token : data.added_tokens) decoder[std::to_string(token.id)] = added_token_json(token);
  if (data.added_tokens.size() <= 4096) json["added_tokens_decoder"] = std::move(decoder);
  if (data.named_chat_templates.empty()) {
    if (data.chat_template) json["chat_template"] = *data.chat_template;
  } else {
    Json templates = Json::array();
    if (data.chat_template) templates.push_back({{"name", "default"}, {"template", *data.chat_template}});
    for (const NamedTemplate& named : data.named_chat_templates) {
      templates.push_back({{"name", named.name}, {"template", named.text}});
    }
    json["chat_template"] = std::move(templates);
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace naru::formats
