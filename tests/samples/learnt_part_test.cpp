// What training reads of an answer: by the reader of training data itself, which shows what is learnt of the line.
#include "samples/learnt_part.h"

#include "data/conversation.h"
#include "data/generators.h"
#include "samples/sample_line.h"
#include "tests/data/rig.h"

namespace naru::samples {
namespace {

constexpr const char* kChatMl =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
// A space of its own before the answer, which the model writes.
constexpr const char* kSpaced =
    "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }} ={% else %}{{ ' ' + m.content + '<|im_end|>' }}"
    "{% endif %}{% endfor %}";
// Takes reasoning out of what was said; its prompt opens it.
constexpr const char* kOpening =
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|im_start|>U:' + m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{% set c = m['content'] %}{% if '</think>' in c %}"
    "{% set c = c.split('</think>')[-1] %}{% endif %}{{ '<|im_start|>A:' + c + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>A:<think>\\n' }}{% endif %}";
constexpr const char* kRefusing =
    "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% else %}{{ raise_exception('no answers') }}"
    "{% endif %}{% endfor %}";

class LearntParts : public ::testing::Test {
 protected:
  static data::Problem asked(const std::string& prompt = "How many?") {
    data::Problem problem;
    problem.prompt = prompt;
    problem.text_prompt = prompt;
    return problem;
  }
  std::optional<std::string> part(const data::Problem& problem, const std::string& answer, const char* source,
                                  bool is_messages = true, bool opens_reasoning = false) {
    std::optional<text::ChatTemplate> chat;
    if (source != nullptr) chat = text::ChatTemplate::create(source, {}).value();
    const PartForm form{is_messages, &tokenizer_, chat ? &*chat : nullptr};
    const auto made = learnt_part(problem, answer, opens_reasoning, form);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    return made.ok() ? *made : std::nullopt;
  }
  // What fine-tuning learns of the line that was made.
  std::string learnt(const std::string& answer, const char* source, bool opens_reasoning = false) {
    const auto made = part(asked(), answer, source, true, opens_reasoning);
    if (!made) return "nothing";
    const auto sample = data::parse_sample(kept_line(*made, {}), "x.jsonl:1");
    EXPECT_TRUE(sample.ok()) << (sample.ok() ? "" : sample.error().message);
    const text::ChatTemplate chat = text::ChatTemplate::create(source, {}).value();
    const auto documents = data::assistant_documents(*sample, chat, tokenizer_, "x.jsonl:1");
    EXPECT_TRUE(documents.ok() && documents->documents.size() == 1);
    std::vector<int32_t> ids;
    const data::Document& document = documents->documents[0];
    for (size_t i = 1; i < document.ids.size(); ++i) {
      if (document.loss[i] == 1) ids.push_back(document.ids[i]);
    }
    return tokenizer_.decode(ids);
  }
  text::Tokenizer tokenizer_ = data::make_test_tokenizer();
};

TEST_F(LearntParts, WhatTheModelWroteIsWhatIsLearnt) {
  for (const std::string answer : {"four", " four", "four\n", "\n four\n\n", "vier 넷 四"}) {
    EXPECT_EQ(learnt(answer, kChatMl), answer + "<|im_end|>");
  }
  // The template puts the space; one that is no part of it is not learnt either way.
  EXPECT_EQ(learnt(" four", kSpaced), " four<|im_end|>");
  EXPECT_EQ(part(asked(), " four", kSpaced),
            R"("messages": [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "four"}])");
  EXPECT_EQ(learnt("four", kSpaced), " four<|im_end|>");
}

TEST_F(LearntParts, ReasoningIsLearntWithItsTags) {
  EXPECT_EQ(learnt("two and two\n</think>\n\nfour", kOpening, true), "two and two\n</think>\n\nfour<|im_end|>");
  EXPECT_EQ(learnt("<think>two</think>four", kChatMl), "<think>two</think>four<|im_end|>");
}

TEST_F(LearntParts, ATemplateThatWritesNoAnswerWritesNone) {
  EXPECT_EQ(part(asked(), "four", kRefusing), std::nullopt);
}

TEST_F(LearntParts, TextsAreTheQuestionAndTheAnswer) {
  data::Problem problem = asked("Q: 2 + 2?\nA:");
  EXPECT_EQ(part(problem, " 4 #### 4", nullptr, false), R"("text": "Q: 2 + 2?\nA: 4 #### 4")");
  EXPECT_EQ(part(problem, "\n4 \n", kChatMl, false), R"("text": "Q: 2 + 2?\nA: 4")");
  // Asked as text, written as a conversation.
  EXPECT_EQ(part(problem, " 4", nullptr),
            R"("messages": [{"role": "user", "content": "Q: 2 + 2?\nA:"}, {"role": "assistant", "content": "4"}])");
}

TEST_F(LearntParts, ConversationsAndToolsStandAsTheyWereGiven) {
  const std::string line =
      R"({"messages": [{"role": "system", "content": "Be \"brief\"."}, {"role": "user", "content": "넷?"}], )"
      R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {"n": 18446744073709551616}}}]})";
  const auto sample = data::parse_sample(line, "p.jsonl:1");
  ASSERT_TRUE(sample.ok());
  data::Problem problem;
  problem.messages = sample->messages;
  problem.tools = sample->tools;
  const auto made = part(problem, "네", nullptr);
  ASSERT_TRUE(made);
  EXPECT_EQ(*made,
            R"("messages": [{"role": "system", "content": "Be \"brief\"."}, {"role": "user", "content": "넷?"}, )"
            R"({"role": "assistant", "content": "네"}], "tools": [{"type": "function", "function": {"name": "f", )"
            R"("parameters": {"n": 18446744073709551616}}}])");
  EXPECT_TRUE(data::parse_sample("{" + *made + "}", "p.jsonl:1").ok());
}

