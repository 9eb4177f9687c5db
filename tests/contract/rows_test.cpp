// Row functions: what they refuse, and what they leave alone. Their bits are cases of src/check/.
#include <limits>

#include "tests/contract/case_rig.h"

namespace naru {
namespace {

using check::Program;
using check::Values;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void expect_refusal(const check::Outcome& outcome, const std::string& message, const std::vector<int64_t>& rows) {
  ASSERT_FALSE(outcome.status.ok());
  const Error& error = outcome.status.error();
  EXPECT_EQ(error.code, Code::kOutOfRange);
  EXPECT_EQ(error.message.find(message), 0u) << error.message;
  EXPECT_EQ(error.failed.rows, rows);
}

TEST(RowOps, RmsNormRefusesWhatIsNotFinite) {
  for (const float bad : {0x1p100f, kInf, kNan}) {
    Program p({});
    const View x = p.drawn(1, 70, 601), weight = p.drawn(2, 1, 601), out = p.output("out", 70, 601);
    p.row(x, 50)[600] = bad;
    p.row(x, 60)[3] = bad;
    p.run(contract::RmsNorm{.x = x, .weight = weight, .eps = 1e-6f, .out = out});
    expect_refusal(test::expect_equal("rms_norm", p), "rms_norm: row 50: ", {50, 60});
  }
}

TEST(RowOps, LogProbRefusesWhatIsNotFinite) {
  for (const float bad : {kInf, kNan}) {
    Program p({});
    const View logits = p.drawn(1, 9, 5000), out = p.output("out", 9, 1);
    const View targets = p.ints(std::vector<int32_t>(9, 7), 9, 1);
    p.row(logits, 5)[4999] = bad;
    p.row(logits, 8)[0] = bad;
    p.run(contract::LogProb{.logits = logits, .targets = targets, .out = out});
    expect_refusal(test::expect_equal("log_prob", p), "log_prob: row 5: ", {5, 8});
  }
}

TEST(Losses, CrossEntropyRefusesWhatIsNotFinite) {
  for (const float bad : {kInf, kNan}) {
    Program p({});
    const View logits = p.drawn(1, 40, 5000), loss = p.output("loss", 40, 1);
    const View targets = p.ints(std::vector<int32_t>(40, 7), 40, 1);
    const View weights = p.floats(std::vector<float>(40, 1.0f), 40, 1);
    p.row(logits, 27)[4999] = bad;
    p.row(logits, 39)[0] = bad;
    std::fill_n(p.row(logits, 33), 5000, -kInf);
    p.output("dlogits", logits);
    p.run(contract::CrossEntropy{
        .logits = logits, .targets = targets, .weights = weights, .loss = loss, .dlogits = logits});
    expect_refusal(test::expect_equal("cross_entropy", p), "cross_entropy: row 27: the largest logit is", {27, 33, 39});
  }
}

// The loss is the exact negation of log_prob, and a row of weight 0 has a gradient of +0 and a loss all the same.
TEST(Losses, CrossEntropyIsMinusLogProb) {
  constexpr int64_t kRows = 11, kCols = 3001;
  Program p({});
  const View logits = p.drawn(1, kRows, kCols);
  std::vector<int32_t> ids;
  std::vector<float> factors;
  for (int32_t t = 0; t < kRows; ++t)
    ids.push_back(t * 271), factors.push_back(t % 5 < 2 ? 0.5f : t % 5 == 2 ? -0.0f : 0.0f);
  const View targets = p.ints(ids, kRows, 1), weights = p.floats(factors, kRows, 1);
  p.run(contract::LogProb{.logits = logits, .targets = targets, .out = p.output("log_prob", kRows, 1)});
  p.run(contract::CrossEntropy{.logits = logits,
                               .targets = targets,
                               .weights = weights,
                               .loss = p.output("loss", kRows, 1),
                               .dlogits = p.output("dlogits", kRows, kCols)});
  const check::Outcome outcome = test::reference_outcome(p);
  const std::vector<float> log_prob = output_values(p, outcome, 0), loss = output_values(p, outcome, 1);
  const std::vector<float> dlogits = output_values(p, outcome, 2);
  for (size_t t = 0; t < kRows; ++t) {
    EXPECT_EQ(std::bit_cast<uint32_t>(loss[t]), std::bit_cast<uint32_t>(-log_prob[t])) << t;
    if (t % 5 < 2) continue;
    for (size_t k = 0; k < kCols; ++k) ASSERT_EQ(std::bit_cast<uint32_t>(dlogits[t * kCols + k]), 0u) << t << " " << k;
  }
}

// Rows without tokens keep their bits, subnormals too; a row with tokens gains their sum from +0.
TEST(RowGrads, EmbedGradLeavesOtherRowsAlone) {
  Program p({});
  const View ids = p.ints(std::vector<int32_t>{2, 0, 2}, 3, 1), dy = p.floats(std::vector<float>{1, 2, 3}, 3, 1);
  const View out = p.output("out", p.floats(std::vector<float>{0.5f, -0x1p-140f, 10.0f}, 3, 1));
  p.run(contract::EmbedGrad{.ids = ids, .dy = dy, .out = out});
  EXPECT_EQ(output_values(p, test::expect_equal("embed_grad", p), 0), (std::vector<float>{2.5f, -0x1p-140f, 14.0f}));
}

}  // namespace
}  // namespace naru
