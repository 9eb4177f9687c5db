// Attention with selected keys and its gradient: every level against the reference chip, bit for bit, over lists of all
// kinds; complete lists against attention without; and the reference chip against attention in double.
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

struct ListConfig {
  const char* name;
  int64_t heads, key_heads, width, value_width;
  DType dtype;
  bool is_latent = false;  // values are the first columns of the keys
  float scale = 0.125f;
};

enum class Lists {
  kAll,     // every position up to the token's own
  kOwn,     // the token's own
  kFirst,   // position 0
  kSparse,  // one in eight
  kMost,    // seven in eight
  kPages,   // runs that begin with a page, every other page
  kRecent,  // the last 40
};
constexpr Lists kEveryList[] = {Lists::kAll,  Lists::kOwn,   Lists::kFirst, Lists::kSparse,
                                Lists::kMost, Lists::kPages, Lists::kRecent};

std::vector<int32_t> make_list(Lists kind, int64_t own, Filler& filler) {
  std::vector<int32_t> list;
  for (int64_t j = 0; j <= own; ++j) {
    const bool is_in = kind == Lists::kAll      ? true
                       : kind == Lists::kOwn    ? j == own
                       : kind == Lists::kFirst  ? j == 0
                       : kind == Lists::kSparse ? filler.bits() % 8 == 0
                       : kind == Lists::kMost   ? filler.bits() % 8 != 0
                       : kind == Lists::kPages  ? j / kCachePage % 2 == own / kCachePage % 2
                                                : j > own - 40;
    if (is_in) list.push_back(static_cast<int32_t>(j));
  }
  if (list.empty()) list.push_back(static_cast<int32_t>(filler.bits() % static_cast<uint32_t>(own + 1)));
  return list;
}

// Packed documents with all operands and a list a token; pages in an order of their own. Behind a list's -1 lie
// positions that no cache has.
struct ListBatch {
  ListBatch(const ListConfig& config_, const std::vector<int64_t>& lengths, Lists kind, uint64_t seed,
            Values values = Values::kPlain)
      : config(config_),
        n_rows(std::accumulate(lengths.begin(), lengths.end(), int64_t{0})),
        filler(seed),
        q(n_rows * config.heads, config.width, filler, values),
        k(n_rows * config.key_heads, config.width, filler, values),
        v(n_rows * config.key_heads, config.value_width, filler, values),
        dout(n_rows * config.heads, config.value_width, filler, values),
        selected(0, 0) {
    for (const int64_t n : lengths) n_pages += (n + kCachePage - 1) / kCachePage;
    pages.resize(static_cast<size_t>(n_pages));
    std::iota(pages.rbegin(), pages.rend(), 0);
    int64_t row = n_rows, page = 0;  // the first document has the last rows
    for (const int64_t n : lengths) {
      row -= n;
      sequences.push_back({row, n, 0, pages.data() + page});
      page += (n + kCachePage - 1) / kCachePage;
    }
    lists.resize(static_cast<size_t>(n_rows));
    for (const SequenceRows& rows : sequences) {
      for (int64_t i = 0; i < rows.n_rows; ++i)
        lists[static_cast<size_t>(rows.row_begin + i)] = make_list(kind, i, filler);
    }
    store_lists();
  }
  void store_lists() {
    size_t longest = 0;
    for (const auto& list : lists) longest = std::max(longest, list.size());
    selected = Rows(n_rows, static_cast<int64_t>(longest));
    for (int64_t t = 0; t < n_rows; ++t) {
      const std::vector<int32_t>& list = lists[static_cast<size_t>(t)];
      std::fill_n(selected.row_i32(t), longest, INT32_MAX);
      std::copy(list.begin(), list.end(), selected.row_i32(t));
      if (list.size() < longest) selected.row_i32(t)[list.size()] = -1;
    }
  }
  ListConfig config;
  int64_t n_rows, n_pages = 0;
  Filler filler;
  Rows q, k, v, dout;
  std::vector<int32_t> pages;
  std::vector<SequenceRows> sequences;
  std::vector<std::vector<int32_t>> lists;  // by row
  Rows selected;
};

struct ListForward {
  Rows out, stats;
};
struct ListGradient {
  Rows dq, dk, dv;
};

