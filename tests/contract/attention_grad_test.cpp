// Attention's stats and its gradient: every level against the reference chip, bit for bit, over packed documents on
// both sides of pages, blocks and segments; and the reference chip against differences of attention in double.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "tests/contract/row_rig.h"

namespace naru::row_tests {
namespace {

using contract::Attention;
using contract::AttentionGrad;
using contract::CacheShape;
using contract::CacheStream;
using contract::CacheUse;
using contract::kCachePage;
using contract::SequenceRows;

struct GradConfig {
  const char* name;
  int64_t heads, key_heads, width, value_width;
  DType dtype;
  bool is_latent = false;  // values are the first columns of the keys
  float scale = 0.125f;
};

// Packed documents with all operands; pages in an order of their own.
struct Batch {
  Batch(const GradConfig& config_, const std::vector<int64_t>& lengths, uint64_t seed, Values values = Values::kPlain)
      : config(config_),
        n_rows(std::accumulate(lengths.begin(), lengths.end(), int64_t{0})),
        filler(seed),
        q(n_rows * config.heads, config.width, filler, values),
        k(n_rows * config.key_heads, config.width, filler, values),
        v(n_rows * config.key_heads, config.value_width, filler, values),
        dout(n_rows * config.heads, config.value_width, filler, values) {
    for (const int64_t n : lengths) n_pages += (n + kCachePage - 1) / kCachePage;
    pages.resize(static_cast<size_t>(n_pages));
    std::iota(pages.rbegin(), pages.rend(), 0);
    int64_t row = n_rows, page = 0;  // the first document has the last rows
    for (const int64_t n : lengths) {
      row -= n;
      sequences.push_back({row, n, 0, pages.data() + page});
      page += (n + kCachePage - 1) / kCachePage;
    }
  }
  GradConfig config;
  int64_t n_rows, n_pages = 0;
  Filler filler;
  Rows q, k, v, dout;
  std::vector<int32_t> pages;
  std::vector<SequenceRows> sequences;
};

struct Forward {
  Rows out, stats;
};
struct Gradient {
  Rows dq, dk, dv;
};

// The batch's cache on one chip, in memory that is full of NaN before anything is written.
class Cache {
 public:
  Cache(contract::Chip& chip, Batch& batch) : chip_(chip), batch_(batch), sequences_(batch.sequences) {
    const GradConfig& c = batch.config;
    key_ = make({c.key_heads, c.width, c.dtype, c.is_latent ? CacheUse::kKeyAndValue : CacheUse::kKey});
    value_ = c.is_latent ? key_ : make({c.key_heads, c.value_width, c.dtype, CacheUse::kValue});
    run(contract::CacheWrite{batch.k.view(), key_, 0, sequences_});
    if (!c.is_latent) run(contract::CacheWrite{batch.v.view(), value_, 0, sequences_});
  }
  Forward forward(bool with_stats = true) {
    const GradConfig& c = batch_.config;
    Forward f{Rows(batch_.n_rows * c.heads, c.value_width), Rows(batch_.n_rows * c.heads, 2)};
    run(Attention{batch_.q.view(), key_, value_, c.heads, c.scale, sequences_, f.out.view(),
                  with_stats ? f.stats.view() : View{}});
    return f;
  }
  Gradient gradient(Forward& f) {
    const GradConfig& c = batch_.config;
    Gradient g{Rows(batch_.n_rows * c.heads, c.width), Rows(batch_.n_rows * c.key_heads, c.width),
               Rows(batch_.n_rows * c.key_heads, c.value_width)};
    run(AttentionGrad{batch_.q.view(), key_, value_, c.heads, c.scale, sequences_, f.out.view(), f.stats.view(),
                      batch_.dout.view(), g.dq.view(), g.dk.view(), g.dv.view()});
    return g;
  }

