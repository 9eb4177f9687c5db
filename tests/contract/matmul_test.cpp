// Products and embeddings of the CPU chip against the reference chip: equal bits for every rule, level, number of
// threads and shape.

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/checked.h"
#include "base/float_bits.h"
#include "chips/reference/reference_chip.h"
#include "contract/scalar.h"
#include "tests/contract/cpu_chips.h"

namespace naru {
namespace {

using contract::Chip;
using contract::MatrixSource;
using contract::PackedMatrix;
using contract::Rule;
using test::staged_cpu_chips;
using test::NamedChip;

Chip& reference() {
  static test::StagingChip chip(reference::make_reference_chip());
  return chip;
}

enum class Numbers {
  kPlain,  // about 1
  kWide,   // every finite exponent, subnormals and zeros too
  kTiny,   // products and sums around the smallest normal
  kWild,   // any bits, NaN and infinity too
};

using Random = std::mt19937_64;

float random_float(Random& random, Numbers numbers) {
  const auto bits = static_cast<uint32_t>(random());
  switch (numbers) {
    case Numbers::kPlain: return static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-31f;
    case Numbers::kWide: {
      const float value = std::bit_cast<float>(bits);
      return std::isfinite(value) ? value : 0.0f;
    }
    case Numbers::kTiny: return std::bit_cast<float>((bits & 0x80ffffffu) | (56u + bits % 12u) << 23);
    case Numbers::kWild: return bits % 29 == 0 ? std::bit_cast<float>(0x7fc00000u) : std::bit_cast<float>(bits);
  }
  return 0;
}

uint16_t random_f16(Random& random, Numbers numbers) {
  const auto bits = static_cast<uint16_t>(random());
  if (numbers == Numbers::kWild) return bits;
  return static_cast<uint16_t>((bits & 0x83ffu) | (8u + bits % 8u) << 10);  // normal, 2^-7 to 2^0
}

// A matrix in stored form. The bytes are owned here, the source points at them.
struct Stored {
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  MatrixSource source;
};

// Random bytes make valid blocks of every quantised kind; only the f16 scales are chosen.
void fill_blocks(Stored& stored, DType dtype, Random& random, Numbers numbers) {
  const int64_t block_bytes = dtype_info(dtype).block_bytes;
  for (std::byte& byte : stored.bytes) byte = static_cast<std::byte>(random());
  const int64_t scale_at = dtype == DType::kQ6_K ? 208 : 0;
  const bool has_two = dtype == DType::kQ4_1 || dtype == DType::kQ5_1 || dtype == DType::kQ4_K || dtype == DType::kQ5_K;
  for (size_t at = 0; at < stored.bytes.size(); at += static_cast<size_t>(block_bytes)) {
    for (int i = 0; i < (has_two ? 2 : 1); ++i) {
      const uint16_t scale = random_f16(random, numbers);
      std::memcpy(stored.bytes.data() + at + static_cast<size_t>(scale_at + 2 * i), &scale, 2);
    }
  }
}

std::unique_ptr<Stored> make_stored(DType dtype, int64_t groups, int64_t outputs, int64_t inputs, uint64_t seed,
                                    Numbers numbers) {
  Random random(seed);
  auto stored = std::make_unique<Stored>();
  const int64_t row_bytes = *dtype_bytes(dtype, inputs);
  stored->bytes.resize(static_cast<size_t>(groups * outputs * row_bytes));
  if (is_quantised(dtype)) {
    fill_blocks(*stored, dtype, random, numbers);
  } else {
    const int64_t size = dtype_info(dtype).block_bytes;
    for (int64_t i = 0; i < groups * outputs * inputs; ++i) {
      const float value = random_float(random, numbers);
      uint32_t bits = std::bit_cast<uint32_t>(value);
      if (dtype == DType::kF16) bits = random_f16(random, numbers);
      if (dtype == DType::kBF16) bits >>= 16;
      if (dtype == DType::kI8) bits = static_cast<uint32_t>(random());
      std::memcpy(stored->bytes.data() + i * size, &bits, static_cast<size_t>(size));
    }
  }
  for (int64_t i = 0; i < groups * outputs && dtype == DType::kI8; ++i) {
    stored->scales.push_back(random_float(random, numbers));
  }
  const std::byte* data = stored->bytes.data();
  stored->source = {.dtype = dtype,
                    .groups = groups,
                    .outputs = outputs,
                    .inputs = inputs,
                    .row = [=](int64_t group, int64_t output, std::byte* scratch) -> const std::byte* {
                      const std::byte* row = data + (group * outputs + output) * row_bytes;
                      if (output % 2 == 0 || row_bytes == 0) return row;
                      std::memcpy(scratch, row, static_cast<size_t>(row_bytes));
                      return scratch;
                    },
                    .scales = stored->scales.empty() ? nullptr : stored->scales.data()};
  return stored;
}

// Rows of f32 a stride apart; the gaps hold a canary.
struct Rows {
  static constexpr float kCanary = 12345.0f;
  Rows(int64_t rows, int64_t cols, int64_t gap)
      : values(static_cast<size_t>(rows * (cols + gap)), kCanary),
        view{address_of(values.data()), DType::kF32, rows, cols, cols + gap} {}
  std::vector<float> values;
  View view;
};

void fill(Rows& x, uint64_t seed, Numbers numbers) {
  Random random(seed);
  for (int64_t r = 0; r < x.view.rows; ++r) {
    // Some rows of wild numbers are plain, so that not every output is NaN.
    const Numbers kind = numbers == Numbers::kWild && r % 3 != 0 ? Numbers::kPlain : numbers;
    for (int64_t c = 0; c < x.view.cols; ++c) f32(x.view, r)[c] = random_float(random, kind);
    if (r % 5 == 4) {  // below 2^-64 and mixed blocks
      for (int64_t c = 0; c < std::min<int64_t>(48, x.view.cols); ++c) f32(x.view, r)[c] *= 0x1p-70f;
    }
  }
}

::testing::AssertionResult same_bits(const Rows& got, const Rows& want) {
  for (size_t i = 0; i < want.values.size(); ++i) {
    const uint32_t g = contract::canonical_bits(got.values[i]), w = contract::canonical_bits(want.values[i]);
    if (g == w) continue;
    return ::testing::AssertionFailure() << "element " << i << " (row " << i / static_cast<size_t>(want.view.row_stride)
                                         << ", column " << i % static_cast<size_t>(want.view.row_stride)
                                         << "): " << std::hex << g << " for " << w;
  }
  return ::testing::AssertionSuccess();
}

struct Kind {
  DType stored;
  Rule rule;
};

std::string kind_name(const Kind& kind) {
  return std::string(rule_name(kind.rule)) + "_of_" + std::string(dtype_name(kind.stored));
}

constexpr Kind kKinds[] = {
    {DType::kF32, Rule::kF32},   {DType::kF16, Rule::kF32},   {DType::kBF16, Rule::kF32},  {DType::kF32, Rule::kBF16},
    {DType::kF16, Rule::kBF16},  {DType::kBF16, Rule::kBF16}, {DType::kI8, Rule::kW8A8},   {DType::kQ8_0, Rule::kQ8_0},
    {DType::kQ4_0, Rule::kQ4_0}, {DType::kQ4_1, Rule::kQ4_1}, {DType::kQ5_0, Rule::kQ5_0}, {DType::kQ5_1, Rule::kQ5_1},
    {DType::kQ4_K, Rule::kQ4_K}, {DType::kQ5_K, Rule::kQ5_K}, {DType::kQ6_K, Rule::kQ6_K},
};

class MatmulTest : public ::testing::TestWithParam<Kind> {};

struct Shape {
  int64_t inputs, outputs, rows;
};

std::unique_ptr<PackedMatrix> pack(Chip& chip, const Stored& stored, Rule rule) {
  auto packed = chip.pack(stored.source, rule);
  NARU_CHECK(packed.ok());
  NARU_CHECK((*packed)->bytes == chip.packed_bytes(stored.source.dtype, rule, stored.source.groups,
                                                   stored.source.outputs, stored.source.inputs));
  return std::move(*packed);
}

void run_matmul(Chip& chip, const Stored& stored, Rule rule, const Rows& x, const Rows* bias, Rows& out) {
  const auto packed = pack(chip, stored, rule);
  contract::Matmul op;
  op.x = x.view;
  op.targets[0] = {packed.get(), bias == nullptr ? View{} : bias->view, out.view};
  ASSERT_TRUE(chip.run(op).ok());
  ASSERT_TRUE(chip.wait().ok());
}

void expect_equal(const Kind& kind, const Shape& shape, Numbers numbers, uint64_t seed) {
  const int64_t inputs = round_up(shape.inputs, contract::rule_block(kind.rule));
  const auto stored = make_stored(kind.stored, 1, shape.outputs, inputs, seed, numbers);
  Rows x(shape.rows, inputs, seed % 2 == 0 ? 0 : 5), bias(1, shape.outputs, 0);
  fill(x, seed + 1, numbers);
  fill(bias, seed + 2, Numbers::kPlain);
  const Rows* used_bias = seed % 3 == 0 ? &bias : nullptr;
  Rows want(shape.rows, shape.outputs, 3);
  run_matmul(reference(), *stored, kind.rule, x, used_bias, want);
  for (const NamedChip& chip : staged_cpu_chips()) {
    Rows got(shape.rows, shape.outputs, 3);
    run_matmul(*chip.chip, *stored, kind.rule, x, used_bias, got);
    EXPECT_TRUE(same_bits(got, want)) << chip.name << " " << kind_name(kind) << " K " << inputs << " N "
                                      << shape.outputs << " T " << shape.rows << " numbers "
                                      << static_cast<int>(numbers);
  }
}

TEST_P(MatmulTest, OddShapes) {
  uint64_t seed = 100;
  for (const int64_t inputs : {0, 1, 31, 33, 64, 2047, 2048, 2049, 7168}) {
    for (const auto& [outputs, rows] : {std::pair<int64_t, int64_t>{1, 9}, {15, 2}, {16, 7}, {17, 1}, {33, 8}}) {
      expect_equal(GetParam(), {inputs, outputs, rows}, Numbers::kPlain, seed++);
    }
  }
  expect_equal(GetParam(), {2049, 100, 33}, Numbers::kPlain, seed++);
  expect_equal(GetParam(), {2049, 1100, 70}, Numbers::kPlain, seed++);  // several passes of panels over two segments
  expect_equal(GetParam(), {2048, 40, 300}, Numbers::kPlain, seed++);   // several groups of rows
  expect_equal(GetParam(), {320, 100, 47}, Numbers::kPlain, seed++);
  for (int64_t rows = 1; rows <= 34; ++rows) expect_equal(GetParam(), {40, 17, rows}, Numbers::kPlain, seed++);
}

TEST_P(MatmulTest, AllExponentsAndNotFinite) {
  uint64_t seed = 500;
  for (const Numbers numbers : {Numbers::kWide, Numbers::kTiny, Numbers::kWild}) {
    for (const int64_t inputs : {1, 33, 2049}) {
      for (const int64_t rows : {1, 3, 17}) expect_equal(GetParam(), {inputs, 50, rows}, numbers, seed++);
    }
  }
}

// Integer dots at their largest: all weights and activations at the ends of their ranges.
TEST_P(MatmulTest, LargestIntegers) {
  const Kind kind = GetParam();
  const int64_t inputs = 4096, outputs = 16, rows = 8;
  for (const int byte : {0x00, 0x80, 0x7f, 0xff}) {
    auto stored = make_stored(kind.stored, 1, outputs, inputs, 9, Numbers::kPlain);
    const std::vector<std::byte> scales = stored->bytes;
    if (!is_quantised(kind.stored)) std::fill(stored->bytes.begin(), stored->bytes.end(), std::byte(byte & 0x3f));
    if (kind.stored == DType::kI8) std::fill(stored->bytes.begin(), stored->bytes.end(), std::byte(byte));
    if (is_quantised(kind.stored)) {
      const int64_t block = dtype_info(kind.stored).block_bytes;
      for (size_t i = 0; i < stored->bytes.size(); ++i) {
        const auto at = static_cast<int64_t>(i) % block;
        const bool is_scale = kind.stored == DType::kQ6_K ? at >= 208 : at < 4;
        if (!is_scale || (kind.stored == DType::kQ8_0 && at >= 2)) stored->bytes[i] = std::byte(byte);
      }
    }
    Rows x(rows, inputs, 0), want(rows, outputs, 0);
    for (size_t i = 0; i < x.values.size(); ++i)
      x.values[i] = (i / static_cast<size_t>(inputs)) % 2 == 0 ? 3.0f : -3.0f;
    run_matmul(reference(), *stored, kind.rule, x, nullptr, want);
    for (const NamedChip& chip : staged_cpu_chips()) {
      Rows got(rows, outputs, 0);
      run_matmul(*chip.chip, *stored, kind.rule, x, nullptr, got);
      EXPECT_TRUE(same_bits(got, want)) << chip.name << " " << kind_name(kind) << " byte " << byte;
    }
  }
}

TEST_P(MatmulTest, GroupedByExpertAndByHead) {
  const Kind kind = GetParam();
  const int64_t inputs = round_up(96, contract::rule_block(kind.rule)), outputs = 37, groups = 5;
  const auto stored = make_stored(kind.stored, groups, outputs, inputs, 77, Numbers::kPlain);
  for (const int64_t tokens : {1, 7, 40}) {
    for (const int64_t share : {1, 3}) {
      // Experts: group 2 stays empty, group 0 gets the most. Heads: no groups named.
      for (const bool is_heads : {false, true}) {
        Rows x(tokens, inputs, 4);
        fill(x, static_cast<uint64_t>(tokens), Numbers::kPlain);
        const int64_t slots = tokens * share;
        std::vector<int32_t> chosen(static_cast<size_t>(slots));
        for (size_t i = 0; i < chosen.size(); ++i) {
          constexpr int32_t kExperts[] = {0, 3, 0, 1, 4, 0, 1};
          chosen[i] = kExperts[i % 7];
        }
        const View groups_view = is_heads ? View{} : test::host_view(chosen.data(), DType::kI32, slots, 1);
        const auto run = [&](Chip& chip, Rows& out) {
          const auto packed = pack(chip, *stored, kind.rule);
          ASSERT_TRUE(chip.run(contract::GroupedMatmul{x.view, groups_view, share, {{packed.get(), out.view}}}).ok());
        };
        Rows want(slots, outputs, 2);
        run(reference(), want);
        for (const NamedChip& chip : staged_cpu_chips()) {
          Rows got(slots, outputs, 2);
          run(*chip.chip, got);
          EXPECT_TRUE(same_bits(got, want)) << chip.name << " " << kind_name(kind) << " tokens " << tokens << " share "
                                            << share << " heads " << is_heads;
        }
      }
    }
  }
}

// Two targets give what each gives alone, of one kind and of two.
TEST_P(MatmulTest, GroupedTargetsShareTheirRows) {
  const Kind kind = GetParam();
  const int64_t inputs = round_up(96, contract::rule_block(kind.rule)), groups = 5, share = 3;
  const auto first = make_stored(kind.stored, groups, 37, inputs, 78, Numbers::kPlain);
  for (const Kind other : {kind, Kind{DType::kF32, Rule::kBF16}, Kind{DType::kF32, Rule::kF32}}) {
    const auto second = make_stored(other.stored, groups, 52, inputs, 79, Numbers::kPlain);
    for (const int64_t tokens : {1, 7, 40}) {
      Rows x(tokens, inputs, 4);
      fill(x, static_cast<uint64_t>(tokens), Numbers::kPlain);
      const int64_t slots = tokens * share;
      std::vector<int32_t> chosen(static_cast<size_t>(slots));
      for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = static_cast<int32_t>(i % 7 == 0 ? 3 : i % 2);
      const View groups_view = test::host_view(chosen.data(), DType::kI32, slots, 1);
      Rows want_first(slots, 37, 2), want_second(slots, 52, 2);
      for (const auto& [stored, rule, out] :
           {std::tuple{first.get(), kind.rule, &want_first}, std::tuple{second.get(), other.rule, &want_second}}) {
        const auto packed = pack(reference(), *stored, rule);
        const contract::GroupedMatmul op{x.view, groups_view, share, {{packed.get(), out->view}}};
        ASSERT_TRUE(reference().run(op).ok());
      }
      const auto expect_both = [&](Chip& chip, const std::string& name) {
        const auto a = pack(chip, *first, kind.rule), b = pack(chip, *second, other.rule);
        Rows got_first(slots, 37, 2), got_second(slots, 52, 2);
        ASSERT_TRUE(
            chip.run(contract::GroupedMatmul{
                         x.view, groups_view, share, {{a.get(), got_first.view}, {b.get(), got_second.view}}, 2})
                .ok());
        EXPECT_TRUE(same_bits(got_first, want_first)) << name << " " << kind_name(kind) << " tokens " << tokens;
        EXPECT_TRUE(same_bits(got_second, want_second)) << name << " " << kind_name(other) << " tokens " << tokens;
      };
      expect_both(reference(), "reference");
      for (const NamedChip& chip : staged_cpu_chips()) expect_both(*chip.chip, chip.name);
    }
  }
}

TEST_P(MatmulTest, EmbeddingsAreTheStoredValues) {
  const Kind kind = GetParam();
  for (const Numbers numbers : {Numbers::kPlain, Numbers::kWild}) {
    const int64_t inputs =
        round_up(70, contract::rule_block(kind.rule)) + (contract::is_block_rule(kind.rule) ? 256 : 0);
    const auto stored = make_stored(kind.stored, 1, 21, inputs, 5, numbers);
    int32_t ids[] = {20, 0, 3, 16, 15};
    const auto run = [&](Chip& chip, Rows& out) {
      const auto packed = pack(chip, *stored, kind.rule);
      ASSERT_TRUE(chip.run(contract::Embed{test::host_view(ids, DType::kI32, 5, 1), packed.get(), out.view}).ok());
    };
    Rows want(5, inputs, 1);
    run(reference(), want);
    for (const NamedChip& chip : staged_cpu_chips()) {
      Rows got(5, inputs, 1);
      run(*chip.chip, got);
      EXPECT_TRUE(same_bits(got, want)) << chip.name << " " << kind_name(kind);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllKinds, MatmulTest, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return kind_name(kind.param); });

// Three targets of three kinds share x; two of them share its form.
TEST(MatmulTargets, MixedKindsShareTheRows) {
  const int64_t inputs = 512, rows = 11;
  const auto first = make_stored(DType::kQ4_K, 1, 40, inputs, 1, Numbers::kPlain);
  const auto second = make_stored(DType::kQ4_K, 1, 16, inputs, 2, Numbers::kPlain);
  const auto third = make_stored(DType::kQ6_K, 1, 7, inputs, 3, Numbers::kPlain);
  Rows x(rows, inputs, 0);
  fill(x, 4, Numbers::kPlain);
  const auto run = [&](Chip& chip, Rows& a, Rows& b, Rows& c) {
    const auto p = pack(chip, *first, Rule::kQ4_K), q = pack(chip, *second, Rule::kQ4_K),
               r = pack(chip, *third, Rule::kQ6_K);
    contract::Matmul op{
        .x = x.view, .targets = {{p.get(), {}, a.view}, {q.get(), {}, b.view}, {r.get(), {}, c.view}}, .n_targets = 3};
    ASSERT_TRUE(chip.run(op).ok());
  };
  Rows want_a(rows, 40, 0), want_b(rows, 16, 0), want_c(rows, 7, 0);
  run(reference(), want_a, want_b, want_c);
  for (const NamedChip& chip : staged_cpu_chips()) {
    Rows a(rows, 40, 0), b(rows, 16, 0), c(rows, 7, 0);
    run(*chip.chip, a, b, c);
    EXPECT_TRUE(same_bits(a, want_a) && same_bits(b, want_b) && same_bits(c, want_c)) << chip.name;
  }
}

// The vectors of docs/arithmetic.md section 1, through a product of two inputs.
TEST(MatmulEdges, RoundsBeforeItFlushes) {
  const float weights[] = {0x1p-126f, 0x1.8p-75f, 0x1p-126f, 0x1p-75f};
  Stored stored;
  stored.bytes.resize(sizeof(weights));
  std::memcpy(stored.bytes.data(), weights, sizeof(weights));
  stored.source = {
      .dtype = DType::kF32, .groups = 1, .outputs = 2, .inputs = 2, .row = [&](int64_t, int64_t output, std::byte*) {
        return stored.bytes.data() + 8 * output;
      }};
  Rows x(1, 2, 0);
  x.values = {1.0f, -0x1p-76f};
  x.view.address = address_of(x.values.data());
  for (const NamedChip& chip : staged_cpu_chips()) {
    Rows out(1, 2, 0);
    run_matmul(*chip.chip, stored, Rule::kF32, x, nullptr, out);
    EXPECT_EQ(std::bit_cast<uint32_t>(out.values[0]), 0u) << chip.name;
    EXPECT_EQ(out.values[1], 0x1p-126f) << chip.name;
  }
}

TEST(MatmulPacking, QuantisedKindsKeepTheirSize) {
  for (const Kind& kind : kKinds) {
    if (!is_quantised(kind.stored)) continue;
    const int64_t stored = 4096 * *dtype_bytes(kind.stored, 2048);
    for (const NamedChip& chip : staged_cpu_chips()) {
      EXPECT_LE(static_cast<double>(chip.chip->packed_bytes(kind.stored, kind.rule, 1, 4096, 2048)),
                1.05 * static_cast<double>(stored))
          << chip.name << " " << kind_name(kind);
    }
  }
}

TEST(MatmulPacking, W8A8RefusesSumsThatOverflow) {
  const auto stored = make_stored(DType::kI8, 1, 1, 131073, 1, Numbers::kPlain);
  for (const NamedChip& chip : staged_cpu_chips()) {
    const auto packed = chip.chip->pack(stored->source, Rule::kW8A8);
    ASSERT_FALSE(packed.ok());
    EXPECT_EQ(packed.error().code, Code::kUnsupported);
  }
}

TEST(MatmulPacking, W8A8LongestSum) {
  const int64_t inputs = 131072;
  auto stored = make_stored(DType::kI8, 1, 2, inputs, 1, Numbers::kPlain);
  std::fill(stored->bytes.begin(), stored->bytes.begin() + inputs, std::byte(0x80));
  std::fill(stored->bytes.begin() + inputs, stored->bytes.end(), std::byte(0x7f));
  Rows x(9, inputs, 0), want(9, 2, 0);
  for (size_t i = 0; i < x.values.size(); ++i) x.values[i] = i < static_cast<size_t>(inputs) ? 1.0f : -1.0f;
  run_matmul(reference(), *stored, Rule::kW8A8, x, nullptr, want);
  for (const NamedChip& chip : staged_cpu_chips()) {
    Rows got(9, 2, 0);
    run_matmul(*chip.chip, *stored, Rule::kW8A8, x, nullptr, got);
    EXPECT_TRUE(same_bits(got, want)) << chip.name;
  }
}

}  // namespace
}  // namespace naru