// The batch's cache on one chip, in memory that is full of NaN before anything is written.
class ListCache {
 public:
  ListCache(contract::Chip& chip, ListBatch& batch) : chip_(chip), batch_(batch), sequences_(batch.sequences) {
    const ListConfig& c = batch.config;
    key_ = make({c.key_heads, c.width, c.dtype, c.is_latent ? CacheUse::kKeyAndValue : CacheUse::kKey});
    value_ = c.is_latent ? key_ : make({c.key_heads, c.value_width, c.dtype, CacheUse::kValue});
    EXPECT_TRUE(chip_.run(contract::CacheWrite{batch.k.view(), key_, 0, sequences_}).ok());
    if (c.is_latent) return;
    EXPECT_TRUE(chip_.run(contract::CacheWrite{batch.v.view(), value_, 0, sequences_}).ok());
  }
  Status attend(std::span<const SequenceRows> rows, const View& q, const View& selected, const View& out,
                const View& stats) {
    const contract::Sequences sequences(rows);
    return chip_.run(
        Attention{q, key_, value_, batch_.config.heads, batch_.config.scale, sequences, out, stats, selected});
  }
  ListForward forward(const View& selected) {
    const ListConfig& c = batch_.config;
    ListForward f{Rows(batch_.n_rows * c.heads, c.value_width), Rows(batch_.n_rows * c.heads, 2)};
    const Status status = attend(batch_.sequences, batch_.q.view(), selected, f.out.view(), f.stats.view());
    EXPECT_TRUE(status.ok()) << status.error().message;
    return f;
  }
  Status differentiate(ListForward& f, const View& selected, ListGradient& g) {
    const ListConfig& c = batch_.config;
    return chip_.run(AttentionGrad{batch_.q.view(), key_, value_, c.heads, c.scale, sequences_, f.out.view(),
                                   f.stats.view(), batch_.dout.view(), g.dq.view(), g.dk.view(), g.dv.view(),
                                   selected});
  }
  ListGradient gradient(ListForward& f, const View& selected) {
    const ListConfig& c = batch_.config;
    ListGradient g{Rows(batch_.n_rows * c.heads, c.width), Rows(batch_.n_rows * c.key_heads, c.width),
                   Rows(batch_.n_rows * c.key_heads, c.value_width)};
    const Status status = differentiate(f, selected, g);
    EXPECT_TRUE(status.ok()) << status.error().message;
    return g;
  }

 private:
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
  ListBatch& batch_;
  contract::Sequences sequences_;
  CacheStream key_, value_;
  std::vector<std::unique_ptr<contract::Buffer>> buffers_;
};

void expect_same(ListForward& f, ListGradient& g, ListForward& want_f, ListGradient& want_g, const std::string& what) {
  EXPECT_EQ(difference(f.out, want_f.out), "") << "out, " << what;
  EXPECT_EQ(difference(f.stats, want_f.stats), "") << "stats, " << what;
  EXPECT_EQ(difference(g.dq, want_g.dq), "") << "dq, " << what;
  EXPECT_EQ(difference(g.dk, want_g.dk), "") << "dk, " << what;
  EXPECT_EQ(difference(g.dv, want_g.dv), "") << "dv, " << what;
}

// Every chip's forward and gradient against the reference chip's, whose gradient it returns. Without `is_selected` the
// other chips run without lists.
ListGradient check_lists(ListBatch& batch, const std::string& what, bool is_large = false, bool is_selected = true) {
  ListCache reference(reference_chip(), batch);
  ListForward want_forward = reference.forward(batch.selected.view_i32());
  ListGradient want = reference.gradient(want_forward, batch.selected.view_i32());
  for (const NamedChip& named : staged_cpu_chips()) {
    if (is_large && is_slow(named)) continue;
    ListCache cache(*named.chip, batch);
    const View selected = is_selected ? batch.selected.view_i32() : View{};
    ListForward forward = cache.forward(selected);
    ListGradient got = cache.gradient(want_forward, selected);
    expect_same(forward, got, want_forward, want, what + " on " + named.name);
    if (testing::Test::HasFailure()) break;
  }
  return want;
}

