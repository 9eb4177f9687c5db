// A run of a few ops in two layers, as a model's looks from a chip: with ops in place, one that adds to its output, a
// cache and a packed matrix, and outputs with gaps between their rows.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <numeric>

#include "check/faulty_chip.h"
#include "check/lock_step_chip.h"
#include "tests/chip_memory.h"
#include "tests/test_chip.h"

namespace naru::check {

inline constexpr int64_t kSmallRows = 5, kSmallCols = 16;
inline constexpr int64_t kSmallOps = 2 * 7 + 1;

inline std::vector<float> small_values(int64_t n, float scale) {
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i)] = scale * static_cast<float>((i * 37) % 101 - 50);
  return values;
}

inline contract::MatrixSource small_matrix(const std::vector<float>& values) {
  contract::MatrixSource source;
  source.outputs = source.inputs = kSmallCols;
  source.row = [&values](int64_t, int64_t output, std::byte*) {
    return reinterpret_cast<const std::byte*>(values.data() + output * kSmallCols);
  };
  return source;
}

// Chip errors come back; `x` is what stands in the residual stream at the end.
inline Result<std::vector<float>> run_small(contract::Chip& chip) {
  using namespace contract;
  const std::vector<float> weights = small_values(kSmallCols * kSmallCols, 0.01f), ones(kSmallCols, 1.5f);
  const std::vector<float> start = small_values(kSmallRows * kSmallCols, 0.3f);
  const test::ChipRows x = test::rows_on(chip, start.data(), DType::kF32, kSmallRows, kSmallCols);
  const test::ChipRows norm = test::rows_on(chip, ones.data(), DType::kF32, 1, kSmallCols);
  const test::ChipRows sum = test::rows_on(chip, ones.data(), DType::kF32, 1, kSmallCols);
  NARU_ASSIGN(const auto wide, chip.allocate(kSmallRows * 3 * kSmallCols * 4));
  const View both = make_view(wide->address(), DType::kF32, kSmallRows, 3 * kSmallCols);
  const View h = both.slice_cols(0, kSmallCols), y = both.slice_cols(kSmallCols, kSmallCols);
  NARU_ASSIGN(const auto matrix, chip.pack(small_matrix(weights), Rule::kF32));
  CacheStream stream;
  stream.shape = {.heads = 1, .width = kSmallCols, .dtype = DType::kF32, .use = CacheUse::kKeyAndValue};
  stream.page_bytes = chip.cache_page_bytes(stream.shape);
  NARU_ASSIGN(const auto cache, chip.allocate(stream.page_bytes));
  stream.address = cache->address();
  const std::array<int32_t, 1> pages = {0};
  const SequenceRows rows{.row_begin = 0, .n_rows = kSmallRows, .position_begin = 0, .pages = pages.data()};
  NARU_ASSIGN(const auto sequences, chip.make_sequences({&rows, 1}));
  for (int64_t layer = 0; layer < 2; ++layer) {
    chip.set_place({.what = "layer", .number = layer});
    NARU_TRY(chip.run(RmsNorm{.x = x.view, .weight = norm.view, .eps = 1e-6f, .out = h}));
    NARU_TRY(chip.run(Matmul{.x = h, .targets = {{matrix.get(), {}, y}}, .n_targets = 1}));
    NARU_TRY(chip.run(CacheWrite{.x = y, .stream = stream, .column = 0, .sequences = *sequences}));
    NARU_TRY(chip.run(Attention{
        .q = h, .key = stream, .value = stream, .heads = 1, .scale = 0.25f, .sequences = *sequences, .out = y}));
    NARU_TRY(chip.run(SiluMul{.gate = y, .up = h, .out = y}));
    NARU_TRY(chip.run(Add{.a = x.view, .b = y, .out = x.view}));
    NARU_TRY(chip.run(ColumnSum{.x = x.view, .out = sum.view}));
  }
  chip.set_place({});
  NARU_TRY(chip.run(Axpby{.x = x.view, .y = {}, .a = 0.5f, .b = 0, .out = x.view}));
  return test::floats_of(chip, x.view);
}

inline std::unique_ptr<contract::Chip> faulty(std::string_view fault, std::unique_ptr<contract::Chip> inner) {
  return std::make_unique<FaultyChip>(std::move(inner), parse_fault(fault).value());
}
inline std::unique_ptr<contract::Chip> faulty(std::string_view fault) {
  return faulty(fault, test::make_chip("distant"));
}

inline std::vector<std::string> places(const std::vector<OpDifference>& differences) {
  std::vector<std::string> texts;
  for (const OpDifference& each : differences) texts.push_back(place_text(each.place));
  return texts;
}

// What is found of a chip beside the reference.
inline std::vector<OpDifference> beside_reference(contract::Chip& checked) {
  const auto reference = test::make_chip("reference");
  DifferenceLog log;
  const auto both = make_lock_step_chip(checked, *reference, log);
  const auto values = run_small(*both);
  EXPECT_TRUE(values.ok()) << (values.ok() ? "" : values.error().message);
  EXPECT_EQ(log.n_ops(), kSmallOps);
  return log.found().differences;
}

}  // namespace naru::check
