// See tokenizer_companions.h.
#include "formats/tokenizer_companions.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "formats/json.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

constexpr std::string_view kCompanionDamaged = "the file is damaged, get it again";
constexpr size_t kRolesMax = 256;

// In the order in which the official library adds their tokens.
constexpr std::string_view kStandardRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                               "pad_token", "cls_token", "mask_token"};

struct Role {
  std::string name;
  AddedToken token;
  bool may_add = true;  // a role that only finds a token that is there
};

// A parsed companion; empty where the file is not there.
class Companion {
 public:
  static Result<Companion> parse(const std::optional<Bytes>& bytes, std::string name) {
    Companion document;
    document.name_ = std::move(name);
    if (!bytes) return document;
    const JsonLimits limits{
        .bytes_max = kTokenizerConfigBytesMax, .depth_max = 64, .values_max = 3000000, .wide_integers = true};
    NARU_ASSIGN(document.json_, parse_json(*bytes, document.name_, limits));
    document.text_ = as_text(*bytes);
    document.is_there_ = true;
    return document;
  }

  bool is_there() const { return is_there_; }
  Result<JsonObject> root() const { return JsonObject::of(json_, name_); }
  // The keys of the root, or of an object in it, in the order of the file: ids depend on it.
  std::vector<std::string> keys(std::string_view inside = {}) const {
    const auto ordered = nlohmann::ordered_json::parse(text_, nullptr, false);
    const nlohmann::ordered_json* object = &ordered;
    if (!inside.empty()) {
      const auto place = ordered.find(std::string(inside));
      if (place == ordered.end()) return {};
      object = &*place;
    }
    std::vector<std::string> keys;
    for (const auto& [key, value] : object->items()) keys.push_back(key);
    return keys;
  }

 private:
  std::string name_;
  std::string_view text_;
  nlohmann::json json_ = nlohmann::json::object();
  bool is_there_ = false;
};

AddedToken special_token(std::string text) {
  AddedToken token;
  token.text = std::move(text);
  token.special = true;
  return token;
}

bool is_standard(std::string_view name) {
  return std::find(std::begin(kStandardRoles), std::end(kStandardRoles), name) != std::end(kStandardRoles);
}

// A special token of a role: a text, or an object with "content" and flags. Nothing where absent.
Result<std::optional<AddedToken>> read_special(const JsonObject& root, std::string_view key) {
  const nlohmann::json* value = root.find(key);
  if (value == nullptr || value->is_string()) {
    NARU_ASSIGN(auto text, root.find_string(key));
    if (!text) return std::optional<AddedToken>();
    return std::optional(special_token(std::move(*text)));
  }
  NARU_ASSIGN(const JsonObject object, JsonObject::of(*value, root.document(), root.path_of(key)));
  if (!object.has("content")) return std::optional<AddedToken>();
  NARU_ASSIGN(AddedToken token, read_added_token(object));
  token.special = true;
  return std::optional(std::move(token));
}

// --- roles --------------------------------------------------------------------------------------------------------

// The keys of the models' own roles: "image_token", and those of an object of further tokens.
Status read_own_roles(const Companion& document, std::vector<Role>& roles) {
  NARU_ASSIGN(const JsonObject root, document.root());
  const auto add = [&](const JsonObject& object, const std::string& key) -> Status {
    NARU_ASSIGN(auto token, read_special(object, key));
    if (!token) return {};
    if (roles.size() >= kRolesMax) {
      return object.wrong(Code::kCorrupt, key, "one more token with a role", fmt::format("at most {}", kRolesMax),
                          kCompanionDamaged);
    }
    roles.push_back({key, std::move(*token)});
    return {};
  };
  for (const std::string& key : document.keys()) {
    const nlohmann::json* value = root.find(key);
    if (is_standard(key) || !key.ends_with("_token") || value == nullptr || !value->is_string()) continue;
    NARU_TRY(add(root, key));
  }
  const nlohmann::json* further = root.find("extra_special_tokens");
  if (further == nullptr || !further->is_object()) return {};
  NARU_ASSIGN(const JsonObject object, JsonObject::of(*further, root.document(), "extra_special_tokens"));
  for (const std::string& key : document.keys("extra_special_tokens")) NARU_TRY(add(object, key));
  return {};
}

