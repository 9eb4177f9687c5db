// Filters: every reason at its bound and one past it, in their order; repetition by hand-counted shares.
#include "samples/filters.h"

#include <gtest/gtest.h>

#include <numeric>

namespace naru::samples {
namespace {

using recipes::RejectionRecipe;

FilteredAnswer good_answer(std::string_view text = "a", double reward = 1) {
  return {.is_right = true, .text = text, .n_tokens = 5, .reward = reward};
}

template <typename Change>
RejectionRecipe with(const Change& change) {
  RejectionRecipe recipe;
  change(recipe);
  return recipe;
}

std::string reasons_of(
    const std::vector<FilteredAnswer>& answers, const RejectionRecipe& recipe,
    const IsKept& is_kept = [](const std::string&) { return false; }) {
  const auto part = [&](size_t i) -> Result<std::optional<std::string>> {
    if (answers[i].text == "unsayable") return std::optional<std::string>();
    return std::optional<std::string>(std::string(answers[i].text));
  };
  const auto lines = filter(answers, recipe, part, is_kept);
  EXPECT_TRUE(lines.ok());
  std::string text;
  for (size_t i = 0; i < lines->size(); ++i) {
    const FilteredLine& line = (*lines)[i];
    EXPECT_EQ(line.part, line.dropped ? "" : std::string(answers[i].text));
    text += (text.empty() ? "" : " ") + (line.dropped ? std::string(reason_name(*line.dropped)) : "kept");
  }
  return text;
}

std::string reason_of_one(const FilteredAnswer& answer, const RejectionRecipe& recipe = {}) {
  return reasons_of({answer}, recipe);
}

TEST(Filters, EachReasonAtItsBound) {
  EXPECT_EQ(reason_of_one(good_answer()), "kept");
  FilteredAnswer a = good_answer();
  a.is_asked = false;
  EXPECT_EQ(reason_of_one(a), "no_room");
  a = good_answer();
  a.is_cut = true;
  EXPECT_EQ(reason_of_one(a), "cut");
  a = good_answer();
  a.is_writable = false;
  EXPECT_EQ(reason_of_one(a), "unwritable");
  EXPECT_EQ(reason_of_one(good_answer("unsayable")), "unwritable");
  EXPECT_EQ(reason_of_one(good_answer(" \n\t")), "empty");
  a = good_answer();
  a.is_right = false;
  EXPECT_EQ(reason_of_one(a), "wrong");
  EXPECT_EQ(reason_of_one(a, with([](auto& r) { r.right = false; })), "kept");
  EXPECT_EQ(reason_of_one(good_answer("a", 0.5), with([](auto& r) { r.reward_low = 0.5; })), "kept");
  EXPECT_EQ(reason_of_one(good_answer("a", 0.49), with([](auto& r) { r.reward_low = 0.5; })), "reward");
  a = good_answer();
  a.language_share = 0.9;
  EXPECT_EQ(reason_of_one(a), "kept");
  a.language_share = 0.89;
  EXPECT_EQ(reason_of_one(a), "language");
  EXPECT_EQ(reason_of_one(a, with([](auto& r) { r.language_low = 0; })), "kept");
  EXPECT_EQ(reason_of_one(good_answer(), with([](auto& r) {
                            r.tokens_low = 5;
                            r.tokens_high = 5;
                          })),
            "kept");
  EXPECT_EQ(reason_of_one(good_answer(), with([](auto& r) { r.tokens_low = 6; })), "short");
  EXPECT_EQ(reason_of_one(good_answer(), with([](auto& r) { r.tokens_high = 4; })), "long");
  a = good_answer();
  a.repeated_share = 0.5;
  EXPECT_EQ(reason_of_one(a), "kept");
  a.repeated_share = 0.51;
  EXPECT_EQ(reason_of_one(a), "repetition");
  // The first that is true.
  a.is_cut = true;
  a.is_right = false;
  EXPECT_EQ(reason_of_one(a), "cut");
}

TEST(Filters, PassRateIsOfAllAnswersToAProblem) {
  FilteredAnswer wrong = good_answer("w");
  wrong.is_right = false;
  FilteredAnswer cut = good_answer("c");
  cut.is_cut = true;  // says the right thing by chance
  const std::vector<FilteredAnswer> half = {good_answer("a"), wrong, good_answer("b"), cut};
  EXPECT_EQ(pass_rate(half), 0.5);
  EXPECT_EQ(pass_rate({}), 0);
  EXPECT_EQ(reasons_of(half, with([](auto& r) {
                         r.pass_rate_low = 0.5;
                         r.pass_rate_high = 0.5;
                       })),
            "kept wrong kept cut");
  EXPECT_EQ(reasons_of(half, with([](auto& r) { r.pass_rate_low = 0.51; })), "too_hard wrong too_hard cut");
  EXPECT_EQ(reasons_of(half, with([](auto& r) { r.pass_rate_high = 0.49; })), "too_easy wrong too_easy cut");
}

TEST(Filters, EqualOnesOnceAndTheBestOfThem) {
  const std::vector<FilteredAnswer> answers = {good_answer("a", 1), good_answer("b", 3), good_answer("a", 1),
                                               good_answer("c", 2), good_answer("d", 3)};
  EXPECT_EQ(reasons_of(answers, {}), "kept kept duplicate kept kept");
  EXPECT_EQ(reasons_of(answers, with([](auto& r) { r.deduplicate = false; })), "kept kept kept kept kept");
  EXPECT_EQ(reasons_of(answers, with([](auto& r) { r.keep = 3; })), "surplus kept duplicate kept kept");
  EXPECT_EQ(reasons_of(answers, with([](auto& r) { r.keep = 1; })), "surplus kept duplicate surplus surplus");
  const auto is_kept = [](const std::string& part) { return part == "b"; };
  EXPECT_EQ(reasons_of(answers, with([](auto& r) { r.keep = 1; }), is_kept),
            "surplus duplicate duplicate surplus kept");
  EXPECT_EQ(reasons_of(answers, with([](auto& r) {
                         r.deduplicate = false;
                         r.keep = 2;
                       }),
                       is_kept),
            "surplus kept surplus surplus kept");
}

TEST(Filters, AFailureIsNoReason) {
  const auto part = [](size_t) -> Result<std::optional<std::string>> { return Error{Code::kInternal, "no"}; };
  EXPECT_FALSE(filter({good_answer()}, {}, part, [](const std::string&) { return false; }).ok());
}

TEST(Filters, ReasonsHaveNamesOfTheirOwn) {
  for (size_t i = 0; i < kReasonNames.size(); ++i) {
    EXPECT_EQ(reason_from_name(kReasonNames[i]), static_cast<Reason>(i));
  }
  EXPECT_EQ(reason_name(Reason::kSurplus), "surplus");
  EXPECT_EQ(reason_from_name("kept"), std::nullopt);
}

TEST(RepeatedShare, CountsTokensOfStretchesThatWereThereBefore) {
  std::vector<int32_t> ids(20);
  std::iota(ids.begin(), ids.end(), 0);
  EXPECT_EQ(repeated_share(ids), 0);
  EXPECT_EQ(repeated_share({}), 0);
  EXPECT_EQ(repeated_share(std::vector<int32_t>(kRepeatedTokens, 7)), 0);
  // Of nine equal ones the second stretch of eight is the first again.
  EXPECT_DOUBLE_EQ(repeated_share(std::vector<int32_t>(9, 7)), 8.0 / 9);
  EXPECT_DOUBLE_EQ(repeated_share(std::vector<int32_t>(1000, 7)), 999.0 / 1000);
  // Seven in a row that were there are no stretch; eight are.
  std::vector<int32_t> seven = ids, eight = ids;
  seven.insert(seven.end(), ids.begin(), ids.begin() + 7);
  seven.push_back(99);
  eight.insert(eight.end(), ids.begin() + 3, ids.begin() + 11);
  EXPECT_EQ(repeated_share(seven), 0);
  EXPECT_DOUBLE_EQ(repeated_share(eight), 8.0 / 28);
  // Twice ten: the second ten are repeated, each token once.
  std::vector<int32_t> ten(ids.begin(), ids.begin() + 10), twice = ten;
  twice.insert(twice.end(), ten.begin(), ten.end());
  EXPECT_DOUBLE_EQ(repeated_share(twice), 10.0 / 20);
}

}  // namespace
}  // namespace naru::samples