 private:
  void run(const contract::Op& op) {
    const Status status = chip_.run(op);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  CacheStream make(const CacheShape& shape) {
    const int64_t page_bytes = chip_.cache_page_bytes(shape);
    auto buffer = chip_.allocate(page_bytes * batch_.n_pages);
    NARU_CHECK(buffer.ok());
    const std::vector<std::byte> nan(static_cast<size_t>(page_bytes * batch_.n_pages), std::byte{0xff});
    NARU_CHECK(chip_.copy_in(buffer.value()->address(), nan.data(), page_bytes * batch_.n_pages).ok());
    CacheStream stream{shape, buffer.value()->address(), page_bytes};
    buffers_.push_back(std::move(buffer).value());
    return stream;
  }

  contract::Chip& chip_;
  Batch& batch_;
  contract::Sequences sequences_;
  CacheStream key_, value_;
  std::vector<std::unique_ptr<contract::Buffer>> buffers_;
};

void expect_equal(Gradient& got, Gradient& want, const std::string& what) {
  EXPECT_EQ(difference(got.dq, want.dq), "") << "dq, " << what;
  EXPECT_EQ(difference(got.dk, want.dk), "") << "dk, " << what;
  EXPECT_EQ(difference(got.dv, want.dv), "") << "dv, " << what;
}

// Returns the reference chip's gradient.
Gradient check_batch(Batch& batch, const std::string& what, bool is_large = false) {
  Cache reference(reference_chip(), batch);
  Forward forward = reference.forward();
  Gradient want = reference.gradient(forward);
  for (const NamedChip& named : staged_cpu_chips()) {
    if (is_large && is_slow(named)) continue;
    Cache cache(*named.chip, batch);
    Forward f = cache.forward();
    EXPECT_EQ(difference(f.out, forward.out), "") << what << " on " << named.name;
    EXPECT_EQ(difference(f.stats, forward.stats), "") << what << " on " << named.name;
    Gradient got = cache.gradient(forward);
    expect_equal(got, want, what + " on " + named.name);
    if (testing::Test::HasFailure()) break;
  }
  return want;
}

std::string label(const GradConfig& config, const std::vector<int64_t>& lengths) {
  std::string text = std::string(config.name) + ", " + std::to_string(config.heads) + " heads on " +
                     std::to_string(config.key_heads) + ", widths " + std::to_string(config.width) + " and " +
                     std::to_string(config.value_width) + ", lengths";
  for (const int64_t n : lengths) text += " " + std::to_string(n);
  return text;
}

void check(const GradConfig& config, const std::vector<int64_t>& lengths, uint64_t seed, bool is_large = false) {
  Batch batch(config, lengths, seed);
  check_batch(batch, label(config, lengths), is_large);
}

constexpr GradConfig kGradConfigs[] = {
    {"f32", 2, 2, 16, 16, DType::kF32},
    {"bf16", 2, 2, 16, 16, DType::kBF16},
    {"f32", 4, 2, 33, 17, DType::kF32},
    {"bf16", 4, 2, 33, 17, DType::kBF16},
    {"f32 latent", 4, 1, 40, 24, DType::kF32, true},
    {"bf16 latent", 4, 1, 40, 24, DType::kBF16, true},
};

TEST(AttentionGradOp, ShortDocuments) {
  for (const GradConfig& config : kGradConfigs) {
    for (const int64_t n : {1, 2, 31, 32, 33, 65, 97}) check(config, {n}, 30);
  }
}

TEST(AttentionGradOp, LongDocuments) {
  for (const GradConfig& config : kGradConfigs) {
    for (const int64_t n : {511, 513}) check(config, {n}, 31, true);
  }
}

TEST(AttentionGradOp, PackedDocuments) {
  for (const GradConfig& config : kGradConfigs) {
    check(config, {1, 40, 33, 2, 64, 31}, 32);
    check(config, {5, 300, 70, 513, 100, 1, 32}, 32, true);
    check(config, std::vector<int64_t>(20, 37), 32, true);
  }
}

// Dots of more than one segment: every segment of queries joins dk and dv, every segment of keys dq.
TEST(AttentionGradOp, BeyondASegment) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    check({"segments", 2, 1, 2, 1, dtype}, {40, 2113}, 33, true);
    if (dtype == DType::kF32) check({"segments", 1, 1, 1, 1, dtype}, {4130}, 33, true);
    check({"segments, latent", 1, 1, 3, 2, dtype, true}, {2049}, 33, true);
  }
}

TEST(AttentionGradOp, Widths) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t width : {1, 5, 8, 15, 24, 33, 48, 64, 80, 192}) {
      check({"width", 2, 1, width, width, dtype}, {37}, 34);
      check({"latent width", 3, 1, width, (width + 2) / 3, dtype, true}, {37}, 34);
    }
    check({"values wider", 4, 4, 24, 80, dtype}, {70}, 35);
    check({"keys wider", 4, 1, 80, 5, dtype}, {70}, 35);
    check({"latent", 4, 1, 64, 48, dtype, true, 0.1f}, {100, 33}, 35);
    check({"wide", 1, 1, 576, 512, dtype, true, 0.05f}, {40}, 36, true);
    check({"wide", 1, 1, 640, 640, dtype, false, 0.05f}, {40}, 36, true);
  }
}