Result<std::vector<Role>> gather_roles(const Companion& config, const Companion& map, bool map_wins) {
  NARU_ASSIGN(const JsonObject config_root, config.root());
  NARU_ASSIGN(const JsonObject map_root, map.root());
  std::vector<Role> roles;
  for (const std::string_view name : kStandardRoles) {
    NARU_ASSIGN(auto from_config, read_special(config_root, name));
    NARU_ASSIGN(auto from_map, read_special(map_root, name));
    const bool takes_map = from_map && (map_wins || !from_config);
    auto& taken = takes_map ? from_map : from_config;
    if (taken) roles.push_back({std::string(name), std::move(*taken), !takes_map || map_wins});
  }
  if (config.is_there()) NARU_TRY(read_own_roles(config, roles));
  if (map.is_there() && map_wins) NARU_TRY(read_own_roles(map, roles));
  return roles;
}

// --- further special tokens without a role --------------------------------------------------------------------------

// A list of texts, or of objects; those of special_tokens_map.json are special whatever they say.
Status read_list(const JsonObject& root, std::string_view key, bool all_special, std::vector<AddedToken>& out) {
  const nlohmann::json* value = root.find(key);
  if (value == nullptr || value->is_object()) return {};  // an object names roles
  NARU_ASSIGN(const auto items, root.find_array(key));
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i]->is_string()) {
      out.push_back(special_token(items[i]->get<std::string>()));
      continue;
    }
    NARU_ASSIGN(const JsonObject object,
                JsonObject::of(*items[i], root.document(), fmt::format("{}[{}]", root.path_of(key), i)));
    NARU_ASSIGN(AddedToken token, read_added_token(object));
    token.special |= all_special;
    out.push_back(std::move(token));
  }
  return {};
}

// The first list that is not empty counts: the newer name before the older one, tokenizer_config.json before the map.
Result<std::vector<AddedToken>> gather_further(const Companion& config, const Companion& map, bool map_counts) {
  std::vector<AddedToken> tokens;
  for (const Companion* document : {&config, &map}) {
    if (document == &map && !map_counts) break;
    NARU_ASSIGN(const JsonObject root, document->root());
    for (const std::string_view key : {"extra_special_tokens", "additional_special_tokens"}) {
      if (tokens.empty()) NARU_TRY(read_list(root, key, document == &map, tokens));
    }
  }
  return tokens;
}

// --- tokens that are listed with ids --------------------------------------------------------------------------------

// "added_tokens_decoder": {"ID": {"content": ...}}.
Status read_decoder_list(const JsonObject& decoder, std::map<int64_t, AddedToken>& listed) {
  for (const auto& [key, value] : decoder.value().items()) {
    NARU_ASSIGN(const JsonObject object, JsonObject::of(value, decoder.document(), decoder.path_of(key)));
    if (key.empty() || key.size() > 7 || key.find_first_not_of("0123456789") != std::string::npos) {
      return decoder.wrong(Code::kCorrupt, key, "no token id", "a number as key", kCompanionDamaged);
    }
    int64_t id = 0;
    for (const char digit : key) id = id * 10 + (digit - '0');
    if (id >= kTokenIdsMax) {
      return object.wrong(Code::kCorrupt, "id", std::to_string(id), fmt::format("one from 0 to {}", kTokenIdsMax - 1),
                          kCompanionDamaged);
    }
    NARU_ASSIGN(listed[id], read_added_token(object));
  }
  return {};
}

