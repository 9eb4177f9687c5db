// The form of an answer, made for the model that gives it: what is refused says where.
#include "server/answer_form.h"

#include "engine/form_constraint.h"
#include "server/prepare.h"
#include "tests/server/plain_model.h"

namespace naru::server {
namespace {

AnswerRequest request_of_schema(const std::string& json) {
  AnswerRequest request;
  request.prompts = {std::string("ab")};
  request.form = text::SchemaForm{text::parse_value(json, "schema").value()};
  return request;
}

TEST(AnswerForm, SchemasAreCompiledOnceAndRefusedByName) {
  PlainModel plain("");
  plain.facts.masks =
      std::make_shared<const VocabularyMasks>(*plain.facts.tokenizer, plain.facts.vocab, std::vector<int32_t>{});
  const auto made = prepare(request_of_schema(R"({"type":"integer"})"), plain.facts, 0, 0);
  ASSERT_TRUE(std::holds_alternative<PreparedAnswer>(made));
  EXPECT_NE(std::get<PreparedAnswer>(made).prompts.at(0).constraint, nullptr);
  const auto form = [&](const std::string& json) {
    return std::get<std::shared_ptr<engine::SharedForm>>(answer_form(request_of_schema(json), plain.facts));
  };
  EXPECT_EQ(form(R"({"type":"integer"})"), form(R"({ "type": "integer" })"));
  EXPECT_NE(form(R"({"type":"integer"})"), form(R"({"type":"number"})"));
  const auto refused = prepare(request_of_schema(R"({"properties":{"a":{"not":{}}}})"), plain.facts, 0, 0);
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused));
  EXPECT_EQ(std::get<Refusal>(refused).status, 400);
  EXPECT_EQ(std::get<Refusal>(refused).param, "response_format");
  EXPECT_NE(std::get<Refusal>(refused).message.find("#/properties/a/not"), std::string::npos);
}

TEST(AnswerForm, FormsOfLivingAnswersAreBounded) {
  PlainModel plain("");
  constexpr size_t kBytesMax = 4 << 20;
  plain.facts.masks = std::make_shared<const VocabularyMasks>(*plain.facts.tokenizer, plain.facts.vocab,
                                                              std::vector<int32_t>{}, kBytesMax);
  const auto form = [&](size_t i) {
    return answer_form(request_of_schema("{\"maxLength\":" + std::to_string(1000 + i) + "}"), plain.facts);
  };
  std::vector<std::shared_ptr<engine::SharedForm>> living;
  size_t bytes = 0;
  std::optional<Refusal> refused;
  while (living.size() < 1000 && !refused) {
    auto made = form(living.size());
    if (auto* refusal = std::get_if<Refusal>(&made)) {
      refused = std::move(*refusal);
    } else {
      living.push_back(std::get<std::shared_ptr<engine::SharedForm>>(made));
      bytes += living.back()->bytes();
    }
  }
  ASSERT_TRUE(refused.has_value());
  EXPECT_LE(bytes, kBytesMax);
  EXPECT_GT(living.size(), 2u);
  EXPECT_EQ(refused->status, 503);
  EXPECT_GT(refused->retry_after_seconds, 0);
  EXPECT_NE(refused->message.find("try again when some have ended"), std::string::npos) << refused->message;
  EXPECT_TRUE(std::holds_alternative<Refusal>(form(2000))) << "nothing has ended";
  living.resize(living.size() / 2);
  EXPECT_FALSE(std::holds_alternative<Refusal>(form(2000)));
  // What is kept for later only makes room.
  living.clear();
  for (size_t i = 0; i < 100; ++i) EXPECT_FALSE(std::holds_alternative<Refusal>(form(3000 + i))) << i;
}

