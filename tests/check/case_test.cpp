// Cases as lines, what is refused of them, and that a difference is found and named.
#include "check/case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "check/run_program.h"
#include "check/suite.h"
#include "contract/forwarding_chip.h"
#include "contract/op_table.h"
#include "tests/test_chip.h"

namespace naru::check {
namespace {

std::string refused(const std::string& line) {
  const auto c = parse_case(line);
  if (c.ok()) return "accepted";
  EXPECT_EQ(c.error().code, Code::kInvalidArgument);
  return c.error().message;
}

TEST(CaseLine, EveryCaseOfTheSuitesComesBack) {
  for (const Suite& suite : all_suites()) {
    const std::vector<Case> cases = suite.cases();
    EXPECT_FALSE(cases.empty()) << suite.op;
    for (const Case& c : cases) {
      const std::string line = case_line(c);
      const auto back = parse_case(line);
      ASSERT_TRUE(back.ok()) << line << ": " << back.error().message;
      ASSERT_EQ(case_line(*back), line);
    }
  }
}

// And its first case runs the op.
TEST(CaseLine, EveryOpOfTheContractHasASuite) {
  for (const Suite& suite : all_suites()) {
    const Program p = build(suite.cases().front());
    EXPECT_TRUE(std::any_of(p.ops().begin(), p.ops().end(), [&](const contract::Op& op) {
      return contract::op_name(op) == suite.op;
    })) << suite.op;
    EXPECT_FALSE(p.outputs().empty()) << suite.op;
  }
  for (int i = 0; i < contract::kOpCount; ++i)
    EXPECT_NE(find_suite(contract::op_name(i)), nullptr) << contract::op_name(i);
  EXPECT_EQ(all_suites().size(), static_cast<size_t>(contract::kOpCount));
}

TEST(CaseLine, SaysOnlyWhatIsNotUsual) {
  const auto c =
      parse_case("  attention f32/latent/most/stats heads=3 key_heads=1 width=8 value_width=5 lengths=4,40  large ");
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(case_line(*c),
            "attention f32/latent/most/stats heads=3 key_heads=1 width=8 value_width=5 scale_log2=-3 lengths=4,40 "
            "listed=0 chunk=0 last=0 values=plain seed=1 gap=3 grade=exact large");
}

TEST(CaseLine, RefusesWhatIsNoCase) {
  EXPECT_EQ(refused("").find("reading a case: the line: there is no op ''; choose from "), 0u);
  EXPECT_EQ(refused("rms_nrm").find("reading a case: the line: there is no op 'rms_nrm'; choose from "), 0u);
  EXPECT_EQ(refused("add apart rows=1"), "reading a case: add: 'cols' is missing; write cols=N, N from 1 to 1048576");
  EXPECT_EQ(refused("add in_c rows=1 cols=1"),
            "reading a case: add: 'in_c' is no word of its kinds; choose from apart, in_a, in_b");
  EXPECT_EQ(refused("add rows=1 cols=1"),
            "reading a case: add: the kind '' has 0 words, 1 were wanted; write a word of each choice, with '/' "
            "between them, as in 'apart'");
  EXPECT_EQ(refused("add apart in_a rows=1 cols=1"),
            "reading a case: add: 'in_a' is no name=value; write one kind, and all else with its name");
  for (const char* rows : {"-1", "1048577", "1.5", "", "99999999999999999999", "1,2"}) {
    EXPECT_NE(refused(std::string("add apart cols=1 rows=") + rows), "accepted") << rows;
  }
  EXPECT_EQ(refused("add apart rows=1 rows=1 cols=1"), "reading a case: add: 'rows' is there twice; leave one of them");
  EXPECT_EQ(refused("add apart rows=1 cols=1 seed=1 seed=2"),
            "reading a case: add: 'seed' is there twice; leave one of them");
  EXPECT_EQ(refused("add apart rows=1 cols=1 values=red"),
            "reading a case: add: 'values' has the value 'red'; write plain, wide, low, tiny, edge, "
            "not_finite, any, golden");
  EXPECT_EQ(refused("add apart rows=1 cols=1 grade=bounded"),
            "reading a case: add: 'grade' has the value 'bounded'; write exact");
  EXPECT_EQ(refused("add apart rows=1 cols=1 gap=65"),
            "reading a case: add: 'gap' has the value '65'; write a number from 0 to 64");
  EXPECT_EQ(refused("add apart rows=1 cols=1 depth=2")
                .find("reading a case: add: it has no dimension 'depth'; choose from rows, cols,"),
            0u);
  EXPECT_EQ(refused("add apart rows=1048576 cols=1048576").find("reading a case: add: its operands have "), 0u);
  EXPECT_EQ(refused("add apart rows=1 cols=1 values=golden"),
            "reading a case: add: the golden values belong to cases of the golden files, and this is none; choose "
            "other values");
  EXPECT_EQ(refused(std::string(kCaseLineMax + 1, ' ')),
            "reading a case: the line: it has 4097 bytes, 4096 may be; shorten it");
  EXPECT_EQ(refused("add \x1b[31m rows=1 cols=1").find('\x1b'), std::string::npos);
}

// What does not fit each other never reaches the checks of the ops.
TEST(CaseLine, RefusesDimensionsThatDoNotFit) {
  const std::string attention = "attention f32/grouped/every/stats width=8 lengths=4,5 ";
  for (const std::string& line :
       {attention + "heads=3 key_heads=2 value_width=8",
        std::string("attention f32/latent/every/stats width=8 lengths=4 heads=2 key_heads=2 value_width=8"),
        std::string("attention f32/latent/every/stats width=8 lengths=4 heads=2 key_heads=1 value_width=9"),
        attention + "heads=2 key_heads=2 value_width=8 last=1,2,3",
        attention + "heads=2 key_heads=2 value_width=8 last=1 chunk=2",
        attention + "heads=2 key_heads=2 value_width=8 listed=3",
        std::string("matmul q4_k_as_q4_k/bias/one rows=1 inputs=255 outputs=3"),
        std::string("weight_grad f32/heads slots=5 outputs=3 inputs=3 rows_share=2"),
        std::string("route softmax/max_groups/as_is rows=2 experts=8 chosen=5 groups=4 kept=2"),
        std::string("route softmax/no_groups/as_is rows=2 experts=8 chosen=9"),
        std::string("route_grad softmax/as_is/dscores rows=2 experts=8 chosen=9"),
        std::string("balance_loss softmax rows=10 experts=8 chosen=2 documents=3"),
        std::string("adamw step_1 rows=1 cols=1 tensors=0")}) {
    EXPECT_NE(refused(line), "accepted") << line;
  }
}

// A chip that spoils one word of what it is asked for, once: an output, or memory that is none.
class SpoilingChip : public contract::ForwardingChip {
 public:
  SpoilingChip(contract::Chip& chip, int64_t place) : ForwardingChip(chip), place_(place) {}
  Status copy_out(void* to, ChipAddress from, int64_t bytes) override {
    NARU_TRY(chip_.copy_out(to, from, bytes));
    auto* at = static_cast<std::byte*>(to) + place_;
    at[0] ^= std::byte{1};
    return {};
  }

