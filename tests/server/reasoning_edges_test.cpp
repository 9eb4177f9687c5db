// The white space around the tags of reasoning is no part of what clients get.
#include "server/reasoning_edges.h"

#include "tests/server/spoken_answer.h"
#include "text/chat_template.h"

namespace naru::server {
namespace {

// Opens reasoning, as R1's does.
const std::string kOpens =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: <think>\n{% endif %}";
// Leaves that to the model.
const std::string kPlain =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}";

AnswerRequest asked() {
  AnswerRequest request;
  request.is_chat = true;
  request.messages = {text::Value::Object{{"role", "user"}, {"content", "Hi"}}};
  request.sampling.temperature = 0.0;
  return request;
}

void expect_spoken(const std::string& source, const std::string& said, const std::string& reasoning,
                   const std::string& content, const AnswerRequest& request = asked()) {
  Rig rig = open_with_template(source);
  const Spoken got = spoken(request, *rig, said);
  EXPECT_EQ(got.reasoning, reasoning) << said;
  EXPECT_EQ(got.content, content) << said;
}

TEST(ReasoningEdges, LineBreaksOfTheTagsAreNoText) {
  expect_spoken(kOpens, "I see.\n\nSo 4.\n</think>\n\nIt is 4.\n", "I see.\n\nSo 4.", "It is 4.\n");
  expect_spoken(kOpens, "I see.</think> \n 4", "I see.", "4");
  expect_spoken(kOpens, "\n</think>\n\n4", "", "4");
  expect_spoken(kPlain, "<think>\nI see.\n</think>\n\nIt is\n\n 4.", "I see.", "It is\n\n 4.");
  expect_spoken(kPlain, "<think></think>\n\n4", "", "4");
}

TEST(ReasoningEdges, WithoutReasoningTheTextIsAsItWasSaid) {
  expect_spoken(kPlain, "\n\n It is 4.", "", "\n\n It is 4.");
}

// One that goes on from there finds it as it was.
TEST(ReasoningEdges, ReasoningThatWasCutKeepsItsEnd) {
  AnswerRequest request = asked();
  request.stop = {"STOP"};
  expect_spoken(kOpens, "I see.\nSTOP", "I see.\n", "", request);
  expect_spoken(kOpens, "I see.\n\n", "I see.\n\n", "");
}

TEST(ReasoningEdges, WhatGoesOnKeepsItsBegin) {
  AnswerRequest request = asked();
  request.continues_last = true;
  request.messages.emplace_back(
      text::Value::Object{{"role", "assistant"}, {"reasoning_content", "I"}, {"content", ""}});
  expect_spoken(kOpens, " see.\n</think>\n\n4", " see.", "4", request);
  request.messages.back() = text::Value::Object{{"role", "assistant"}, {"reasoning_content", "I"}, {"content", "It"}};
  expect_spoken(kOpens, " is 4", "", " is 4", request);
}

TEST(ReasoningEdges, CountsAreThoseOfTheTokens) {
  Rig rig = open_with_template(kOpens);
  const std::string said = "I see.\n</think>\n\n4";
  const Spoken got = spoken(asked(), *rig, said);
  const std::vector<int32_t> ids = rig->tokenizer()->encode(said);
  EXPECT_EQ(got.usage.completion_tokens, std::ssize(ids));
  EXPECT_GT(got.usage.reasoning_tokens, 0);
}

// Wherever the deltas are cut.
TEST(ReasoningEdges, AnyCutGivesTheSame) {
  const std::string reasoning = " \nI see \n\nmore\n ", content = "\n\n 4\n5 \n";
  for (size_t a = 0; a <= reasoning.size(); ++a) {
    for (size_t b = 0; b <= content.size(); ++b) {
      ReasoningEdges edges(false);
      std::string said[2];
      const auto give = [&](const std::string& r, const std::string& c, const ReasoningState& state) {
        engine::TextDelta delta;
        delta.reasoning = r;
        delta.content = c;
        edges.trim(delta, state);
        said[0] += delta.reasoning;
        said[1] += delta.content;
      };
      give(reasoning.substr(0, a), "", {true, true, false});
      give(reasoning.substr(a), content.substr(0, b), {true, false, false});
      give("", content.substr(b), {true, false, true});
      EXPECT_EQ(said[0], "I see \n\nmore") << a;
      EXPECT_EQ(said[1], "4\n5 \n") << b;
    }
  }
}

}  // namespace
}  // namespace naru::server
