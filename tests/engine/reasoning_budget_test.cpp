// Reasoning that has a budget: when it is used up the closing tag comes, and nothing else is changed, at any load.
#include "engine/reasoning_budget.h"

#include "engine/form_constraint.h"
#include "engine/json_constraint.h"
#include "tests/engine/forced_answer.h"
#include "tests/engine/scheduler_rig.h"
#include "tests/engine/vocabulary.h"

namespace naru::engine {
namespace {

// The one token that may come; -1: any.
int32_t only_token(ConstraintState& state) {
  const std::span<const uint64_t> mask = state.allowed();
  int32_t only = -1, n = 0;
  for (size_t i = 0; i < mask.size() * 64; ++i) {
    if ((mask[i / 64] >> (i % 64) & 1) == 0) continue;
    only = static_cast<int32_t>(i);
    ++n;
  }
  EXPECT_TRUE(mask.empty() || n == 1) << n;
  return only;
}

TEST(ReasoningBudget, ClosesWhenItIsUsedUp) {
  const Vocabulary vocabulary({"word"});
  const auto closes_after = [&](const std::vector<std::string>& texts, int64_t tokens_max, bool starts = false) {
    const ReasoningBudget budget(*vocabulary, (*vocabulary).n_ids(), tokens_max, starts, nullptr);
    auto state = budget.begin();
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(only_token(*state), -1) << "before " << texts[i] << ", " << i;
      state->accept(vocabulary.id(texts[i]));
    }
    return only_token(*state) == vocabulary.id("</think>");
  };
  EXPECT_TRUE(closes_after({"<think>", "word", "a"}, 2));
  EXPECT_FALSE(closes_after({"<think>", "word", "a"}, 3));
  EXPECT_TRUE(closes_after({"\n", "<think>", "word"}, 1)) << "blanks before the tag";
  EXPECT_TRUE(closes_after({"word"}, 1, true)) << "the prompt has opened it";
  EXPECT_FALSE(closes_after({"word", "<think>", "a", "a"}, 1)) << "reasoning stands at the beginning alone";
  EXPECT_FALSE(closes_after({"<think>", "word", "</think>", "a", "a", "a"}, 2)) << "it has closed by itself";
  EXPECT_FALSE(closes_after({"<think>", "</think>", "<think>", "a", "a"}, 1)) << "it opens once";
}

TEST(ReasoningBudget, BehindTheTagAnythingMayCome) {
  const Vocabulary vocabulary;
  const ReasoningBudget budget(*vocabulary, (*vocabulary).n_ids(), 1, true, nullptr);
  auto state = budget.begin();
  state->accept(vocabulary.id("a"));
  ASSERT_EQ(only_token(*state), vocabulary.id("</think>"));
  state->accept(vocabulary.id("</think>"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(only_token(*state), -1);
    state->accept(vocabulary.id("b"));
  }
}

TEST(ReasoningBudget, ATagOfSeveralTokensComesWhole) {
  const Vocabulary vocabulary({"</", "think", ">"}, false);
  const std::vector<int32_t> tag = (*vocabulary).encode("</think>");
  ASSERT_GT(tag.size(), 1u);
  const ReasoningBudget budget(*vocabulary, (*vocabulary).n_ids(), 2, true, nullptr);
  auto state = budget.begin();
  for (const char* text : {"a", "</"}) {  // what may be a beginning of the tag is a token of the reasoning all the same
    EXPECT_EQ(only_token(*state), -1);
    state->accept(vocabulary.id(text));
  }
  for (const int32_t id : tag) {
    ASSERT_EQ(only_token(*state), id);
    state->accept(id);
  }
  EXPECT_EQ(only_token(*state), -1);
  // Logits that have no place for the tag: said by can_close(), and nothing is forced.
  const ReasoningBudget none(*vocabulary, tag[0], 1, true, nullptr);
  EXPECT_FALSE(none.can_close());
  auto free = none.begin();
  free->accept(vocabulary.id("a"));
  EXPECT_EQ(only_token(*free), -1);
}

TEST(ReasoningBudget, BeforeAnObjectInJson) {
  const Vocabulary vocabulary;
  const auto masks = std::make_shared<const JsonMasks>(*vocabulary, (*vocabulary).n_ids(),
                                                       std::vector<int32_t>{vocabulary.id("<|end|>")});
  const ReasoningBudget budget(*vocabulary, (*vocabulary).n_ids(), 2, true,
                               std::make_shared<const JsonConstraint>(masks, true, true));
  auto state = budget.begin();
  for (const char* text : {"a", "b"}) {
    EXPECT_GT(state->allowed().size(), 0u);
    state->accept(vocabulary.id(text));
  }
  ASSERT_EQ(only_token(*state), vocabulary.id("</think>"));
  state->accept(vocabulary.id("</think>"));
  const std::span<const uint64_t> mask = state->allowed();
  const auto may_come = [&](const char* text) {
    const auto id = static_cast<size_t>(vocabulary.id(text));
    return (mask[id / 64] >> (id % 64) & 1) != 0;
  };
  EXPECT_TRUE(may_come("{"));
  EXPECT_FALSE(may_come("a"));
}

// Words before calls, with a tool whose arguments follow its schema; at most one token of reasoning.
struct BudgetBesideCalls {
  explicit BudgetBesideCalls(bool has_tags) : vocabulary({}, has_tags, {"<tool_call>", "</tool_call>"}) {
    text::CallsForm calls;
    calls.tools.push_back({"f", text::parse_value(R"({"type":"integer"})", "schema").value()});
    calls.form = text::ToolCallForm::kHermes;
    calls.texts = {"", "<tool_call>{\"name\": \"", "\", \"arguments\": ", "}</tool_call>", "\n", ""};
    calls.must_call = false;
    const auto words = std::make_shared<const FormVocabulary>(*vocabulary, (*vocabulary).n_ids(),
                                                              std::vector<int32_t>{vocabulary.id("<|end|>")});
    auto compiled = text::compile(calls, words->signs(calls.form)).value();
    form = std::make_shared<SharedForm>(words, std::move(compiled), calls.form);
    budget = std::make_unique<ReasoningBudget>(*vocabulary, (*vocabulary).n_ids(), 1, false,
                                               std::make_shared<const FormConstraint>(form, true, false));
  }
  // False where one of them may not come.
  bool take(ConstraintState& state, const std::vector<std::string>& texts) const {
    return std::ranges::all_of(texts, [&](const std::string& text) {
      const auto id = static_cast<size_t>(vocabulary.id(text));
      const std::span<const uint64_t> mask = state.allowed();
      if (!mask.empty() && (mask[id / 64] >> (id % 64) & 1) == 0) return false;
      state.accept(static_cast<int32_t>(id));
      return true;
    });
  }
  std::vector<std::string> bytes_of(std::string_view text) const {
    std::vector<std::string> bytes;
    for (const char byte : text) bytes.emplace_back(1, byte);
    return bytes;
  }

  Vocabulary vocabulary;
  std::shared_ptr<SharedForm> form;
  std::unique_ptr<ReasoningBudget> budget;
};

// What is reasoning to a reader, and words to the form: a call that is open is not closed by the tag.
TEST(ReasoningBudget, TheTagComesWhereTheFormAllowsIt) {
  for (const bool has_tags : {true, false}) {
    const BudgetBesideCalls rig(has_tags);
    const auto state = rig.budget->begin();
    ASSERT_TRUE(rig.take(*state, has_tags ? std::vector<std::string>{"\n", "<think>"} : rig.bytes_of("<think>")));
    ASSERT_TRUE(rig.take(*state, {"<tool_call>"}));
    EXPECT_FALSE(rig.take(*state, has_tags ? std::vector<std::string>{"</think>"} : rig.bytes_of("<")));
    ASSERT_TRUE(rig.take(*state, rig.bytes_of(R"({"name": "f", "arguments": 12})")));
    ASSERT_TRUE(rig.take(*state, {"</tool_call>"}));
    for (const std::string& text : has_tags ? std::vector<std::string>{"</think>"} : rig.bytes_of("</think>")) {
      ASSERT_EQ(only_token(*state), rig.vocabulary.id(text));
      state->accept(rig.vocabulary.id(text));
    }
    EXPECT_TRUE(rig.take(*state, {"a", "<|end|>"}));
  }
}

// A model that would think to the end of its context: up to the budget it says what it would have said without.
TEST(ReasoningBudget, AnswersAreTheSameAtAnyLoad) {
  std::vector<RequestOutcome> wanted;
  for (const int64_t n_running : {1, 6}) {
    Rig rig = open_rig(fixture_model("gguf-llama-f32"), "cpu", small_options(128, n_running));
    const text::Tokenizer& tokenizer = *rig->tokenizer();
    const std::vector<int32_t> close =
        text::reasoning_tokens(tokenizer).close
            ? std::vector<int32_t>{*text::reasoning_tokens(tokenizer).close}
            : tokenizer.encode("</think>", {.add_special = false, .parse_special = false});
    Scheduler scheduler(*rig, {.running_max = n_running});
    std::vector<RequestId> free_ids, ids;
    for (uint64_t i = 0; i < 6; ++i) {
      Request request = make_request(i, rig->vocab());
      request.max_tokens = 30;
      request.ignore_eos = true;
      free_ids.push_back(scheduler.submit(request).value());
      request.constraint = std::make_shared<const ReasoningBudget>(tokenizer, rig->vocab(), 7, true, nullptr);
      ids.push_back(scheduler.submit(std::move(request)).value());
    }
    auto answers = run_all(scheduler);
    for (size_t i = 0; i < ids.size(); ++i) {
      const RequestOutcome& answer = answers[ids[i]];
      if (wanted.size() == i) wanted.push_back(answer);
      EXPECT_TRUE(answer.same_tokens(wanted[i])) << i;
      const RequestOutcome& unbounded = answers[free_ids[i]];
      ASSERT_GE(std::ssize(answer.ids), 7 + std::ssize(close));
      EXPECT_TRUE(std::equal(answer.ids.begin(), answer.ids.begin() + 7, unbounded.ids.begin())) << i;
      EXPECT_TRUE(std::equal(close.begin(), close.end(), answer.ids.begin() + 7)) << i;
      EXPECT_EQ(answer.ids.size(), 30u);
    }
  }
}

}  // namespace
}  // namespace naru::engine
