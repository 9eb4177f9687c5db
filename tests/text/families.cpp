// Conversations of each family's constructs against transformers: the text, and the ids through the one path that
// training and use share (tools/make_family_fixtures.py made the fixture).
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/text/fixtures.h"
#include "text/chat_tokenizer.h"

namespace naru::text {
namespace {

using Json = nlohmann::ordered_json;  // arguments and tools keep their order

Value value_of(const Json& json) {
  return parse_value(json.dump(), "a fixture").value();
}

// The family's tokenizer as its files describe it.
formats::TokenizerData data_of(const Json& family) {
  const std::string vocabulary = "tokenizers/" + family["vocabulary"].get<std::string>() + ".json";
  Json model = Json::parse(read_fixture(vocabulary));
  model["post_processor"] = family["post_processor"];
  const std::string json = model.dump();
  const std::string config = family["tokenizer_config"].dump();
  const std::string source = read_fixture("families/" + family["template"].get<std::string>() + ".jinja");
  formats::TokenizerSources sources;
  sources.tokenizer_json = as_bytes(json);
  sources.tokenizer_config_json = as_bytes(config);
  sources.chat_template_jinja = as_bytes(source);
  return formats::parse_tokenizer(sources, family["family"].get<std::string>()).value();
}

// The time that the fixture was made at.
std::tm fixture_time() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 26;
  return time;
}

TEST(Families, ConversationsAreThoseOfTheOfficialLibrary) {
  const Json families = Json::parse(read_fixture("families.json"));
  EXPECT_EQ(families.size(), 11u);
  for (const Json& family : families) {
    const auto name = family["family"].get<std::string>();
    const ChatTokenizer both = ChatTokenizer::create(data_of(family)).value();
    ASSERT_TRUE(both.chat_template.has_value()) << name << ": " << both.template_status.error().message;
    for (const Json& test : family["cases"]) {
      ChatInput input;
      input.now = fixture_time();
      input.messages = *value_of(test["messages"]).as_list();
      input.tools = value_of(test["tools"]);
      input.settings = *value_of(test["settings"]).as_object();
      input.add_generation_prompt = test["add_generation_prompt"].get<bool>();
      const auto segments = both.chat_template->render(input);
      ASSERT_EQ(segments.ok(), test.contains("text"))
          << name << ": " << test << ": " << (segments.ok() ? "rendered" : segments.error().message);
      if (!segments.ok()) continue;
      ASSERT_EQ(join(*segments), test["text"].get<std::string>()) << name << ": " << test;
      const auto prompt = encode_chat(*both.chat_template, both.tokenizer, input);
      EXPECT_EQ(prompt->ids, test["ids"].get<std::vector<int32_t>>()) << name << ": " << test;
    }
    for (const Json& text : family["texts"]) {
      EXPECT_EQ(both.tokenizer.encode(text["text"].get<std::string>(), {.add_special = true}),
                text["ids"].get<std::vector<int32_t>>())
          << name << ": " << text;
    }
  }
}

// Which tokens there are, with which ids and flags, where only the companions of tokenizer.json name some.
TEST(SpecialTokens, AreAddedAsTheOfficialLibraryAddsThem) {
  const Json cases = Json::parse(read_fixture("special_tokens.json"));
  EXPECT_EQ(cases.size(), 23u);
  Json model = Json::parse(read_fixture("tokenizers/gpt2.json"));
  for (const Json& test : cases) {
    const auto name = test["name"].get<std::string>();
    model["added_tokens"] = test["added_tokens"];
    const std::string json = model.dump();
    formats::TokenizerSources sources;
    sources.tokenizer_json = as_bytes(json);
    const std::pair<const char*, std::optional<Bytes>*> companions[] = {
        {"tokenizer_config.json", &sources.tokenizer_config_json},
        {"special_tokens_map.json", &sources.special_tokens_map_json},
        {"added_tokens.json", &sources.added_tokens_json}};
    std::array<std::string, 3> texts;
    for (size_t i = 0; i < texts.size(); ++i) {
      if (!test["files"].contains(companions[i].first)) continue;
      texts[i] = test["files"][companions[i].first].dump();
      *companions[i].second = as_bytes(texts[i]);
    }
    const auto data = formats::parse_tokenizer(sources, name);
    ASSERT_TRUE(data.ok()) << name << ": " << data.error().message;
    Json found = Json::array();
    for (const formats::AddedToken& token : data->added_tokens) {
      found.push_back(
          {{"id", token.id}, {"content", token.text}, {"special", token.special}, {"lstrip", token.lstrip}});
    }
    EXPECT_EQ(found, test["tokens"]) << name;
    std::map<std::string, std::string> roles;
    const auto add = [&](const std::string& role, const std::optional<int32_t>& id) {
      if (id) roles[role] = formats::token_text(*data, *id).value();
    };
    add("bos_token", data->bos_id);
    add("eos_token", data->eos_id);
    add("unk_token", data->unk_id);
    add("pad_token", data->pad_id);
    for (const formats::NamedToken& role : data->other_roles) add(role.name, role.id);
    EXPECT_EQ(roles, (test["roles"].get<std::map<std::string, std::string>>())) << name;
  }
}

TEST(SpecialTokens, ThatAModelHasNoRowForAreLeftOut) {
  const std::string json = read_fixture("tokenizers/gpt2.json");
  const std::string config = R"({"pad_token": "[PAD]", "cls_token": "[CLS]", "eos_token": "<eos>"})";
  formats::TokenizerSources sources;
  sources.tokenizer_json = as_bytes(json);
  const int64_t n_ids = formats::parse_tokenizer(sources, "m")->n_ids();
  sources.tokenizer_config_json = as_bytes(config);
  const formats::TokenizerData whole = formats::parse_tokenizer(sources, "m").value();
  EXPECT_EQ(whole.n_ids(), n_ids + 2);
  EXPECT_EQ(whole.n_named_only, 2);
  for (const int64_t vocab : {n_ids + 9, n_ids + 2, n_ids + 1, n_ids, n_ids - 1}) {
    formats::TokenizerData data = whole;
    EXPECT_TRUE(formats::leave_out_foreign_tokens(data, vocab).ok());
    EXPECT_EQ(data.n_ids(), std::clamp(vocab, n_ids, n_ids + 2)) << vocab;  // what the files list stays
    EXPECT_EQ(data.pad_id.has_value(), vocab > n_ids);
    EXPECT_EQ(data.other_roles.size(), vocab > n_ids + 1 ? 1u : 0u);
    EXPECT_TRUE(data.eos_id.has_value());
    EXPECT_TRUE(Tokenizer::create(data).ok());
  }
  // One that stands around every text cannot be left out: the model would be given an id without a row.
  formats::TokenizerData around = whole;
  around.prefix_ids = {static_cast<int32_t>(n_ids)};
  EXPECT_TRUE(formats::leave_out_foreign_tokens(around, n_ids + 1).ok());
  const Status refused = formats::leave_out_foreign_tokens(around, n_ids);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("'[PAD]'"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace naru::text
