// Attention over the cache: what the cases of src/check/ cannot say in dimensions. Scores at the floor, what the cache
// refuses, copies of pages.
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/contract/attention_rig.h"

namespace naru {
namespace {

using check::Program;
using contract::CacheShape;
using contract::CacheUse;
using contract::SequenceRows;

// Scores on both sides of 38 below the largest, with values so large that a probability of exp(-38) shows.
TEST(AttentionOp, ScoreFloor) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Program p = test::attention_program(
        {.dtype = dtype, .lengths = {6}, .heads = 1, .width = 1, .value_width = 2, .scale_log2 = 0});
    const test::AttentionViews views = test::views_of(p);
    const float keys[] = {0.0f, -37.75f, -38.0f, -38.25f, -88.0f, -37.0f};
    for (int64_t r = 0; r < 6; ++r) {
      p.row(views.q, r)[0] = 1.0f;
      p.row(views.k, r)[0] = keys[r];
      p.row(views.v, r)[0] = r == 0 ? 0.0f : std::exp2(100.0f + static_cast<float>(r));
      p.row(views.v, r)[1] = r == 3 || r == 4 ? 0x1p120f : 0.0f;
    }
    const std::vector<float> out = output_values(p, test::expect_equal("floor", p), 0);
    EXPECT_EQ(out[5 * 2 + 1], 0.0f);
    EXPECT_GT(out[2 * 2], out[1 * 2]);  // -38 itself still counts
  }
}

TEST(CacheWriteOp, RefusesWhatIsNotFinite) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const CacheUse use : {CacheUse::kKey, CacheUse::kValue, CacheUse::kKeyAndValue}) {
      // The largest f32 rounds to infinity in bf16 only.
      const float bads[] = {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::max(), -std::numeric_limits<float>::max()};
      for (const float bad : bads) {
        Program p({});
        const View x = p.drawn(1, 500 * 2, 70);
        p.row(x, 901)[69] = bad;
        p.row(x, 950)[0] = bad;
        std::vector<int32_t> pages(17);
        std::iota(pages.rbegin(), pages.rend(), 0);
        const SequenceRows parts[] = {{100, 400, 3, pages.data()}, {0, 100, 0, pages.data() + 13}};
        p.run(contract::CacheWrite{
            .x = x, .stream = p.stream({2, 70, dtype, use}, 17), .column = 0, .sequences = p.sequences(parts)});
        const check::Outcome outcome = test::expect_equal("cache_write", p);
        const bool is_large = std::fabs(bad) == std::numeric_limits<float>::max();
        ASSERT_EQ(outcome.status.ok(), is_large && dtype == DType::kF32);
        EXPECT_TRUE(outcome.status.ok() || outcome.status.error().code == Code::kOutOfRange);
      }
    }
  }
}

// What a sequence sees does not change when its pages are copied elsewhere, whatever streams they are of.
TEST(CacheWriteOp, CopiesOfPages) {
  constexpr int64_t kRows = 60, kHeads = 2, kWidth = 24;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool is_one_stream : {true, false}) {
      for (const test::NamedChip& named : test::cpu_chips()) {
        contract::Chip& chip = *named.chip;
        std::vector<std::unique_ptr<contract::Buffer>> memory;
        const auto stream = [&](CacheUse use) {
          const CacheShape shape{1, kWidth, dtype, use};
          const int64_t page_bytes = chip.cache_page_bytes(shape);
          memory.push_back(chip.allocate(6 * page_bytes).value());
          return contract::CacheStream{shape, memory.back()->address(), page_bytes};
        };
        std::vector<contract::CacheStream> streams = {stream(is_one_stream ? CacheUse::kKeyAndValue : CacheUse::kKey)};
        if (!is_one_stream) streams.push_back(stream(CacheUse::kValue));
        const std::vector<float> values = check::drawn_floats(1, 1, kRows * kHeads * kWidth, check::Values::kPlain);
        const test::ChipRows q = test::rows_on(chip, values.data(), DType::kF32, kRows * kHeads, kWidth);
        const auto attend = [&](const int32_t* pages, bool writes) {
          const SequenceRows rows{0, kRows, 0, pages};
          const auto sequences = chip.make_sequences({&rows, 1}).value();
          const test::ChipRows out = test::rows_on(chip, values.data(), DType::kF32, kRows * kHeads, kWidth);
          for (size_t i = 0; writes && i < streams.size(); ++i) {  // keys and values differ
            const View x = q.view.slice_rows(static_cast<int64_t>(i) * kRows, kRows);
            test::check(
                chip.run(contract::CacheWrite{.x = x, .stream = streams[i], .column = 0, .sequences = *sequences}));
          }
          test::check(chip.run(contract::Attention{.q = q.view,
                                                   .key = streams.front(),
                                                   .value = streams.back(),
                                                   .heads = kHeads,
                                                   .scale = 0.125f,
                                                   .sequences = *sequences,
                                                   .out = out.view}));
          return test::floats_of(chip, out.view);
        };
        const int32_t pages[] = {0, 1}, moved[] = {4, 3};
        const std::vector<float> want = attend(pages, true);
        for (const contract::CacheStream& one : streams) {
          for (int i = 0; i < 2; ++i) test::check(chip.copy_cache_page(one, pages[i], moved[i]));
        }
        EXPECT_EQ(attend(moved, false), want) << named.name;
      }
    }
  }
}

}  // namespace
}  // namespace naru
