// Answers among others are those they are alone, bit for bit; and one that is cancelled holds nothing.
#include "server/running_answers.h"

#include <bit>

#include "base/file.h"
#include "server/call_id.h"
#include "server/model_facts.h"
#include "tests/server/spoken_answer.h"
#include "text/json_prefix.h"

namespace naru::server {
namespace {

Rig open_small(int64_t parallel) {
  return engine::open_rig(engine::fixture_model("gguf-llama-f32"), "cpu", engine::small_options(128, parallel));
}

AnswerRequest ask(const std::string& prompt, uint64_t seed, int64_t n = 1) {
  AnswerRequest request;
  request.prompts = {prompt};
  request.sampling.seed = seed;
  request.sampling.temperature = 1.0;
  request.n = n;
  request.max_tokens = 20;
  request.ignores_end = true;
  request.top_logprobs = 2;
  return request;
}

// What a choice said: its text, and each token with the bits of its probability.
using Said = std::vector<std::string>;

void take(std::vector<AddressedEvent> events, std::map<AnswerId, std::vector<Said>>& said,
          std::map<AnswerId, AnswerUsage>& usage) {
  for (const AddressedEvent& each : events) {
    const AnswerEvent& e = each.event;
    ASSERT_NE(e.kind, AnswerEvent::Kind::kError) << e.error.message;
    if (e.kind == AnswerEvent::Kind::kDone) usage[each.answer] = e.usage;
    EXPECT_EQ(e.time > 1700000000, e.kind == AnswerEvent::Kind::kDone);
    if (e.kind != AnswerEvent::Kind::kText) continue;
    auto& choices = said[each.answer];
    choices.resize(std::max(choices.size(), static_cast<size_t>(e.choice) + 1), Said(1));
    Said& choice = choices[static_cast<size_t>(e.choice)];
    choice[0] += e.content;
    for (const AnswerToken& token : e.tokens) {
      choice.push_back(token.bytes + " " + std::to_string(std::bit_cast<uint32_t>(token.logprob)));
    }
  }
}

std::map<AnswerId, std::vector<Said>> run(const std::vector<AnswerRequest>& requests, int64_t parallel,
                                          std::map<AnswerId, AnswerUsage>* usages = nullptr) {
  Rig rig = open_small(parallel);
  RunningAnswers running(*rig, parallel, 100);
  std::map<AnswerId, std::vector<Said>> said;
  std::map<AnswerId, AnswerUsage> usage;
  for (size_t i = 0; i < requests.size(); ++i) {
    running.start(i + 1, prepared(requests[i], *rig));
    running.step();  // the next one comes while this one runs
    take(running.take_events(), said, usage);
  }
  while (running.has_work()) {
    running.step();
    take(running.take_events(), said, usage);
  }
  EXPECT_EQ(usage.size(), requests.size());
  EXPECT_EQ(running.n_answers(), 0);
  if (usages) *usages = usage;
  return said;
}

TEST(RunningAnswers, AmongOthersAsAlone) {
  std::vector<AnswerRequest> requests;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    requests.push_back(
        ask(seed % 2 ? "the same words" : "others " + std::to_string(seed), seed, seed % 3 == 0 ? 2 : 1));
  }
  const auto together = run(requests, 4);
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto alone = run({requests[i]}, 1);
    EXPECT_EQ(together.at(i + 1), alone.at(1)) << i;
    EXPECT_EQ(together.at(i + 1).at(0).size(), 21u);  // its text, and its tokens
  }
  EXPECT_NE(together.at(1).at(0), together.at(1).at(1));  // two answers to one prompt
}