TEST(AnswerForm, TextsOfAFormAreFormsOfTheirOwn) {
  PlainModel plain("");
  plain.facts.masks =
      std::make_shared<const VocabularyMasks>(*plain.facts.tokenizer, plain.facts.vocab, std::vector<int32_t>{});
  const auto form = [&](ContentForm content) {
    AnswerRequest request;
    request.prompts = {std::string("ab")};
    request.form = std::move(content);
    EXPECT_TRUE(std::holds_alternative<PreparedAnswer>(prepare(request, plain.facts, 0, 0)));
    return std::get<std::shared_ptr<engine::SharedForm>>(answer_form(request, plain.facts));
  };
  const auto first_tokens = [&](const std::shared_ptr<engine::SharedForm>& shared) {
    engine::SharedForm::Place place = shared->begin(shared->form().content);
    const engine::SharedForm::Mask mask = shared->mask_of(place);
    std::string texts;
    for (const char* text : {"y", "n", "7", "x"}) {
      const int32_t id = *plain.facts.tokenizer->find(text);
      if ((*mask)[static_cast<size_t>(id) / 64] >> (id % 64) & 1) texts += text;
    }
    return texts;
  };
  const auto choice = form(text::ChoiceForm{{"yes", "no"}});
  EXPECT_EQ(first_tokens(choice), "yn");
  EXPECT_EQ(first_tokens(form(text::RegexForm{"[0-9]+"})), "7");
  EXPECT_EQ(form(text::ChoiceForm{{"yes", "no"}}), choice);
  EXPECT_NE(form(text::ChoiceForm{{"yes no"}}), choice);
  EXPECT_NE(form(text::ChoiceForm{{"yes"}}), choice);
}

// One message, which says what helps.
TEST(AnswerForm, CallsNeedATemplateWithAPlaceForTools) {
  PlainModel plain(kPlainChat);
  plain.facts.tools = text::tool_support(*plain.facts.chat_template);
  AnswerRequest request;
  request.is_chat = true;
  request.messages = {text::Value::Object{{"role", "user"}, {"content", "Hi"}}};
  request.tools = text::parse_value(R"([{"type":"function","function":{"name":"f"}}])", "t").value();
  const auto refusal = [&] {
    const auto made = prepare(request, plain.facts, 0, 0);
    const auto* refused = std::get_if<Refusal>(&made);
    return refused != nullptr ? refused->param + ": " + refused->message : "";
  };
  const std::string automatic = refusal();
  EXPECT_NE(automatic.find("tools: rendering the conversation: the model's chat template has no place for tools"),
            std::string::npos)
      << automatic;
  request.must_call = true;
  EXPECT_EQ(refusal(), automatic);
  request.must_call = false;
  request.strict_tools = {"f"};
  EXPECT_EQ(refusal(), automatic);
  // One without any template has no tools either, but that is not what is wrong.
  PlainModel bare("");
  request.must_call = true;
  const auto made = prepare(request, bare.facts, 0, 0);
  EXPECT_EQ(std::get<Refusal>(made).code, "no_chat_template");
}

TEST(AnswerForm, ARequestForBothCallsAndAFormIsToldWhichToDrop) {
  AnswerRequest request;
  request.must_call = request.is_json = true;
  const auto refused = refuse_beside_form(request);
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->param, "tool_choice");
  EXPECT_EQ(refused->message,
            "reading the request: tool_choice asks for an answer that is calls of tools alone, and response_format for "
            "one that is one JSON object, and no answer is both; to have calls leave response_format out, to have that "
            "form leave tool_choice and the tools out");
  request.only_tool = "f";
  request.is_json = false;
  request.form = text::RegexForm{"a"};
  request.names.form = "guided_regex";
  EXPECT_NE(refuse_beside_form(request)->message.find("a call of one tool alone, and guided_regex for one that is a "
                                                      "text of a regular expression"),
            std::string::npos);
  request.form.reset();
  EXPECT_FALSE(refuse_beside_form(request));
}

TEST(AnswerForm, CallsThatMustComeNeedToolsAndAKnownForm) {
  PlainModel plain("");
  plain.facts.masks =
      std::make_shared<const VocabularyMasks>(*plain.facts.tokenizer, plain.facts.vocab, std::vector<int32_t>{});
  AnswerRequest request;
  request.is_chat = request.must_call = true;
  const auto refusal = [&] {
    const auto made = answer_form(request, plain.facts);
    const auto* refused = std::get_if<Refusal>(&made);
    return refused != nullptr ? refused->param + ": " + refused->message : "";
  };
  EXPECT_NE(refusal().find("tool_choice: reading the request: a tool is to be called"), std::string::npos);
  request.tools =
      text::parse_value(R"([{"type":"function","function":{"name":"f","parameters":{"not":{}}}}])", "t").value();
  EXPECT_NE(refusal().find("could not be made out"), std::string::npos);
  plain.facts.tools.form = text::ToolCallForm::kHermes;
  plain.facts.tools.texts =
      text::CallTexts{"", "<tool_call>{\"name\": \"", "\", \"arguments\": ", "}</tool_call>", "\n", ""};
  EXPECT_EQ(refusal(), "") << "what is not strict is advice";
  request.strict_tools = {"f"};
  EXPECT_NE(refusal().find("the tool f: #/not"), std::string::npos) << refusal();
}

}  // namespace
}  // namespace naru::server
