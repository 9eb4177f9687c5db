// Two chips in lock step: without a fault nothing is found; a fault is found in the ops that have it and in no other,
// with place, element and both values; and the run goes on as if there were none.
#include <fmt/format.h>

#include <cmath>

#include "check/op_values.h"
#include "check/replay_chip.h"
#include "contract/op_table.h"
#include "tests/check/small_run.h"

namespace naru::check {
namespace {

TEST(LockStep, ChipsWithoutAFaultAreAlike) {
  for (const char* name : {"cpu", "cpu:baseline", "distant", "reference"}) {
    const auto chip = test::make_chip(name);
    EXPECT_TRUE(beside_reference(*chip).empty()) << name;
  }
}

// The values of the run are those of a chip without a fault, whatever the checked one does.
TEST(LockStep, ARunGoesOnFromTheRightValues) {
  const auto reference = test::make_chip("reference");
  const std::vector<float> right = run_small(*reference).value();
  for (const char* fault : {"flip", "lost", "stale", "doubled", "rounding"}) {
    const auto chip = faulty(fault);
    DifferenceLog log;
    const auto both = make_lock_step_chip(*chip, *reference, log);
    EXPECT_EQ(run_small(*both).value(), right) << fault;
    EXPECT_FALSE(log.found().differences.empty()) << fault;
  }
}

TEST(LockStep, AFaultIsNamedWhereItIs) {
  for (const char* fault : {"flip", "lost", "stale"}) {
    for (const char* op : {"rms_norm", "matmul", "attention", "silu_mul", "add", "column_sum"}) {
      const auto chip = faulty(fmt::format("{}@{}", fault, op));
      const std::vector<std::string> wanted = {fmt::format("pass 1, layer 0, {}", op),
                                               fmt::format("pass 1, layer 1, {}", op)};
      EXPECT_EQ(places(beside_reference(*chip)), wanted) << fault;
    }
  }
  for (const char* fault : {"unfused", "order", "narrow"}) {
    const auto chip = faulty(fmt::format("{}@matmul", fault));
    EXPECT_EQ(places(beside_reference(*chip)),
              (std::vector<std::string>{"pass 1, layer 0, matmul", "pass 1, layer 1, matmul"}))
        << fault;
  }
  // In place and added to: once more is other values; else it is not.
  const auto twice = faulty("doubled");
  EXPECT_EQ(
      places(beside_reference(*twice)),
      (std::vector<std::string>{"pass 1, layer 0, silu_mul", "pass 1, layer 0, add", "pass 1, layer 0, column_sum",
                                "pass 1, layer 1, silu_mul", "pass 1, layer 1, add", "pass 1, layer 1, column_sum",
                                "pass 1, behind the layers, axpby"}));
}

TEST(LockStep, TwoFaultyOpsAreBothNamed) {
  const auto chip = faulty("flip@silu_mul", faulty("lost@rms_norm"));
  EXPECT_EQ(places(beside_reference(*chip)),
            (std::vector<std::string>{"pass 1, layer 0, rms_norm", "pass 1, layer 0, silu_mul",
                                      "pass 1, layer 1, rms_norm", "pass 1, layer 1, silu_mul"}));
}

// A chip that turns the lowest bit of one element of silu_mul's output in layer 1.
class OneElement final : public contract::ForwardingChip {
 public:
  using ForwardingChip::ForwardingChip;
  void set_place(contract::Place place) override {
    layer_ = place.what.empty() ? -1 : place.number;
    chip_.set_place(place);
  }
  Status run(const contract::Op& op) override {
    NARU_TRY(chip_.run(op));
    const auto* silu = std::get_if<contract::SiluMul>(&op);
    if (silu == nullptr || layer_ != 1) return {};
    const ChipAddress at = silu->out.slice_rows(3, 1).slice_cols(7, 1).address;
    uint32_t bits = 0;
    NARU_TRY(chip_.copy_out(&bits, at, 4));
    was = bits;
    bits ^= 1;
    return chip_.copy_in(at, &bits, 4);
  }
  uint32_t was = 0;