std::string label_of(const ListConfig& config, const std::vector<int64_t>& lengths, Lists kind) {
  std::string text = std::string(config.name) + ", " + std::to_string(config.heads) + " heads on " +
                     std::to_string(config.key_heads) + ", widths " + std::to_string(config.width) + " and " +
                     std::to_string(config.value_width) + ", lists " + std::to_string(static_cast<int>(kind)) +
                     ", lengths";
  for (const int64_t n : lengths) text += " " + std::to_string(n);
  return text;
}

void check_lists(const ListConfig& config, const std::vector<int64_t>& lengths, Lists kind, uint64_t seed,
                 bool is_large = false) {
  ListBatch batch(config, lengths, kind, seed);
  check_lists(batch, label_of(config, lengths, kind), is_large);
}

constexpr ListConfig kListConfigs[] = {
    {"f32", 2, 2, 16, 16, DType::kF32},
    {"bf16", 2, 2, 16, 16, DType::kBF16},
    {"f32", 6, 2, 33, 17, DType::kF32},
    {"bf16", 6, 2, 33, 17, DType::kBF16},
    {"f32 latent", 7, 1, 40, 24, DType::kF32, true},
    {"bf16 latent", 7, 1, 40, 24, DType::kBF16, true},
};
// The same forms for long documents, which the reference chip takes long for.
constexpr ListConfig kNarrowConfigs[] = {
    {"f32", 2, 1, 4, 3, DType::kF32},
    {"bf16", 2, 1, 4, 3, DType::kBF16},
    {"f32 latent", 3, 1, 5, 3, DType::kF32, true},
    {"bf16 latent", 3, 1, 5, 3, DType::kBF16, true},
};

TEST(SelectedKeys, ListsOfEveryKind) {
  for (const ListConfig& config : kListConfigs) {
    for (const Lists kind : kEveryList) check_lists(config, {45}, kind, 50);
    for (const int64_t n : {1, 2, 33, 97}) check_lists(config, {n}, Lists::kMost, 50);
  }
}

TEST(SelectedKeys, PackedDocuments) {
  for (const ListConfig& config : kListConfigs) check_lists(config, {1, 40, 33, 2, 64, 31}, Lists::kMost, 51);
  for (const ListConfig& config : kNarrowConfigs) {
    check_lists(config, {5, 300, 70, 100, 1, 32}, Lists::kSparse, 51, true);
  }
}

// Lists of more than a segment of 512, which begin and end anywhere in it, on documents that threads share.
TEST(SelectedKeys, BeyondASegmentOfScores) {
  for (const ListConfig& config : kNarrowConfigs) check_lists(config, {620, 40}, Lists::kMost, 52, true);
  check_lists({"f32", 1, 1, 3, 3, DType::kF32}, {1250}, Lists::kMost, 53, true);
}

// Dots of more than a segment of 2048: over a list, and over queries.
TEST(SelectedKeys, BeyondASegmentOfDots) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    check_lists({"segments", 1, 1, 2, 1, dtype}, {40, 2500}, Lists::kMost, 54, true);
  }
  check_lists({"segments", 1, 1, 1, 1, DType::kF32}, {2100}, Lists::kRecent, 54, true);
}

TEST(SelectedKeys, Widths) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t width : {1, 5, 16, 33, 80, 192}) {
      check_lists({"width", 2, 1, width, width, dtype}, {37}, Lists::kMost, 55);
      check_lists({"latent width", 3, 1, width, (width + 2) / 3, dtype, true}, {37}, Lists::kMost, 55);
    }
    check_lists({"values wider", 4, 4, 24, 80, dtype}, {70}, Lists::kMost, 56);
    check_lists({"keys wider", 4, 1, 80, 5, dtype}, {70}, Lists::kMost, 56);
    check_lists({"wide", 13, 1, 576, 512, dtype, true, 0.05f}, {40}, Lists::kMost, 57, true);
    check_lists({"many heads", 130, 1, 8, 6, dtype, true}, {40}, Lists::kSparse, 57, true);
  }
}

