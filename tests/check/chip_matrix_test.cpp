// The matrix of a chip: that every fault that can be put in front of one is found in its cell and in no other, graded
// as what it is, and made small; and that a chip without one is exact.
#include "check/chip_matrix.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <new>
#include <thread>

#include "check/faulty_chip.h"
#include "check/shrink.h"
#include "check/suite.h"
#include "check/sum_bound.h"
#include "contract/op_table.h"
#include "tests/test_chip.h"

namespace naru::check {
namespace {

std::unique_ptr<contract::Chip> new_reference() {
  return test::make_chip("reference");
}

MatrixOptions sample_of_ops(std::vector<std::string> ops) {
  return {
      .is_sample = true, .ops = std::move(ops), .patience_s = 60, .n_references = 2, .speed_seconds = 0, .go_on = {}};
}

ChipMatrix checked(const ChipUnderTest& chip, const MatrixOptions& options) {
  return check_chip(chip, new_reference, options).value();
}

// The distant chip with a fault in front, and its hold.
struct Faulty {
  explicit Faulty(std::string_view text)
      : chip(std::make_shared<FaultyChip>(test::make_chip("distant"), parse_fault(text).value())), hold(chip->hold()) {}
  ChipUnderTest under_test() const { return {.chip = chip}; }

  std::shared_ptr<FaultyChip> chip;
  std::shared_ptr<Hold> hold;
};

// By "op kind".
std::map<std::string, Cell> cells_of(const ChipMatrix& matrix) {
  std::map<std::string, Cell> cells;
  for (const Cell& cell : matrix.cells) cells[cell.op + " " + cell.kind] = cell;
  return cells;
}

std::map<std::string, Cell> cells_with(std::string_view fault, std::vector<std::string> ops) {
  const Faulty faulty(fault);
  const ChipMatrix matrix = checked(faulty.under_test(), sample_of_ops(std::move(ops)));
  EXPECT_GT(faulty.chip->n_faults(), 0) << fault;
  EXPECT_TRUE(matrix.is_whole) << fault;
  return cells_of(matrix);
}

// All of it but the long products: their cases are those of tests/contract.
TEST(ChipMatrix, ChipsWithoutAFaultAreExact) {
  std::vector<std::string> ops;
  for (const Suite& suite : all_suites()) {
    if (suite.op != "matmul" && suite.op != "grouped_matmul") ops.emplace_back(suite.op);
  }
  ChipUnderTest cpu{.chip = test::make_chip("cpu")};
  cpu.twins.push_back({"with 1 thread", test::make_chip("cpu", 1)});
  MatrixOptions options = sample_of_ops(ops);
  options.speed_seconds = 1e-6;
  const ChipMatrix matrix = checked(cpu, options);
  EXPECT_EQ(matrix.first_fault(), nullptr);
  EXPECT_GE(matrix.cells.size(), ops.size());
  for (const Cell& cell : matrix.cells) {
    EXPECT_EQ(cell.verdict, Verdict::kExact) << cell.op << " " << cell.kind;
    EXPECT_GT(cell.n_cases, 0) << cell.op << " " << cell.kind;
    EXPECT_TRUE(cell.speed.has_value()) << cell.op << " " << cell.kind;
  }
}

// Fewer rows of the reference chip's own are its first rows: first_rows_of() names what it may.
TEST(ChipMatrix, FewerRowsAreTheFirstOnes) {
  Judge judge({.chip = new_reference()}, new_reference(), 60);
  std::map<std::string, int> n_judged;
  for (const std::vector<Case>& cases : matrix_cases(sample_of_ops({}))) {
    for (const Case& c : cases) {
      if (!first_rows_of(c) || c.op == "grouped_matmul") continue;
      EXPECT_EQ(judge.judge(c).value().what, "") << case_line(c);
      ++n_judged[c.op];
    }
  }
  EXPECT_GE(n_judged.size(), 10u);
}

TEST(ChipMatrix, FaultsOfSumsAreGradedByTheirBound) {
  auto matmuls = cells_with("order@matmul", {"matmul"});
  for (const char* cell : {"matmul f32_as_f32", "matmul f16_as_f32", "matmul bf16_as_f32"}) {
    const Cell& found = matmuls[cell];
    EXPECT_EQ(verdict_name(found.verdict), "bounded") << cell << (found.failure ? found.failure->finding.what : "");
  }
  for (const char* fault : {"order@product", "unfused@product"}) {
    auto cells = cells_with(fault, {"product", "add"});
    const Cell& cell = cells["product f32"];
    EXPECT_EQ(cell.verdict, Verdict::kBounded) << fault << ": " << (cell.failure ? cell.failure->finding.what : "");
    EXPECT_GT(cell.worst_bounded.error, 0) << fault;
    EXPECT_LT(cell.worst_bounded.error, cell.worst_bounded.bound) << fault;
    EXPECT_FALSE(cell.failure.has_value()) << fault;
    EXPECT_EQ(cells["product bf16"].verdict, Verdict::kExact) << fault;
    EXPECT_EQ(cells["add f32"].verdict, Verdict::kExact) << fault;
  }
}

TEST(ChipMatrix, FaultsAreFoundInTheirCell) {
  struct Wanted {
    const char* fault;
    const char* cell;
    Verdict verdict;
  };
  for (const Wanted& wanted : {Wanted{"narrow@product", "product f32", Verdict::kWrong},
                               {"subnormals@product", "product f32", Verdict::kWrong},
                               {"rounding@add", "add f32", Verdict::kWrong},
                               {"stale@product", "product f32", Verdict::kWrong},
                               {"lost@add", "add f32", Verdict::kWrong},
                               {"doubled@add", "add f32", Verdict::kWrong},
                               {"flip@add", "add f32", Verdict::kUnsteady},
                               {"flip@product:0.2", "product f32", Verdict::kUnsteady},
                               {"order@product:0.5", "product f32", Verdict::kUnsteady},
                               {"lost@add:0.3", "add f32", Verdict::kUnsteady},
                               {"error@add", "add f32", Verdict::kFailed},
                               {"memory@product", "product f32", Verdict::kFailed}}) {
    auto cells = cells_with(wanted.fault, {"product", "add"});
    const Cell& cell = cells[wanted.cell];
    EXPECT_EQ(verdict_name(cell.verdict), verdict_name(wanted.verdict)) << wanted.fault;
    ASSERT_TRUE(cell.failure.has_value()) << wanted.fault;
    EXPECT_NE(cell.failure->finding.what.find(cell.op), std::string::npos) << cell.failure->finding.what;
    EXPECT_TRUE(parse_case(case_line(cell.failure->smallest)).ok()) << case_line(cell.failure->smallest);
    const char* other = cell.op == "add" ? "product f32" : "add f32";
    EXPECT_EQ(cells[other].verdict, Verdict::kExact) << wanted.fault;
  }
}

// A sum of one term has one order, and rule bf16 none of the fault's.
TEST(ChipMatrix, FaultsThatChangeNothingAreNotCounted) {
  const auto count = [](std::string_view fault, const Case& c) {
    const Faulty faulty(fault);
    EXPECT_TRUE(run_program(build(c), *faulty.chip).ok());
    return faulty.chip->n_faults();
  };
  const auto product = [](const char* kind, int64_t inputs) {
    return make_case("product", kind, {{"rows", {3}}, {"outputs", {4}}, {"inputs", {inputs}}});
  };
  EXPECT_EQ(count("order", product("f32/a_rows/b_rows", 1)), 0);
  EXPECT_EQ(count("order", product("bf16/a_rows/b_rows", 300)), 0);
  EXPECT_EQ(count("order", product("f32/a_rows/b_rows", 300)), 1);
  EXPECT_EQ(count("doubled", make_case("add", "apart", {{"rows", {3}}, {"cols", {5}}})), 0);
}

TEST(ChipMatrix, AFailingCaseIsMadeSmall) {
  auto cells = cells_with("narrow@product", {"product"});
  const Case& smallest = cells["product f32"].failure->smallest;
  EXPECT_EQ(smallest.at("rows"), 1);
  EXPECT_EQ(smallest.at("outputs"), 1);
  EXPECT_LE(smallest.at("inputs"), 16) << case_line(smallest);
  EXPECT_EQ(smallest.gap, 0);
  // It still fails, and without the fault it does not.
  const Faulty faulty("narrow@product");
  EXPECT_EQ(Judge(faulty.under_test(), new_reference(), 60).judge(smallest).value().verdict, Verdict::kWrong);
  Judge sound({.chip = test::make_chip("distant")}, new_reference(), 60);
  EXPECT_EQ(sound.judge(smallest).value().verdict, Verdict::kExact);
}

TEST(ChipMatrix, AChipThatDoesNotAnswerIsLeftBehind) {
  std::shared_ptr<Hold> hold;
  std::weak_ptr<FaultyChip> left_behind;
  {
    const Faulty faulty("hang@silu_mul");
    hold = faulty.hold, left_behind = faulty.chip;
    MatrixOptions options = sample_of_ops({"silu_mul", "add"});
    options.patience_s = 0.5;
    const ChipMatrix matrix = checked(faulty.under_test(), options);
    EXPECT_FALSE(matrix.is_whole);
    ASSERT_NE(matrix.first_fault(), nullptr);
    EXPECT_EQ(matrix.first_fault()->op, "silu_mul");
    EXPECT_EQ(matrix.first_fault()->verdict, Verdict::kHangs);
    EXPECT_EQ(matrix.first_fault()->failure->finding.what, "silu_mul: no answer in 0.5 seconds");
    EXPECT_EQ(matrix.cells.size(), 1u);  // what stands behind did not run
  }
  EXPECT_FALSE(left_behind.expired());
  hold->let_go();
  while (!left_behind.expired()) std::this_thread::yield();  // its thread gives back all that it held
}

// A chip that answers so many times to an op, and then no more until its hold lets go.
class TiringChip : public contract::ForwardingChip {
 public:
  TiringChip(contract::Chip& chip, int n_answers) : ForwardingChip(chip), n_left_(n_answers) {}
  Status run(const contract::Op& op) override {
    if (contract::op_name(op) != "silu_mul" || n_left_-- > 0) return chip_.run(op);
    hold->wait();
    return Error{Code::kUnavailable, "running silu_mul: let go"};
  }
  int n_answered(int n_at_first) const { return n_at_first - n_left_; }
  const std::shared_ptr<Hold> hold = std::make_shared<Hold>();

