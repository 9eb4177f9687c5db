// Conversations of each family's constructs against transformers: the text, and the ids through the one path that
// training and use share (tools/make_family_fixtures.py made the fixture).
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace naru::text
