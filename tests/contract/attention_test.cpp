// The cache and attention over it: every level against the reference chip, bit for bit, over positions on both sides of
// pages and segments, in one piece and in chunks, alone and in batches, on pages that held something else before.
#include <algorithm>
#include <numeric>
#include <string>

#include "tests/contract/row_rig.h"

namespace naru::row_tests {
namespace {

using contract::Attention;
using contract::CacheShape;
using contract::CacheStream;
using contract::CacheUse;
using contract::kCachePage;
using contract::SequenceRows;

struct Config {
  const char* name;
  int64_t heads, key_heads, width, value_width;
  DType dtype;
  bool is_latent = false;  // values are the first columns of the keys
  float scale = 0.125f;
};

// One stream of each use on a chip, in memory that is full of NaN before anything is written.
class Streams {
 public:
  Streams(contract::Chip& chip, const Config& config, int64_t n_pages) : chip_(chip), config_(config) {
    key_ =
        make({config.key_heads, config.width, config.dtype, config.is_latent ? CacheUse::kKeyAndValue : CacheUse::kKey},
             n_pages);
    value_ =
        config.is_latent ? key_ : make({config.key_heads, config.value_width, config.dtype, CacheUse::kValue}, n_pages);
  }
  // Writes keys and values of the rows, then attends.
  Status step(Rows& k, Rows& v, Rows& q, std::span<const SequenceRows> rows, const View& out) {
    const contract::Sequences sequences(rows);
    if (config_.is_latent) {  // the latent part and the rotary part are written one after the other
      const int64_t split = config_.width - config_.width / 4;
      NARU_TRY(chip_.run(contract::CacheWrite{k.view().slice_cols(0, split), key_, 0, sequences}));
      NARU_TRY(
          chip_.run(contract::CacheWrite{k.view().slice_cols(split, config_.width - split), key_, split, sequences}));
    } else {
      NARU_TRY(chip_.run(contract::CacheWrite{k.view(), key_, 0, sequences}));
      NARU_TRY(chip_.run(contract::CacheWrite{v.view(), value_, 0, sequences}));
    }
    return chip_.run(Attention{q.view(), key_, value_, config_.heads, config_.scale, sequences, out});
  }
  const CacheStream& key() const { return key_; }
  const CacheStream& value() const { return value_; }

 private:
  CacheStream make(const CacheShape& shape, int64_t n_pages) {
    const int64_t page_bytes = chip_.cache_page_bytes(shape);
    auto buffer = chip_.allocate(page_bytes * n_pages);
    NARU_CHECK(buffer.ok());
    const std::vector<std::byte> nan(static_cast<size_t>(page_bytes * n_pages), std::byte{0xff});
    NARU_CHECK(chip_.copy_in(buffer.value()->address(), nan.data(), page_bytes * n_pages).ok());
    CacheStream stream{shape, buffer.value()->address(), page_bytes};
    buffers_.push_back(std::move(buffer).value());
    return stream;
  }