 private:
  int64_t place_;
};

TEST(RunProgram, NamesTheFirstDifference) {
  const auto chip = test::make_chip("reference");
  const Program p = build(make_case("rms_norm", "eps/apart", {{"rows", {3}}, {"cols", {5}}}));
  const Outcome want = run_program(p, *chip).value();
  EXPECT_EQ(difference(p, run_program(p, *chip).value(), want), "");
  const View out = p.outputs()[0].view;
  const auto difference_at = [&](int64_t place) {
    SpoilingChip spoiling(*chip, place);
    return difference(p, run_program(p, spoiling).value(), want);
  };
  EXPECT_EQ(difference_at(Program::place_of(out) + (2 * out.row_stride + 4) * 4)
                .find("rms_norm: output 'out', row 2 of 3, column 4 of 5: 0x"),
            0u);
  // Behind the last column, in front of the view, and an operand.
  for (const int64_t place : {Program::place_of(out) + 5 * 4, Program::place_of(out) - 1, int64_t{64}}) {
    EXPECT_EQ(difference_at(place).find("rms_norm: byte " + std::to_string(place) + " of the memory was written"), 0u);
  }
}

TEST(RunProgram, ComparesErrorsWithTheirRows) {
  const auto chip = test::make_chip("reference");
  const auto refusal = [&](int64_t row) {
    Program p({});
    const View x = p.drawn(1, 4, 6), weight = p.drawn(2, 1, 6);
    p.row(x, 0)[0] = std::numeric_limits<float>::infinity();
    p.row(x, row)[0] = std::numeric_limits<float>::infinity();
    p.run(contract::RmsNorm{.x = x, .weight = weight, .eps = 0, .out = p.output("out", 4, 6)});
    return std::pair(run_program(p, *chip).value(), std::move(p));
  };
  const auto [two, p] = refusal(2);
  const auto [three, q] = refusal(3);
  EXPECT_EQ(difference(p, two, two), "");
  const std::string found = difference(p, three, two);
  EXPECT_NE(found.find("of rows 0 3, wanted"), std::string::npos) << found;
}

TEST(RunProgram, PassesOnThatThereIsNoMemory) {
  const auto chip = test::make_chip("distant:reference");
  const Program p = build(make_case("add", "apart", {{"rows", {1000}}, {"cols", {30000}}}));
  const auto most = chip->allocate(chip->memory().free - 1000).value();
  const auto outcome = run_program(p, *chip);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, Code::kResourceExhausted);
}

}  // namespace
}  // namespace naru::check