TEST(RunningAnswers, ChoicesArePromptByPrompt) {
  AnswerRequest both = ask("first", 5, 2);
  both.prompts.emplace_back("second");
  std::map<AnswerId, AnswerUsage> usage;
  const auto together = run({both}, 3, &usage);
  std::map<AnswerId, AnswerUsage> first_usage, second_usage;
  const auto first = run({ask("first", 5, 2)}, 1, &first_usage);
  const auto second = run({ask("second", 5, 2)}, 1, &second_usage);
  EXPECT_EQ(together.at(1).at(0), first.at(1).at(0));
  EXPECT_EQ(together.at(1).at(1), first.at(1).at(1));
  EXPECT_EQ(together.at(1).at(2), second.at(1).at(0));
  EXPECT_EQ(together.at(1).at(3), second.at(1).at(1));
  // Each prompt counts once, each answer for itself.
  EXPECT_EQ(usage.at(1).prompt_tokens, first_usage.at(1).prompt_tokens + second_usage.at(1).prompt_tokens);
  EXPECT_EQ(usage.at(1).completion_tokens, 80);
  // Four choices, three at once: one waits for the others.
  EXPECT_GT(usage.at(1).queue_seconds, 0);
  EXPECT_GT(usage.at(1).prefill_seconds, 0);
  EXPECT_GT(usage.at(1).decode_seconds, 0);
}

// A choice whose prompt another has computed may give two tokens in its first step; what is behind a stop is not
// counted.
TEST(RunningAnswers, TokensAreCountedUpToTheStop) {
  const auto answer_with = [](int64_t parallel, const std::string& stop, std::string* text) {
    Rig rig = open_small(parallel);
    RunningAnswers running(*rig, parallel, 100);
    AnswerRequest request = ask("less than a page", 1, 3);
    request.sampling.temperature = 0;
    if (!stop.empty()) request.stop = {stop};
    running.start(1, prepared(request, *rig));
    int64_t tokens = 0;
    while (running.has_work()) {
      running.step();
      for (const AddressedEvent& each : running.take_events()) {
        if (each.event.choice == 0) *text += each.event.content;
        if (each.event.kind == AnswerEvent::Kind::kDone) tokens = each.event.usage.completion_tokens;
      }
    }
    return tokens;
  };
  std::string text, rest;
  EXPECT_EQ(answer_with(1, "", &text), 60);
  const std::string all = text;
  size_t n = 1;  // bytes of the first character
  while (n < all.size() && (static_cast<unsigned char>(all[n]) & 0xc0) == 0x80) ++n;
  const int64_t alone = answer_with(1, all.substr(0, n), &rest);
  EXPECT_GT(alone, 0);
  for (const int64_t parallel : {2, 3, 4}) EXPECT_EQ(answer_with(parallel, all.substr(0, n), &rest), alone) << parallel;
  EXPECT_EQ(rest, "");
}

TEST(RunningAnswers, TheChoicesOfAPromptComputeItOnce) {
  Rig rig = open_small(3);
  RunningAnswers running(*rig, 3, 100);
  const Asker asker{std::make_shared<KeyAccount>(), {}};
  const PreparedAnswer one = prepared(ask("less than a page", 1, 4), *rig);
  const auto n_prompt = static_cast<int64_t>(one.prompts[0].ids.size());
  ASSERT_GT(n_prompt, 4);
  ASSERT_LT(n_prompt, 32) << "the cache of pages would share it";
  running.start(1, one, asker);
  std::map<AnswerId, std::vector<Said>> said;
  std::map<AnswerId, AnswerUsage> usage;
  while (running.has_work()) {
    running.step();
    take(running.take_events(), said, usage);
  }
  EXPECT_EQ(rig->stats().n_rows, n_prompt + 4 * 19);
  EXPECT_EQ(asker.account->tokens, n_prompt + 4 * 20);
  EXPECT_EQ(usage.at(1).prompt_tokens, n_prompt);
  EXPECT_EQ(usage.at(1).cached_tokens, 0);
  EXPECT_EQ(usage.at(1).completion_tokens, 80);
}