  contract::Chip& chip_;
  Config config_;
  CacheStream key_, value_;
  std::vector<std::unique_ptr<contract::Buffer>> buffers_;
};

// A sequence of `n` positions with its rows of k, v and q, and pages in an order of their own.
struct Document {
  Document(const Config& config, int64_t n, Filler& filler, Values values, std::vector<int32_t>& free_pages)
      : n_positions(n),
        k(n * config.key_heads, config.width, filler, values),
        v(n * config.key_heads, config.value_width, filler, values),
        q(n * config.heads, config.width, filler, values) {
    for (int64_t i = 0; i * kCachePage < n; ++i) {
      pages.push_back(free_pages.back());
      free_pages.pop_back();
    }
  }
  int64_t n_positions;
  Rows k, v, q;
  std::vector<int32_t> pages;
};

std::vector<int32_t> shuffled_pages(int64_t n, Filler& filler) {
  std::vector<int32_t> pages(static_cast<size_t>(n));
  std::iota(pages.begin(), pages.end(), 0);
  for (size_t i = pages.size(); i > 1; --i) std::swap(pages[i - 1], pages[filler.bits() % i]);
  return pages;
}

// The rows [begin, begin + n) of positions, as a copy.
Rows part_of(const Rows& rows, int64_t per_position, int64_t begin, int64_t n) {
  Rows part(n * per_position, rows.cols());
  for (int64_t r = 0; r < n * per_position; ++r)
    std::memcpy(part.row(r), rows.row(begin * per_position + r), static_cast<size_t>(rows.cols()) * sizeof(float));
  return part;
}

// The output of a document whose positions come in chunks of `chunk`, all of them into one cache.
Rows run_in_chunks(contract::Chip& chip, const Config& config, const Document& doc, int64_t n_pages, int64_t chunk) {
  Streams streams(chip, config, n_pages);
  Rows out(doc.n_positions * config.heads, config.value_width);
  for (int64_t begin = 0; begin < doc.n_positions; begin += chunk) {
    const int64_t n = std::min(chunk, doc.n_positions - begin);
    Rows k = part_of(doc.k, config.key_heads, begin, n), v = part_of(doc.v, config.key_heads, begin, n);
    Rows q = part_of(doc.q, config.heads, begin, n);
    const SequenceRows rows{0, n, begin, doc.pages.data()};
    const Status status =
        streams.step(k, v, q, {&rows, 1}, out.view().slice_rows(begin * config.heads, n * config.heads));
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  return out;
}

std::string label(const Config& config, int64_t n, int64_t chunk, const std::string& chip) {
  return std::string(config.name) + ", " + std::to_string(n) + " positions in chunks of " + std::to_string(chunk) +
         " on " + chip;
}

void check_document(const Config& config, int64_t n, Values values, std::initializer_list<int64_t> chunks,
                    uint64_t seed, bool is_large = false) {
  Filler filler(seed);
  const int64_t n_pages = n / kCachePage + 3;
  std::vector<int32_t> free_pages = shuffled_pages(n_pages, filler);
  const Document doc(config, n, filler, values, free_pages);
  Rows want = run_in_chunks(reference_chip(), config, doc, n_pages, n);
  for (const NamedChip& named : staged_cpu_chips()) {
    if (is_large && is_slow(named)) continue;
    for (const int64_t chunk : chunks) {
      Rows got = run_in_chunks(*named.chip, config, doc, n_pages, chunk);
      ASSERT_EQ(difference(got, want), "") << label(config, n, chunk, named.name);
    }
  }
}

constexpr Config kConfigs[] = {
    {"f32, 3 heads on 1", 3, 1, 16, 16, DType::kF32},
    {"bf16, 3 heads on 1", 3, 1, 16, 16, DType::kBF16},
    {"f32, 4 heads on 2, widths 33 and 17", 4, 2, 33, 17, DType::kF32},
    {"bf16, 4 heads on 2, widths 33 and 17", 4, 2, 33, 17, DType::kBF16},
    {"f32 latent, widths 40 and 24", 5, 1, 40, 24, DType::kF32, true},
    {"bf16 latent, widths 40 and 24", 5, 1, 40, 24, DType::kBF16, true},
};

TEST(AttentionOp, PagesAndSegments) {
  for (const Config& config : kConfigs) {
    for (const int64_t n : {1, 2, 31, 32, 33, 64}) check_document(config, n, Values::kPlain, {n, 1, 5}, 10);
  }
}

TEST(AttentionOp, LongDocuments) {
  for (const Config& config : kConfigs) {
    for (const int64_t n : {511, 512, 513}) check_document(config, n, Values::kPlain, {n}, 11, true);
    check_document(config, 1030, Values::kPlain, {1030, 32, 97}, 11, true);
  }
}

// One row at each depth, on a cache that was filled in one piece.
TEST(AttentionOp, DecodeAtDepth) {
  for (const Config& config : {Config{"f32", 9, 3, 64, 64, DType::kF32}, Config{"bf16", 9, 3, 64, 64, DType::kBF16},
                               Config{"bf16 latent", 16, 1, 576, 512, DType::kBF16, true, 0.1f},
                               Config{"f32 latent", 4, 1, 160, 128, DType::kF32, true}}) {
    Filler filler(12);
    const int64_t depths[] = {1, 31, 32, 33, 511, 512, 513, 1030}, n = 1030;
    std::vector<int32_t> free_pages = shuffled_pages(n / kCachePage + 3, filler);
    const auto n_pages = static_cast<int64_t>(free_pages.size());
    Document doc(config, n, filler, Values::kPlain, free_pages);
    const auto run = [&](contract::Chip& chip, int64_t depth) {
      Streams streams(chip, config, n_pages);
      Rows out(config.heads, config.value_width);
      Rows k = part_of(doc.k, config.key_heads, 0, depth), v = part_of(doc.v, config.key_heads, 0, depth);
      const SequenceRows written{0, depth, 0, doc.pages.data()};
      const contract::Sequences all({&written, 1});
      EXPECT_TRUE(chip.run(contract::CacheWrite{k.view(), streams.key(), 0, all}).ok());
      if (!config.is_latent) {
        EXPECT_TRUE(chip.run(contract::CacheWrite{v.view(), streams.value(), 0, all}).ok());
      }
      Rows q = part_of(doc.q, config.heads, depth - 1, 1);
      const SequenceRows read{0, 1, depth - 1, doc.pages.data()};
      const contract::Sequences last({&read, 1});
      EXPECT_TRUE(
          chip.run(Attention{q.view(), streams.key(), streams.value(), config.heads, config.scale, last, out.view()})
              .ok());
      return out;
    };
    for (const int64_t depth : depths) {
      Rows want = run(reference_chip(), depth);
      for (const NamedChip& named : staged_cpu_chips()) {
        Rows got = run(*named.chip, depth);
        ASSERT_EQ(difference(got, want), "") << config.name << " at depth " << depth << " on " << named.name;
      }
    }
  }
}

TEST(AttentionOp, Widths) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t width : {1, 2, 3, 4, 15, 16, 17, 31, 32, 47, 80, 192, 1024}) {
      check_document({"width", 2, 1, width, width, dtype}, 37, Values::kPlain, {37}, 13);
      check_document({"latent width", 3, 1, width, (width + 2) / 3, dtype, true}, 37, Values::kPlain, {37, 9}, 14);
    }
    check_document({"192 and 128", 4, 4, 192, 128, dtype}, 70, Values::kPlain, {70, 33}, 15);
    check_document({"14 heads on 2", 14, 2, 64, 64, dtype}, 75, Values::kPlain, {75, 33}, 15);
  }
}

