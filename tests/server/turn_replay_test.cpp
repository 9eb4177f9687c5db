// Turns that called tools, put back as they were sampled: exactly where they are what they were, for whoever they were
// made for, and nowhere else.
#include "server/turn_replay.h"

#include <fmt/format.h>

#include "tests/server/spoken_answer.h"

namespace naru::server {
namespace {

using text::Value;
using Ids = std::vector<int32_t>;

// A template that writes a turn otherwise than the model of these tests: its calls on one line, and reasoning where it
// is given. `end` closes each message.
std::string source_of(const std::string& end) {
  return "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}[{{ m.role }}]"
         "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content or '' }}"
         "{% for c in m.tool_calls or [] %}<tool_call>{\"name\": \"{{ c.function.name }}\", \"arguments\": "
         "{{ c.function.arguments | tojson }}}</tool_call>{% endfor %}" +
         end + "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
}

struct TurnReplay : testing::Test {
  std::optional<Rig> rig;
  std::shared_ptr<SampledTurns> turns = std::make_shared<SampledTurns>(1 << 20);
  AnswerRequest request = ask_with_tools();
  std::string said =
      "<think>hm</think>\n\nSee:\n\n<tool_call>\n{\"name\":   \"f\", \"arguments\":  {\"b\": 2.0, \"a\": "
      "1}}\n</tool_call>";
  Ids sampled;  // that and the end

