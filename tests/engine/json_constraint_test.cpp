// Constrained answers: what may come next, for every state; and an answer in JSON is one object, the same one at any
// load, with drafts and without.
#include "engine/json_constraint.h"

#include <set>

#include "tests/engine/forced_answer.h"
#include "tests/engine/scheduler_rig.h"
#include "tests/engine/vocabulary.h"
#include "text/value.h"

namespace naru::engine {
namespace {

bool has_bit(std::span<const uint64_t> mask, int32_t id) {
  return (mask[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
}

// The texts of the tokens that may come.
std::set<std::string> allowed_texts(ConstraintState& state, const Vocabulary& vocabulary) {
  std::set<std::string> texts;
  for (int32_t id = 0; id < (*vocabulary).n_ids(); ++id) {
    if (has_bit(state.allowed(), id)) texts.insert(std::string((*vocabulary).piece(id)));
  }
  return texts;
}

using Texts = std::set<std::string>;

TEST(JsonConstraint, AllowsWhatMayStillBecomeAnObject) {
  const Vocabulary vocabulary({"{\"", "\":", "\"}", "\"}]", "}}", "}x", " {", "true", "tru", "e}", "  "});
  const int64_t n_ids = (*vocabulary).n_ids() + 3;  // ids without a text
  const int32_t end = vocabulary.id("<|end|>");
  const auto masks = std::make_shared<const JsonMasks>(*vocabulary, n_ids, std::vector<int32_t>{end, 5000});
  const auto state_behind = [&](const std::vector<std::string>& texts, bool splits = true, bool starts = false) {
    auto state = JsonConstraint(masks, splits, starts).begin();
    for (const std::string& text : texts) {
      EXPECT_TRUE(has_bit(state->allowed(), vocabulary.id(text))) << text;
      state->accept(vocabulary.id(text));
    }
    return state;
  };
  const auto allowed = [&](const std::vector<std::string>& texts, bool splits = true, bool starts = false) {
    return allowed_texts(*state_behind(texts, splits, starts), vocabulary);
  };
  const Texts start = {" ", "\t", "\r", "\n", "  ", "{", "{\"", " {"};
  // Without reasoning nothing stands before the brace.
  EXPECT_EQ(allowed({}, false), (Texts{"{", "{\""}));
  EXPECT_EQ(allowed({}), (Texts{"{", "{\"", "<think>"}));
  EXPECT_TRUE(allowed({"{"}).contains("\":"));
  EXPECT_FALSE(allowed({"{"}).contains("}}"));
  EXPECT_FALSE(allowed({"{\""}).contains("\"}")) << "a key without a value";
  EXPECT_TRUE(allowed({"{\""}).contains("\":"));
  EXPECT_EQ(allowed({"{\"", "\":", "tru"}), (Texts{"e", "e}"}));
  const Texts in_array = allowed({"{\"", "\":", "[", "{\"", "\":", "\""});
  EXPECT_TRUE(in_array.contains("\"}]") && in_array.contains("\"}"));
  EXPECT_FALSE(allowed({"{\"", "\":", "\""}).contains("\"}]"));
  EXPECT_FALSE(allowed({"{\"", "\":", "1"}).contains("}}"));
  EXPECT_EQ(allowed({"{", "}"}), Texts{"<|end|>"});
  EXPECT_FALSE(has_bit(state_behind({"{"})->allowed(), end));
  // Reasoning is free, up to its end, and comes once.
  const Texts free = allowed({"<think>"});
  EXPECT_EQ(static_cast<int64_t>(free.size()), (*vocabulary).n_ids() - 1);
  EXPECT_FALSE(free.contains("<|end|>"));
  EXPECT_TRUE(has_bit(state_behind({"<think>", "x"})->allowed(), static_cast<int32_t>(n_ids - 1)));
  EXPECT_EQ(allowed({"<think>", "}x", "</think>"}), start);
  EXPECT_EQ(allowed({}, true, true), free);
  EXPECT_EQ(allowed({"</think>", "\n"}, true, true), start);
  // White space ends.
  std::vector<std::string> blanks(kJsonBlanksMax - 1, " ");
  blanks.insert(blanks.begin(), "</think>");
  EXPECT_FALSE(allowed(blanks, true, true).contains("  "));
  blanks.push_back(" ");
  EXPECT_EQ(allowed(blanks, true, true), (Texts{"{", "{\""}));
}

TEST(JsonConstraint, OneMaskMakesRoomForAnother) {
  const Vocabulary vocabulary({"{", "}"});
  const JsonMasks masks(*vocabulary, (*vocabulary).n_ids(), {vocabulary.id("<|end|>")});
  // State i is the beginning of an object within arrays and objects that say i's bits.
  const auto mask_of = [&](int64_t i) {
    JsonAnswer answer(false, false, false);
    for (const char byte : std::string("{\"a\":")) EXPECT_TRUE(answer.push(byte));
    for (int64_t bit = 0; bit < 10; ++bit) {
      for (const char byte : std::string(i >> bit & 1 ? "{\"a\":" : "[")) EXPECT_TRUE(answer.push(byte));
    }
    return masks.mask_of(answer);
  };
  std::vector<JsonMasks::Mask> made;
  for (int64_t i = 0; i <= kJsonMasksKeptMax; ++i) made.push_back(mask_of(i));
  for (int64_t i = 1; i <= kJsonMasksKeptMax; ++i) ASSERT_EQ(mask_of(i), made[static_cast<size_t>(i)]) << i;
  EXPECT_NE(mask_of(0), made[0]) << "the oldest one went";
  EXPECT_NE(mask_of(1), made[1]);
  EXPECT_EQ(mask_of(3), made[3]);
}

TEST(JsonConstraint, ReasoningThatEndsByItsCharacters) {
  const Vocabulary vocabulary({"</think>", "think>", ">{", ">x", "</"}, false);
  const auto masks = std::make_shared<const JsonMasks>(*vocabulary, (*vocabulary).n_ids(),
                                                       std::vector<int32_t>{vocabulary.id("<|end|>")});
  auto state = JsonConstraint(masks, true, true).begin();
  for (const std::string text : {"a", "<", "/", "</", "t", "h", "i", "n", "k"}) {
    EXPECT_TRUE(has_bit(state->allowed(), vocabulary.id(text))) << text;
    EXPECT_FALSE(has_bit(state->allowed(), vocabulary.id("<|end|>")));
    state->accept(vocabulary.id(text));
  }
  EXPECT_TRUE(has_bit(state->allowed(), vocabulary.id(">{")));
  EXPECT_FALSE(has_bit(state->allowed(), vocabulary.id(">x"))) << "what is behind the tag is no object";
  state->accept(vocabulary.id(">{"));
  EXPECT_FALSE(has_bit(state->allowed(), vocabulary.id("a")));
  EXPECT_TRUE(has_bit(state->allowed(), vocabulary.id("}")));
  // Without a token nothing opens reasoning.
  EXPECT_FALSE(has_bit(JsonConstraint(masks, true, false).begin()->allowed(), vocabulary.id("<")));
}

// The mask against every token tried by itself.
TEST(JsonConstraint, TheListOfTokensTriesEachOfThem) {
  Rig rig = open_rig(fixture_model("gguf-llama-f32"), "cpu", small_options(64, 1));
  const text::Tokenizer& tokenizer = *rig->tokenizer();
  const TokenList list(tokenizer, rig->vocab(), {});
  for (const std::string text : {"", "{", "{\"a", "{\"a\":[1", "{\"a\":{\"b\":\"\xc3", "{\"a\":1}"}) {
    text::JsonPrefix prefix;
    for (const char byte : text) ASSERT_TRUE(prefix.push(byte));
    std::vector<uint64_t> mask(static_cast<size_t>(rig->vocab() + 63) / 64);
    list.mark_allowed(prefix, mask);
    for (int32_t id = 0; id < rig->vocab(); ++id) {
      text::JsonPrefix next = prefix;
      bool fits = !tokenizer.is_control(id) && !tokenizer.piece(id).empty();
      for (const char byte : tokenizer.piece(id)) fits = fits && next.push(byte);
      EXPECT_EQ(has_bit(mask, id), fits) << text << " " << id;
    }
  }
}

TEST(Sampler, WhatIsNotAllowedIsAsIfItWereOutOfReach) {
  Sampler sampler;
  for (uint64_t i = 0; i < 200; ++i) {
    SamplingOptions options;
    options.seed = i;
    options.temperature = i % 5 == 0 ? 0 : 0.7;
    options.top_k = i % 3 == 0 ? 1 + static_cast<int64_t>(i % 40) : 0;
    options.top_p = i % 2 == 0 ? 0.8 : 1.0;
    options.min_p = i % 7 == 0 ? 0.05 : 0.0;
    std::vector<float> logits, out_of_reach;
    std::vector<uint64_t> allowed(2);
    for (uint32_t id = 0; id < 100; ++id) {
      const PhiloxBlock random = draw(i, DrawPurpose::kTest, 2, id);
      logits.push_back(static_cast<float>(random[0] % 64) / 8);
      const bool is_allowed = id == i % 100 || random[1] % 4 == 0;
      if (is_allowed) allowed[id / 64] |= uint64_t{1} << (id % 64);
      out_of_reach.push_back(is_allowed ? logits.back() : -1e6f);
    }
    float log_prob = 0;
    const int32_t id = sampler.sample(logits, options, {}, 0, i, &log_prob, allowed).value();
    EXPECT_TRUE(has_bit(allowed, id));
    EXPECT_EQ(log_prob, LogProbs(logits).of(id)) << "of what the model says";
    EXPECT_EQ(id, sampler.sample(out_of_reach, options, {}, 0, i).value());
  }
}

class WrongGuesses : public DraftSource {
 public:
  std::vector<int32_t> draft(RequestId, const Request&, std::span<const int32_t> ids, int64_t n_max) override {
    std::vector<int32_t> guesses;
    for (int64_t i = 0; i < n_max; ++i)
      guesses.push_back(static_cast<int32_t>((ids.size() + static_cast<size_t>(i)) % 97));
    return guesses;
  }
};

struct JsonLoad {
  int64_t sessions, running, chunk;
  bool drafts;
};

TEST(JsonConstraint, AnswersAreObjectsAndTheSameAtAnyLoad) {
  constexpr uint64_t kAnswers = 12;
  std::vector<RequestOutcome> wanted;
  int64_t n_preempted = 0, n_whole = 0;
  for (const JsonLoad& load : {JsonLoad{1, 1, 64, false}, JsonLoad{12, 12, 64, false}, JsonLoad{2, 12, 16, true},
                               JsonLoad{3, 12, 64, false}}) {
    Rig rig = open_rig(fixture_model("gguf-llama-f32"), "cpu", small_options(128, load.sessions, load.chunk));
    const text::Tokenizer& tokenizer = *rig->tokenizer();
    const auto masks = std::make_shared<const JsonMasks>(tokenizer, rig->vocab(), rig->eos_ids());
    WrongGuesses guesses;
    Scheduler scheduler(*rig, {.running_max = load.running, .drafts = load.drafts ? &guesses : nullptr});
    std::vector<RequestId> ids;
    for (uint64_t i = 0; i < kAnswers; ++i) {
      Request request = make_request(i, rig->vocab());
      request.max_tokens = 56;
      request.ignore_eos = false;
      request.constraint = std::make_shared<const JsonConstraint>(masks, false, false);
      for (const char* text : {"{", "}", "\"", ":"}) {
        if (i < 8) break;  // long ones, so that pages run out
        request.sampling.logit_bias.emplace_back(*tokenizer.find(text), 4.0f + static_cast<float>(i) / 4);
      }
      ids.push_back(scheduler.submit(std::move(request)).value());
    }
    auto answers = run_all(scheduler);
    n_preempted += scheduler.n_preemptions();
    for (uint64_t i = 0; i < kAnswers; ++i) {
      const RequestOutcome& answer = answers[ids[i]];
      if (wanted.size() == i) wanted.push_back(answer);
      EXPECT_TRUE(answer.same_tokens(wanted[i])) << i;
      const std::string text = tokenizer.decode(answer.ids, true);
      text::JsonPrefix prefix(kJsonBlanksMax);
      for (const int32_t id : answer.ids) {
        if (tokenizer.is_control(id)) continue;
        for (const char byte : tokenizer.piece(id)) ASSERT_TRUE(prefix.push(byte)) << text;
      }
      const bool is_ended = answer.reason == FinishReason::kStop;
      EXPECT_TRUE(is_ended ? prefix.is_whole() : std::ssize(answer.ids) == 56) << text;
      n_whole += is_ended ? 1 : 0;
    }
    scheduler.step();
    expect_no_pages_held(*rig);
  }
  EXPECT_GT(n_preempted, 0);
  EXPECT_GT(n_whole, 5) << "some must come to their end";
}

TEST(Constraint, WhereNothingMayComeTheAnswerIsOver) {
  Rig rig = open_rig(fixture_model("gguf-llama-f32"), "cpu", small_options(64, 2));
  Scheduler scheduler(*rig);
  Request request;
  request.ids = {5, 6, 7};
  request.constraint = std::make_shared<const ForcedAnswer>(std::vector<int32_t>{40, 41, 42}, rig->vocab());
  const RequestId first = scheduler.submit(request, 2).value();
  auto answers = run_all(scheduler);
  for (const RequestId id : {first, first + 1}) {
    EXPECT_EQ(answers[id].ids, (std::vector<int32_t>{40, 41, 42}));
    EXPECT_EQ(answers[id].reason, FinishReason::kStop);
    EXPECT_EQ(answers[id].usage.completion_tokens, 3);
  }
  expect_no_pages_held(*rig);
}

}  // namespace
}  // namespace naru::engine