// Operands around the smallest normal: the scale lifts their products into the range where each bit of a score counts.
TEST(AttentionOp, LowAndWideValues) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool is_latent : {false, true}) {
      Filler filler(16);
      const Config config{"low", 3, 1, 20, 20, dtype, is_latent, 0x1p122f};
      const int64_t n = 45, n_pages = 4;
      std::vector<int32_t> free_pages = shuffled_pages(n_pages, filler);
      Document doc(config, n, filler, Values::kPlain, free_pages);
      for (int64_t r = 0; r < doc.q.rows(); ++r)
        for (int64_t c = 0; c < 20; ++c) doc.q.row(r)[c] *= std::exp2(-60.0f - static_cast<float>(filler.bits() % 6));
      for (int64_t r = 0; r < doc.k.rows(); ++r) {
        for (int64_t c = 0; c < 20; ++c) {
          doc.k.row(r)[c] *= std::exp2(-60.0f - static_cast<float>(filler.bits() % 6));
          doc.v.row(r)[c] = filler.value(Values::kLow);
        }
      }
      Rows want = run_in_chunks(reference_chip(), config, doc, n_pages, n);
      for (const NamedChip& named : staged_cpu_chips()) {
        Rows got = run_in_chunks(*named.chip, config, doc, n_pages, 7);
        ASSERT_EQ(difference(got, want), "") << label(config, n, 7, named.name);
      }
    }
    check_document({"steep", 3, 1, 20, 20, dtype, false, 9.0f}, 600, Values::kPlain, {600, 50}, 17, true);
  }
}