 private:
  int64_t layer_ = -1;
};

TEST(LockStep, ElementAndBothValuesAreSaid) {
  const auto cpu = test::make_chip("cpu");
  OneElement chip(*cpu);
  const std::vector<OpDifference> found = beside_reference(chip);
  ASSERT_EQ(found.size(), 1u);
  const OpDifference& one = found.front();
  EXPECT_EQ(one.place.number, 7 + 4);
  EXPECT_EQ(one.output, "out");
  EXPECT_EQ(one.operands, "[5, 16], [5, 16], [5, 16]");
  EXPECT_EQ(one.rows, 5);
  EXPECT_EQ(one.cols, 16);
  EXPECT_EQ(one.values.n, 1);
  EXPECT_EQ(one.values.row, 3);
  EXPECT_EQ(one.values.col, 7);
  EXPECT_EQ(one.values.against, chip.was);
  EXPECT_EQ(one.values.checked, chip.was ^ 1);
  EXPECT_GT(one.values.largest, 0);
  EXPECT_EQ(one.also, "");
  const std::string text = difference_text(one, "cpu", "reference");
  EXPECT_NE(text.find("pass 1, layer 1, silu_mul: 'out' [5, 16], row 3, column 7, is " +
                      value_text(DType::kF32, chip.was ^ 1) + " on cpu and " + value_text(DType::kF32, chip.was) +
                      " on reference; 1 of 80 values differ"),
            std::string::npos)
      << text;
}

// What cannot be compared shows in what reads it.
TEST(LockStep, AWrongCacheShowsInAttention) {
  const auto chip = faulty("lost@cache_write");
  const std::vector<OpDifference> found = beside_reference(*chip);
  EXPECT_EQ(places(found), (std::vector<std::string>{"pass 1, layer 0, attention", "pass 1, layer 1, attention"}));
  for (const OpDifference& each : found) EXPECT_EQ(each.also, "the rows of the cache that it reads");
}

// Packs something else.
class WrongPacking final : public contract::ForwardingChip {
 public:
  using ForwardingChip::ForwardingChip;
  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override {
    contract::MatrixSource other = source;
    other.row = [&source](int64_t group, int64_t output, std::byte* scratch) {
      return source.row(group, output == 3 ? 4 : output, scratch);
    };
    return chip_.pack(other, rule);
  }
};

TEST(LockStep, AWrongMatrixIsToldFromAWrongProduct) {
  const auto cpu = test::make_chip("cpu");
  WrongPacking chip(*cpu);
  const std::vector<OpDifference> found = beside_reference(chip);
  EXPECT_EQ(places(found), (std::vector<std::string>{"pass 1, layer 0, matmul", "pass 1, layer 1, matmul"}));
  for (const OpDifference& each : found) {
    EXPECT_TRUE(each.also.starts_with("the packed matrix that it reads: row 3, column 0 is ")) << each.also;
  }
  const auto product = faulty("narrow@matmul");
  for (const OpDifference& each : beside_reference(*product)) EXPECT_EQ(each.also, "");
}

// Refuses an op, or a rule; with an error of its own.
class Refusing final : public contract::ForwardingChip {
 public:
  Refusing(contract::Chip& chip, std::string_view op, Code code) : ForwardingChip(chip), op_(op), code_(code) {}
  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override {
    if (op_ == "packing") return error();
    return chip_.pack(source, rule);
  }
  Status run(const contract::Op& op) override {
    if (contract::op_name(op) == op_) return error();
    return chip_.run(op);
  }