// added_tokens.json: {"text": ID}. Special are those that another file calls so.
Status read_plain_list(const JsonObject& root, const std::vector<Role>& roles, const std::vector<AddedToken>& further,
                       std::map<int64_t, AddedToken>& listed) {
  for (const auto& [text, ignored] : root.value().items()) {
    NARU_ASSIGN(const int64_t id, root.get_int(text, 0, kTokenIdsMax - 1));
    const auto is_text = [&text = text](const AddedToken& token) { return token.text == text; };
    AddedToken token;
    token.text = text;
    token.special = std::any_of(roles.begin(), roles.end(),
                                [&](const Role& r) { return is_standard(r.name) && is_text(r.token); }) ||
                    std::any_of(further.begin(), further.end(), is_text);
    token.normalized = !token.special;
    const auto [place, inserted] = listed.emplace(id, token);
    if (!inserted) {
      return root.wrong(Code::kCorrupt, text, fmt::format("{}, as of '{}'", id, printable(place->second.text)),
                        "an id of its own", kCompanionDamaged);
    }
  }
  return {};
}

// With its id in the vocabulary, or the next one behind it.
Status add_token(AddedToken token, TokenizerTable* table) {
  token.id = table->find(token.text).value_or(table->next_id());
  return table->add_added(std::move(token));
}

// A listed id counts where a token has it, or its text has another: then the files contradict each other and the table
// says so. Of a token that is new the official library takes the order alone.
Status add_listed(const std::map<int64_t, AddedToken>& listed, bool replaces_flags, TokenizerTable* table) {
  for (const auto& [id, listed_token] : listed) {
    if (!replaces_flags && table->is_added(listed_token.text)) continue;
    AddedToken token = listed_token;
    const bool is_new = !table->find(token.text) && !table->has_id(id);
    token.id = is_new ? table->next_id() : static_cast<int32_t>(id);
    NARU_TRY(table->add_added(std::move(token)));
  }
  return {};
}

void set_role(const std::string& name, int32_t id, TokenizerData* data) {
  if (name == "bos_token") {
    data->bos_id = id;
  } else if (name == "eos_token") {
    data->eos_id = id;
  } else if (name == "pad_token") {
    data->pad_id = id;
  } else if (name == "unk_token") {
    if (!data->unk_id) data->unk_id = id;  // that of the model comes first
  } else {
    data->other_roles.push_back({name, id});
  }
}

Status read_special_tokens(const TokenizerSources& sources, std::string_view name, const Companion& config,
                           TokenizerTable* table, TokenizerData* data) {
  NARU_ASSIGN(const Companion map,
              Companion::parse(sources.special_tokens_map_json, fmt::format("{}/special_tokens_map.json", name)));
  NARU_ASSIGN(const Companion list,
              Companion::parse(sources.added_tokens_json, fmt::format("{}/added_tokens.json", name)));
  NARU_ASSIGN(const JsonObject config_root, config.root());
  NARU_ASSIGN(const auto decoder, config_root.find_object("added_tokens_decoder"));
  NARU_ASSIGN(const std::vector<Role> roles, gather_roles(config, map, !decoder));
  NARU_ASSIGN(std::vector<AddedToken> further, gather_further(config, map, !decoder));
  std::map<int64_t, AddedToken> listed;
  if (decoder) {
    NARU_TRY(read_decoder_list(*decoder, listed));
  } else {
    NARU_ASSIGN(const JsonObject list_root, list.root());
    NARU_TRY(read_plain_list(list_root, roles, further, listed));
  }
  NARU_TRY(add_listed(listed, decoder.has_value(), table));
  const int64_t n_listed_ids = table->n_ids();
  for (const Role& role : roles) {
    if (role.token.text.empty() || (!role.may_add && !table->find(role.token.text))) continue;
    if (!table->is_added(role.token.text)) NARU_TRY(add_token(role.token, table));
    const std::optional<int32_t> id = table->find(role.token.text);
    table->mark_special(id);
    set_role(role.name, *id, data);
  }
  for (AddedToken& token : further) {
    if (!token.text.empty() && !table->is_added(token.text)) NARU_TRY(add_token(std::move(token), table));
  }
  data->n_named_only = table->n_ids() - n_listed_ids;
  return {};
}

// --- templates ------------------------------------------------------------------------------------------------------

Status add_chat_template(std::string_view name, std::string text, std::string_view document, TokenizerData* data) {
  if (static_cast<int64_t>(text.size()) > kChatTemplateBytesMax ||
      data->named_chat_templates.size() >= kChatTemplatesMax) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: the chat template '{}' has {} bytes, at most {} templates of {} bytes were "
                             "wanted; {}",
                             document, printable(name), text.size(), kChatTemplatesMax, kChatTemplateBytesMax,
                             kCompanionDamaged)};
  }
  if (name == "default") {
    if (!data->chat_template) data->chat_template = std::move(text);
  } else {
    data->named_chat_templates.push_back({std::string(name), std::move(text)});
  }
  return {};
}

