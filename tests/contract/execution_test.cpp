// The execution half of the contract (contract/chip.h), on every chip: order, what the caller may do when a call
// returned, how errors of queued ops come and which rows they name, memory.
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "chips/distant/distant_chip.h"
#include "chips/reference/reference_chip.h"
#include "tests/chip_memory.h"
#include "tests/contract/cpu_chips.h"

namespace naru {
namespace {

using contract::Chip;
using test::check;
using test::floats_of;
using test::rows_on;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// All of the registry, and the forms of the distant chip.
std::vector<std::pair<std::string, std::unique_ptr<Chip>>> all_chips() {
  std::vector<std::pair<std::string, std::unique_ptr<Chip>>> all;
  for (const chips::ChipEntry& entry : chips::all_chips()) {
    if (!entry.found().ok()) continue;
    const std::string name(entry.name);
    if (name != "distant") all.emplace_back(name, test::make_chip(name));
  }
  for (const chips::ChipForm& form : chips::all_forms()) {
    if (form.name.starts_with("distant:")) all.emplace_back(form.name, test::make_chip(form.name));
  }
  return all;
}

std::vector<float> ones(int64_t n) {
  return std::vector<float>(static_cast<size_t>(n), 1.0f);
}

test::ChipRows floats_on(Chip& chip, const std::vector<float>& values, int64_t rows) {
  return rows_on(chip, values.data(), DType::kF32, rows, static_cast<int64_t>(values.size()) / rows);
}

TEST(Execution, CallsTakeEffectInTheirOrder) {
  constexpr int64_t kN = 4096;
  for (const auto& [name, chip] : all_chips()) {
    auto x = floats_on(*chip, ones(kN), 1);
    const auto y = floats_on(*chip, ones(kN), 1);
    std::vector<float> source(kN);
    float want = 1;
    for (int i = 1; i <= 100; ++i) {
      if (i % 10 == 0) {  // a copy between ops, of a source that is gone at once
        std::fill(source.begin(), source.end(), static_cast<float>(i));
        check(chip->copy_in(x.view.address, source.data(), kN * 4));
        std::fill(source.begin(), source.end(), -1.0f);
        want = static_cast<float>(i);
      }
      check(chip->run(contract::Add{.a = x.view, .b = y.view, .out = x.view}));
      want += 1;
    }
    // What is read was computed: there is no wait().
    for (const float value : floats_of(*chip, x.view)) ASSERT_EQ(value, want) << name;
  }
}

TEST(Execution, PagesAreCopiedInOrder) {
  for (const auto& [name, chip] : all_chips()) {
    const contract::CacheShape shape{1, 8, DType::kF32, contract::CacheUse::kKeyAndValue};
    const int64_t page_bytes = chip->cache_page_bytes(shape);
    const auto memory = chip->allocate(2 * page_bytes).value();
    const contract::CacheStream stream{shape, memory->address(), page_bytes};
    const auto q = floats_on(*chip, ones(8), 1), out = floats_on(*chip, ones(8), 1);
    const int32_t zero = 0, one = 1;
    const contract::SequenceRows first{0, 1, 0, &zero}, second{0, 1, 0, &one};
    const auto write = [&](float value) {
      const auto x = floats_on(*chip, std::vector<float>(8, value), 1);
      const auto at = chip->make_sequences({&first, 1}).value();
      check(chip->run(contract::CacheWrite{.x = x.view, .stream = stream, .column = 0, .sequences = *at}));
    };
    write(3);
    check(chip->copy_cache_page(stream, 0, 1));
    write(5);  // the copy was made before
    const auto at = chip->make_sequences({&second, 1}).value();
    check(chip->run(contract::Attention{
        .q = q.view, .key = stream, .value = stream, .heads = 1, .scale = 1, .sequences = *at, .out = out.view}));
    EXPECT_EQ(floats_of(*chip, out.view), std::vector<float>(8, 3.0f)) << name;
  }
}

// Buffers, matrices and sequences go as soon as the calls that name them returned; what the op points to is
// overwritten.
TEST(Execution, WhatACallNamedMayGoWhenItReturned) {
  constexpr int64_t kRows = 40, kCols = 64;
  for (const auto& [name, chip] : all_chips()) {
    const auto out = floats_on(*chip, std::vector<float>(kRows * kCols), kRows);
    const auto grads = floats_on(*chip, std::vector<float>(2 * kCols * kCols), 2 * kCols);
    {
      const auto x = floats_on(*chip, ones(kRows * kCols), kRows);
      contract::MatrixSource source;
      source.outputs = kCols;
      source.inputs = kCols;
      source.row = [](int64_t, int64_t, std::byte* scratch) {
        std::fill_n(reinterpret_cast<float*>(scratch), kCols, 2.0f);
        return static_cast<const std::byte*>(scratch);
      };
      const auto matrix = chip->pack(source, contract::Rule::kF32).value();
      check(chip->run(contract::Matmul{.x = x.view, .targets = {{matrix.get(), {}, out.view}}, .n_targets = 1}));
      std::vector<View> list = {grads.view.slice_rows(0, kCols), grads.view.slice_rows(kCols, kCols)};
      check(chip->run(contract::WeightGrad{.dy = x.view, .x = x.view, .out = list}));
      std::fill(list.begin(), list.end(), View{});
    }
    EXPECT_EQ(floats_of(*chip, out.view), std::vector<float>(kRows * kCols, 2.0f * kCols)) << name;
    // Slots go round the groups: twenty each.
    EXPECT_EQ(floats_of(*chip, grads.view), std::vector<float>(2 * kCols * kCols, 20.0f)) << name;
  }
}

TEST(Execution, PageTablesAreTheChipsOwn) {
  constexpr int64_t kRows = 70, kWidth = 16;
  for (const auto& [name, chip] : all_chips()) {
    const contract::CacheShape shape{1, kWidth, DType::kF32, contract::CacheUse::kKeyAndValue};
    const int64_t page_bytes = chip->cache_page_bytes(shape);
    const auto memory = chip->allocate(8 * page_bytes).value();
    const contract::CacheStream stream{shape, memory->address(), page_bytes};
    const auto x = floats_on(*chip, ones(kRows * kWidth), kRows), out = floats_on(*chip, ones(kRows * kWidth), kRows);
    std::vector<int32_t> pages = {6, 1, 3};
    std::vector<contract::SequenceRows> rows = {{0, kRows, 0, pages.data()}};
    auto sequences = chip->make_sequences(rows).value();
    std::fill(pages.begin(), pages.end(), -1);
    rows.clear();
    // One handle serves all ops of a batch.
    check(chip->run(contract::CacheWrite{.x = x.view, .stream = stream, .column = 0, .sequences = *sequences}));
    check(chip->run(contract::Attention{.q = x.view,
                                        .key = stream,
                                        .value = stream,
                                        .heads = 1,
                                        .scale = 1,
                                        .sequences = *sequences,
                                        .out = out.view}));
    sequences.reset();
    EXPECT_EQ(floats_of(*chip, out.view), ones(kRows * kWidth)) << name;
  }
}

// The call that tells of an error: one behind the op, or wait().
Status first_error(Chip& chip, const contract::Op& op) {
  NARU_TRY(chip.run(op));
  return chip.wait();
}

TEST(Execution, AnErrorNamesItsOpItsRowsAndItsPlaceAndComesOnce) {
  constexpr int64_t kRows = 50, kCols = 20;
  for (const auto& [name, chip] : all_chips()) {
    std::vector<float> values(kRows * kCols, 1.0f);
    for (const int64_t row : {7, 31, 49}) values[static_cast<size_t>(row * kCols + row % kCols)] = kInfinity;
    const auto x = floats_on(*chip, values, kRows), weight = floats_on(*chip, ones(kCols), 1);
    const auto out = floats_on(*chip, std::vector<float>(kRows * kCols), kRows);
    const auto other = floats_on(*chip, std::vector<float>(4), 1);
    chip->set_place({.what = "layer", .number = 3});
    Status status = chip->run(contract::RmsNorm{.x = x.view, .weight = weight.view, .eps = 0, .out = out.view});
    chip->set_place({});
    if (status.ok())
      status = chip->run(contract::Fill{.out = other.view, .value = 9});  // may tell of it, or be passed over
    if (status.ok()) status = chip->wait();
    ASSERT_FALSE(status.ok()) << name;
    const Error& error = status.error();
    EXPECT_EQ(error.code, Code::kOutOfRange) << name;
    EXPECT_EQ(error.message.find("layer 3: rms_norm: row 7: the sum of squares is inf"), 0u) << name << error.message;
    EXPECT_EQ(error.failed.op, "rms_norm") << name;
    EXPECT_EQ(error.failed.n_rows, kRows) << name;
    EXPECT_EQ(error.failed.rows, (std::vector<int64_t>{7, 31, 49})) << name;
    EXPECT_TRUE(chip->wait().ok()) << name << ": an error comes once";
    EXPECT_EQ(floats_of(*chip, other.view), std::vector<float>(4)) << name << ": nothing runs behind an error";
    // The other rows are there, and the chip goes on.
    const std::vector<float> normed = floats_of(*chip, out.view);
    EXPECT_EQ(normed[8 * kCols], 1.0f) << name;
    EXPECT_EQ(normed[48 * kCols], 1.0f) << name;
    check(first_error(*chip, contract::Fill{.out = other.view, .value = 9}));
    EXPECT_EQ(floats_of(*chip, other.view), std::vector<float>(4, 9.0f)) << name;
  }
}

TEST(Execution, RowsOfABatchAreNamedWhereTheOperandsAreAPartOfIt) {
  for (const auto& [name, chip] : all_chips()) {
    std::vector<float> values(6 * 4, 1.0f);
    values[5 * 4] = kInfinity;
    const auto x = floats_on(*chip, values, 6), weight = floats_on(*chip, ones(4), 1);
    chip->set_place({.what = {}, .number = 0, .row_begin = 4, .n_rows = 6});
    const Status status = first_error(
        *chip, contract::RmsNorm{
                   .x = x.view.slice_rows(4, 2), .weight = weight.view, .eps = 0, .out = x.view.slice_rows(4, 2)});
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_EQ(status.error().failed.rows, std::vector<int64_t>{5}) << name;
    EXPECT_EQ(status.error().failed.n_rows, 6) << name;
  }
}

// Every op that refuses numbers names all rows, in the rows of its operand.
TEST(Execution, EveryRefusalNamesAllRows) {
  constexpr int64_t kRows = 9, kCols = 300;
  for (const auto& [name, chip] : all_chips()) {
    std::vector<float> values(kRows * kCols, 1.0f);
    for (const int64_t row : {2, 3, 8}) values[static_cast<size_t>(row * kCols + 17)] = kInfinity;
    const std::vector<int64_t> bad = {2, 3, 8};
    const std::vector<int32_t> ids(kRows);
    const auto x = floats_on(*chip, values, kRows), column = floats_on(*chip, ones(kRows), kRows);
    const auto targets = rows_on(*chip, ids.data(), DType::kI32, kRows, 1);
    const Status log_prob =
        first_error(*chip, contract::LogProb{.logits = x.view, .targets = targets.view, .out = column.view});
    ASSERT_FALSE(log_prob.ok()) << name;
    EXPECT_EQ(log_prob.error().failed.rows, bad) << name;
    const Status loss = first_error(
        *chip,
        contract::CrossEntropy{
            .logits = x.view, .targets = targets.view, .weights = column.view, .loss = column.view, .dlogits = {}});
    ASSERT_FALSE(loss.ok()) << name;
    EXPECT_EQ(loss.error().failed.rows, bad) << name;
    // Rows of (token, head), of sequences in another order than the batch's.
    const contract::CacheShape shape{3, kCols, DType::kBF16, contract::CacheUse::kKey};
    const int64_t page_bytes = chip->cache_page_bytes(shape);
    const auto memory = chip->allocate(2 * page_bytes).value();
    const int32_t pages[] = {0, 1};
    const contract::SequenceRows sequences[] = {{2, 1, 0, pages}, {0, 2, 0, pages + 1}};
    const auto at = chip->make_sequences(sequences).value();
    const Status write = first_error(
        *chip, contract::CacheWrite{
                   .x = x.view, .stream = {shape, memory->address(), page_bytes}, .column = 0, .sequences = *at});
    ASSERT_FALSE(write.ok()) << name;
    EXPECT_EQ(write.error().failed.rows, bad) << name;
    EXPECT_EQ(write.error().failed.n_rows, kRows) << name;
    EXPECT_EQ(write.error().message.find("cache_write: row 8, column 17: the value is inf"), 0u)
        << name << write.error().message;
  }
}

TEST(Execution, AReadBehindAFailedOpTellsOfIt) {
  for (const auto& [name, chip] : all_chips()) {
    const auto x = floats_on(*chip, {kInfinity, 1}, 1), weight = floats_on(*chip, ones(2), 1);
    Status status = chip->run(contract::RmsNorm{.x = x.view, .weight = weight.view, .eps = 0, .out = x.view});
    float value = 0;
    if (status.ok()) status = chip->copy_out(&value, x.view.address, 4);
    EXPECT_FALSE(status.ok()) << name;
    EXPECT_TRUE(chip->wait().ok()) << name;
  }
}

TEST(Execution, FreshMemoryIsZeroAndPlansHaveTheChipsMemory) {
  for (const auto& [name, chip] : all_chips()) {
    const auto memory = chip->allocate(4096).value();
    std::vector<float> values(1024, 1.0f);
    check(chip->copy_out(values.data(), memory->address(), 4096));
    EXPECT_EQ(values, std::vector<float>(1024)) << name;
    EXPECT_GT(chip->memory().free, 0) << name;
    const auto planner = chip->planner();
    EXPECT_EQ(planner->memory().is_host, chip->memory().is_host) << name;
    // What kernels hold for the ops that ran on the planner: the most of one.
    const auto x = planner->allocate(4 * 100 * 50).value();
    const View view = make_view(x->address(), DType::kF32, 100, 50);
    const contract::Product small{
        .a = view.slice_rows(0, 5), .b = view.slice_rows(0, 5), .out = view.slice_rows(0, 5).slice_cols(0, 5)};
    const contract::Product large{.a = view, .b = view.slice_rows(0, 50), .out = view};
    EXPECT_EQ(planner->memory().scratch, 0) << name;
    for (const contract::Product& op : {large, small}) check(planner->run(op));
    EXPECT_EQ(planner->memory().scratch, chip->scratch_bytes(large)) << name;
    EXPECT_GE(chip->scratch_bytes(large), chip->scratch_bytes(small)) << name;
  }
}

// ---- the distant chip's own

TEST(DistantChip, HasLittleMemoryAndSaysSo) {
  const auto chip =
      distant::make_distant_chip(reference::make_reference_chip(), {.memory_bytes = 1 << 20, .fault = {}});
  EXPECT_FALSE(chip->memory().is_host);
  EXPECT_EQ(chip->memory().free, 1 << 20);
  auto buffer = chip->allocate(600 << 10).value();
  EXPECT_EQ(chip->memory().free, (1 << 20) - (600 << 10));
  const auto refused = chip->allocate(600 << 10);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("424.0 KiB of its 1.0 MiB are free"), std::string::npos)
      << refused.error().message;
  contract::MatrixSource source;
  source.outputs = 512;
  source.inputs = 512;
  const auto too_large = chip->pack(source, contract::Rule::kF32);
  ASSERT_FALSE(too_large.ok());
  EXPECT_EQ(too_large.error().code, Code::kResourceExhausted);
  buffer.reset();
  EXPECT_TRUE(chip->allocate(600 << 10).ok());
}

TEST(DistantChip, FailsTheCallThatItIsTold) {
  using distant::Call;
  const auto chip_with = [](Call call, int64_t at) {
    return distant::make_distant_chip(reference::make_reference_chip(),
                                      {.memory_bytes = 1 << 20, .fault = distant::Fault{call, at}});
  };
  {
    const auto chip = chip_with(Call::kAllocate, 1);
    EXPECT_TRUE(chip->allocate(64).ok());
    EXPECT_EQ(chip->allocate(64).error().code, Code::kResourceExhausted);
    EXPECT_TRUE(chip->allocate(64).ok());
  }
  {
    const auto chip = chip_with(Call::kRun, 2);
    const auto x = floats_on(*chip, ones(4), 1);
    for (int i = 0; i < 2; ++i) check(first_error(*chip, contract::Fill{.out = x.view, .value = 2}));
    const Status lost = first_error(*chip, contract::Fill{.out = x.view, .value = 3});
    ASSERT_FALSE(lost.ok());
    EXPECT_EQ(lost.error().code, Code::kUnavailable);
    EXPECT_TRUE(lost.error().failed.rows.empty()) << "no row is to blame";
    EXPECT_EQ(floats_of(*chip, x.view), std::vector<float>(4, 2.0f));
  }
  {
    const auto chip = chip_with(Call::kCopyIn, 1);
    const auto x = floats_on(*chip, ones(4), 1);
    const float value = 5;
    Status status = chip->copy_in(x.view.address, &value, 4);
    if (status.ok()) status = chip->wait();
    EXPECT_EQ(status.error().code, Code::kUnavailable);
  }
  {
    const auto chip = chip_with(Call::kCopyOut, 0);
    const auto x = floats_on(*chip, ones(4), 1);
    float value = 0;
    EXPECT_EQ(chip->copy_out(&value, x.view.address, 4).error().code, Code::kUnavailable);
    EXPECT_EQ(floats_of(*chip, x.view), ones(4));
  }
  {
    const auto chip = chip_with(Call::kPack, 0);
    EXPECT_EQ(chip->pack({.outputs = 1, .inputs = 1, .row = {}}, contract::Rule::kF32).error().code,
              Code::kResourceExhausted);
  }
}

TEST(DistantChipDeathTest, MemoryOutsideOfABufferIsAMistake) {
  const auto chip = distant::make_distant_chip(reference::make_reference_chip());
  const auto x = floats_on(*chip, ones(8), 2);
  View beyond = x.view;
  beyond.rows = 3;
  EXPECT_DEATH((void)chip->run(contract::Fill{.out = beyond, .value = 0}), "memory outside of its buffer");
}

// Objects of a chip may be the last that is left of it.
TEST(DistantChip, ObjectsMayOutliveIt) {
  auto chip = distant::make_distant_chip(reference::make_reference_chip());
  auto x = floats_on(*chip, ones(8), 2);
  check(chip->run(contract::Fill{.out = x.view, .value = 0}));
  chip.reset();
  x.buffer.reset();
}

}  // namespace
}  // namespace naru
