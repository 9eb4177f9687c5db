// tokenizer.json and its companions to TokenizerData.
#include "formats/tokenizer_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.h"
#include "base/open_file.h"
#include "formats/json.h"
#include "formats/tokenizer_companions.h"
#include "formats/tokenizer_reader.h"
#include "formats/tokenizer_table.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kDamagedTokenizer = "the file is damaged, get it again";
constexpr std::string_view kOtherTokenizer = "use a model with a byte-level BPE tokenizer";
constexpr size_t kStepsMax = 64;

// Applies `visit` to an object, or in order to the members of a Sequence (`list` is the key of its array), however
// deep; the parser bounds the depth.
template <typename Visit>
Status for_each_step(const JsonObject& object, std::string_view list, const Visit& visit) {
  NARU_ASSIGN(const std::string type, object.get_string("type"));
  if (type != "Sequence") return visit(object, type);
  NARU_ASSIGN(const auto members, object.find_array(list));
  for (size_t i = 0; i < members.size(); ++i) {
    NARU_ASSIGN(const JsonObject member,
                JsonObject::of(*members[i], object.document(), fmt::format("{}.{}[{}]", object.path(), list, i)));
    NARU_TRY(for_each_step(member, list, visit));
  }
  return {};
}

// --- the parts of tokenizer.json ----------------------------------------------------------------------------------

// The contents of vocab and merges are in the reader and the table already; here is the rest of the model.
Status read_model(const JsonObject& root, const TokenizerTable& table, TokenizerReader* reader, TokenizerData* data) {
  NARU_ASSIGN(const JsonObject model, root.get_object("model"));
  // The oldest files leave the type out; what has merges is BPE.
  NARU_ASSIGN(const std::string type, model.get_string_or("type", model.has("merges") ? "BPE" : "missing"));
  if (type != "BPE") {
    return model.wrong(Code::kUnsupported, "type", fmt::format("\"{}\"", printable(type)), "\"BPE\"", kOtherTokenizer);
  }
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    NARU_ASSIGN(const std::string affix, model.get_string_or(key, ""));
    if (!affix.empty()) {
      return model.wrong(Code::kUnsupported, key, fmt::format("\"{}\"", printable(affix)), "null or empty",
                         kOtherTokenizer);
    }
  }
  NARU_ASSIGN(const double dropout, model.get_double_or("dropout", 0));
  if (dropout != 0) {
    return model.wrong(Code::kUnsupported, "dropout", fmt::format("{}", dropout), "null or 0 (one text, one encoding)",
                       kOtherTokenizer);
  }
  NARU_ASSIGN(data->ignore_merges, model.get_bool_or("ignore_merges", false));
  NARU_ASSIGN(data->byte_fallback, model.get_bool_or("byte_fallback", false));
  NARU_ASSIGN(data->fuse_unk, model.get_bool_or("fuse_unk", false));
  NARU_ASSIGN(const JsonObject vocab, model.get_object("vocab"));
  NARU_ASSIGN(const auto merges, model.find_array("merges"));
  NARU_TRY(table.check_density());
  return reader->add_merges();
}

Status read_added_tokens(const JsonObject& root, TokenizerTable* table) {
  NARU_ASSIGN(const auto tokens, root.find_array("added_tokens"));
  for (size_t i = 0; i < tokens.size(); ++i) {
    NARU_ASSIGN(const JsonObject object,
                JsonObject::of(*tokens[i], root.document(), fmt::format("added_tokens[{}]", i)));
    NARU_ASSIGN(AddedToken token, read_added_token(object));
    NARU_ASSIGN(const int64_t id, object.get_int("id", 0, kTokenIdsMax - 1));
    token.id = static_cast<int32_t>(id);
    NARU_TRY(table->add_added(std::move(token)));
  }
  return {};
}

