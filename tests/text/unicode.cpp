// UTF-8, character classes, NFC and grapheme clusters.
#include <gtest/gtest.h>

#include "tests/text/fixtures.h"
#include "text/grapheme.h"
#include "text/nfc.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

std::string nfc(std::string_view text) {
  std::string out;
  append_nfc(text, out);
  return out;
}

TEST(Utf8, EveryCodePointRoundTrips) {
  for (uint32_t c = 0; c <= kCodePointMax; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string bytes;
    append_utf8(c, bytes);
    ASSERT_TRUE(is_valid_utf8(bytes)) << c;
    ASSERT_EQ(code_point_at(bytes.data()).value, c);
    ASSERT_EQ(code_point_at(bytes.data()).bytes, bytes.size());
    ASSERT_EQ(code_point_before(bytes.data(), bytes.data() + bytes.size()).value, c);
  }
}

TEST(Utf8, InvalidBytesBecomeOneReplacementForEachMaximalPart) {
  const std::string r = "\xEF\xBF\xBD";
  const std::pair<std::string, std::string> cases[] = {
      {"a\xFF"
       "b",
       "a" + r + "b"},
      {"\xC0\xAF", r + r},                  // overlong
      {"\xE0\x80\x80", r + r + r},          // overlong
      {"\xED\xA0\x80", r + r + r},          // a surrogate
      {"\xF4\x90\x80\x80", r + r + r + r},  // above U+10FFFF
      {"\xE4\xB8", r},                      // cut at the end
      {"\xE4\xB8"
       "a",
       r + "a"},  // cut inside
      {"\xF0\x9F\x98\x80\xF0\x9F\x98", "\xF0\x9F\x98\x80" + r},
      {"\x80\x80", r + r},
      {"\xF0\x9F\xE4\xB8\xAD", r + "\xE4\xB8\xAD"},
  };
  for (const auto& [bytes, wanted] : cases) {
    EXPECT_EQ(repair_utf8(bytes), wanted);
    EXPECT_FALSE(is_valid_utf8(bytes));
    // Byte by byte gives the same.
    std::string streamed;
    Utf8Repairer repairer;
    for (const char c : bytes) repairer.push({&c, 1}, streamed);
    repairer.finish(streamed);
    EXPECT_EQ(streamed, wanted);
  }
}

TEST(Unicode, ClassesOfTheOracle) {
  EXPECT_TRUE(char_flags(0x85) & kSpace);
  EXPECT_TRUE(char_flags(0x3000) & kSpace);
  EXPECT_FALSE(char_flags(0x1C) & kSpace);
  EXPECT_FALSE(char_flags(0x180E) & kSpace);
  EXPECT_FALSE(char_flags(0x200B) & kSpace);
  EXPECT_TRUE(char_flags(0x2160) & kNumber);  // a letter number
  EXPECT_TRUE(char_flags(0x0301) & kMark);
  EXPECT_TRUE(char_flags('$') & kSymbol);
  EXPECT_TRUE(char_flags('_') & kPunctuation);
  EXPECT_TRUE(char_flags('_') & kWord);
  EXPECT_EQ(char_flags(0x10FFFF), kNfcSafe);  // not assigned: no class
  // Every character is of at most one general category, and how many there are is fixed with the tables.
  int64_t letters = 0;
  for (uint32_t c = 0; c <= kCodePointMax; ++c) {
    const uint16_t flags = char_flags(c);
    ASSERT_LE(__builtin_popcount(flags & (kLetter | kMark | kNumber | kPunctuation | kSymbol)), 1) << c;
    letters += (flags & kLetter) != 0;
  }
  EXPECT_EQ(letters, 141028);
}

TEST(Nfc, ComposesOrdersAndKeeps) {
  EXPECT_EQ(nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(nfc("\u212b"), "\u00c5");               // a singleton
  EXPECT_EQ(nfc("\u1112\u1161\u11ab"), "\ud55c");   // Hangul
  EXPECT_EQ(nfc("\ud558\u11ab"), "\ud55c");         // a syllable and a tail
  EXPECT_EQ(nfc("o\u0302\u0323"), "\u1ed9");        // ordered before composing
  EXPECT_EQ(nfc("a\u0301\u0316"), "\u00e1\u0316");  // the lower class goes first, then a and acute compose
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093c");         // excluded from composition
  EXPECT_EQ(nfc("\ufb01"), "\ufb01");               // compatibility forms stay
  EXPECT_EQ(nfc("\u0301a"), "\u0301a");
  EXPECT_EQ(nfc("e\u0300\u0301"), "\u00e8\u0301");  // the second is blocked
  EXPECT_TRUE(is_plainly_nfc("caf\u00e9 \ud55c\u4e2d"));
  EXPECT_FALSE(is_plainly_nfc("e\u0301"));
  EXPECT_FALSE(begins_apart_for_nfc("\u0301"));
  EXPECT_TRUE(begins_apart_for_nfc("e\u0301"));
  EXPECT_EQ(last_apart_for_nfc("abe\u0301\u0301"), 2u);
}

TEST(Nfc, ManyMarksAreNoQuadraticWork) {
  std::string marks = "e";
  for (int i = 0; i < 300000; ++i) marks += i % 2 ? "\u0301" : "\u0316";
  EXPECT_EQ(nfc(marks).size(), marks.size() - 1);  // e and acute compose to two bytes of three
}

TEST(Grapheme, ClustersAreThoseOfTheLibrary) {
  const Value cases = read_json_fixture("graphemes.json");
  for (const Value& clusters : *cases.as_list()) {
    std::string text;
    for (const Value& cluster : *clusters.as_list()) text += *cluster.as_string();
    size_t at = 0;
    for (const Value& cluster : *clusters.as_list()) {
      const size_t end = at + cluster.as_string()->size();
      ASSERT_EQ(grapheme_end(text, at), end) << text;
      ASSERT_EQ(grapheme_begin(text, end), at) << text;
      at = end;
    }
  }
}

TEST(Grapheme, WhatPeopleType) {
  for (const std::string_view one :
       {"\U0001F468\u200D\U0001F469\u200D\U0001F467", "\U0001F1F0\U0001F1F7", "\U0001F44D\U0001F3FD", "1\uFE0F\u20E3",
        "\u1112\u1161\u11ab", "e\u0301", "\u2764\uFE0F\u200D\U0001F525", "\u0915\u094D\u0937\u093F", "\r\n"}) {
    const std::string text = "a" + std::string(one) + "b";
    EXPECT_EQ(grapheme_end(text, 1), 1 + one.size()) << one;
    EXPECT_EQ(grapheme_begin(text, 1 + one.size()), 1u) << one;
    EXPECT_EQ(grapheme_begin(text, text.size()), 1 + one.size()) << one;
  }
  EXPECT_EQ(grapheme_end("\U0001F1F0\U0001F1F7\U0001F1E9\U0001F1EA", 0), 8u);  // two flags
}

}  // namespace
}  // namespace naru::text
