// Products with packed matrices: what the cases of src/check/ cannot say in dimensions. Integers at the ends of their
// ranges, targets that share their rows, the edge vectors of docs/arithmetic.md, the size of packed matrices.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "check/kinds.h"
#include "tests/contract/case_rig.h"

namespace naru {
namespace {

using check::Program;
using check::StoredKind;
using contract::Rule;

class MatmulTest : public ::testing::TestWithParam<StoredKind> {};

// Integer dots at their largest: all weights and activations at the ends of their ranges.
TEST_P(MatmulTest, LargestIntegers) {
  const StoredKind kind = GetParam();
  constexpr int64_t kInputs = 4096, kOutputs = 16, kRows = 8;
  for (const int byte : {0x00, 0x80, 0x7f, 0xff}) {
    Program p({});
    std::vector<std::byte> rows = check::stored_rows(kind.stored, 9, 1, kOutputs, kInputs, check::Values::kPlain);
    const int64_t block = dtype_info(kind.stored).block_bytes;
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto at = static_cast<int64_t>(i) % block;
      const bool is_scale =
          kind.stored == DType::kQ6_K ? at >= 208 : at < 4 && !(kind.stored == DType::kQ8_0 && at >= 2);
      if (!is_quantised(kind.stored)) {
        rows[i] = std::byte(kind.stored == DType::kI8 ? byte : byte & 0x3f);
      } else if (!is_scale) {
        rows[i] = std::byte(byte);
      }
    }
    std::vector<float> scales;
    if (kind.rule == Rule::kW8A8) scales = check::drawn_floats(9, 2, kOutputs, check::Values::kPlain);
    std::vector<float> values;
    for (int64_t i = 0; i < kRows * kInputs; ++i) values.push_back(i / kInputs % 2 == 0 ? 3.0f : -3.0f);
    const View x = p.floats(values, kRows, kInputs);
    contract::Matmul op{.x = x, .targets = {}, .n_targets = 1};
    op.targets[0] = {
        p.matrix(kind.stored, kind.rule, 1, kOutputs, kInputs, rows, scales), {}, p.output("out", kRows, kOutputs)};
    p.run(op);
    test::expect_equal(std::string(kind.name) + " of bytes " + std::to_string(byte), p);
  }
}

// Two targets give what each gives alone, of one kind and of two.
TEST_P(MatmulTest, GroupedTargetsShareTheirRows) {
  const std::string kind(GetParam().name);
  const int64_t inputs = round_up(96, contract::rule_block(GetParam().rule));
  const auto first_of = [&](const char* targets) {
    const Program p = check::build(check::make_case(
        "grouped_matmul", kind + "/experts/" + targets,
        {{"rows", {40}}, {"inputs", {inputs}}, {"outputs", {37}}, {"groups", {5}}, {"rows_share", {3}}}));
    return output_values(p, test::reference_outcome(p), 0);
  };
  const std::vector<float> alone = first_of("one");
  for (const char* targets : {"two_alike", "two_with_f32", "two_with_bf16"}) {
    EXPECT_EQ(first_of(targets), alone) << kind << " " << targets;
  }
}

INSTANTIATE_TEST_SUITE_P(AllKinds, MatmulTest, ::testing::ValuesIn(check::kStoredKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

// Three targets of three kinds share x; two of them share its form.
TEST(MatmulTargets, MixedKindsShareTheRows) {
  constexpr int64_t kInputs = 512, kRows = 11;
  Program p({});
  const View x = p.drawn(1, kRows, kInputs);
  contract::Matmul op{.x = x, .targets = {}, .n_targets = 3};
  op.targets[0] = {p.matrix(DType::kQ4_K, Rule::kQ4_K, 2, 1, 40, kInputs), {}, p.output("first", kRows, 40)};
  op.targets[1] = {p.matrix(DType::kQ4_K, Rule::kQ4_K, 3, 1, 16, kInputs), {}, p.output("second", kRows, 16)};
  op.targets[2] = {p.matrix(DType::kQ6_K, Rule::kQ6_K, 4, 1, 7, kInputs), {}, p.output("third", kRows, 7)};
  p.run(op);
  test::expect_equal("three kinds", p);
}

// The vectors of docs/arithmetic.md section 1, through a product of two inputs.
TEST(MatmulEdges, RoundsBeforeItFlushes) {
  const float weights[] = {0x1p-126f, 0x1.8p-75f, 0x1p-126f, 0x1p-75f};
  Program p({});
  std::vector<std::byte> rows(sizeof(weights));
  std::memcpy(rows.data(), weights, sizeof(weights));
  const View x = p.floats(std::vector<float>{1.0f, -0x1p-76f}, 1, 2);
  contract::Matmul op{.x = x, .targets = {}, .n_targets = 1};
  op.targets[0] = {p.matrix(DType::kF32, Rule::kF32, 1, 2, 2, rows, {}), {}, p.output("out", 1, 2)};
  p.run(op);
  const check::Outcome outcome = test::expect_equal("edges", p);
  EXPECT_EQ(output_values(p, outcome, 0), (std::vector<float>{0.0f, 0x1p-126f}));
  EXPECT_FALSE(std::signbit(output_values(p, outcome, 0)[0]));
}

// A chain that ends at -0 (a negative sum that flushes in the second block of 32 inputs) gives +0 everywhere: in whole
// panels and in a part of one, in blocks of many rows and in the last ones, in rows that a thread has for itself.
TEST(MatmulEdges, AFlushedSumIsPlusZero) {
  constexpr int64_t kRows = 301, kInputs = 64, kOutputs = 40;
  std::vector<float> values(kRows * kInputs, 0.0f), weights(kOutputs * kInputs, 0.0f);
  for (int64_t row = 0; row < kRows; ++row) {
    values[static_cast<size_t>(row * kInputs)] = -0x1.8p-63f;
    values[static_cast<size_t>(row * kInputs + 32)] = 0x1.4p-63f;
  }
  for (int64_t output = 0; output < kOutputs; ++output) {
    weights[static_cast<size_t>(output * kInputs)] = weights[static_cast<size_t>(output * kInputs + 32)] = 0x1p-63f;
  }
  for (const Rule rule : {Rule::kF32, Rule::kBF16}) {
    Program p({});
    std::vector<std::byte> rows(weights.size() * sizeof(float));
    std::memcpy(rows.data(), weights.data(), rows.size());
    contract::Matmul op{.x = p.floats(values, kRows, kInputs), .targets = {}, .n_targets = 1};
    op.targets[0] = {p.matrix(DType::kF32, rule, 1, kOutputs, kInputs, rows, {}), {}, p.output("out", kRows, kOutputs)};
    p.run(op);
    const check::Outcome outcome = test::expect_equal("flushed", p);
    for (const float value : output_values(p, outcome, 0)) {
      ASSERT_EQ(std::bit_cast<uint32_t>(value), 0u) << static_cast<int>(rule);
    }
  }
}

TEST(MatmulPacking, QuantisedKindsKeepTheirSize) {
  for (const StoredKind& kind : check::kStoredKinds) {
    if (!is_quantised(kind.stored)) continue;
    const int64_t stored = 4096 * *dtype_bytes(kind.stored, 2048);
    for (const test::NamedChip& chip : test::cpu_chips()) {
      EXPECT_LE(static_cast<double>(chip.chip->packed_bytes(kind.stored, kind.rule, 1, 4096, 2048)),
                1.05 * static_cast<double>(stored))
          << chip.name << " " << kind.name;
    }
  }
}

TEST(MatmulPacking, W8A8RefusesSumsThatOverflow) {
  Program p({});
  p.matrix(DType::kI8, Rule::kW8A8, 1, 1, 1, 131073);
  for (const test::NamedChip& chip : test::cpu_chips()) {
    const auto packed = chip.chip->pack(p.matrices()[0]->source(), Rule::kW8A8);
    ASSERT_FALSE(packed.ok());
    EXPECT_EQ(packed.error().code, Code::kUnsupported);
  }
}

TEST(MatmulPacking, W8A8LongestSum) {
  constexpr int64_t kInputs = 131072, kRows = 9;
  Program p({});
  std::vector<std::byte> rows(2 * kInputs, std::byte(0x80));
  std::fill(rows.begin() + kInputs, rows.end(), std::byte(0x7f));
  std::vector<float> values(kRows * kInputs, -1.0f);
  std::fill_n(values.begin(), kInputs, 1.0f);
  const View x = p.floats(values, kRows, kInputs);
  contract::Matmul op{.x = x, .targets = {}, .n_targets = 1};
  op.targets[0] = {
      p.matrix(DType::kI8, Rule::kW8A8, 1, 2, kInputs, rows, {0.7f, -0.3f}), {}, p.output("out", kRows, 2)};
  p.run(op);
  test::expect_equal("the longest sum", p);
}

}  // namespace
}  // namespace naru