Status read_normalizer(const JsonObject& root, TokenizerData* data) {
  NARU_ASSIGN(const auto object, root.find_object("normalizer"));
  if (!object) return {};
  std::vector<std::string> names;
  NARU_TRY(for_each_step(*object, "normalizers", [&](const JsonObject&, const std::string& type) -> Status {
    if (names.size() < kStepsMax) names.push_back(printable(type, 40));
    return {};
  }));
  if (names.empty()) return {};
  if (names.size() == 1 && names[0] == "NFC") {
    data->normalizer = NormalizerKind::kNfc;
    return {};
  }
  data->normalizer = NormalizerKind::kOther;
  for (const std::string& name : names) data->normalizer_name += (data->normalizer_name.empty() ? "" : ", ") + name;
  return {};
}

Status read_split(const JsonObject& object, PreTokenizerStep* step) {
  NARU_ASSIGN(const JsonObject pattern, object.get_object("pattern"));
  const bool is_regex = pattern.has("Regex");
  step->kind = is_regex ? PreTokenizerKind::kSplitRegex : PreTokenizerKind::kSplitLiteral;
  NARU_ASSIGN(step->pattern, pattern.get_string(is_regex ? "Regex" : "String"));
  NARU_ASSIGN(step->invert, object.get_bool_or("invert", false));
  NARU_ASSIGN(const std::string behavior, object.get_string("behavior"));
  constexpr std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous},
  };
  for (const auto& [name, value] : kBehaviors) {
    if (name != behavior) continue;
    step->behavior = value;
    return {};
  }
  return object.wrong(Code::kCorrupt, "behavior", fmt::format("\"{}\"", printable(behavior)),
                      "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous", kDamagedTokenizer);
}

Status read_pre_tokenizer(const JsonObject& root, TokenizerData* data) {
  NARU_ASSIGN(const auto object, root.find_object("pre_tokenizer"));
  if (!object) return {};
  return for_each_step(*object, "pretokenizers", [&](const JsonObject& step_object, const std::string& type) -> Status {
    if (data->pre_tokenizer.size() >= kStepsMax) {
      return root.wrong(Code::kUnsupported, "pre_tokenizer", fmt::format("a sequence of more than {} steps", kStepsMax),
                        "fewer", kOtherTokenizer);
    }
    PreTokenizerStep& step = data->pre_tokenizer.emplace_back();
    step.name = printable(type);
    if (type == "Split") return read_split(step_object, &step);
    if (type == "ByteLevel") {
      step.kind = PreTokenizerKind::kByteLevel;
      NARU_ASSIGN(step.add_prefix_space, step_object.get_bool_or("add_prefix_space", true));
      NARU_ASSIGN(step.use_regex, step_object.get_bool_or("use_regex", true));
    } else if (type == "Digits") {
      step.kind = PreTokenizerKind::kDigits;
      NARU_ASSIGN(step.individual_digits, step_object.get_bool_or("individual_digits", false));
    }
    return {};
  });
}

Status read_decoder(const JsonObject& root, TokenizerData* data) {
  NARU_ASSIGN(const auto object, root.find_object("decoder"));
  if (!object) return {};
  size_t n_steps = 0;
  return for_each_step(*object, "decoders", [&](const JsonObject&, const std::string& type) -> Status {
    if (++n_steps <= kStepsMax) data->decoder += (data->decoder.empty() ? "" : ", ") + printable(type, 40);
    return {};
  });
}

// --- the post-processor -------------------------------------------------------------------------------------------

// The ids of the special token called `name` in a TemplateProcessing.
Status add_template_ids(const JsonObject& object, std::string_view name, const TokenizerTable& table,
                        std::vector<int32_t>* out) {
  NARU_ASSIGN(const JsonObject tokens, object.get_object("special_tokens"));
  NARU_ASSIGN(const JsonObject token, tokens.get_object(name));
  NARU_ASSIGN(const auto ids, token.find_ids("ids", 0, static_cast<int32_t>(kTokenIdsMax - 1)));
  for (const int32_t id : ids) {
    if (!table.has_id(id))
      return token.wrong(Code::kCorrupt, "ids", std::to_string(id), "the id of a token", kDamagedTokenizer);
    if (out->size() >= kStepsMax)
      return token.wrong(Code::kUnsupported, "ids", "a longer list", "a short one", kOtherTokenizer);
    out->push_back(id);
  }
  return {};
}