// Few heads on long documents: two threads share one.
TEST(AttentionGradOp, SharedDocuments) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    check({"shared", 1, 1, 20, 20, dtype}, {700}, 37, true);
    check({"shared", 6, 2, 20, 12, dtype}, {600, 30}, 37, true);
    check({"shared latent", 4, 1, 24, 16, dtype, true}, {400}, 37, true);
  }
}

// The forward's bits are the same with stats and without.
TEST(AttentionGradOp, StatsChangeNothing) {
  for (const GradConfig& config : kGradConfigs) {
    Batch batch(config, {530, 3}, 38);
    for (const NamedChip& named : staged_cpu_chips()) {
      if (is_slow(named)) continue;
      Cache cache(*named.chip, batch);
      Forward with = cache.forward(), without = cache.forward(false);
      EXPECT_EQ(difference(with.out, without.out), "") << config.name << " on " << named.name;
    }
  }
}

// Scores on both sides of 38 below the largest, and steep ones.
TEST(AttentionGradOp, ScoreFloor) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Batch batch({"floor", 1, 1, 1, 2, dtype, false, 1.0f}, {6}, 39);
    const float keys[] = {0.0f, -37.75f, -38.0f, -38.25f, -88.0f, -37.0f};
    for (int64_t r = 0; r < 6; ++r) {
      batch.q.row(r)[0] = 1.0f;
      batch.k.row(r)[0] = keys[r];
      batch.dout.row(r)[0] = 0x1p100f;
    }
    const Gradient g = check_batch(batch, "floor");
    EXPECT_GT(std::fabs(g.dv.row(2)[0]), 0x1p40f);  // -38 itself still counts
    check({"steep", 3, 1, 20, 20, dtype, false, 9.0f}, {600}, 40, true);
    check({"steeper", 1, 1, 20, 20, dtype, false, 1000.0f}, {100}, 40);
  }
}

TEST(AttentionGradOp, LowAndWideValues) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool is_latent : {false, true}) {
      // Operands around 2^-60, and a scale that lifts scores and ds back.
      Batch low({"low", 3, 1, 20, 20, dtype, is_latent, 0x1p122f}, {45}, 41);
      for (Rows* rows : {&low.q, &low.k, &low.v, &low.dout}) {
        for (int64_t r = 0; r < rows->rows(); ++r)
          for (int64_t c = 0; c < 20; ++c)
            rows->row(r)[c] *= std::exp2(-60.0f - static_cast<float>(low.filler.bits() % 6));
      }
      check_batch(low, "low");
      for (const float scale : {1.0f, 0x1p-100f, 0x1p-126f}) {
        Batch all({"all", 3, 1, 24, 24, dtype, is_latent, scale}, {45, 20}, 42, Values::kAll);
        for (Rows* rows : {&all.q, &all.k, &all.v, &all.dout}) {  // what overflows bf16 is refused elsewhere
          for (int64_t r = 0; r < rows->rows(); ++r)
            for (int64_t c = 0; c < 24; ++c)
              if (!std::isfinite(round_to_bf16(rows->row(r)[c]))) rows->row(r)[c] = 1.0f;
        }
        check_batch(all, "all");
      }
    }
    // Gradients that almost vanish: products fall below the smallest normal, of both signs.
    Batch vanishing({"vanishing", 2, 1, 12, 12, dtype}, {70}, 43);
    for (int64_t r = 0; r < vanishing.dout.rows(); ++r)
      for (int64_t c = 0; c < 12; ++c) vanishing.dout.row(r)[c] = vanishing.filler.value(Values::kLow);
    check_batch(vanishing, "vanishing");
  }
}

