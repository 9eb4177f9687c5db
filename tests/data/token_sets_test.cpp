// Sets of tokens: what goes in comes out, in as few words as were promised, and words that are no sets are refused.
#include "data/token_sets.h"

#include <gtest/gtest.h>

namespace naru::data {
namespace {

TEST(TokenSets, GiveBackWhatWasAdded) {
  constexpr int64_t kTokens = 100;  // four words of bits
  const std::vector<std::vector<int32_t>> rows = {{0},       {3, 99},         {},
                                                  {1, 2, 3}, {0, 31, 32, 98}, {4, 5, 6, 7, 95, 96, 99}};
  TokenSets sets;
  for (const std::vector<int32_t>& ids : rows) ids.empty() ? sets.add_none() : sets.add(ids, kTokens);
  ASSERT_EQ(sets.rows(), rows.size());
  TokenSets copied;
  for (size_t row = 0; row < rows.size(); ++row) {
    copied.add_row_of(sets, row);
    ASSERT_EQ(sets.has(row), !rows[row].empty());
    if (sets.has(row)) {
      EXPECT_EQ(sets.ids(row, kTokens), rows[row]);
    }
  }
  EXPECT_EQ(copied, sets);
  EXPECT_EQ(sets.words().size(), 1U + 2 + 3 + 4 + 4);
  EXPECT_EQ(TokenSets::words_of(3, kTokens), 3);
  EXPECT_EQ(TokenSets::words_of(99, kTokens), 4);
  const auto read = TokenSets::from_words(sets.words(), sets.ends(), kTokens);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, sets);
}

TEST(TokenSets, RefuseWordsThatAreNone) {
  EXPECT_TRUE(TokenSets::from_words({5, 7}, {0, 2}, 100));
  EXPECT_FALSE(TokenSets::from_words({5, 7}, {1}, 100)) << "words of no row";
  EXPECT_FALSE(TokenSets::from_words({5, 7}, {3}, 100)) << "an end behind the words";
  EXPECT_FALSE(TokenSets::from_words({5, 7}, {2, 1}, 100)) << "rows that go back";
  EXPECT_FALSE(TokenSets::from_words({7, 5}, {2}, 100)) << "ids that do not rise";
  EXPECT_FALSE(TokenSets::from_words({7, 7}, {2}, 100)) << "an id twice";
  EXPECT_FALSE(TokenSets::from_words({100}, {1}, 100)) << "an id outside of the vocabulary";
  EXPECT_FALSE(TokenSets::from_words({0x80000001U}, {1}, 100)) << "an id below 0";
  EXPECT_FALSE(TokenSets::from_words({0, 0, 0, 0}, {4}, 100)) << "a set without a bit";
  EXPECT_FALSE(TokenSets::from_words({1, 0, 0, 16}, {4}, 100)) << "a bit behind the vocabulary";
  EXPECT_TRUE(TokenSets::from_words({1, 0, 0, 8}, {4}, 100));
  EXPECT_FALSE(TokenSets::from_words({1, 2, 3, 4, 5}, {5}, 100)) << "more words than a bit for each token";
}

}  // namespace
}  // namespace naru::data