 private:
  int n_left_;
};

TEST(ChipMatrix, AChipThatHangsWhileItIsTimedIsAtFault) {
  const std::shared_ptr<contract::Chip> inner = test::make_chip("cpu");
  MatrixOptions options = sample_of_ops({"silu_mul", "add"});
  constexpr int kMany = 1000;
  const auto counting = std::make_shared<TiringChip>(*inner, kMany);
  ASSERT_EQ(checked({.chip = counting}, options).first_fault(), nullptr);
  const int n_judged = counting->n_answered(kMany);
  options.patience_s = 1, options.speed_seconds = 1e-6;
  const auto tiring = std::make_shared<TiringChip>(*inner, n_judged);
  const ChipMatrix matrix = checked({.chip = tiring}, options);
  EXPECT_TRUE(matrix.is_whole);  // every case ran
  ASSERT_EQ(matrix.cells.size(), 2u);
  auto cells = cells_of(matrix);
  const Cell& cell = cells["silu_mul f32"];
  EXPECT_EQ(cell.verdict, Verdict::kHangs);
  ASSERT_TRUE(cell.failure.has_value());
  EXPECT_EQ(cell.failure->finding.what, "silu_mul, while it was timed: no answer in 1 seconds");
  EXPECT_EQ(case_line(cell.failure->smallest), case_line(timed_case(cell.failure->first, true)));
  EXPECT_EQ(cells["add f32"].verdict, Verdict::kExact);
  tiring->hold->let_go();
  while (tiring.use_count() > 1) std::this_thread::yield();
}

// A chip whose memory ends with an op.
class PoorChip : public contract::ForwardingChip {
 public:
  using ForwardingChip::ForwardingChip;
  Status run(const contract::Op&) override { throw std::bad_alloc(); }
};

TEST(ChipMatrix, MemoryThatEndsIsAnErrorAndNoFinding) {
  const auto inner = test::make_chip("reference");
  const auto poor = std::make_shared<PoorChip>(*inner);
  const auto of_chip = check_chip({.chip = poor}, new_reference, sample_of_ops({"add"}));
  ASSERT_FALSE(of_chip.ok());
  EXPECT_EQ(of_chip.error().code, Code::kResourceExhausted);
  const auto of_reference = check_chip(
      {.chip = test::make_chip("cpu")}, [&] { return std::make_unique<PoorChip>(*inner); }, sample_of_ops({"add"}));
  ASSERT_FALSE(of_reference.ok());
  EXPECT_EQ(of_reference.error().code, Code::kResourceExhausted);
}

// A chip that drops an op at first, and then says that it fails.
class MixedChip : public contract::ForwardingChip {
 public:
  using ForwardingChip::ForwardingChip;
  Status run(const contract::Op& op) override {
    if (contract::op_name(op) != "add" || ++n_ <= 3) return {};
    return Error{Code::kUnavailable, "running add: it is tired; let it rest"};
  }

