// The products of training: what pack makes is what packing anew makes, and the reference chip against sums in double.
// The bits of all chips are cases of src/check/.
#include "base/float_bits.h"
#include "chips/cpu/packed.h"
#include "tests/contract/row_rig.h"

namespace naru::row_tests {
namespace {

using contract::Pack;
using contract::Rule;
using contract::WeightGrad;
using ProductOp = contract::Product;

constexpr Rule kRules[] = {Rule::kF32, Rule::kBF16};
constexpr Values kValues[] = {Values::kPlain, Values::kWide, Values::kLow, Values::kNotFinite};

void check_kept_bits(contract::Chip& chip, const std::string& name) {
  Rows dy(2, 1), x(2, 1), groups(2, 1), out(2, 1);
  for (int64_t i = 0; i < 2; ++i) *dy.row(i) = 1, *x.row(i) = 0, *groups.row_i32(i) = 1, *out.row(i) = -0.0f;
  const std::vector<View> views = {out.view().slice_rows(0, 1), out.view().slice_rows(1, 1)};
  const WeightGrad op{.dy = dy.view(), .x = x.view(), .groups = groups.view_i32(), .out = views};
  ASSERT_TRUE(chip.run(op).ok());
  EXPECT_EQ(std::bit_cast<uint32_t>(*out.row(0)), 0x80000000u) << name;
  EXPECT_EQ(std::bit_cast<uint32_t>(*out.row(1)), 0u) << name;
}

TEST(WeightGradTest, GroupsWithoutSlotsKeepTheirBits) {
  check_kept_bits(reference_chip(), "reference");
  for (const NamedChip& named : staged_cpu_chips()) check_kept_bits(*named.chip, named.name);
}

// ---- pack ----

struct Packed {
  std::vector<float> values;  // [groups][outputs][inputs]
  int64_t groups, outputs, inputs;

