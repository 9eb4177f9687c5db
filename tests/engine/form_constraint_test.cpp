// Answers of a form: the mask is what every token tried by itself says, reasoning is free, and an answer is the same
// alone and beside others.
#include "engine/form_constraint.h"

#include <set>

#include "tests/engine/scheduler_rig.h"
#include "tests/engine/vocabulary.h"
#include "text/value.h"

namespace naru::engine {
namespace {

using text::FormMatcher;

bool may_come(std::span<const uint64_t> mask, int32_t id) {
  return (mask[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
}

std::set<std::string> coming_texts(ConstraintState& state, const Vocabulary& vocabulary) {
  std::set<std::string> texts;
  for (int32_t id = 0; id < (*vocabulary).n_ids(); ++id) {
    if (may_come(state.allowed(), id)) texts.insert(std::string((*vocabulary).piece(id)));
  }
  return texts;
}

using Texts = std::set<std::string>;

text::Form schema_of(std::string_view json) {
  auto schema = text::parse_value(json, "schema");
  EXPECT_TRUE(schema.ok());
  return text::SchemaForm{std::move(schema).value()};
}

struct FormOfVocabulary {
  FormOfVocabulary(const text::Tokenizer& tokenizer, int64_t n_ids, std::vector<int32_t> ends, const text::Form& form,
                   text::ToolCallForm calls = text::ToolCallForm::kNone)
      : vocabulary(std::make_shared<const FormVocabulary>(tokenizer, n_ids, std::move(ends))) {
    auto compiled = text::compile(form, vocabulary->signs(calls));
    EXPECT_TRUE(compiled.ok()) << (compiled.ok() ? "" : compiled.error().message);
    shared = std::make_shared<SharedForm>(vocabulary, std::move(compiled).value(), calls);
  }
  std::unique_ptr<ConstraintState> begin(bool splits, bool starts = false) const {
    return FormConstraint(shared, splits, starts).begin();
  }
  std::shared_ptr<const FormVocabulary> vocabulary;
  std::shared_ptr<SharedForm> shared;
};

std::unique_ptr<ConstraintState> behind(std::unique_ptr<ConstraintState> state, const Vocabulary& vocabulary,
                                        const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    EXPECT_TRUE(may_come(state->allowed(), vocabulary.id(text))) << text;
    if (may_come(state->allowed(), vocabulary.id(text))) state->accept(vocabulary.id(text));
  }
  return state;
}

TEST(FormConstraint, AllowsWhatMayStillBecomeTheForm) {
  const Vocabulary vocabulary({"{\"", "{\"a\":", "tr", "true", "true}", "false", "\":"});
  const FormOfVocabulary form(
      *vocabulary, (*vocabulary).n_ids() + 3, {vocabulary.id("<|end|>"), 5000},
      schema_of(
          R"({"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"],"additionalProperties":false})"));
  const auto coming = [&](const std::vector<std::string>& texts, bool splits = true, bool starts = false) {
    return coming_texts(*behind(form.begin(splits, starts), vocabulary, texts), vocabulary);
  };
  EXPECT_EQ(coming({}, false), (Texts{"{", "{\"", "{\"a\":"}));
  EXPECT_EQ(coming({}), (Texts{"{", "{\"", "{\"a\":", "<think>"}));
  EXPECT_EQ(coming({"{\"a\":"}), (Texts{" ", "\n", "t", "f", "tr", "true", "true}", "false"}));
  EXPECT_EQ(coming({"{\"a\":", "tr"}), Texts{"u"});
  EXPECT_EQ(coming({"{\"a\":", "true}"}), Texts{"<|end|>"}) << "the form is complete, and nothing else fits";
  const Texts free = coming({"<think>"});
  EXPECT_EQ(static_cast<int64_t>(free.size()), (*vocabulary).n_ids() - 1);
  EXPECT_FALSE(free.contains("<|end|>"));
  EXPECT_TRUE(may_come(behind(form.begin(true), vocabulary, {"<think>", "x"})->allowed(),
                       static_cast<int32_t>((*vocabulary).n_ids() + 2)));
  EXPECT_EQ(coming({}, true, true), free);
  EXPECT_EQ(coming({"x", "</think>"}, true, true), (Texts{" ", "\t", "\r", "\n", "{", "{\"", "{\"a\":"}));
  EXPECT_EQ(coming({"</think>", "\n"}, true, true), (Texts{" ", "\t", "\r", "\n", "{", "{\"", "{\"a\":"}));
  EXPECT_EQ(coming({"</think>", "\n", "\n"}, true, true), (Texts{"{", "{\"", "{\"a\":"})) << "two of them at most";
  EXPECT_EQ(coming({"</think>", "\n", "\n", "{"}, true, true), (Texts{" ", "\n", "\""}));
}

TEST(FormConstraint, ChoicesEndWhereOneIsWhole) {
  const Vocabulary vocabulary({"yes", "no", "not", "ye"});
  const FormOfVocabulary form(*vocabulary, (*vocabulary).n_ids(), {vocabulary.id("<|end|>")},
                              text::ChoiceForm{{"yes", "no", "nothing"}});
  EXPECT_EQ(coming_texts(*form.begin(false), vocabulary), (Texts{"y", "ye", "yes", "n", "no", "not"}));
  EXPECT_EQ(coming_texts(*behind(form.begin(false), vocabulary, {"no"}), vocabulary), (Texts{"t", "<|end|>"}));
  EXPECT_EQ(coming_texts(*behind(form.begin(false), vocabulary, {"yes"}), vocabulary), (Texts{"<|end|>"}));
}

TEST(FormConstraint, ReasoningThatIsSpelled) {
  const Vocabulary vocabulary({"</think>", "think>", ">y", ">x", "</"}, false);
  const FormOfVocabulary form(*vocabulary, (*vocabulary).n_ids(), {vocabulary.id("<|end|>")},
                              text::ChoiceForm{{"yes"}});
  auto state = behind(form.begin(true, true), vocabulary, {"a", "<", "/", "</", "t", "h", "i", "n", "k"});
  EXPECT_FALSE(may_come(state->allowed(), vocabulary.id("<|end|>")));
  EXPECT_FALSE(may_come(state->allowed(), vocabulary.id(">x")));
  EXPECT_EQ(coming_texts(*behind(std::move(state), vocabulary, {">y"}), vocabulary), Texts{"e"});
}

TEST(FormConstraint, WhatTheVocabularyCannotSpellIsNotComplete) {
  const Vocabulary vocabulary;
  // Ids of bytes are the bytes: there is no y.
  const FormOfVocabulary form(*vocabulary, 'y', {}, text::ChoiceForm{{"a", "way"}});
  const auto comes_nothing = [](ConstraintState& state) {
    return std::ranges::all_of(state.allowed(), [](uint64_t bits) { return bits == 0; });
  };
  const auto whole = behind(form.begin(false), vocabulary, {"a"});
  EXPECT_TRUE(comes_nothing(*whole));
  EXPECT_TRUE(whole->is_complete());
  const auto broken = behind(form.begin(false), vocabulary, {"w", "a"});
  EXPECT_TRUE(comes_nothing(*broken));
  EXPECT_FALSE(broken->is_complete());
}

TEST(FormConstraint, BehindATokenThatWasNotAllowedNothingComes) {
  const Vocabulary vocabulary;
  const FormOfVocabulary form(*vocabulary, (*vocabulary).n_ids(), {vocabulary.id("<|end|>")},
                              text::ChoiceForm{{"yes"}});
  const auto state = form.begin(false);
  for (const char* text : {"n", "y"}) {
    state->accept(vocabulary.id(text));
    EXPECT_EQ(coming_texts(*state, vocabulary), Texts());
    EXPECT_FALSE(state->is_complete());
  }
}

// The mask against every token tried by itself, in states along texts: inside of strings with bounds and without, in
// keys, numbers, patterns, white space.
TEST(FormConstraint, TheMaskIsWhatEveryTokenSays) {
  Rig rig = open_rig(fixture_model("gguf-llama-f32"), "cpu", small_options(64, 1));
  const text::Tokenizer& tokenizer = *rig->tokenizer();
  const std::pair<const char*, const char*> cases[] = {
      {"true", R"({"a":[1,"x\u00e9y",{"b":-1.5e3}]})"},
      {R"({"type":"string","maxLength":20})", R"("abcdefghijklmnop")"},
      {R"({"type":"string","minLength":3,"maxLength":900})", R"("abcdefgh)"},
      {R"({"type":"string","minLength":500})", R"("abcdefgh)"},
      {R"({"anyOf":[{"type":"string","maxLength":3},{"type":"string","pattern":"^[a-z ]*$"}]})", R"("abcdefgh)"},
      {R"({"anyOf":[{"type":"string","maxLength":3},{"type":"string","maxLength":9}]})", R"("abcdefgh)"},
      {R"({"type":"object","properties":{"name":{"type":"string"},"n":{"type":"integer"}}})",
       R"({"name": "x", "other": [1]})"},
      {R"({"type":"array","items":{"enum":["the one","the other",12]}})", "[\n  \"the one\",\n  12]"},
  };
  for (const auto& [schema, text] : cases) {
    const FormOfVocabulary form(tokenizer, rig->vocab(), {}, schema_of(schema));
    FormMatcher matcher(form.shared->form().grammar);
    FormMatcher::State state = matcher.begin(form.shared->form().content);
    for (size_t i = 0; i <= std::string_view(text).size(); ++i) {
      std::vector<uint64_t> mask(form.vocabulary->n_words());
      form.vocabulary->trie().mark_allowed(matcher, matcher.twin(state), mask);
      for (int32_t id = 0; id < rig->vocab(); ++id) {
        const bool is_text = !tokenizer.is_control(id) && !tokenizer.piece(id).empty();
        const bool fits = is_text && matcher.step(state, tokenizer.piece(id)) != FormMatcher::kDead;
        ASSERT_EQ(may_come(mask, id), fits)
            << schema << " behind " << i << " of " << text << ": " << id << " '" << tokenizer.piece(id) << "'";
      }
      if (i < std::string_view(text).size()) state = matcher.step(state, std::string_view(text).substr(i, 1));
      ASSERT_NE(state, FormMatcher::kDead) << schema << " " << text << " " << i;
    }
  }
}

// A form of which a mask needs more work than one may take: what is allowed is right, tokens of one byte are there, and
// so is a part of the longer ones of each first byte; the same whatever the matcher has seen before.
TEST(FormConstraint, TheMaskOfAHeavyFormIsSmallerAndTheSame) {
  std::set<std::string> words;
  for (uint32_t i = 0, x = 1; i < 20000; ++i) {
    std::string word;
    for (uint32_t n = 2 + i % 7; n > 0; --n) {
      x = x * 1664525 + 1013904223;
      word += "abcdefghijklmnopqrstuvwxyz "[(x >> 16) % 27];
    }
    words.insert(word);
  }
  const Vocabulary vocabulary(words);
  const text::Tokenizer& tokenizer = *vocabulary;
  const FormOfVocabulary form(tokenizer, tokenizer.n_ids(), {},
                              text::RegexForm{"(?:[a-z ]*a[a-z ]{200}|[a-z ]*b[a-z ]{300}|[a-z ]*e[a-z ]{250})*"});
  std::string text;
  for (int i = 0; i < 150; ++i) text += "ab xeycab"[i * i % 9];
  const auto mask_behind = [&](FormMatcher& matcher, size_t n) {
    const FormMatcher::State state = matcher.step(matcher.begin(form.shared->form().content), text.substr(0, n));
    std::vector<uint64_t> mask(form.vocabulary->n_words());
    form.vocabulary->trie().mark_allowed(matcher, matcher.twin(state), mask);
    return std::make_pair(std::move(mask), state);
  };
  FormMatcher used(form.shared->form().grammar);
  size_t n_left_out = 0;
  for (size_t n = 0; n <= text.size(); n += 30) {
    const auto [mask, state] = mask_behind(used, n);
    EXPECT_EQ(mask_behind(used, n).first, mask) << "again";
    FormMatcher fresh(form.shared->form().grammar);
    EXPECT_EQ(mask_behind(fresh, n).first, mask) << n;
    const size_t before = used.bytes();
    std::set<char> longer;
    for (int32_t id = 0; id < tokenizer.n_ids(); ++id) {
      const std::string_view piece = tokenizer.piece(id);
      const bool fits = !tokenizer.is_control(id) && !piece.empty() && used.step(state, piece) != FormMatcher::kDead;
      if (may_come(mask, id) && piece.size() > 1) longer.insert(piece[0]);
      ASSERT_TRUE(fits || !may_come(mask, id)) << n << " " << piece;
      ASSERT_TRUE(may_come(mask, id) || !fits || piece.size() > 1) << n << " " << piece;
      n_left_out += fits && !may_come(mask, id) ? 1 : 0;
    }
    EXPECT_EQ(longer.size(), 27u) << n;
    EXPECT_LT(before, 64u << 20);
    if (used.is_full()) used.forget();
  }
  EXPECT_GT(n_left_out, 0u) << "a form that is not heavy shows nothing";
}

// Alone, beside others, with guesses that are wrong, and where sessions are put off: the same tokens; and what ends by
// itself is whole.
TEST(FormConstraint, AnswersAreOfTheFormAndTheSameAtAnyLoad) {
  constexpr uint64_t kAnswers = 16;
  struct FormLoad {
    int64_t sessions, running, chunk;
  };
  const char* schemas[] = {
      R"({"type":"object","properties":{"a":{"type":"string","maxLength":12},"b":{"enum":["x","yy",3]},
          "c":{"type":"array","items":{"type":"integer","minimum":-9,"maximum":99},"maxItems":3}},
          "required":["a","b","c"],"additionalProperties":false})",
      R"({"type":"array","items":{"type":"string","pattern":"^[a-z ]{1,9}$"},"minItems":1,"maxItems":4})",
      R"({"type":"string","minLength":300})"};  // long, so that pages run out
  const auto which = [](uint64_t i) { return i < 8 ? size_t{2} : size_t{i % 2}; };
  std::vector<RequestOutcome> wanted;
  int64_t n_preempted = 0, n_whole = 0;
  for (const FormLoad& load : {FormLoad{1, 1, 64}, FormLoad{16, 16, 64}, FormLoad{2, 12, 16}}) {
    Rig rig = open_rig(fixture_model("gguf-llama-f32"), "cpu", small_options(128, load.sessions, load.chunk));
    const text::Tokenizer& tokenizer = *rig->tokenizer();
    std::vector<FormOfVocabulary> forms;
    for (const char* schema : schemas) forms.emplace_back(tokenizer, rig->vocab(), rig->eos_ids(), schema_of(schema));
    Scheduler scheduler(*rig, {.running_max = load.running});
    std::vector<RequestId> ids;
    for (uint64_t i = 0; i < kAnswers; ++i) {
      Request request = make_request(i, rig->vocab());
      request.max_tokens = 56;
      request.ignore_eos = false;
      request.constraint = std::make_shared<const FormConstraint>(forms[which(i)].shared, false, false);
      ids.push_back(scheduler.submit(std::move(request)).value());
    }
    auto answers = run_all(scheduler);
    n_preempted += scheduler.n_preemptions();
    for (uint64_t i = 0; i < kAnswers; ++i) {
      const RequestOutcome& answer = answers[ids[i]];
      if (wanted.size() == i) wanted.push_back(answer);
      EXPECT_TRUE(answer.same_tokens(wanted[i])) << i;
      const std::string text = tokenizer.decode(answer.ids, true);
      FormMatcher matcher(forms[which(i)].shared->form().grammar);
      const FormMatcher::State state = matcher.step(matcher.begin(forms[which(i)].shared->form().content), text);
      const bool is_ended = answer.reason == FinishReason::kStop;
      EXPECT_TRUE(is_ended ? state != FormMatcher::kDead && matcher.may_end(state) : std::ssize(answer.ids) == 56)
          << text;
      EXPECT_EQ(is_ended, text::parse_value("[" + text + "]", "t").ok()) << text;
      n_whole += is_ended ? 1 : 0;
    }
    scheduler.step();
    expect_no_pages_held(*rig);
  }
  EXPECT_GT(n_preempted, 0);
  EXPECT_GT(n_whole, 5) << "some must come to their end";
}

}  // namespace
}  // namespace naru::engine