 private:
  int n_ = 0;
};

TEST(ChipMatrix, TheFailureThatIsToldMadeTheGrade) {
  const auto inner = test::make_chip("cpu");
  auto cells = cells_of(checked({.chip = std::make_shared<MixedChip>(*inner)}, sample_of_ops({"add"})));
  EXPECT_EQ(cells["add f32"].verdict, Verdict::kFailed);
  EXPECT_EQ(cells["add f32"].failure->finding.verdict, Verdict::kFailed);
  EXPECT_EQ(cells["add f32"].failure->n_cases, cells["add f32"].n_cases);
}

// A chip that refuses an op in its own words.
class RefusingChip : public contract::ForwardingChip {
 public:
  RefusingChip(contract::Chip& chip, Code code) : ForwardingChip(chip), code_(code) {}
  Status run(const contract::Op& op) override {
    if (contract::op_name(op) != "silu_mul") return chip_.run(op);
    return Error{code_, "running silu_mul: it is not written yet; write it"};
  }

 private:
  Code code_;
};

TEST(ChipMatrix, TellsWhatIsAbsentFromWhatFails) {
  const auto inner = test::make_chip("cpu");
  const auto cells_by = [&](Code code) {
    const ChipUnderTest chip{.chip = std::make_shared<RefusingChip>(*inner, code)};
    return cells_of(checked(chip, sample_of_ops({"silu_mul", "add"})));
  };
  auto absent = cells_by(Code::kUnsupported);
  EXPECT_EQ(absent["silu_mul f32"].verdict, Verdict::kAbsent);
  EXPECT_EQ(absent["silu_mul f32"].n_absent, absent["silu_mul f32"].n_cases);
  EXPECT_EQ(absent["silu_mul f32"].absent_because, "running silu_mul: it is not written yet; write it");
  EXPECT_EQ(absent["add f32"].verdict, Verdict::kExact);
  auto failed = cells_by(Code::kUnavailable);
  EXPECT_EQ(failed["silu_mul f32"].verdict, Verdict::kFailed);
  EXPECT_EQ(failed["add f32"].verdict, Verdict::kExact);
}

// The twin has the fault.
TEST(ChipMatrix, ATwinMustGiveTheSameBits) {
  const Faulty faulty("order@product");
  const ChipUnderTest chip{.chip = test::make_chip("cpu"), .twins = {{"with 3 threads", faulty.chip}}};
  auto cells = cells_of(checked(chip, sample_of_ops({"product"})));
  EXPECT_EQ(cells["product f32"].verdict, Verdict::kUnsteady);
  EXPECT_EQ(cells["product f32"].failure->finding.what.find("with 3 threads: product: output 'out', row "), 0u)
      << cells["product f32"].failure->finding.what;
}

// A chip that adds in another order where many rows ask: each case is within its bound.
class CrowdedChip : public contract::ForwardingChip {
 public:
  CrowdedChip(contract::Chip& crowded, contract::Chip& calm) : ForwardingChip(crowded), calm_(calm) {}
  Status run(const contract::Op& op) override {
    const auto* matmul = std::get_if<contract::Matmul>(&op);
    return matmul != nullptr && matmul->x.rows > 8 ? chip_.run(op) : calm_.run(op);
  }