// A query or a gradient that is not finite spoils its head of its document, and no other.
TEST(AttentionGradOp, NonFiniteOperands) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t n : {70, 300}) {
      Batch batch({"non-finite", 4, 2, 20, 12, dtype}, {n, 40}, 44);
      const int64_t first = batch.sequences[0].row_begin;
      batch.q.row((first + 3) * 4 + 1)[19] = std::numeric_limits<float>::infinity();
      const Gradient g = check_batch(batch, "non-finite q", n > 100);
      EXPECT_TRUE(std::isnan(g.dq.row(first * 4 + 1)[0]));
      EXPECT_TRUE(std::isnan(g.dk.row((first + n - 1) * 2)[0]));
      EXPECT_TRUE(std::isnan(g.dv.row(first * 2)[0]));
      EXPECT_TRUE(std::isfinite(g.dq.row((first + 3) * 4)[0]));      // another query head of the same key head
      EXPECT_TRUE(std::isfinite(g.dk.row((first + 3) * 2 + 1)[0]));  // another key head
      EXPECT_TRUE(std::isfinite(g.dk.row(0)[0]));                    // another document
      Batch other({"non-finite", 4, 2, 20, 12, dtype}, {n, 40}, 45);
      other.dout.row((first + 3) * 4 + 2)[11] = std::bit_cast<float>(0x7fffffffu);
      check_batch(other, "non-finite dout", n > 100);
    }
  }
}

// Sum of out * dout in double: P by plain softmax over what each query sees.
double loss_of(const Batch& b, const std::vector<double>& q, const std::vector<double>& k,
               const std::vector<double>& v) {
  const GradConfig& c = b.config;
  double loss = 0;
  for (const SequenceRows& rows : b.sequences) {
    for (int64_t i = 0; i < rows.n_rows; ++i) {
      for (int64_t h = 0; h < c.heads; ++h) {
        const int64_t row = (rows.row_begin + i) * c.heads + h;
        double sum = 0, weighted = 0;
        for (int64_t j = 0; j <= i; ++j) {
          const int64_t key = (rows.row_begin + j) * c.key_heads + h / (c.heads / c.key_heads);
          double s = 0, value = 0;
          for (int64_t d = 0; d < c.width; ++d)
            s += q[static_cast<size_t>(row * c.width + d)] * k[static_cast<size_t>(key * c.width + d)];
          for (int64_t d = 0; d < c.value_width; ++d)
            value += static_cast<double>(b.dout.row(row)[d]) * v[static_cast<size_t>(key * c.value_width + d)];
          const double p = std::exp(s * static_cast<double>(c.scale));
          sum += p;
          weighted += p * value;
        }
        loss += weighted / sum;
      }
    }
  }
  return loss;
}

std::vector<double> as_read(const Rows& rows, DType dtype) {
  std::vector<double> values;
  for (int64_t r = 0; r < rows.rows(); ++r) {
    for (int64_t c = 0; c < rows.cols(); ++c)
      values.push_back(static_cast<double>(dtype == DType::kBF16 ? round_to_bf16(rows.row(r)[c]) : rows.row(r)[c]));
  }
  return values;
}