TEST(RunningAnswers, WhatIsCancelledHoldsNothingAndIsSilent) {
  Rig rig = open_small(2);
  RunningAnswers running(*rig, 2, 100);
  running.start(1, prepared(ask("one", 1), *rig));
  running.start(2, prepared(ask("two", 2, 3), *rig));  // one of its choices waits
  running.step();
  running.step();
  running.take_events();
  running.cancel(2);
  running.cancel(77);
  std::map<AnswerId, std::vector<Said>> said;
  std::map<AnswerId, AnswerUsage> usage;
  while (running.has_work()) {
    running.step();
    take(running.take_events(), said, usage);
  }
  EXPECT_FALSE(said.contains(2) || usage.contains(2));
  EXPECT_EQ(usage.at(1).completion_tokens, 20);
  EXPECT_EQ(running.n_answers(), 0);
  rig->drop_prefix_cache();
  EXPECT_EQ(rig->stats().n_pages_free, rig->stats().n_pages_total);
}

TEST(RunningAnswers, NothingMoreIsComputedForWhatIsCancelled) {
  Rig rig = open_small(2);
  RunningAnswers running(*rig, 2, 100);
  running.start(1, prepared(ask("one", 1, 3), *rig));
  running.step();
  running.step();
  running.cancel(1);
  const int64_t n_rows = rig->stats().n_rows;
  while (running.has_work()) running.step();
  EXPECT_EQ(rig->stats().n_rows, n_rows);
}

TEST(RunningAnswers, AFullQueueTakesAllOfAnAnswerOrNothing) {
  Rig rig = open_small(1);
  RunningAnswers running(*rig, 1, 1);
  running.start(1, prepared(ask("one", 1), *rig));
  running.start(2, prepared(ask("two", 2, 2), *rig));
  const std::vector<AddressedEvent> events = running.take_events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].event.kind, AnswerEvent::Kind::kBegin);
  EXPECT_EQ(events[1].event.kind, AnswerEvent::Kind::kError);
  EXPECT_EQ(events[1].event.error.status, 429);
  EXPECT_EQ(running.n_answers(), 1);
}