  void SetUp() override {
    rig.emplace(open_with_template("x"));
    const std::string end((*rig)->tokenizer()->piece((*rig)->eos_ids().at(0)));
    rig.emplace(open_with_template(source_of(end)));
    request.messages = {
        Value::Object{{"role", "user"}, {"content", "What is the weather like in the old town today?"}}};
    sampled = (*rig)->tokenizer()->encode(said);
    sampled.push_back((*rig)->eos_ids().at(0));
  }
  Ids prompt_of(const AnswerRequest& asked, bool replays = true, uint64_t scope = 7) {
    return prepared(asked, **rig, replays ? turns : nullptr, scope).prompts.at(0).ids;
  }
  // The model answers with a call; its prompt and what it sampled.
  Ids answer(Spoken* told = nullptr, uint64_t scope = 7) {
    PreparedAnswer asked = prepared(request, **rig, turns, scope);
    Ids all = asked.prompts.at(0).ids;
    all.insert(all.end(), sampled.begin(), sampled.end());
    last = spoken(std::move(asked), **rig, sampled);
    EXPECT_EQ(last.end.reason, EndReason::kToolCalls);
    if (told != nullptr) *told = last;
    return all;
  }
  // The client sends it back, as most do: without its reasoning, parsed and written anew.
  Value turn_sent_back(const std::string& arguments = R"({"a":1,"b":2})") const {
    const Value function(Value::Object{{"name", last.calls.at(0).name}, {"arguments", arguments}});
    const Value call(Value::Object{{"id", last.calls.at(0).id}, {"type", "function"}, {"function", function}});
    return Value::Object{{"role", "assistant"}, {"content", last.content}, {"tool_calls", Value::List{call}}};
  }
  void add_turn(Value turn) {
    request.messages.push_back(std::move(turn));
    request.messages.emplace_back(
        Value::Object{{"role", "tool"}, {"tool_call_id", last.calls.at(0).id}, {"content", "12 degrees"}});
  }
  static bool begins_with(const Ids& ids, const Ids& begin) {
    return ids.size() > begin.size() && std::equal(begin.begin(), begin.end(), ids.begin());
  }
  Spoken last;
};

TEST_F(TurnReplay, TheNextPromptBeginsWithWhatWasSampled) {
  const Ids computed = answer();
  EXPECT_EQ(last.reasoning, "hm");
  add_turn(turn_sent_back());
  EXPECT_FALSE(begins_with(prompt_of(request, false), computed)) << "the template writes it otherwise";
  const Ids ids = prompt_of(request);
  ASSERT_TRUE(begins_with(ids, computed));
  const Ids rest(ids.begin() + std::ssize(computed), ids.end());
  EXPECT_EQ((*rig)->tokenizer()->decode(rest),
            "[tool]12 degrees" + std::string((*rig)->tokenizer()->piece((*rig)->eos_ids().at(0))) + "[assistant]");
  const PreparedAnswer again = prepared(request, **rig, turns, 7);
  EXPECT_EQ(again.replayed_call, last.calls.at(0).id);
  EXPECT_EQ(again.replayed_tokens, std::ssize(computed));
  EXPECT_TRUE(prepared(request, **rig).replayed_call.empty());
}

TEST_F(TurnReplay, MoreOfThePromptIsFoundInTheCache) {
  const Ids computed = answer();
  add_turn(turn_sent_back());
  const Spoken with = spoken(prepared(request, **rig, turns, 7), **rig, sampled);
  (*rig)->drop_prefix_cache();
  request.messages.resize(1);
  answer();
  add_turn(turn_sent_back());
  const Spoken without = spoken(prepared(request, **rig, nullptr, 7), **rig, sampled);
  EXPECT_GT(with.usage.cached_tokens, without.usage.cached_tokens);
  EXPECT_EQ(with.usage.replayed_tokens, std::ssize(computed));
  EXPECT_EQ(without.usage.replayed_tokens, 0);
}

TEST_F(TurnReplay, TurnAfterTurn) {
  answer();
  add_turn(turn_sent_back());
  const Ids second = answer();
  add_turn(turn_sent_back());
  ASSERT_TRUE(begins_with(prompt_of(request), second));
  // The turns before the last may come back otherwise written.
  request.messages[1] = [&] {
    Value turn = request.messages[1];
    turn.set("content", "  See:\n");
    turn.set("reasoning_content", "hm");
    return turn;
  }();
  EXPECT_TRUE(begins_with(prompt_of(request), second));
  // Of a last turn that is not known the one before it stands.
  const Ids first_part(second.begin(), second.begin() + 20);
  request.messages[3].set("content", "edited");
  const PreparedAnswer edited = prepared(request, **rig, turns, 7);
  EXPECT_NE(edited.replayed_call, last.calls.at(0).id);
  EXPECT_FALSE(edited.replayed_call.empty());
  EXPECT_FALSE(begins_with(edited.prompts[0].ids, second));
  EXPECT_NE((*rig)->tokenizer()->decode(edited.prompts[0].ids).find("edited"), std::string::npos);
}

TEST_F(TurnReplay, WhatIsNotThatTurnIsRendered) {
  answer();
  add_turn(turn_sent_back());
  const AnswerRequest good = request;
  ASSERT_NE(prompt_of(good), prompt_of(good, false));
  const auto expect_rendered = [&](const char* what, uint64_t scope = 7) {
    EXPECT_EQ(prompt_of(request, true, scope), prompt_of(request, false)) << what;
    EXPECT_TRUE(prepared(request, **rig, turns, scope).replayed_call.empty()) << what;
    request = good;
  };
  expect_rendered("of another key", 8);
  request.messages[1].set("content", "Look:");
  expect_rendered("other words");
  request.messages[1].set("reasoning_content", "something else");
  expect_rendered("other reasoning");
  request.messages[1] = turn_sent_back(R"({"a":1,"b":3})");
  expect_rendered("other arguments");
  request.messages[0].set("content", "What?");
  expect_rendered("another question");
  request.tools = Value::List{tool_named("f"), tool_named("g")};
  expect_rendered("other tools");
  request.template_settings = {{"x", 1}};
  expect_rendered("other settings");
  last.calls[0].id = "call_1";
  request.messages[1] = turn_sent_back();
  expect_rendered("an id that was never given out");
  EXPECT_NE(prompt_of(good), prompt_of(good, false));
}

TEST_F(TurnReplay, AnAnswerThatIsCutBehindItsFirstCallIsNotKept) {
  request.parallel_calls = false;
  answer();
  EXPECT_EQ(turns->bytes(), 0);
}

TEST_F(TurnReplay, WhereTheTemplateClosesATurnWithNoEndTokenItIsRendered) {
  rig.emplace(open_with_template(source_of("\n")));
  answer();
  add_turn(turn_sent_back());
  EXPECT_EQ(prompt_of(request), prompt_of(request, false));
  // Nor is the end of a later message taken for its own.
  const std::string end((*rig)->tokenizer()->piece((*rig)->eos_ids().at(0)));
  rig.emplace(open_with_template(source_of("{{ '" + end + "' if m.role == 'tool' }}")));
  request.messages.resize(1);
  answer();
  add_turn(turn_sent_back());
  EXPECT_EQ(prompt_of(request), prompt_of(request, false));
}

TEST_F(TurnReplay, OnlyTurnsWithCallsAreKept) {
  const std::string words = "No call.";
  const Spoken plain = spoken(prepared(request, **rig, turns, 7), **rig, (*rig)->tokenizer()->encode(words));
  EXPECT_EQ(plain.end.reason, EndReason::kStop);
  EXPECT_EQ(turns->bytes(), 0);
  answer();
  EXPECT_GT(turns->bytes(), 0);
}

TEST(SampledTurns, TheOldestMakeRoom) {
  const auto turn_of = [](size_t n_ids) {
    SampledTurn turn;
    turn.ids.resize(n_ids);
    return turn;
  };
  SampledTurns turns(10000);
  for (int i = 0; i < 6; ++i) turns.keep(1, fmt::format("call_{}", i), turn_of(500));
  EXPECT_LE(turns.bytes(), 10000);
  EXPECT_EQ(turns.find(1, "call_0"), nullptr);
  EXPECT_EQ(turns.find(1, "call_1"), nullptr);
  for (int i = 3; i < 6; ++i) EXPECT_NE(turns.find(1, fmt::format("call_{}", i)), nullptr) << i;
  EXPECT_EQ(turns.find(2, "call_5"), nullptr) << "of another scope";
  const int64_t before = turns.bytes();
  turns.keep(1, "large", turn_of(3000));  // larger than all may be: nobody makes room for it
  EXPECT_EQ(turns.find(1, "large"), nullptr);
  EXPECT_EQ(turns.bytes(), before);
  turns.keep(1, "call_5", turn_of(1));
  EXPECT_EQ(turns.find(1, "call_5")->ids.size(), 500u) << "the first one of an id stays";
}

}  // namespace
}  // namespace naru::server