TEST(SelectedKeys, LowAndWideValues) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool is_latent : {false, true}) {
      for (const float scale : {1.0f, 0x1p-100f, 0x1p-126f}) {
        ListBatch batch({"all", 3, 1, 24, 24, dtype, is_latent, scale}, {45, 20}, Lists::kMost, 58, Values::kAll);
        for (Rows* rows : {&batch.q, &batch.k, &batch.v, &batch.dout}) {  // what overflows bf16 is refused elsewhere
          for (int64_t r = 0; r < rows->rows(); ++r)
            for (int64_t c = 0; c < 24; ++c)
              if (!std::isfinite(round_to_bf16(rows->row(r)[c]))) rows->row(r)[c] = 1.0f;
        }
        check_lists(batch, "all");
      }
    }
    check_lists({"steep", 3, 1, 20, 20, dtype, false, 9.0f}, {200}, Lists::kMost, 59);
    check_lists({"steeper", 1, 1, 20, 20, dtype, false, 1000.0f}, {100}, Lists::kSparse, 59);
  }
}

// A list of everything gives the bits of attention without one, on every chip.
TEST(SelectedKeys, CompleteListsArePlainAttention) {
  for (const ListConfig& config : {kListConfigs[2], kListConfigs[5], kNarrowConfigs[1], kNarrowConfigs[2]}) {
    const std::vector<int64_t> lengths = {3, config.width > 5 ? 70 : 530, 31};
    ListBatch batch(config, lengths, Lists::kAll, 60);
    check_lists(batch, label_of(config, lengths, Lists::kAll), true, false);
    ListCache reference(reference_chip(), batch);
    ListForward with = reference.forward(batch.selected.view_i32()), without = reference.forward({});
    ListGradient with_g = reference.gradient(with, batch.selected.view_i32()),
                 without_g = reference.gradient(without, {});
    expect_same(with, with_g, without, without_g, config.name);
  }
  ListBatch batch({"long", 1, 1, 1, 1, DType::kF32}, {2100}, Lists::kAll, 61);  // of more than one segment of 2048
  check_lists(batch, "long", true, false);
}

// The last rows of documents in one batch, at depths of their own, as decoding has them.
TEST(SelectedKeys, LastRows) {
  for (const ListConfig& config : kListConfigs) {
    ListBatch batch(config, {700, 1, 90, 33, 1100}, Lists::kMost, 62);
    std::vector<SequenceRows> last;
    for (const SequenceRows& rows : batch.sequences) {
      const int64_t n = std::min<int64_t>(rows.n_rows, last.size() % 2 == 0 ? 1 : 5);
      last.push_back({rows.row_begin + rows.n_rows - n, n, rows.n_rows - n, rows.pages});
    }
    const auto run = [&](contract::Chip& chip, std::span<const SequenceRows> sequences) {
      ListCache cache(chip, batch);
      Rows out(batch.n_rows * config.heads, config.value_width);
      EXPECT_TRUE(cache.attend(sequences, batch.q.view(), batch.selected.view_i32(), out.view(), {}).ok());
      return out;
    };
    Rows want = run(reference_chip(), last), want_one = run(reference_chip(), {last.data(), 1});
    for (const NamedChip& named : staged_cpu_chips()) {
      if (is_slow(named)) continue;
      Rows got = run(*named.chip, last), got_one = run(*named.chip, {last.data(), 1});
      ASSERT_EQ(difference(got, want), "") << config.name << " on " << named.name;
      ASSERT_EQ(difference(got_one, want_one), "") << config.name << ", one row, on " << named.name;
    }
  }
}