// dq of one document and one head in double, by the softmax's derivative.
std::vector<double> true_dq(const Batch& b) {
  const GradConfig& c = b.config;
  const std::vector<double> q = as_read(b.q, c.dtype), k = as_read(b.k, c.dtype), v = as_read(b.v, c.dtype);
  const auto dot = [](const double* x, const double* y, int64_t n) { return std::inner_product(x, x + n, y, 0.0); };
  std::vector<double> dq(q.size(), 0.0), dout = as_read(b.dout, DType::kF32);
  for (int64_t i = 0; i < b.n_rows; ++i) {
    std::vector<double> p, dp;
    double sum = 0, mean = 0;
    for (int64_t j = 0; j <= i; ++j) {
      p.push_back(std::exp(dot(&q[static_cast<size_t>(i * c.width)], &k[static_cast<size_t>(j * c.width)], c.width) *
                           static_cast<double>(c.scale)));
      dp.push_back(dot(&dout[static_cast<size_t>(i * c.value_width)], &v[static_cast<size_t>(j * c.value_width)],
                       c.value_width));
      sum += p.back();
    }
    for (size_t j = 0; j < p.size(); ++j) mean += p[j] / sum * dp[j];
    for (size_t j = 0; j < p.size(); ++j) {
      const double ds = p[j] / sum * (dp[j] - mean) * static_cast<double>(c.scale);
      for (int64_t d = 0; d < c.width; ++d)
        dq[static_cast<size_t>(i * c.width + d)] += ds * k[static_cast<size_t>(static_cast<int64_t>(j) * c.width + d)];
    }
  }
  return dq;
}

// Rows of few positions, and rows that look at one position alone: what their gradient is made of nearly cancels.
TEST(AttentionGradOp, ShortAndSaturatedRowsAreTrue) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t n : {2, 3, 4, 40, 600}) {
      for (const float scale : {0.1f, 1.0f, 2.0f}) {
        Batch batch({"short", 1, 1, 8, 24, dtype, false, scale}, {n}, 47);
        Cache reference(reference_chip(), batch);
        Forward forward = reference.forward();
        Gradient g = reference.gradient(forward);
        const std::vector<double> want = true_dq(batch);
        double error = 0, norm = 0;
        for (int64_t i = 0; i < n * 8; ++i) {
          const double wanted = want[static_cast<size_t>(i)];
          error += std::pow(static_cast<double>(g.dq.row(i / 8)[i % 8]) - wanted, 2), norm += wanted * wanted;
        }
        EXPECT_LE(std::sqrt(error), (dtype == DType::kBF16 ? 0x1p-7 : 4e-6) * std::sqrt(norm))
            << n << " rows, scale " << scale << (dtype == DType::kBF16 ? " bf16" : " f32");
      }
    }
  }
}

TEST(AttentionGradOp, IsTheDerivative) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Batch batch({"derivative", 4, 2, 5, 4, dtype, false, 0.4f}, {9, 4}, 46);
    Cache reference(reference_chip(), batch);
    Forward forward = reference.forward();
    Gradient g = reference.gradient(forward);
    std::vector<double> q = as_read(batch.q, dtype), k = as_read(batch.k, dtype), v = as_read(batch.v, dtype);
    // Longest sums: 9 positions times a few products of 5. Rounded operands (bf16) err by 2^-9 each.
    const double bound = dtype == DType::kBF16 ? 0x1p-5 : 45 * 0x1p-21;
    const auto expect_near = [&](std::vector<double>& x, Rows& got, const char* what) {
      double error = 0, norm = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        constexpr double kStep = 1e-4;
        const double kept = x[i];
        x[i] = kept + kStep;
        const double above = loss_of(batch, q, k, v);
        x[i] = kept - kStep;
        const double want = (above - loss_of(batch, q, k, v)) / (2 * kStep);
        x[i] = kept;
        const auto at = static_cast<int64_t>(i);
        const double difference = static_cast<double>(got.row(at / got.cols())[at % got.cols()]) - want;
        error += difference * difference;
        norm += want * want;
      }
      EXPECT_LE(std::sqrt(error), bound * std::sqrt(norm)) << what << (dtype == DType::kBF16 ? " bf16" : " f32");
      EXPECT_GT(norm, 0.1);
    };
    expect_near(q, g.dq, "dq");
    expect_near(k, g.dk, "dk");
    expect_near(v, g.dv, "dv");
  }
}

}  // namespace
}  // namespace naru::row_tests