// Scores on both sides of 38 below the largest, with values so large that a probability of exp(-38) shows.
TEST(AttentionOp, ScoreFloor) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Filler filler(24);
    const Config config{"floor", 1, 1, 1, 2, dtype, false, 1.0f};
    std::vector<int32_t> free_pages = {0};
    Document doc(config, 6, filler, Values::kPlain, free_pages);
    const float keys[] = {0.0f, -37.75f, -38.0f, -38.25f, -88.0f, -37.0f};
    for (int64_t r = 0; r < 6; ++r) {
      doc.q.row(r)[0] = 1.0f;
      doc.k.row(r)[0] = keys[r];
      doc.v.row(r)[0] = r == 0 ? 0.0f : std::exp2(100.0f + static_cast<float>(r));
      doc.v.row(r)[1] = r == 3 || r == 4 ? 0x1p120f : 0.0f;
    }
    Rows want = run_in_chunks(reference_chip(), config, doc, 1, 6);
    EXPECT_EQ(want.row(5)[1], 0.0f);
    EXPECT_GT(want.row(2)[0], want.row(1)[0]);  // -38 itself still counts
    for (const NamedChip& named : staged_cpu_chips()) {
      Rows got = run_in_chunks(*named.chip, config, doc, 1, 6);
      ASSERT_EQ(difference(got, want), "") << label(config, 6, 6, named.name);
    }
  }
}

TEST(AttentionOp, AllFiniteValues) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const float scale : {1.0f, 0x1p-100f, 0x1p-126f}) {
      Filler filler(18);
      const Config config{"all", 3, 1, 24, 24, dtype, false, scale};
      const int64_t n = 45, n_pages = 4;
      std::vector<int32_t> free_pages = shuffled_pages(n_pages, filler);
      Document doc(config, n, filler, Values::kAll, free_pages);
      for (Rows* rows : {&doc.k, &doc.v}) {  // what overflows bf16 is refused elsewhere
        for (int64_t r = 0; r < rows->rows(); ++r)
          for (int64_t c = 0; c < 24; ++c)
            if (!std::isfinite(round_to_bf16(rows->row(r)[c]))) rows->row(r)[c] = 1.0f;
      }
      Rows want = run_in_chunks(reference_chip(), config, doc, n_pages, n);
      for (const NamedChip& named : staged_cpu_chips()) {
        Rows got = run_in_chunks(*named.chip, config, doc, n_pages, 11);
        ASSERT_EQ(difference(got, want), "") << label(config, n, 11, named.name);
      }
    }
  }
}

// A query that is not finite gives the same bits everywhere, and touches no other row.
TEST(AttentionOp, NonFiniteQueries) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Filler filler(19);
    const Config config{"non-finite", 3, 1, 24, 24, dtype};
    const int64_t n = 530, n_pages = 18;
    std::vector<int32_t> free_pages = shuffled_pages(n_pages, filler);
    Document doc(config, n, filler, Values::kPlain, free_pages);
    for (int64_t r = 0; r < doc.q.rows(); r += 7) doc.q.row(r)[filler.bits() % 24] = filler.value(Values::kNonFinite);
    doc.q.row(100)[3] = std::numeric_limits<float>::quiet_NaN();
    doc.q.row(101)[3] = std::bit_cast<float>(0x7fffffffu);  // a NaN whose rounding must not carry into the sign
    doc.q.row(1500)[3] = std::numeric_limits<float>::infinity();
    Rows want = run_in_chunks(reference_chip(), config, doc, n_pages, n);
    for (const NamedChip& named : staged_cpu_chips()) {
      if (is_slow(named)) continue;
      Rows got = run_in_chunks(*named.chip, config, doc, n_pages, 101);
      ASSERT_EQ(difference(got, want), "") << label(config, n, 101, named.name);
    }
  }
}