 private:
  contract::Chip& calm_;
};

TEST(ChipMatrix, RowsMustNotKnowTheirNeighbours) {
  auto inner = test::make_chip("cpu");
  contract::Chip& calm = *inner;
  FaultyChip crowded(std::move(inner), parse_fault("order@matmul").value());
  Judge judge({.chip = std::make_shared<CrowdedChip>(crowded, calm)}, new_reference(), 60);
  const Case c = make_case("matmul", "f32_as_f32/bias/one", {{"rows", {12}}, {"inputs", {300}}, {"outputs", {20}}});
  const Finding finding = judge.judge(c).value();
  EXPECT_EQ(verdict_name(finding.verdict), "unsteady");
  EXPECT_EQ(finding.what.find("the first 7 of 12 rows alone"), 0u) << finding.what;
  const Failure failure = smallest_failure(c, finding, judge).value();
  EXPECT_EQ(failure.finding.what.find("the first "), 0u) << failure.finding.what;
  EXPECT_EQ(failure.smallest.at("rows"), 9) << case_line(failure.smallest);
}

TEST(ChipMatrix, StopsWhenItIsToldAndKeepsWhatItFound) {
  MatrixOptions options = sample_of_ops({"add", "silu_mul", "fill"});
  const auto stopped_at = [&](int64_t n_cases) {
    options.go_on = [n_cases](int64_t done, int64_t) { return done < n_cases; };
    return check_chip({.chip = test::make_chip("cpu")}, new_reference, options).value();
  };
  const ChipMatrix begun = stopped_at(12);
  EXPECT_TRUE(begun.is_stopped);
  EXPECT_FALSE(begun.is_whole);
  EXPECT_EQ(begun.n_cases, 12);
  ASSERT_EQ(begun.cells.size(), 2u);
  EXPECT_EQ(begun.cells[0].n_cases + begun.cells[1].n_cases, 12);
  EXPECT_NE(begun.cells[0].outputs, "");
  EXPECT_EQ(begun.cells[1].outputs, "");
  EXPECT_TRUE(stopped_at(0).cells.empty());
}

// ---- its parts

TEST(Shrink, EndsAtTheSmallestThatFails) {
  const Case add = make_case("add", "apart", {{"rows", {300}}, {"cols", {2049}}}, Values::kWide, 9);
  const Case small = shrink(
      add, [](const Case& c) { return c.at("rows") >= 7 && c.at("cols") >= 3; }, 1000);
  EXPECT_EQ(case_line(small), "add apart rows=7 cols=3 values=plain seed=1 gap=0 grade=exact");
  const Case attention = make_case(
      "attention", "f32/grouped/every/no_stats",
      {{"heads", {4}}, {"key_heads", {2}}, {"width", {33}}, {"value_width", {17}}, {"lengths", {1, 33, 530, 64}}});
  const Case shorter = shrink(
      attention,
      [](const Case& c) {
        return std::any_of(c.list("lengths").begin(), c.list("lengths").end(), [](int64_t n) { return n >= 40; });
      },
      1000);
  EXPECT_EQ(shorter.list("lengths"), std::vector<int64_t>{40});
  EXPECT_EQ(shorter.at("heads"), 1);
  EXPECT_EQ(case_line(shrink(
                add, [](const Case&) { return true; }, 0)),
            case_line(add));
}

TEST(SumBound, IsOfTheLengthOfTheSum) {
  const auto reference = new_reference();
  const auto bound_of = [&](std::string_view op, std::string_view kind, std::initializer_list<Dimension> dimensions) {
    return sum_bound(make_case(op, kind, dimensions), *reference).value();
  };
  const auto short_sum = bound_of("product", "f32/a_rows/b_rows", {{"rows", {3}}, {"outputs", {4}}, {"inputs", {10}}});
  const auto long_sum = bound_of("product", "f32/a_rows/b_rows", {{"rows", {3}}, {"outputs", {4}}, {"inputs", {1000}}});
  EXPECT_NEAR(short_sum->part(), 2 * 13 * 0x1p-24, 1e-9);
  EXPECT_NEAR(long_sum->part(), 2 * 1003 * 0x1p-24, 1e-7);
  // Values are from -2 to 2: products have one magnitude on average.
  const Program p =
      build(make_case("product", "f32/a_rows/b_rows", {{"rows", {3}}, {"outputs", {4}}, {"inputs", {1000}}}));
  for (const float magnitude : output_values(p, long_sum->magnitudes, 0)) EXPECT_NEAR(magnitude, 1000, 150);
  EXPECT_EQ(bound_of("sum_of_squares", "", {{"rows", {2}}, {"cols", {5}}, {"tensors", {9}}})->n_terms, 5 * 16384 + 3);
  const Case three =
      make_case("matmul", "bf16_as_bf16/no_bias/three", {{"rows", {3}}, {"inputs", {256}}, {"outputs", {4}}});
  EXPECT_EQ(sum_bound(three, *reference).value()->magnitudes.status.ok(), true);
  EXPECT_FALSE(bound_of("add", "apart", {{"rows", {3}}, {"cols", {4}}}).has_value());
  EXPECT_FALSE(
      bound_of("matmul", "q8_0_as_q8_0/bias/one", {{"rows", {3}}, {"inputs", {32}}, {"outputs", {4}}}).has_value());
}

TEST(SumBound, ZerosKeepTheSignOfTheContract) {
  const auto reference = new_reference();
  const Case c = make_case("product", "f32/a_rows/b_rows", {{"rows", {1}}, {"outputs", {1}}, {"inputs", {0}}});
  const Program p = build(c);
  const Outcome want = run_program(p, *reference).value();
  Outcome got = want;
  const float lost = -0.0f;
  std::memcpy(got.memory.data() + Program::place_of(p.outputs()[0].view), &lost, sizeof(lost));
  EXPECT_NE(sum_errors(p, got, want, *sum_bound(c, *reference).value()).beyond, "");
}

TEST(Speed, EveryCellHasATimedCase) {
  for (const std::vector<Case>& cases : matrix_cases(sample_of_ops({}))) {
    for (const bool is_small : {true, false}) {
      const Case timed = timed_case(cases[0], is_small);
      const auto back = parse_case(case_line(timed));
      ASSERT_TRUE(back.ok()) << case_line(timed) << ": " << back.error().message;
      EXPECT_EQ(cell_kind(timed), cell_kind(cases[0]));
    }
  }
  const auto chip = test::make_chip("cpu");
  const Speed speed = measure_speed(make_case("add", "apart", {{"rows", {10}}, {"cols", {100}}}), *chip, 0).value();
  EXPECT_EQ(speed.cost.flops, 1000);
  EXPECT_EQ(speed.cost.bytes, 12000);
  EXPECT_GT(speed.seconds, 0);
}

TEST(Fault, ReadsBackAsItself) {
  for (const FaultInfo& info : all_faults()) {
    const std::string name(info.name);
    for (const std::string& text :
         {name, name + "@product", name + "@matmul:0.25", name + ":0.001", name + ":0.123456789"}) {
      const auto fault = parse_fault(text);
      ASSERT_TRUE(fault.ok()) << fault.error().message;
      EXPECT_EQ(fault_text(*fault), text);
    }
  }
  for (const char* text :
       {"", "flop", "flip@", "flip@matmull", "flip:0", "flip:1.5", "flip:nan", "flip:0.1x", "order@add"}) {
    const auto fault = parse_fault(text);
    ASSERT_FALSE(fault.ok()) << text;
    EXPECT_EQ(fault.error().code, Code::kInvalidArgument);
    EXPECT_EQ(fault.error().message.find("reading the fault '" + std::string(text) + "': "), 0u)
        << fault.error().message;
  }
}

}  // namespace
}  // namespace naru::check