// Every chip says the same of a list that is none, and reads nothing outside of the cache.
TEST(SelectedKeys, RefusesWrongLists) {
  const std::vector<int32_t> wrongs[] = {{-1},    {-2},     {0, -2},      {0, 0},      {3, 2},         {41},
                                         {0, 41}, {40, 41}, {5, 1 << 30}, {INT32_MIN}, {0, INT32_MAX}, {40, 40}};
  const std::string wanted[] = {"entry 0 of its selected positions is -1, one from 0 to 40 was wanted",
                                "entry 0 of its selected positions is -2, one from 0 to 40 was wanted",
                                "entry 1 of its selected positions is -2, one from 1 to 40 or -1 was wanted"};
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (size_t w = 0; w < std::size(wrongs); ++w) {
      ListBatch batch({"wrong", 2, 1, 8, 8, dtype}, {300, 45}, Lists::kSparse, 63);
      const int64_t row = batch.sequences[1].row_begin + 40;
      batch.lists[static_cast<size_t>(row)] = wrongs[w];
      batch.lists[static_cast<size_t>(row + 2)] = {77};  // the first one is named
      batch.store_lists();
      const auto run = [&](contract::Chip& chip, bool is_gradient) {
        ListCache cache(chip, batch);
        ListForward f{Rows(batch.n_rows * 2, 8), Rows(batch.n_rows * 2, 2)};
        if (!is_gradient)
          return cache.attend(batch.sequences, batch.q.view(), batch.selected.view_i32(), f.out.view(), f.stats.view());
        ListGradient g{Rows(batch.n_rows * 2, 8), Rows(batch.n_rows, 8), Rows(batch.n_rows, 8)};
        return cache.differentiate(f, batch.selected.view_i32(), g);
      };
      for (const bool is_gradient : {false, true}) {
        const Status want = run(reference_chip(), is_gradient);
        ASSERT_FALSE(want.ok()) << w;
        EXPECT_EQ(want.error().code, Code::kOutOfRange);
        const std::string begin = std::string(is_gradient ? "attention_grad" : "attention") + ": row 40: ";
        EXPECT_TRUE(want.error().message.starts_with(begin + (w < 3 ? wanted[w] : ""))) << want.error().message;
        for (const NamedChip& named : staged_cpu_chips()) {
          const Status got = run(*named.chip, is_gradient);
          ASSERT_FALSE(got.ok()) << w << " on " << named.name;
          EXPECT_EQ(got.error().message, want.error().message) << named.name;
          EXPECT_EQ(got.error().code, want.error().code) << named.name;
        }
      }
    }
  }
}

// A query or a gradient that is not finite spoils its head of its document, and no other.
TEST(SelectedKeys, NonFiniteOperands) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    ListBatch batch({"non-finite", 4, 2, 20, 12, dtype}, {70, 40}, Lists::kSparse, 64);
    const int64_t first = batch.sequences[0].row_begin;
    batch.q.row((first + 3) * 4 + 1)[19] = std::numeric_limits<float>::infinity();
    ListGradient g = check_lists(batch, "non-finite q");
    EXPECT_TRUE(std::isnan(g.dq.row(first * 4 + 1)[0]));
    EXPECT_TRUE(std::isnan(g.dk.row((first + 69) * 2)[0]));
    EXPECT_TRUE(std::isfinite(g.dq.row((first + 3) * 4)[0]));
    EXPECT_TRUE(std::isfinite(g.dk.row((first + 3) * 2 + 1)[0]));
    EXPECT_TRUE(std::isfinite(g.dk.row(0)[0]));
    ListBatch other({"non-finite", 4, 2, 20, 12, dtype}, {70, 40}, Lists::kMost, 65);
    other.dout.row((first + 3) * 4 + 2)[11] = std::bit_cast<float>(0x7fffffffu);
    check_lists(other, "non-finite dout");
  }
}

// Keys that no query selects get +0.
TEST(SelectedKeys, AbsentKeysGetZero) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    ListBatch batch({"absent", 3, 1, 8, 8, dtype}, {80}, Lists::kFirst, 66);
    const ListGradient g = check_lists(batch, "absent");
    for (int64_t j = 1; j < 80; ++j) {
      for (int64_t c = 0; c < 8; ++c) {
        ASSERT_EQ(std::bit_cast<uint32_t>(g.dk.row(j)[c]), 0u) << j;
        ASSERT_EQ(std::bit_cast<uint32_t>(g.dv.row(j)[c]), 0u) << j;
      }
    }
    EXPECT_NE(g.dv.row(0)[0], 0.0f);
  }
}

// ---- in double ----

std::vector<double> as_operand(const Rows& rows, DType dtype) {
  std::vector<double> values;
  for (int64_t r = 0; r < rows.rows(); ++r) {
    for (int64_t c = 0; c < rows.cols(); ++c)
      values.push_back(static_cast<double>(dtype == DType::kBF16 ? round_to_bf16(rows.row(r)[c]) : rows.row(r)[c]));
  }
  return values;
}