TEST(RunningAnswers, AStopStringEndsItsAnswer) {
  const AnswerRequest free = ask("stop here", 3);
  const std::string text = run({free}, 1).at(1).at(0).at(0);
  ASSERT_GE(text.size(), 6u);
  const auto is_start = [&](size_t at) { return (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80; };
  size_t begin = text.size() / 2;  // of a character, and the beginning of the next one
  while (!is_start(begin)) ++begin;
  size_t end = begin + 1;
  while (end < text.size() && !is_start(end)) ++end;
  AnswerRequest stopped = free;
  stopped.stop = {text.substr(begin, end - begin)};
  const std::string cut = run({stopped}, 1).at(1).at(0).at(0);
  EXPECT_EQ(cut, text.substr(0, text.find(stopped.stop[0])));
}

// ---- calls of tools

TEST(RunningAnswers, CallsHaveIdsThatNobodyGuesses) {
  Rig rig = open_with_template(qwen_template());
  AnswerRequest request = ask_with_tools();
  const Spoken two = spoken(request, *rig, "See:\n" + kCall + "\n" + kCall);
  EXPECT_EQ(two.content, "See:");
  ASSERT_EQ(two.calls.size(), 2u);
  EXPECT_EQ(two.calls[0].arguments, "{\"a\": 1}");
  EXPECT_EQ(two.calls[1].index, 1);
  EXPECT_TRUE(two.calls[0].id.starts_with("call_") && two.calls[0].id.size() == 39) << two.calls[0].id;
  EXPECT_TRUE(is_id_without_reasoning(two.calls[0].id)) << "the turn has none";
  EXPECT_NE(two.calls[0].id, two.calls[1].id);
  EXPECT_EQ(two.end.reason, EndReason::kToolCalls);
  EXPECT_NE(spoken(request, *rig, kCall).calls.at(0).id, two.calls[0].id) << "not of the seed";
  const Spoken thought = spoken(request, *rig, "<think>Hm</think>" + kCall);
  EXPECT_EQ(thought.reasoning, "Hm");
  EXPECT_TRUE(thought.calls.at(0).id.size() == 37 && !is_id_without_reasoning(thought.calls[0].id))
      << thought.calls[0].id;
  // One call alone ends the answer.
  request.parallel_calls = false;
  const Spoken one = spoken(request, *rig, kCall + "\n" + kCall);
  EXPECT_EQ(one.calls.size(), 1u);
  EXPECT_EQ(one.end.reason, EndReason::kToolCalls);
  EXPECT_TRUE(one.end.stop.empty());
  // What is none: content, and an ordinary end. So is what a limit or a stop string cuts.
  request = ask_with_tools();
  const std::string other = "<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>";
  const Spoken none = spoken(request, *rig, other);
  EXPECT_EQ(none.content, other);
  EXPECT_EQ(none.end.reason, EndReason::kStop);
  request.max_tokens = 12;
  EXPECT_EQ(spoken(request, *rig, kCall).end.reason, EndReason::kLength);
  request = ask_with_tools();
  request.stop = {"zz", "ly"};
  const Spoken stopped = spoken(request, *rig, kCall + " really");
  EXPECT_EQ(stopped.calls.size(), 1u);
  EXPECT_EQ(stopped.content, " real");
  EXPECT_EQ(stopped.end.stop, "ly");
  EXPECT_EQ(stopped.end.reason, EndReason::kStop);
  // Without tools nothing is looked for.
  request = ask_with_tools();
  request.tools = text::Value();
  EXPECT_EQ(spoken(request, *rig, kCall).content, kCall);
}

// The next turn finds all of this one in the cache.
TEST(RunningAnswers, TheNextTurnFindsTheCallInTheCache) {
  Rig rig = open_with_template(qwen_template());
  AnswerRequest request = ask_with_tools();
  const PreparedAnswer first = prepared(request, *rig);
  const Spoken answer = spoken(request, *rig, "See:\n" + kCall);
  const text::Value function(
      text::Value::Object{{"name", answer.calls[0].name}, {"arguments", answer.calls[0].arguments}});
  const text::Value call(text::Value::Object{{"id", answer.calls[0].id}, {"type", "function"}, {"function", function}});
  request.messages.emplace_back(
      text::Value::Object{{"role", "assistant"}, {"content", answer.content}, {"tool_calls", text::Value::List{call}}});
  request.messages.emplace_back(
      text::Value::Object{{"role", "tool"}, {"tool_call_id", answer.calls[0].id}, {"content", "12"}});
  const PreparedAnswer second = prepared(request, *rig);
  std::vector<int32_t> wanted = first.prompts[0].ids;
  for (const int32_t id : rig->tokenizer()->encode("See:\n" + kCall)) wanted.push_back(id);
  ASSERT_GT(second.prompts[0].ids.size(), wanted.size());
  EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), second.prompts[0].ids.begin()));
}

TEST(RunningAnswers, AnAnswerInJson) {
  Rig rig = open_with_template(qwen_template());
  AnswerRequest request = ask_with_tools();
  request.tools = text::Value();
  request.is_json = true;
  request.max_tokens = 40;
  request.sampling.temperature = 1.0;
  for (const char* text : {"}", "\"", ":", " ", "\n", "\t", "\r"}) {
    request.sampling.logit_bias.emplace_back(*rig->tokenizer()->find(text), *text > ' ' ? 9.0f : -40.0f);
  }
  int64_t n_whole = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    request.sampling.seed = seed;
    RunningAnswers running(*rig, 1, 10);
    running.start(1, prepared(request, *rig));
    std::string content;
    while (running.has_work()) {
      running.step();
      for (const AddressedEvent& each : running.take_events()) {
        content += each.event.content;
        if (each.event.kind != AnswerEvent::Kind::kEnd || each.event.reason != EndReason::kStop) continue;
        ++n_whole;
        const auto parsed = text::parse_value(content, "the answer");
        EXPECT_TRUE(parsed.ok() || parsed.error().message.find("twice") != std::string::npos) << content;
      }
    }
    text::JsonPrefix prefix;
    for (const char byte : content) ASSERT_TRUE(prefix.push(byte)) << content;
  }
  EXPECT_GT(n_whole, 1);
}

