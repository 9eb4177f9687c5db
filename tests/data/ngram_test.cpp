// The 5-gram baseline: probabilities that add up to one, and those of a second, naive program for the same formulas.
#include "data/ngram.h"

#include <cmath>
#include <map>
#include <set>

#include "base/philox.h"
#include "tests/data/rig.h"

namespace naru::data {
namespace {

constexpr int kVocab = 7;

// Documents in which the next token depends on the last two.
std::vector<Document> make_documents(int n, uint32_t sample) {
  std::vector<Document> documents;
  for (int i = 0; i < n; ++i) {
    Document document;
    for (int j = 0; j < 12; ++j) {
      const uint32_t noise = draw(1, DrawPurpose::kTest, sample, static_cast<uint64_t>(i * 100 + j))[0];
      int next = static_cast<int>(noise >> 8) % kVocab;
      if (j >= 2 && noise % 4 != 0) next = (2 * document.ids[j - 1] + document.ids[j - 2]) % (kVocab - 1);
      document.ids.push_back(next);
      document.loss.push_back(j >= 3 ? 1 : 0);  // a prompt of three tokens
    }
    documents.push_back(std::move(document));
  }
  return documents;
}

using Gram = std::vector<int>;

// The formulas of the paper as they stand, over maps.
class Naive {
 public:
  explicit Naive(const std::vector<Document>& documents) {
    for (const Document& document : documents) {
      for (int at = 1; at < static_cast<int>(document.ids.size()); ++at) {
        if (document.loss[at]) ++counts_[5][gram(document.ids, at, 5)];
      }
    }
    for (int n = 4; n >= 1; --n) {
      for (const auto& [longer, count] : counts_[n + 1]) ++counts_[n][Gram(longer.begin() + 1, longer.end())];
    }
  }
  double probability(const std::vector<int32_t>& ids, int at, int n) const {
    if (n == 0) return 1.0 / kVocab;
    const double shorter = probability(ids, at, n - 1);
    Gram sought = gram(ids, at, n);
    double total = 0, own = 0, mass = 0;
    for (const auto& [g, count] : counts_.at(n)) {
      if (!std::equal(g.begin(), g.end() - 1, sought.begin())) continue;
      total += count;
      const double d = discount(n, std::min(count, 3));
      mass += d;
      if (g.back() == sought.back()) own = count - d;
    }
    return total == 0 ? shorter : own / total + mass / total * shorter;
  }

 private:
  static Gram gram(const std::vector<int32_t>& ids, int at, int n) {
    Gram g;
    for (int i = at - n + 1; i <= at; ++i) g.push_back(i < 0 ? -1 : ids[i]);
    return g;
  }
  double discount(int order, int i) const {
    double n[5] = {};
    for (const auto& [g, count] : counts_.at(order)) {
      if (count <= 4) ++n[count];
    }
    if (n[1] == 0 || n[i] == 0) return std::clamp(0.5 * i, 0.05, 0.95 * i);
    return std::clamp(i - (i + 1) * n[1] / (n[1] + 2 * n[2]) * n[i + 1] / n[i], 0.05, 0.95 * i);
  }
  std::map<int, std::map<Gram, int>> counts_;
};

TEST(Ngram, EqualsTheFormulas) {
  const std::vector<Document> train = make_documents(60, 0), other = make_documents(20, 1);
  NgramModel model(kVocab);
  for (const Document& document : train) ASSERT_TRUE(model.add(document));
  model.finish();
  EXPECT_EQ(model.n_events(), 60 * 9);
  const Naive naive(train);
  for (const Document& document : other) {
    for (int at = 1; at < std::ssize(document.ids); ++at) {
      const double wanted = naive.probability(document.ids, at, 5);
      EXPECT_NEAR(model.probability(document.ids, at), wanted, 1e-12) << at;
    }
  }
}

TEST(Ngram, ProbabilitiesAddUpToOne) {
  NgramModel model(kVocab);
  for (const Document& document : make_documents(60, 0)) ASSERT_TRUE(model.add(document));
  model.finish();
  for (Document& document : make_documents(20, 2)) {
    for (int at = 1; at < std::ssize(document.ids); ++at) {
      double sum = 0;
      std::vector<int32_t> ids = document.ids;
      for (int token = 0; token < kVocab; ++token) {
        ids[at] = token;
        const double p = model.probability(ids, at);
        EXPECT_GT(p, 0);
        sum += p;
      }
      EXPECT_NEAR(sum, 1, 1e-12);
    }
  }
}

TEST(Ngram, AModelOfNothingIsUniform) {
  NgramModel model(kVocab);
  model.finish();
  EXPECT_EQ(model.probability(std::vector<int32_t>{1, 2}, 1), 1.0 / kVocab);
}

TEST(Ngram, TheBaselineSeesTheSameTargetsAsTraining) {
  Folder folder;
  recipes::Recipe recipe = make_recipe({generator_source("digits", 3000)}, 64);
  recipe.data[0].trace = "long";
  recipe.validation = {generator_source("digits", 100)};
  recipe.validation[0].trace = "long";
  const text::Tokenizer tokenizer = make_test_tokenizer();
  const BatchStream train = BatchStream::open(recipe, recipe.data, tokenizer, nullptr, folder.path()).value();
  const BatchStream held_out = BatchStream::open(recipe, recipe.validation, tokenizer, nullptr, folder.path()).value();
  const NgramBaseline baseline = ngram_baseline(train, held_out, tokenizer.n_ids());
  EXPECT_EQ(static_cast<double>(baseline.n_targets), held_out.all_rows(1 << 20)->divisor);
  EXPECT_EQ(baseline.n_events, train.n_tokens() - 3000);
  EXPECT_EQ(baseline.documents_counted, 3000);
  // Digits are drawn evenly, every second token or so; nothing before tells them to five tokens' memory.
  EXPECT_GT(baseline.nll, 0.8);
  EXPECT_LT(baseline.nll, std::log(10.0));
  EXPECT_EQ(baseline.nll, ngram_baseline(train, held_out, tokenizer.n_ids()).nll);
}

TEST(Ngram, StopsAtItsLimit) {
  // Fifteen n-grams may come of one token, and one is there from the start.
  const auto fits = static_cast<size_t>((kNgramNodesMax - 1) / 15);
  NgramModel model(10);
  Document document;
  document.ids.assign(fits + 1, 1);
  document.loss.assign(fits + 1, 1);
  EXPECT_FALSE(model.add(document));
  EXPECT_EQ(model.n_events(), 0);
  document.ids.resize(fits);
  document.loss.resize(fits);
  EXPECT_TRUE(model.add(document));
  EXPECT_EQ(model.n_events(), static_cast<int64_t>(fits) - 1);
}

}  // namespace
}  // namespace naru::data
