// Rules of the tape that no model here reaches: attention over selected keys.
#include <gtest/gtest.h>

#include <cstring>

#include "base/philox.h"
#include "nn/context.h"
#include "tests/test_chip.h"

namespace naru::nn {
namespace {

constexpr int64_t kTokens = 40, kHeads = 4, kKeyHeads = 2, kHeadWidth = 6;

class TapeTest : public testing::Test {
 protected:
  View take(int64_t rows, int64_t cols, DType dtype = DType::kF32) { return workspace_.take(rows, cols, dtype); }
  View random(int64_t rows, int64_t cols) {
    const View view = take(rows, cols);
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (float& x : values) x = static_cast<float>(draw(7, DrawPurpose::kTest, 1, next_++)[0]) * 0x1p-31f - 1.0f;
    EXPECT_TRUE(chip_->copy_in(view.address, values.data(), rows * cols * 4).ok());
    return view;
  }
  // A third of the positions up to each token's own, and that itself.
  View lists() {
    const View view = take(kTokens, kTokens, DType::kI32);
    std::vector<int32_t> entries;
    for (int32_t t = 0; t < kTokens; ++t) {
      const size_t end = entries.size() + kTokens;
      for (int32_t j = 0; j <= t; ++j) {
        if (j == t || (j * 5 + t) % 3 == 0) entries.push_back(j);
      }
      entries.resize(end, -1);
    }
    EXPECT_TRUE(chip_->copy_in(view.address, entries.data(), kTokens * kTokens * 4).ok());
    return view;
  }
  contract::CacheStream stream(contract::CacheUse use) {
    const contract::CacheShape shape{kKeyHeads, kHeadWidth, DType::kF32, use};
    const int64_t page_bytes = chip_->cache_page_bytes(shape);
    buffers_.push_back(chip_->allocate(2 * page_bytes).value());
    return {shape, buffers_.back()->address(), page_bytes};
  }
  std::vector<float> read(View view) {
    std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
    EXPECT_TRUE(chip_->copy_out(values.data(), view.address, view.rows * view.cols * 4).ok());
    return values;
  }

  std::unique_ptr<contract::Chip> chip_ = test::make_chip("reference");
  Workspace workspace_ = Workspace::create(*chip_, 1 << 20).value();
  Workspace shadow_ = Workspace::create(*chip_, 1 << 20).value();
  std::vector<std::unique_ptr<contract::Buffer>> buffers_;
  uint64_t next_ = 0;
};

TEST_F(TapeTest, AttentionOverSelectedKeys) {
  const int32_t pages[] = {1, 0};
  const contract::SequenceRows rows{.row_begin = 0, .n_rows = kTokens, .position_begin = 0, .pages = pages};
  const contract::CacheStream key = stream(contract::CacheUse::kKey), value = stream(contract::CacheUse::kValue);
  const View q = random(kTokens * kHeads, kHeadWidth), k = random(kTokens * kKeyHeads, kHeadWidth);
  const View v = random(kTokens * kKeyHeads, kHeadWidth), dout = random(kTokens * kHeads, kHeadWidth),
             selected = lists();
  const View dq = take(q.rows, kHeadWidth), dk = take(k.rows, kHeadWidth), dv = take(v.rows, kHeadWidth);
  const Bindings bindings;
  Tape tape(*chip_, bindings);
  Context ctx{.chip = *chip_,
              .workspace = workspace_,
              .sequences = chip_->make_sequences({&rows, 1}).value(),
              .n_rows = kTokens,
              .cos = {},
              .sin = {},
              .tape = &tape};
  tape.begin(workspace_);
  const View out = take(q.rows, kHeadWidth), stats = take(q.rows, 2);
  const contract::Attention attention{.q = q,
                                      .key = key,
                                      .value = value,
                                      .heads = kHeads,
                                      .scale = 0.4f,
                                      .sequences = *ctx.sequences,
                                      .out = out,
                                      .stats = stats,
                                      .selected = selected};
  ASSERT_TRUE(ctx.run(contract::CacheWrite{.x = k, .stream = key, .column = 0, .sequences = *ctx.sequences}).ok());
  ASSERT_TRUE(ctx.run(contract::CacheWrite{.x = v, .stream = value, .column = 0, .sequences = *ctx.sequences}).ok());
  ASSERT_TRUE(ctx.run(attention).ok());
  tape.end(workspace_);
  tape.outside(out, dout, true);
  tape.outside(q, dq, false);
  tape.outside(k, dk, false);
  tape.outside(v, dv, false);
  ASSERT_TRUE(tape.backward(shadow_).ok());

  const View want_q = take(q.rows, kHeadWidth), want_k = take(k.rows, kHeadWidth), want_v = take(v.rows, kHeadWidth);
  ASSERT_TRUE(chip_
                  ->run(contract::AttentionGrad{.q = q,
                                                .key = key,
                                                .value = value,
                                                .heads = kHeads,
                                                .scale = 0.4f,
                                                .sequences = *ctx.sequences,
                                                .out = out,
                                                .stats = stats,
                                                .dout = dout,
                                                .dq = want_q,
                                                .dk = want_k,
                                                .dv = want_v,
                                                .selected = selected})
                  .ok());
  EXPECT_EQ(read(dq), read(want_q));
  EXPECT_EQ(read(dk), read(want_k));
  EXPECT_EQ(read(dv), read(want_v));
}

}  // namespace
}  // namespace naru::nn
