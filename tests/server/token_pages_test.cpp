// Tokens and templates: both forms of asking, and what is refused.
#include "server/token_pages.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "server/limits.h"
#include "tests/server/plain_model.h"

namespace naru::server {
namespace {

using PageJson = nlohmann::json;

const PlainModel& page_model() {
  static const PlainModel model(read_text_fixture("families/qwen3.jinja"));
  return model;
}

// The page of a body, or {"refused": the field, "message"}.
PageJson page_json(const Dialect& dialect, const std::string& body) {
  const auto refused = [](const Refusal& refusal) {
    EXPECT_EQ(refusal.status, 400);
    return PageJson{{"refused", refusal.param}, {"message", refusal.message}};
  };
  const ReadRequest read = dialect.read(body, {});
  if (const auto* refusal = std::get_if<Refusal>(&read)) return refused(*refusal);
  const auto made = std::get<PageRequest>(read).make(page_model().facts);
  if (const auto* refusal = std::get_if<Refusal>(&made)) return refused(*refusal);
  return PageJson::parse(std::get<std::string>(made));
}

TEST(TokenPages, OneTextInBothForms) {
  const text::Tokenizer& tokenizer = *page_model().facts.tokenizer;
  const std::vector<int32_t> ids = tokenizer.encode("Hello <think> ü");
  const std::vector<int32_t> with_bos = tokenizer.encode("Hello <think> ü", {.add_special = true});
  ASSERT_EQ(with_bos.size(), ids.size() + 1);
  for (const char* name : {"content", "prompt"}) {
    const PageJson made = page_json(kTokenize, fmt::format(R"({{"{}":"Hello <think> ü"}})", name));
    const bool is_content = std::string_view(name) == "content";
    EXPECT_EQ(made["tokens"], PageJson(is_content ? ids : with_bos));
    EXPECT_EQ(made["count"], made["tokens"].size());
    EXPECT_EQ(made["max_model_len"], 256);
  }
  EXPECT_EQ(page_json(kDetokenize, PageJson{{"tokens", ids}}.dump()),
            (PageJson{{"content", "Hello <think> ü"}, {"prompt", "Hello <think> ü"}}));
  EXPECT_EQ(page_json(kTokenize, R"({"content":"","add_special":true})")["count"], 1);
  EXPECT_EQ(page_json(kTokenize, R"({"prompt":"","add_special_tokens":false})")["count"], 0);
  // A text that control tokens are not found in.
  EXPECT_GT(page_json(kTokenize, R"({"content":"<|im_end|>","parse_special":false})")["count"], 1);
  EXPECT_EQ(page_json(kTokenize, R"({"content":""})")["tokens"], PageJson::array());
  EXPECT_EQ(page_json(kDetokenize, R"({"tokens":[]})")["content"], "");
}

TEST(TokenPages, PiecesAreTextOrBytes) {
  const PageJson made = page_json(kTokenize, R"({"content":"a😀","with_pieces":true,"return_token_strs":true})");
  std::string bytes;
  for (const PageJson& token : made["tokens"]) {
    if (token["piece"].is_string()) {
      bytes += token["piece"].get<std::string>();
    } else {
      for (const int byte : token["piece"]) bytes.push_back(static_cast<char>(byte));
    }
  }
  EXPECT_EQ(bytes, "a😀");
  EXPECT_EQ(made["token_strs"][0], "a");
  EXPECT_EQ(made["token_strs"].size(), made["count"]);
}

TEST(TokenPages, ConversationsAreThosePromptsThatAreAnswered) {
  const std::string messages = R"("messages":[{"role":"user","content":"Hi"}])";
  const std::string prompt = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
  EXPECT_EQ(page_json(kApplyTemplate, "{" + messages + "}")["prompt"], prompt);
  EXPECT_EQ(page_json(kApplyTemplate, "{" + messages + R"(,"thinking":{"type":"disabled"}})")["prompt"],
            prompt + "<think>\n\n</think>\n\n");
  EXPECT_EQ(page_json(kApplyTemplate, "{" + messages + R"(,"add_generation_prompt":false})")["prompt"],
            "<|im_start|>user\nHi<|im_end|>\n");
  const PageJson tokens = page_json(kTokenize, "{" + messages + R"(,"with_pieces":false})");
  EXPECT_EQ(page_json(kDetokenize, PageJson{{"tokens", tokens["tokens"]}}.dump())["content"], prompt);
  const std::string begun =
      R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Oh"}],"continue_final_message":true)";
  EXPECT_EQ(page_json(kApplyTemplate, begun + "}")["prompt"], prompt + "Oh");
  EXPECT_EQ(page_json(kApplyTemplate, begun + R"(,"add_generation_prompt":false})")["refused"],
            "add_generation_prompt");
  EXPECT_EQ(page_json(kApplyTemplate,
                      R"({"messages":[{"role":"user","content":"Hi"}],"continue_final_message":true})")["refused"],
            "messages");
}

TEST(TokenPages, WhatIsWrongIsRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> tokenize = {
      {"{}", "content"},
      {R"({"content":1})", "content"},
      {R"({"prompt":["a"]})", "prompt"},
      {R"({"content":"a","prompt":"b"})", "content"},
      {R"({"content":"a","messages":[]})", "content"},
      {R"({"messages":[]})", "messages"},
      {R"({"content":"a","add_special":1})", "add_special"},
      {R"({"content":"a","add_special_tokens":"x"})", "add_special_tokens"},
      {R"({"content":"a","with_pieces":"x"})", "with_pieces"},
      {R"({"content":"a","return_token_strs":"x"})", "return_token_strs"},
      {R"({"content":"a","model":1})", "model"},
  };
  for (const auto& [body, param] : tokenize) EXPECT_EQ(page_json(kTokenize, body)["refused"], param) << body;
  const std::vector<std::pair<std::string, std::string>> detokenize = {
      {"{}", "tokens"},
      {R"({"tokens":"a"})", "tokens"},
      {R"({"tokens":[1,"a"]})", "tokens[1]"},
      {R"({"tokens":[-1]})", "tokens[0]"},
      {R"({"tokens":[2147483647]})", "tokens"},
      {R"({"tokens":[18446744073709551616]})", "tokens[0]"},
  };
  for (const auto& [body, param] : detokenize) EXPECT_EQ(page_json(kDetokenize, body)["refused"], param) << body;
  std::string many = R"({"tokens":[0)";
  for (int64_t i = 0; i < kPageTokensMax; ++i) many += ",0";
  EXPECT_NE(page_json(kDetokenize, many + "]}")["message"].get<std::string>().find("1048577"), std::string::npos);
}

TEST(TokenPages, FieldsThatNobodyKnowsAreSaid) {
  const ReadRequest read = kTokenize.read(R"({"content":"a","model":"m","odd":1})", {});
  EXPECT_EQ(std::get<PageRequest>(read).ignored, std::vector<std::string>{"odd"});
  EXPECT_EQ(std::get<PageRequest>(read).model, "m");
}

TEST(TokenPages, WhatOnlyAnAnswerWouldObeyIsSaidToBeIgnored) {
  const std::string body =
      R"({"messages":[{"role":"user","content":"Hi"}],"model":"m","n":3,"stream":true,"temperature":0,"stop":["x"],)"
      R"("max_tokens":5,"logprobs":true,"response_format":{"type":"json_object"},"chat_template_kwargs":{"a":1}})";
  const std::vector<std::string> wanted = {"logprobs", "max_tokens", "n",          "response_format",
                                           "stop",     "stream",     "temperature"};
  for (const Dialect* dialect : {&kTokenize, &kApplyTemplate}) {
    const ReadRequest read = dialect->read(body, {});
    ASSERT_TRUE(std::holds_alternative<PageRequest>(read));
    EXPECT_EQ(std::get<PageRequest>(read).ignored, wanted) << dialect->name;
    EXPECT_EQ(std::get<PageRequest>(read).model, "m");
  }
}

}  // namespace
}  // namespace naru::server