TEST(SampleLines, ReadBackAsTheyWereWritten) {
  SampleFacts facts;
  facts.model_sha256 = "ab";
  facts.seed = INT64_MAX;  // the largest of recipes
  facts.number = 7;
  facts.problem = "a \", \"sample\": {\" b.jsonl:3";
  facts.draw = 2;
  facts.language = "ko";
  facts.n_tokens = 31;
  facts.is_right = true;
  facts.pass_rate = 0.1;
  facts.reward = -0.25;
  facts.rewards = {{"answer", 1}, {"language", 1.0 / 3}};
  const std::string part = R"("messages": [{"role": "user", "content": ", \"sample\": {"}])";
  const std::string line = kept_line(part, facts);
  EXPECT_EQ(line, "{" + part +
                      R"(, "sample": {"model":"ab","seed":9223372036854775807,"number":7,"problem":)"
                      R"("a \", \"sample\": {\" b.jsonl:3","draw":2,"language":"ko","tokens":31,"right":true,)"
                      R"("pass_rate":0.1,"reward":-0.25,"rewards":{"answer":1.0,"language":0.3333333333333333}}})"
                      "\n");
  const auto read = parse_line(std::string_view(line).substr(0, line.size() - 1), "x:1");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->learnt_part, part);
  EXPECT_EQ(read->dropped, std::nullopt);
  EXPECT_EQ(read->number, 7);
  EXPECT_EQ(read->draw, 2);
  EXPECT_EQ(read->language, "ko");
  EXPECT_EQ(read->n_tokens, 31);
  EXPECT_TRUE(read->is_right);
  const std::string dropped = dropped_line(Reason::kRepetition, "q\n", "\xff a", facts);
  EXPECT_TRUE(
      dropped.starts_with("{\"dropped\": \"repetition\", \"prompt\": \"q\\n\", \"answer\": \"\xEF\xBF\xBD a\""));
  EXPECT_EQ(parse_line(std::string_view(dropped).substr(0, dropped.size() - 1), "x:1")->dropped, Reason::kRepetition);
}

TEST(SampleLines, WhateverElseIsRefused) {
  SampleFacts facts;
  const std::string whole = kept_line("\"text\": \"a\"", facts);
  for (size_t n = 0; n + 1 < whole.size() - 1; ++n) {
    EXPECT_FALSE(parse_line(std::string_view(whole).substr(0, n), "x.jsonl:9").ok()) << n;
  }
  for (const std::string line :
       {"", "null", "[]", "{}", R"({"sample": 3})", R"({"sample": {}})",
        R"({"text": "a", "sample": {"number": 1.5, "draw": 0, "tokens": 1, "right": true}})",
        R"({"text": "a", "sample": {"number": -1, "draw": 0, "tokens": 1, "right": true}})",
        R"({"text": "a", "sample": {"number": 1, "draw": 0, "tokens": 1, "right": 1}})",
        R"({"dropped": "kept", "sample": {"number": 1, "draw": 0, "tokens": 1, "right": true}})",
        R"({"sample": {"number": 1, "draw": 0, "tokens": 1, "right": true}})", "\xff\xfe"}) {
    const auto read = parse_line(line, "x.jsonl:9");
    ASSERT_FALSE(read.ok()) << line;
    EXPECT_EQ(read.error().code, Code::kCorrupt);
    EXPECT_NE(read.error().message.find("x.jsonl:9"), std::string::npos);
  }
}

}  // namespace
}  // namespace naru::samples