Status read_template(const JsonObject& object, const TokenizerTable& table, TokenizerData* data) {
  NARU_ASSIGN(const auto parts, object.find_array("single"));
  bool seen_text = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    NARU_ASSIGN(const JsonObject part,
                JsonObject::of(*parts[i], object.document(), fmt::format("{}.single[{}]", object.path(), i)));
    NARU_ASSIGN(const auto special, part.find_object("SpecialToken"));
    if (special) {
      NARU_ASSIGN(const std::string name, special->get_string("id"));
      NARU_TRY(add_template_ids(object, name, table, seen_text ? &data->suffix_ids : &data->prefix_ids));
      continue;
    }
    NARU_ASSIGN(const JsonObject sequence, part.get_object("Sequence"));
    NARU_ASSIGN(const std::string name, sequence.get_string("id"));
    if (seen_text || name != "A") {
      return part.wrong(Code::kCorrupt, "Sequence", fmt::format("\"{}\"", printable(name)), "\"A\" once",
                        kDamagedTokenizer);
    }
    seen_text = true;
  }
  return {};
}

// BertProcessing and RobertaProcessing: "cls" before the text, "sep" after it, each as ["text", id].
Status read_cls_sep(const JsonObject& object, const TokenizerTable& table, TokenizerData* data) {
  for (const std::string_view key : {"cls", "sep"}) {
    NARU_ASSIGN(const auto pair, object.find_array(key));
    if (pair.size() != 2 || !pair[1]->is_number_integer() || !table.has_id(pair[1]->get<int64_t>())) {
      return object.wrong(Code::kCorrupt, key, "something else", "a pair of a token's text and id", kDamagedTokenizer);
    }
    (key == "cls" ? data->prefix_ids : data->suffix_ids).push_back(pair[1]->get<int32_t>());
  }
  return {};
}

Status read_post_processor(const JsonObject& root, const TokenizerTable& table, TokenizerData* data) {
  NARU_ASSIGN(const auto object, root.find_object("post_processor"));
  if (!object) return {};
  int n_templates = 0;
  return for_each_step(*object, "processors", [&](const JsonObject& step, const std::string& type) -> Status {
    if (type == "ByteLevel") return {};  // moves offsets, not tokens
    if (++n_templates > 1) {
      return root.wrong(Code::kUnsupported, "post_processor", "a sequence of several that add tokens", "one of them",
                        kOtherTokenizer);
    }
    if (type == "TemplateProcessing") return read_template(step, table, data);
    if (type == "BertProcessing" || type == "RobertaProcessing") return read_cls_sep(step, table, data);
    return step.wrong(Code::kUnsupported, "type", fmt::format("\"{}\"", printable(type)),
                      "ByteLevel, TemplateProcessing or Sequence", kOtherTokenizer);
  });
}

}  // namespace

Result<TokenizerData> parse_tokenizer(const TokenizerSources& sources, std::string_view name) {
  const JsonLimits limits{
      .bytes_max = kTokenizerJsonBytesMax, .depth_max = 64, .values_max = 3000000, .wide_integers = true};
  const std::string document = fmt::format("{}/tokenizer.json", name);
  TokenizerData data;
  TokenizerTable table(document);
  nlohmann::json model_tree;
  {
    TokenizerReader reader(&table);
    const Status walked = walk_json(sources.tokenizer_json, document, limits, &reader);
    NARU_TRY(reader.table_status());
    NARU_TRY(walked);
    model_tree = reader.take_tree();
    NARU_ASSIGN(const JsonObject root, JsonObject::of(model_tree, document));
    NARU_TRY(read_model(root, table, &reader, &data));
    NARU_TRY(read_added_tokens(root, &table));
    NARU_TRY(read_normalizer(root, &data));
    NARU_TRY(read_pre_tokenizer(root, &data));
    NARU_TRY(read_decoder(root, &data));
    NARU_ASSIGN(const JsonObject model, root.get_object("model"));
    NARU_ASSIGN(const auto unk, model.find_string("unk_token"));
    if (unk) data.unk_id = table.find(*unk);
  }
  NARU_TRY(read_companions(sources, name, &table, &data));
  // Last, since what stands around a text may be named by the companions alone.
  NARU_ASSIGN(const JsonObject root, JsonObject::of(model_tree, document));
  NARU_TRY(read_post_processor(root, table, &data));
  table.move_into(&data);
  return data;
}