 private:
  Error error() const { return {code_, "it is not done here"}; }
  std::string op_;
  Code code_;
};

TEST(LockStep, AnErrorOfTheCheckedChipAloneIsNamed) {
  const auto cpu = test::make_chip("cpu");
  for (const Code code : {Code::kUnsupported, Code::kInternal}) {
    Refusing chip(*cpu, "attention", code);
    const std::vector<OpDifference> found = beside_reference(chip);
    EXPECT_EQ(places(found), (std::vector<std::string>{"pass 1, layer 0, attention", "pass 1, layer 1, attention"}));
    EXPECT_EQ(found.front().error, "it is not done here");
    EXPECT_EQ(found.front().is_absent, code == Code::kUnsupported);
  }
  Refusing without_rule(*cpu, "packing", Code::kUnsupported);
  const std::vector<OpDifference> found = beside_reference(without_rule);
  EXPECT_EQ(places(found), (std::vector<std::string>{"pass 1, layer 0, matmul", "pass 1, layer 1, matmul"}));
  EXPECT_EQ(found.front().error, "a matrix that it takes could not be packed: it is not done here");
  EXPECT_TRUE(found.front().is_absent);
}

TEST(LockStep, AnErrorOfTheOtherChipIsTheCallers) {
  const auto cpu = test::make_chip("cpu"), inner = test::make_chip("reference");
  Refusing against(*inner, "silu_mul", Code::kOutOfRange);
  DifferenceLog log;
  const auto both = make_lock_step_chip(*cpu, against, log);
  const auto values = run_small(*both);
  ASSERT_FALSE(values.ok());
  EXPECT_EQ(values.error().code, Code::kOutOfRange);
  ASSERT_EQ(log.found().differences.size(), 1u);
  EXPECT_EQ(log.found().differences.front().error, "none, where chip reference says: it is not done here");
  // Both have it: there is nothing to name.
  Refusing checked(*cpu, "silu_mul", Code::kOutOfRange);
  DifferenceLog silent;
  const auto alike = make_lock_step_chip(checked, against, silent);
  EXPECT_FALSE(run_small(*alike).ok());
  EXPECT_TRUE(silent.found().differences.empty());
}

TEST(LockStep, ItStopsWhenAsked) {
  const auto cpu = test::make_chip("cpu"), reference = test::make_chip("reference");
  DifferenceLog log;
  log.stop();
  const auto both = make_lock_step_chip(*cpu, *reference, log);
  const auto values = run_small(*both);
  ASSERT_FALSE(values.ok());
  EXPECT_EQ(values.error().code, Code::kCancelled);
  EXPECT_EQ(log.n_ops(), 0);
}

TEST(LockStep, ItsMemoryIsThatOfBoth) {
  const auto distant = test::make_chip("distant"), reference = test::make_chip("reference");
  DifferenceLog log;
  const auto both = make_lock_step_chip(*distant, *reference, log);
  const contract::CacheShape shape{.heads = 2, .width = 24, .dtype = DType::kBF16, .use = contract::CacheUse::kKey};
  EXPECT_GE(both->cache_page_bytes(shape), distant->cache_page_bytes(shape));
  EXPECT_GE(both->cache_page_bytes(shape), reference->cache_page_bytes(shape));
  EXPECT_LE(both->memory().free, distant->memory().free);
  const auto host = make_lock_step_chip(*reference, *reference, log);
  EXPECT_LE(host->memory().free, reference->memory().free / 2 + (int64_t{1} << 26));
  const auto planner = both->planner();
  EXPECT_TRUE(planner->info().is_planner);
  EXPECT_EQ(planner->cache_page_bytes(shape), both->cache_page_bytes(shape));
}

TEST(OpValues, OneNaNIsAsGoodAsAnother) {
  const std::vector<uint32_t> a = {0x7fc00000, 0x3f800000}, b = {0xffc12345, 0x3f800000}, c = {0x7fc00000, 0x3f800001};
  EXPECT_FALSE(compare_values(DType::kF32, 2, a, b).has_value());
  EXPECT_TRUE(compare_values(DType::kI32, 2, a, b).has_value());
  EXPECT_EQ(compare_values(DType::kF32, 2, a, c)->col, 1);
  const std::vector<uint32_t> zero = {0}, minus_zero = {0x80000000}, infinite = {0x7f800000};
  EXPECT_EQ(compare_values(DType::kF32, 1, zero, minus_zero)->largest, 0);
  EXPECT_TRUE(std::isinf(compare_values(DType::kF32, 1, zero, infinite)->largest));
  EXPECT_EQ(value_text(DType::kF32, 0x3ec00000), "0x1.8p-2 = 0.375 (3ec00000)");
  EXPECT_EQ(value_text(DType::kI32, 0xffffffff), "-1");
}

}  // namespace
}  // namespace naru::check