// Several sequences in one batch, some with one row and some with many, at depths of their own.
TEST(AttentionOp, Batches) {
  for (const Config& config : kConfigs) {
    Filler filler(20);
    std::vector<int32_t> free_pages = shuffled_pages(60, filler);
    const int64_t lengths[] = {1, 33, 530, 64, 97, 513, 2}, rows_in_batch[] = {1, 1, 40, 64, 2, 1, 2};
    std::vector<Document> docs;
    for (const int64_t n : lengths) docs.emplace_back(config, n, filler, Values::kPlain, free_pages);
    int64_t n_rows = 0;
    for (const int64_t n : rows_in_batch) n_rows += n;
    // The batch holds the last rows of each document, in reverse order of the documents.
    Rows k(n_rows * config.key_heads, config.width), v(n_rows * config.key_heads, config.value_width);
    Rows q(n_rows * config.heads, config.width);
    std::vector<SequenceRows> sequences;
    int64_t row = n_rows;
    for (size_t i = 0; i < docs.size(); ++i) {
      const int64_t n = rows_in_batch[i], begin = docs[i].n_positions - n;
      row -= n;
      sequences.push_back({row, n, begin, docs[i].pages.data()});
      const auto copy = [&](Rows& to, const Rows& from, int64_t per) {
        for (int64_t r = 0; r < n * per; ++r)
          std::memcpy(to.row(row * per + r), from.row(begin * per + r),
                      static_cast<size_t>(from.cols()) * sizeof(float));
      };
      copy(k, docs[i].k, config.key_heads);
      copy(v, docs[i].v, config.key_heads);
      copy(q, docs[i].q, config.heads);
    }
    const auto run = [&](contract::Chip& chip) {
      Streams streams(chip, config, 60);
      Rows out(n_rows * config.heads, config.value_width);
      for (size_t i = 0; i < docs.size(); ++i) {  // what comes before the batch
        const int64_t n = docs[i].n_positions - rows_in_batch[i];
        if (n == 0) continue;
        Rows before_k = part_of(docs[i].k, config.key_heads, 0, n),
             before_v = part_of(docs[i].v, config.key_heads, 0, n);
        const SequenceRows rows{0, n, 0, docs[i].pages.data()};
        const contract::Sequences list({&rows, 1});
        EXPECT_TRUE(chip.run(contract::CacheWrite{before_k.view(), streams.key(), 0, list}).ok());
        if (!config.is_latent) {
          EXPECT_TRUE(chip.run(contract::CacheWrite{before_v.view(), streams.value(), 0, list}).ok());
        }
      }
      EXPECT_TRUE(streams.step(k, v, q, sequences, out.view()).ok());
      return out;
    };
    Rows want = run(reference_chip());
    for (const NamedChip& named : staged_cpu_chips()) {
      if (is_slow(named) && config.width > 16) continue;
      Rows got = run(*named.chip);
      ASSERT_EQ(difference(got, want), "") << config.name << " on " << named.name;
    }
  }
}

// One row for all heads (the rotary key of expanded latent attention), written beside rows of each head.
TEST(CacheWriteOp, SharedRows) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Filler filler(21);
    const Config config{"shared", 4, 4, 24, 24, dtype};
    const int64_t n = 40;
    const std::vector<int32_t> pages = {2, 0};
    Rows own(n * 4, 16, filler, Values::kPlain), shared(n, 8, filler, Values::kPlain);
    Rows v(n * 4, 24, filler, Values::kPlain), q(n * 4, 24, filler, Values::kPlain);
    const auto run = [&](contract::Chip& chip) {
      Streams streams(chip, config, 3);
      Rows out(n * 4, 24);
      const SequenceRows rows{0, n, 0, pages.data()};
      const contract::Sequences list({&rows, 1});
      EXPECT_TRUE(chip.run(contract::CacheWrite{own.view(), streams.key(), 0, list}).ok());
      EXPECT_TRUE(chip.run(contract::CacheWrite{shared.view(), streams.key(), 16, list}).ok());
      EXPECT_TRUE(chip.run(contract::CacheWrite{v.view(), streams.value(), 0, list}).ok());
      EXPECT_TRUE(chip.run(Attention{q.view(), streams.key(), streams.value(), 4, 0.2f, list, out.view()}).ok());
      return out;
    };
    Rows want = run(reference_chip());
    for (const NamedChip& named : staged_cpu_chips()) {
      Rows got = run(*named.chip);
      ASSERT_EQ(difference(got, want), "") << named.name;
    }
  }
}

