#include "eval/asking.h"

#include "tests/engine/harness.h"

namespace naru::eval {
namespace {

using engine::fixture_model;
using engine::make_ids;
using engine::open_rig;
using engine::Rig;
using engine::small_options;

using AllAnswers = std::vector<std::vector<GivenAnswer>>;  // by problem

std::vector<std::vector<int32_t>> make_prompts(int64_t n) {
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < n; ++i) prompts.push_back(make_ids(3 + 5 * i % 11, static_cast<uint64_t>(i), 97));
  return prompts;
}

Asking asking_of(int64_t samples, int64_t at_once) {
  Asking asking{.samples = samples, .max_tokens = 9, .at_once = at_once, .sampling = {}};
  asking.sampling.seed = 7;
  return asking;
}

AllAnswers answers_of(engine::Engine& engine, const std::vector<std::vector<int32_t>>& prompts, const Asking& asking) {
  AllAnswers all;
  const Status status = ask(engine, prompts, asking, [&](int64_t number, const std::vector<GivenAnswer>& answers) {
    EXPECT_EQ(number, std::ssize(all));
    EXPECT_EQ(std::ssize(answers), 1 + asking.samples);
    all.push_back(answers);
    return Status();
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(all.size(), prompts.size());
  return all;
}

void expect_same(const AllAnswers& a, const AllAnswers& b, size_t n_problems, size_t n_each) {
  for (size_t problem = 0; problem < n_problems; ++problem) {
    for (size_t i = 0; i < n_each; ++i) {
      EXPECT_EQ(a[problem][i].ids, b[problem][i].ids) << problem << " " << i;
      EXPECT_EQ(a[problem][i].is_cut, b[problem][i].is_cut);
      EXPECT_EQ(a[problem][i].n_tokens, b[problem][i].n_tokens);
    }
  }
}

TEST(Asking, AnAnswerDoesNotDependOnTheOthers) {
  const auto prompts = make_prompts(7);
  const Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(40, 32));
  const AllAnswers all = answers_of(*rig, prompts, asking_of(3, 32));
  for (const int64_t at_once : {1, 4}) {
    const Rig other = open_rig(fixture_model("llama-gqa"), "cpu", small_options(64, at_once, 5));
    expect_same(all, answers_of(*other, prompts, asking_of(3, at_once)), 7, 4);
  }
  const Rig reference = open_rig(fixture_model("llama-gqa"), "reference", small_options(40, 3));
  expect_same(all, answers_of(*reference, prompts, asking_of(3, 3)), 7, 4);
  // Fewer problems, fewer draws: those that are left stay what they were.
  expect_same(all, answers_of(*rig, make_prompts(2), asking_of(1, 2)), 2, 2);
}

TEST(Asking, DrawsDifferAndAreNotGreedy) {
  const std::vector<std::vector<int32_t>> prompts(4, make_ids(5, 1, 97));  // the same problem four times
  const Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(40, 8));
  const AllAnswers all = answers_of(*rig, prompts, asking_of(3, 8));
  std::vector<std::vector<int32_t>> drawn;
  for (const auto& answers : all) {
    EXPECT_EQ(answers[0].ids, all[0][0].ids);  // the likeliest one is one
    for (size_t i = 1; i < answers.size(); ++i) drawn.push_back(answers[i].ids);
  }
  std::sort(drawn.begin(), drawn.end());
  EXPECT_EQ(std::unique(drawn.begin(), drawn.end()), drawn.end());
}

TEST(Asking, APromptWithoutRoomIsNotAsked) {
  std::vector<std::vector<int32_t>> prompts = make_prompts(3);
  prompts[1] = make_ids(40, 2, 97);
  prompts[2] = make_ids(39, 3, 97);  // room for one token
  const Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(40, 4));
  const AllAnswers all = answers_of(*rig, prompts, asking_of(1, 4));
  EXPECT_TRUE(all[0][0].is_asked);
  EXPECT_FALSE(all[1][0].is_asked);
  EXPECT_FALSE(all[1][1].is_asked);
  EXPECT_TRUE(all[2][0].is_asked);
  EXPECT_EQ(all[2][0].n_tokens, 1);
}

TEST(Asking, StopsAndFailsWhereItIsTold) {
  const Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(40, 2));
  Asking asking = asking_of(0, 2);
  asking.progress = [](int64_t n_answers, int64_t) { return n_answers < 3; };
  int64_t n_taken = 0;
  Status status = ask(*rig, make_prompts(20), asking, [&](int64_t, const auto&) {
    ++n_taken;
    return Status();
  });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kCancelled);
  EXPECT_GE(n_taken, 2);
  EXPECT_LT(n_taken, 6);
  asking.progress = {};
  status = ask(*rig, make_prompts(20), asking, [&](int64_t, const auto&) {
    return Status(Error{Code::kResourceExhausted, "the disk is full"});
  });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kResourceExhausted);
}

}  // namespace
}  // namespace naru::eval
