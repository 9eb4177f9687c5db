// Answers among others are those they are alone, bit for bit; and one that is cancelled holds nothing.
#include "server/running_answers.h"

#include <bit>

#include "server/model_facts.h"
#include "tests/engine/harness.h"

namespace naru::server {
namespace {

using engine::Rig;

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

PreparedAnswer prepared(const AnswerRequest& request, engine::Engine& engine) {
  auto made = prepare(request, facts_of(engine, "m", "cpu", 0), 0, 0);
  EXPECT_TRUE(std::holds_alternative<PreparedAnswer>(made)) << std::get<Refusal>(made).message;
  return std::move(std::get<PreparedAnswer>(made));
}

// What a choice said: its text, and each token with the bits of its probability.
using Said = std::vector<std::string>;

void take(std::vector<AddressedEvent> events, std::map<AnswerId, std::vector<Said>>& said,
          std::map<AnswerId, AnswerUsage>& usage) {
  for (const AddressedEvent& each : events) {
    const AnswerEvent& e = each.event;
    ASSERT_NE(e.kind, AnswerEvent::Kind::kError) << e.error.message;
    if (e.kind == AnswerEvent::Kind::kDone) usage[each.answer] = e.usage;
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