TEST(CacheWriteOp, RefusesWhatIsNotFinite) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const CacheUse use : {CacheUse::kKey, CacheUse::kValue, CacheUse::kKeyAndValue}) {
      Filler filler(22);
      // The largest f32 rounds to infinity in bf16 only.
      const float bads[] = {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::max(), -std::numeric_limits<float>::max()};
      for (const float bad : bads) {
        Rows x(500 * 2, 70, filler, Values::kPlain);
        x.row(901)[69] = bad;
        x.row(950)[0] = bad;
        const std::vector<int32_t> pages = shuffled_pages(17, filler);
        const SequenceRows parts[] = {{100, 400, 3, pages.data()}, {0, 100, 0, pages.data() + 13}};
        const contract::Sequences sequences(parts);
        const auto run = [&](contract::Chip& chip) {
          const CacheShape shape{2, 70, dtype, use};
          const int64_t bytes = chip.cache_page_bytes(shape);
          auto buffer = chip.allocate(bytes * 17);
          NARU_CHECK(buffer.ok());
          return chip.run(contract::CacheWrite{x.view(), {shape, buffer.value()->address(), bytes}, 0, sequences});
        };
        const Status want = run(reference_chip());
        const bool is_large = bad == std::numeric_limits<float>::max() || bad == -std::numeric_limits<float>::max();
        EXPECT_EQ(want.ok(), is_large && dtype == DType::kF32);
        for (const NamedChip& named : staged_cpu_chips()) {
          const Status got = run(*named.chip);
          ASSERT_EQ(got.ok(), want.ok()) << named.name;
          if (want.ok()) continue;
          EXPECT_EQ(got.error().code, Code::kOutOfRange);
          EXPECT_EQ(got.error().message, want.error().message) << named.name;
        }
      }
    }
  }
}

TEST(CacheWriteOp, CopiesOfPages) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Filler filler(23);
    const Config config{"copy", 2, 1, 24, 24, dtype};
    std::vector<int32_t> free_pages = {5, 4, 3, 2, 1, 0};
    Document doc(config, 60, filler, Values::kPlain, free_pages);
    Rows want = run_in_chunks(reference_chip(), config, doc, 6, 60);
    for (const NamedChip& named : staged_cpu_chips()) {
      Streams streams(*named.chip, config, 6);
      Rows out(60 * 2, 24);
      const SequenceRows rows{0, 60, 0, doc.pages.data()};
      ASSERT_TRUE(streams.step(doc.k, doc.v, doc.q, {&rows, 1}, out.view()).ok());
      const int32_t moved[] = {4, 3};
      for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(named.chip->copy_cache_page(streams.key(), doc.pages[static_cast<size_t>(i)], moved[i]).ok());
        ASSERT_TRUE(named.chip->copy_cache_page(streams.value(), doc.pages[static_cast<size_t>(i)], moved[i]).ok());
      }
      const SequenceRows elsewhere{0, 60, 0, moved};
      const contract::Sequences moved_list({&elsewhere, 1});
      Rows got(60 * 2, 24);
      ASSERT_TRUE(
          named.chip
              ->run(Attention{doc.q.view(), streams.key(), streams.value(), 2, config.scale, moved_list, got.view()})
              .ok());
      ASSERT_EQ(difference(got, want), "") << named.name;
    }
  }
}

}  // namespace
}  // namespace naru::row_tests
