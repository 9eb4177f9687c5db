#include "eval/statistics.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

namespace naru::eval {
namespace {

// The share of all sets of k answers out of n in which one of the first n_right is.
double pass_by_counting(int n, int n_right, int k) {
  int64_t n_sets = 0, n_passed = 0;
  for (uint32_t set = 0; set < (1u << n); ++set) {
    if (std::popcount(set) != k) continue;
    ++n_sets;
    n_passed += (set & ((1u << n_right) - 1)) != 0 ? 1 : 0;
  }
  return static_cast<double>(n_passed) / static_cast<double>(n_sets);
}

TEST(Statistics, PassAtKIsTheShareOfSetsWithARightAnswer) {
  for (int n = 1; n <= 10; ++n) {
    for (int n_right = 0; n_right <= n; ++n_right) {
      for (int k = 1; k <= n; ++k) {
        EXPECT_NEAR(pass_at_k(n, n_right, k), pass_by_counting(n, n_right, k), 1e-14)
            << n << " " << n_right << " " << k;
      }
    }
  }
}

TEST(Statistics, PassAtKOfMany) {
  EXPECT_EQ(pass_at_k(1024, 0, 1024), 0);
  EXPECT_EQ(pass_at_k(1024, 1, 1024), 1);
  EXPECT_NEAR(pass_at_k(1024, 256, 1), 0.25, 1e-12);
  EXPECT_NEAR(pass_at_k(200, 1, 100), 0.5, 1e-12);
}

// Wilson's ends are where the mean is z deviations away: (mean - p)^2 = z^2 p (1 - p) / n.
void expect_wilson(const Interval& found, double n) {
  const double z = 1.959963984540054;
  for (const double p : {found.low, found.high}) {
    if (p == 0 || p == 1) continue;
    EXPECT_NEAR((found.mean - p) * (found.mean - p), z * z * p * (1 - p) / n, 1e-12) << found.mean << " " << n;
  }
  EXPECT_LE(0, found.low);
  EXPECT_LE(found.low, found.mean);
  EXPECT_LE(found.mean, found.high);
  EXPECT_LE(found.high, 1);
}

TEST(Statistics, OneAnswerAProblemHasWilsonsInterval) {
  for (int n = 1; n <= 30; ++n) {
    for (int n_right = 0; n_right <= n; ++n_right) {
      std::vector<double> values(static_cast<size_t>(n), 0.0);
      for (int i = 0; i < n_right; ++i) values[static_cast<size_t>(i)] = 1;
      const Interval found = mean_of(values, 1);
      EXPECT_DOUBLE_EQ(found.mean, static_cast<double>(n_right) / n);
      expect_wilson(found, n);
      EXPECT_EQ(found.low == 0, n_right == 0);
      EXPECT_EQ(found.high == 1, n_right == n);
    }
  }
  // 5 of 10 and 0 of 10, as tables have them.
  const Interval half = mean_of(std::vector<double>{1, 1, 1, 1, 1, 0, 0, 0, 0, 0}, 1);
  EXPECT_NEAR(half.low, 0.2366, 5e-5);
  EXPECT_NEAR(half.high, 0.7634, 5e-5);
  EXPECT_NEAR(mean_of(std::vector<double>(10, 0.0), 1).high, 0.2775, 5e-5);
}

TEST(Statistics, SeveralAnswersNarrowTheIntervalByHowAlikeProblemsAre) {
  // Problems that are right always or never: four answers say no more than one.
  const std::vector<double> all_or_none = {1, 1, 0, 0, 1, 0, 0, 0};
  expect_wilson(mean_of(all_or_none, 4), 8);
  // Problems that are all the same: the answers are as many coins.
  expect_wilson(mean_of(std::vector<double>{0.5, 0.5, 0.5, 0.50001}, 4), 16);
  // In between: 0.25 / variance 0.0625 = four times as many problems.
  expect_wilson(mean_of(std::vector<double>{0.25, 0.75, 0.25, 0.75}, 8), 16);
  // No spread at all says nothing of how much there is.
  expect_wilson(mean_of(std::vector<double>{0.5, 0.5}, 8), 2);
}

TEST(Statistics, NothingIsKnownOfNoProblems) {
  const Interval found = mean_of({}, 4);
  EXPECT_EQ(found.low, 0);
  EXPECT_EQ(found.high, 1);
}

}  // namespace
}  // namespace naru::eval