TEST(Prepare, ToolsNeedATemplateThatKnowsThem) {
  const auto refusal_with = [](const std::string& source, const AnswerRequest& request) {
    Rig rig = open_with_template(source);
    auto made = prepare(request, facts_of(*rig, "m", "cpu", 0), 0, 0);
    return std::holds_alternative<Refusal>(made) ? std::get<Refusal>(made) : Refusal{0, "", "", "", 0};
  };
  const std::string plain = "{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}";
  const std::string listing = "{{ tools | tojson if tools }}" + plain;
  const AnswerRequest request = ask_with_tools();
  EXPECT_EQ(refusal_with(qwen_template(), request).status, 0);
  EXPECT_EQ(refusal_with(plain, request).param, "tools");
  EXPECT_NE(refusal_with(plain, request).message.find("no place for tools"), std::string::npos);
  EXPECT_NE(refusal_with(listing, request).message.find("a form that is not read here"), std::string::npos);
  AnswerRequest history = request;
  history.tools = text::Value();
  const text::Value function(text::Value::Object{{"name", "f"}, {"arguments", "{}"}});
  history.messages.emplace_back(text::Value::Object{
      {"role", "assistant"},
      {"content", nullptr},
      {"tool_calls", text::Value::List{text::Value(text::Value::Object{{"id", "1"}, {"function", function}})}}});
  EXPECT_EQ(refusal_with(plain, history).param, "messages[1].tool_calls");
  EXPECT_EQ(refusal_with(qwen_template(), history).status, 0);
  // The calls of an answer with words too would be left out.
  const std::string either =
      "{% for m in messages %}{{ m.content if m.content is not none else m.tool_calls[0].function.arguments }}{% "
      "endfor %}";
  EXPECT_EQ(refusal_with(either, history).status, 0);
  history.messages[1].set("content", "words");
  EXPECT_EQ(refusal_with(either, history).param, "messages[1].content");
  EXPECT_EQ(refusal_with(qwen_template(), history).status, 0);
  AnswerRequest json = request;
  json.is_json = true;
  EXPECT_EQ(refusal_with(qwen_template(), json).param, "response_format");
  json.tools = text::Value();
  EXPECT_EQ(refusal_with(qwen_template(), json).status, 0);
  json.ignores_end = true;
  EXPECT_EQ(refusal_with(qwen_template(), json).param, "response_format");
}

TEST(Prepare, RefusalsNameTheFieldAndBothNumbers) {
  Rig rig = open_small(1);
  const ModelFacts facts = facts_of(*rig, "m", "cpu", 0);
  const auto refusal = [&](const AnswerRequest& request) {
    auto made = prepare(request, facts, 0, 0);
    return std::holds_alternative<Refusal>(made) ? std::get<Refusal>(made) : Refusal{0, "", "", "", 0};
  };
  AnswerRequest long_one = ask("", 1);
  long_one.prompts = {std::vector<int32_t>(128, 5)};
  EXPECT_EQ(refusal(long_one).code, "context_length_exceeded");
  EXPECT_NE(refusal(long_one).message.find("128 tokens and the context holds 128"), std::string::npos);
  long_one.prompts = {std::vector<int32_t>(127, 5)};
  EXPECT_EQ(refusal(long_one).status, 0);
  AnswerRequest foreign = ask("", 1);
  foreign.prompts = {"a", std::vector<int32_t>{1, 100000}};
  EXPECT_EQ(refusal(foreign).param, "prompt[1]");
  AnswerRequest biased = ask("a", 1);
  biased.sampling.logit_bias = {{100000, 1.0f}};
  EXPECT_EQ(refusal(biased).status, 400);
  EXPECT_NE(scope_of("a", ""), scope_of("", "a"));
  EXPECT_NE(scope_of("a", "b"), scope_of("ab", ""));
  EXPECT_EQ(scope_of("", ""), 0u);
}

}  // namespace
}  // namespace naru::server