  contract::MatrixSource source(const std::vector<float>& from) const {
    return {.dtype = DType::kF32,
            .groups = groups,
            .outputs = outputs,
            .inputs = inputs,
            .row = [this, &from](int64_t group, int64_t output, std::byte*) {
              return reinterpret_cast<const std::byte*>(from.data() + (group * outputs + output) * inputs);
            }};
  }
};

std::unique_ptr<contract::PackedMatrix> pack(contract::Chip& chip, const contract::MatrixSource& source, Rule rule) {
  auto matrix = chip.pack(source, rule);
  NARU_CHECK(matrix.ok());
  return std::move(*matrix);
}

// What a matrix holds: its product with rows of values, by group. NaN weights stay visible.
Rows use(contract::Chip& chip, const contract::PackedMatrix& matrix, Filler filler) {
  Rows x(12 * matrix.groups, matrix.inputs, filler, Values::kPlain), out(12 * matrix.groups, matrix.outputs);
  NARU_CHECK(chip.run(contract::GroupedMatmul{.x = x.view(), .groups = {}, .targets = {{&matrix, out.view()}}}).ok());
  return out;
}

// Memory of the CPU chip's matrices is compared byte for byte; of other chips, through a product.
void check_pack(const Packed& p, Rule rule, bool is_transposed, bool is_rounded_first, contract::Chip& chip,
                const std::string& name) {
  std::vector<Rows> views;
  std::vector<View> groups;
  std::vector<float> wanted = p.values;
  for (int64_t g = 0; g < p.groups; ++g) {
    const int64_t rows = is_transposed ? p.inputs : p.outputs, cols = is_transposed ? p.outputs : p.inputs;
    Rows view(rows, cols);
    for (int64_t o = 0; o < p.outputs; ++o) {
      for (int64_t k = 0; k < p.inputs; ++k) {
        const float value = p.values[static_cast<size_t>((g * p.outputs + o) * p.inputs + k)];
        (is_transposed ? view.row(k)[o] : view.row(o)[k]) = value;
      }
    }
    views.push_back(view);
  }
  for (Rows& view : views) groups.push_back(view.view());
  if (is_rounded_first) {
    for (float& value : wanted) value = round_to_bf16(value);
  }
  // A matrix of other values first: all of them must be replaced.
  const std::vector<float> ones(p.values.size(), 1.0f);
  const auto got = pack(chip, p.source(ones), rule), want = pack(chip, p.source(wanted), rule);
  ASSERT_TRUE(
      chip
          .run(Pack{
              .groups = groups, .is_transposed = is_transposed, .is_rounded_first = is_rounded_first, .out = got.get()})
          .ok());
  const std::string what = name + " " + std::string(contract::rule_name(rule)) + " " + std::to_string(p.groups) +
                           " x " + std::to_string(p.outputs) + " x " + std::to_string(p.inputs) +
                           (is_transposed ? " transposed" : "") + (is_rounded_first ? " rounded" : "");
  if (const auto* cpu_want = dynamic_cast<const cpu::CpuMatrix*>(want.get())) {
    const auto& cpu_got = static_cast<const cpu::CpuMatrix&>(*got);
    ASSERT_EQ(cpu_got.memory.bytes(), cpu_want->memory.bytes()) << what;
    ASSERT_EQ(cpu_got.bytes, cpu_want->bytes) << what;
    if (cpu_want->bytes > 0) {
      ASSERT_EQ(std::memcmp(cpu_got.memory.data(), cpu_want->memory.data(), static_cast<size_t>(cpu_want->bytes)), 0)
          << what;
    }
    return;
  }
  Rows a = use(chip, *got, Filler(3)), b = use(chip, *want, Filler(3));
  ASSERT_EQ(difference(a, b), "") << what;
}

TEST(PackTest, EqualsPackingAnew) {
  struct Shape {
    int64_t groups, outputs, inputs;
  };
  constexpr Shape kShapes[] = {{1, 1, 1},   {1, 16, 16}, {1, 17, 33},   {3, 15, 31},  {2, 100, 70},
                               {1, 64, 64}, {1, 5, 600}, {1, 70, 1100}, {2, 32, 512}, {1, 40, 0}};
  uint64_t seed = 900;
  for (const Shape& shape : kShapes) {
    for (const Values values : kValues) {
      Packed p{.values = {}, .groups = shape.groups, .outputs = shape.outputs, .inputs = shape.inputs};
      Filler filler(++seed);
      for (int64_t i = 0; i < p.groups * p.outputs * p.inputs; ++i) p.values.push_back(filler.value(values));
      for (const Rule rule : kRules) {
        for (const int flags : {0, 1, 2, 3}) {
          check_pack(p, rule, (flags & 1) != 0, (flags & 2) != 0, reference_chip(), "reference");
          for (const NamedChip& named : staged_cpu_chips()) {
            check_pack(p, rule, (flags & 1) != 0, (flags & 2) != 0, *named.chip, named.name);
          }
        }
      }
    }
  }
}

// ---- the reference chip against double ----

TEST(ReferenceProducts, AreCloseToDouble) {
  constexpr int64_t kSlots = 4500, kOutputs = 3, kInputs = 4, kShare = 2;
  for (const Rule rule : kRules) {
    Filler filler(1000);
    Rows dy(kSlots, kOutputs, filler, Values::kPlain), x(kSlots / kShare, kInputs, filler, Values::kPlain);
    Rows groups(kSlots, 1), out(2 * kOutputs, kInputs, filler, Values::kPlain);
    const Rows start = out;
    for (int64_t i = 0; i < kSlots; ++i) *groups.row_i32(i) = i % 3 == 0 ? 1 : 0;
    const std::vector<View> views = {out.view().slice_rows(0, kOutputs), out.view().slice_rows(kOutputs, kOutputs)};
    ASSERT_TRUE(reference_chip()
                    .run(WeightGrad{.dy = dy.view(),
                                    .x = x.view(),
                                    .groups = groups.view_i32(),
                                    .rows_share = kShare,
                                    .rule = rule,
                                    .out = views})
                    .ok());
    const auto operand = [&](float value) {
      return static_cast<double>(rule == Rule::kBF16 ? round_to_bf16(value) : value);
    };
    for (int64_t row = 0; row < 2 * kOutputs; ++row) {
      for (int64_t k = 0; k < kInputs; ++k) {
        double sum = static_cast<double>(start.row(row)[k]), size = std::fabs(sum);
        for (int64_t i = 0; i < kSlots; ++i) {
          if ((i % 3 == 0 ? 1 : 0) != row / kOutputs) continue;
          const double product = operand(dy.row(i)[row % kOutputs]) * operand(x.row(i / kShare)[k]);
          sum += product;
          size += std::fabs(product);
        }
        // At most 2048 roundings of a chain, two of the tree and the addition, each of at most 2^-24 of the sum of
        // magnitudes.
        EXPECT_NEAR(out.row(row)[k], sum, size * 2060 * 0x1p-24) << rule_name(rule) << " " << row << " " << k;
        EXPECT_NEAR(out.row(row)[k], sum, 1e-3) << rule_name(rule) << " " << row << " " << k;
      }
    }
  }
}

TEST(ReferenceProducts, TransposedOperandsAreTheSameProduct) {
  Filler filler(1100);
  Rows a(5, 40, filler, Values::kPlain), b(6, 40, filler, Values::kPlain), at(40, 5), bt(40, 6);
  for (int64_t k = 0; k < 40; ++k) {
    for (int64_t i = 0; i < 5; ++i) at.row(k)[i] = a.row(i)[k];
    for (int64_t j = 0; j < 6; ++j) bt.row(k)[j] = b.row(j)[k];
  }
  Rows plain(5, 6), turned(5, 6);
  ASSERT_TRUE(reference_chip().run(ProductOp{.a = a.view(), .b = b.view(), .out = plain.view()}).ok());
  ASSERT_TRUE(reference_chip()
                  .run(ProductOp{
                      .a = at.view(), .b = bt.view(), .a_transposed = true, .b_transposed = true, .out = turned.view()})
                  .ok());
  EXPECT_EQ(difference(plain, turned), "");
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t j = 0; j < 6; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < 40; ++k) sum += static_cast<double>(a.row(i)[k]) * static_cast<double>(b.row(j)[k]);
      EXPECT_NEAR(plain.row(i)[j], sum, 1e-4);
    }
  }
}

}  // namespace
}  // namespace naru::row_tests