Status read_template_file(std::string_view name, Bytes bytes, std::string_view document, TokenizerData* data) {
  const std::string_view text = as_text(bytes);
  if (!is_valid_utf8(text)) {
    return Error{Code::kCorrupt, fmt::format("reading {}: at byte {}: no valid UTF-8; {}", document,
                                             utf8_valid_prefix(text), kCompanionDamaged)};
  }
  return add_chat_template(name, std::string(text), document, data);
}

Status read_config_templates(const JsonObject& root, TokenizerData* data) {
  const nlohmann::json* value = root.find("chat_template");
  if (value == nullptr) return {};
  if (value->is_string()) return add_chat_template("default", value->get<std::string>(), root.document(), data);
  NARU_ASSIGN(const auto templates, root.find_array("chat_template"));
  for (size_t i = 0; i < templates.size(); ++i) {
    NARU_ASSIGN(const JsonObject object,
                JsonObject::of(*templates[i], root.document(), fmt::format("chat_template[{}]", i)));
    NARU_ASSIGN(const std::string name, object.get_string("name"));
    NARU_ASSIGN(std::string text, object.get_string("template"));
    NARU_TRY(add_chat_template(name, std::move(text), root.document(), data));
  }
  return {};
}

// Templates in files of their own stand for all: those of tokenizer_config.json do not count beside them.
Status read_templates(const TokenizerSources& sources, std::string_view name, const JsonObject& config,
                      TokenizerData* data) {
  if (sources.chat_template_jinja) {
    NARU_TRY(
        read_template_file("default", *sources.chat_template_jinja, fmt::format("{}/chat_template.jinja", name), data));
  }
  for (const auto& [template_name, bytes] : sources.named_templates_jinja) {
    NARU_TRY(read_template_file(template_name, bytes,
                                fmt::format("{}/{}/{}.jinja", name, kNamedTemplatesFolder, template_name), data));
  }
  if (sources.chat_template_jinja || !sources.named_templates_jinja.empty()) {
    TokenizerData ignored;
    return read_config_templates(config, &ignored);  // what is wrong with it is said all the same
  }
  return read_config_templates(config, data);
}

}  // namespace

Result<AddedToken> read_added_token(const JsonObject& object) {
  AddedToken token;
  NARU_ASSIGN(token.text, object.get_string("content"));
  NARU_ASSIGN(token.special, object.get_bool_or("special", false));
  NARU_ASSIGN(token.lstrip, object.get_bool_or("lstrip", false));
  NARU_ASSIGN(token.rstrip, object.get_bool_or("rstrip", false));
  NARU_ASSIGN(token.normalized, object.get_bool_or("normalized", !token.special));
  NARU_ASSIGN(token.single_word, object.get_bool_or("single_word", false));
  return token;
}

Status read_companions(const TokenizerSources& sources, std::string_view name, TokenizerTable* table,
                       TokenizerData* data) {
  NARU_ASSIGN(const Companion config,
              Companion::parse(sources.tokenizer_config_json, fmt::format("{}/tokenizer_config.json", name)));
  NARU_ASSIGN(const JsonObject root, config.root());
  NARU_TRY(read_special_tokens(sources, name, config, table, data));
  NARU_TRY(read_templates(sources, name, root, data));
  NARU_ASSIGN(data->add_bos, root.find_bool("add_bos_token"));
  NARU_ASSIGN(data->add_eos, root.find_bool("add_eos_token"));
  NARU_ASSIGN(data->tokenizer_class, root.get_string_or("tokenizer_class", ""));
  const nlohmann::json* length = root.find("model_max_length");
  if (length != nullptr && length->is_number_integer() && length->get<int64_t>() > 0) {
    data->model_max_length = length->get<int64_t>();
  }
  return {};
}

}  // namespace naru::formats
