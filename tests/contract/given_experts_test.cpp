// Experts that are given to a route (kept routing): those that it chooses itself give the same gates, and a list that
// is none is refused by every chip. Its bits are cases of src/check/.
#include "tests/contract/case_rig.h"

namespace naru {
namespace {

using check::Program;

Program routed(const std::vector<int32_t>& experts, int64_t rows, bool is_given) {
  Program p({.values = check::Values::kPlain, .seed = 5});
  const int64_t n_chosen = 3;
  const View chosen = is_given ? p.ints(experts, rows, n_chosen) : p.output("experts", rows, n_chosen, DType::kI32);
  p.run(contract::Route{.logits = p.plain(1, rows, 12),
                        .bias = p.plain(2, 1, 12),
                        .scoring = contract::Scoring::kSigmoid,
                        .group_score = contract::GroupScore::kTopTwoSum,
                        .n_group = 4,
                        .topk_group = 2,
                        .normalise = true,
                        .scale = 2.5f,
                        .experts = chosen,
                        .gates = p.output("gates", rows, n_chosen),
                        .is_given = is_given});
  return p;
}

TEST(GivenExperts, ThoseThatWouldBeChosenGiveTheSameGates) {
  const int64_t rows = 70;
  const Program free = routed({}, rows, false);
  for (const test::NamedChip& named : test::cpu_chips()) {
    const check::Outcome chosen = test::outcome_on(*named.chip, free);
    std::vector<int32_t> experts;
    for (const float bits : check::output_values(free, chosen, 0)) experts.push_back(std::bit_cast<int32_t>(bits));
    const Program given = routed(experts, rows, true);
    EXPECT_EQ(check::output_values(given, test::outcome_on(*named.chip, given), 0),
              check::output_values(free, chosen, 1))
        << named.name;
  }
}

TEST(GivenExperts, RefusesWrongLists) {
  struct Wrong {
    int32_t row[3];
    std::string message;
  };
  const Wrong wrongs[] = {
      {{-1, 1, 2}, "route: row 40: entry 0 of its given experts is -1, one from 0 to 11 was wanted"},
      {{1, 1, 2}, "route: row 40: entry 1 of its given experts is 1, one from 2 to 11 was wanted"},
      {{2, 1, 3}, "entry 1 of its given experts is 1, one from 3 to 11 was wanted"},
      {{0, 1, 12}, "entry 2 of its given experts is 12, one from 2 to 11 was wanted"},
      {{0, 11, 5}, "entry 2 of its given experts is 5, none was wanted"},
      {{INT32_MIN, 0, 1}, "entry 0 of its given experts is -2147483648"},
      {{0, 1, INT32_MAX}, "entry 2 of its given experts is 2147483647"},
  };
  const int64_t rows = 70;
  for (const Wrong& wrong : wrongs) {
    std::vector<int32_t> experts;
    for (int64_t t = 0; t < rows; ++t) experts.insert(experts.end(), {0, 5, 7});
    std::copy_n(wrong.row, 3, experts.begin() + 40 * 3);
    std::copy_n(wrong.row, 3, experts.begin() + 60 * 3);
    const Program p = routed(experts, rows, true);
    const check::Outcome want = test::reference_outcome(p);
    ASSERT_FALSE(want.status.ok());
    EXPECT_EQ(want.status.error().code, Code::kOutOfRange);
    EXPECT_NE(want.status.error().message.find(wrong.message), std::string::npos) << want.status.error().message;
    EXPECT_EQ(want.status.error().failed.rows, std::vector<int64_t>{40});
    for (const test::NamedChip& named : test::cpu_chips()) {
      const check::Outcome got = test::outcome_on(*named.chip, p);
      EXPECT_EQ(check::difference(p, got, want), "") << named.name;
      EXPECT_TRUE(got.memory == p.image()) << "something was written on " << named.name;
    }
  }
}

}  // namespace
}  // namespace naru