// Attention over the listed positions and its gradient, by the softmax's derivative.
struct TrueLists {
  std::vector<double> out, dq, dk, dv;
};
TrueLists true_lists(const ListBatch& b) {
  const ListConfig& c = b.config;
  const std::vector<double> q = as_operand(b.q, c.dtype), k = as_operand(b.k, c.dtype), v = as_operand(b.v, c.dtype);
  const std::vector<double> dout = as_operand(b.dout, DType::kF32);
  TrueLists truth{std::vector<double>(dout.size()), std::vector<double>(q.size()), std::vector<double>(k.size()),
                  std::vector<double>(v.size())};
  const auto row_at = [](auto& rows, int64_t row, int64_t cols) { return rows.data() + row * cols; };
  for (const SequenceRows& rows : b.sequences) {
    for (int64_t t = rows.row_begin; t < rows.row_begin + rows.n_rows; ++t) {
      for (int64_t h = 0; h < c.heads; ++h) {
        const int64_t row = t * c.heads + h;
        const double *qi = row_at(q, row, c.width), *doi = row_at(dout, row, c.value_width);
        std::vector<double> p, dp;
        std::vector<int64_t> keys;
        double sum = 0, mean = 0;
        for (const int32_t j : b.lists[static_cast<size_t>(t)]) {
          keys.push_back((rows.row_begin + j) * c.key_heads + h / (c.heads / c.key_heads));
          p.push_back(std::exp(std::inner_product(qi, qi + c.width, row_at(k, keys.back(), c.width), 0.0) *
                               static_cast<double>(c.scale)));
          dp.push_back(std::inner_product(doi, doi + c.value_width, row_at(v, keys.back(), c.value_width), 0.0));
          sum += p.back();
        }
        for (size_t j = 0; j < p.size(); ++j) mean += p[j] / sum * dp[j];
        for (size_t j = 0; j < p.size(); ++j) {
          const double weight = p[j] / sum, ds = weight * (dp[j] - mean) * static_cast<double>(c.scale);
          for (int64_t d = 0; d < c.width; ++d) {
            row_at(truth.dq, row, c.width)[d] += ds * row_at(k, keys[j], c.width)[d];
            row_at(truth.dk, keys[j], c.width)[d] += ds * qi[d];
          }
          for (int64_t d = 0; d < c.value_width; ++d) {
            row_at(truth.out, row, c.value_width)[d] += weight * row_at(v, keys[j], c.value_width)[d];
            row_at(truth.dv, keys[j], c.value_width)[d] += weight * doi[d];
          }
        }
      }
    }
  }
  return truth;
}

void expect_true(const Rows& got, const std::vector<double>& want, double bound, const std::string& what) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    error += std::pow(static_cast<double>(got.row(at / got.cols())[at % got.cols()]) - want[i], 2);
    norm += want[i] * want[i];
  }
  EXPECT_LE(std::sqrt(error), bound * std::sqrt(norm)) << what;
  EXPECT_GT(norm, 0.1) << what;
}

// Bounds by norm: f32 errs by a few roundings of each of some thousand products, bf16 by 2^-9 an operand.
TEST(SelectedKeys, IsTrue) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const double bound = dtype == DType::kBF16 ? 0x1p-6 : 0x1p-18;
    for (const Lists kind : {Lists::kAll, Lists::kSparse, Lists::kMost, Lists::kPages, Lists::kRecent}) {
      ListBatch batch({"truth", 2, 1, 6, 4, dtype, false, 0.4f}, {540, 70}, kind, 67);
      ListCache reference(reference_chip(), batch);
      ListForward forward = reference.forward(batch.selected.view_i32());
      ListGradient g = reference.gradient(forward, batch.selected.view_i32());
      const TrueLists truth = true_lists(batch);
      const std::string what =
          " of lists " + std::to_string(static_cast<int>(kind)) + (dtype == DType::kBF16 ? " bf16" : " f32");
      expect_true(forward.out, truth.out, bound, "out" + what);
      expect_true(g.dq, truth.dq, bound, "dq" + what);
      expect_true(g.dk, truth.dk, bound, "dk" + what);
      expect_true(g.dv, truth.dv, bound, "dv" + what);
    }
  }
}

}  // namespace
}  // namespace naru::row_tests