std::optional<std::string> token_text(const TokenizerData& data, int32_t id) {
  for (const AddedToken& token : data.added_tokens) {
    if (token.id == id) return token.text;
  }
  if (id < 0 || id >= data.n_ids() || data.vocab[static_cast<size_t>(id)].empty()) return std::nullopt;
  return data.vocab[static_cast<size_t>(id)];
}

bool has_tokenizer(const std::filesystem::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "tokenizer.json", ignored);
}

namespace {

// NAME.jinja each, by name; a folder that is not there has none.
Result<std::vector<NamedTemplate>> read_named_templates(const fs::path& folder) {
  std::vector<NamedTemplate> named;
  NARU_ASSIGN(const bool is_there, is_anything(folder));
  if (!is_there) return named;
  std::error_code code;
  for (fs::directory_iterator place(folder, code), end; !code && place != end; place.increment(code)) {
    if (place->path().extension() != ".jinja" || named.size() > kChatTemplatesMax) continue;
    NARU_ASSIGN(std::string text, read_file(place->path(), kChatTemplateBytesMax));
    named.push_back({place->path().stem().string(), std::move(text)});
  }
  if (code) return not_readable_error(folder.string(), code.value());
  std::sort(named.begin(), named.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return named;
}

}  // namespace

Status leave_out_foreign_tokens(TokenizerData& data, int64_t vocab) {
  const int64_t n_kept = std::min(data.n_ids(), std::max(vocab, data.n_ids() - data.n_named_only));
  for (const auto* ids : {&data.prefix_ids, &data.suffix_ids}) {
    for (const int32_t id : *ids) {
      if (id < n_kept) continue;
      return Error{Code::kCorrupt,
                   fmt::format("reading the tokenizer: it puts '{}' (id {}) around every text, and the model has "
                               "rows for the ids below {} only; put the model's own tokenizer beside it",
                               printable(token_text(data, id).value_or("")), id, vocab)};
    }
  }
  data.n_named_only -= data.n_ids() - n_kept;
  std::erase_if(data.added_tokens, [n_kept](const AddedToken& token) { return token.id >= n_kept; });
  std::erase_if(data.other_roles, [n_kept](const NamedToken& role) { return role.id >= n_kept; });
  for (auto* role : {&data.bos_id, &data.eos_id, &data.unk_id, &data.pad_id}) {
    if (*role && **role >= n_kept) role->reset();
  }
  data.vocab.resize(static_cast<size_t>(n_kept));
  return {};
}

Result<TokenizerData> read_tokenizer_folder(const std::filesystem::path& folder) {
  NARU_ASSIGN(const std::string tokenizer, read_file(folder / "tokenizer.json", kTokenizerJsonBytesMax));
  TokenizerSources sources;
  sources.tokenizer_json = as_bytes(tokenizer);
  const std::pair<std::string_view, std::optional<Bytes>*> companions[] = {
      {"tokenizer_config.json", &sources.tokenizer_config_json},
      {"special_tokens_map.json", &sources.special_tokens_map_json},
      {"added_tokens.json", &sources.added_tokens_json},
      {"chat_template.jinja", &sources.chat_template_jinja}};
  std::array<std::string, std::size(companions)> texts;
  for (size_t i = 0; i < texts.size(); ++i) {
    const fs::path path = folder / companions[i].first;
    NARU_ASSIGN(const bool is_there, is_anything(path));
    if (!is_there) continue;
    NARU_ASSIGN(texts[i], read_file(path, kTokenizerConfigBytesMax));
    *companions[i].second = as_bytes(texts[i]);
  }
  NARU_ASSIGN(const std::vector<NamedTemplate> named, read_named_templates(folder / kNamedTemplatesFolder));
  for (const NamedTemplate& one : named) sources.named_templates_jinja.emplace_back(one.name, as_bytes(one.text));
  return parse_tokenizer(sources, folder.string());
}

}  // namespace naru::formats
