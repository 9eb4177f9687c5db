// Sheets and tables: what stands where, on a screen of any width; nothing is left out and no line passes the screen.
#include <gtest/gtest.h>

#include <sstream>

#include "base/shown_text.h"
#include "cli/piece_lines.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "cli/word_wrap.h"

namespace naru::cli {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string without_spaces(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  return text;
}

TEST(ShownText, NumbersHaveOneSeparator) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
  EXPECT_EQ(grouped(INT64_MIN), "-9,223,372,036,854,775,808");
  EXPECT_EQ(format_seconds(665.25), "11 min 05 s");
}

TEST(Wrapped, BreaksBetweenWords) {
  EXPECT_EQ(wrapped("one two three", 0), (std::vector<std::string>{"one two three"}));
  EXPECT_EQ(wrapped("one two three", 7), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(wrapped("of 12 min 05 s, 3", 8), (std::vector<std::string>{"of", "12 min", "05 s, 3"}));
  EXPECT_EQ(wrapped("do (`a b`, c d)", 9), (std::vector<std::string>{"do", "(`a b`, c", "d)"}));
  EXPECT_EQ(wrapped("`a b c` d", 5), (std::vector<std::string>{"`a b", "c` d"}));  // no line has room for it
  EXPECT_EQ(wrapped("", 7), (std::vector<std::string>{""}));
  EXPECT_EQ(wrapped("abcdefgh ij", 3), (std::vector<std::string>{"abc", "def", "gh", "ij"}));
  EXPECT_EQ(wrapped("나루 배", 4), (std::vector<std::string>{"나루", "배"}));  // each is two columns wide
  EXPECT_EQ(wrapped("나루", 1), (std::vector<std::string>{"나", "루"}));
}

TEST(SheetTest, ValuesGoOnUnderWhereTheyBegan) {
  Sheet sheet(Stream::kOut, 40);
  sheet.title("model", " · a name that goes on for longer than a line has columns");
  sheet.heading("Memory");
  sheet.row("nothing", "");
  sheet.row("weights", "1.20 GiB and some more words");
  sheet.row("together", "12 GiB, 3 GiB available: ", "does not fit", Style::kRed);
  EXPECT_EQ(lines_of(sheet.str()),
            (std::vector<std::string>{"model · a name that goes on for longer", "than a line has columns", "", "Memory",
                                      "  weights            1.20 GiB and some", "                     more words",
                                      "  together           12 GiB, 3 GiB", "                     available: does not",
                                      "                     fit"}));
  // Without a bound a row is a line, and what a terminal would act upon is replaced.
  Sheet pipe(Stream::kOut, 0);
  pipe.row("weights", std::string(300, 'x') + "\x1b[2J\n");
  EXPECT_EQ(lines_of(pipe.str()).size(), 1u);
  EXPECT_EQ(pipe.str().find('\x1b'), std::string::npos);
}

TEST(SheetTest, NoLinePassesTheScreen) {
  for (int64_t columns = 8; columns < 100; ++columns) {
    Sheet sheet(Stream::kOut, columns);
    sheet.row("parameters", "1,234,567,890 of which a token meets 123,456,789");
    for (const std::string& line : lines_of(sheet.str()))
      EXPECT_LE(display_columns(line), std::max<int64_t>(columns, 12));
  }
}

Table runs() {
  Table table({{"folder"}, {"step", true}, {"loss", true}, {"weights"}});
  table.row({std::string("moe"), std::string("600/600"), std::string("2.1934"), std::string("ca978112ca1b")});
  table.row({std::string("moe-2"), std::string("4"), std::string("-"), std::string("-")});
  table.note({"optimizer.lr 0.002", "seed 2"});
  return table;
}

TEST(TableTest, ColumnsAreAsWideAsTheirCells) {
  EXPECT_EQ(runs().text(Stream::kOut, 0),
            "folder     step    loss  weights\n"
            "moe     600/600  2.1934  ca978112ca1b\n"
            "moe-2         4       -  -\n"
            "  optimizer.lr 0.002 · seed 2\n");
}

TEST(TableTest, WhatHasNoRoomStandsUnderItsRowWithItsName) {
  EXPECT_EQ(runs().text(Stream::kOut, 24),
            "folder     step    loss\n"
            "moe     600/600  2.1934\n"
            "  weights ca978112ca1b\n"
            "moe-2         4       -\n"
            "  optimizer.lr 0.002\n"
            "  seed 2\n");
  EXPECT_EQ(runs().text(Stream::kOut, 10),
            "folder\n"
            "moe\n"
            "  step\n"
            "  600/600\n"
            "  loss\n"
            "  2.1934\n"
            "  weights\n"
            "  ca978112\n"
            "  ca1b\n"
            "moe-2\n"
            "  optimize\n"
            "  r.lr\n"
            "  0.002\n"
            "  seed 2\n"
            "  step 4\n");
  for (int64_t columns = 6; columns < 60; ++columns) {
    const std::string text = runs().text(Stream::kOut, columns);
    for (const std::string& line : lines_of(text)) EXPECT_LE(display_columns(line), columns);
    for (const char* part : {"600/600", "2.1934", "ca978112ca1b", "seed2"}) {
      EXPECT_NE(without_spaces(text).find(part), std::string::npos) << columns;
    }
  }
}

std::string lines_of_pieces(const std::vector<std::string>& pieces, int64_t columns) {
  PieceLines lines(2, columns);
  for (const std::string& piece : pieces) lines.add(piece, Style::kPlain);
  return lines.str();
}

TEST(PieceLinesTest, LinesEndBetweenPieces) {
  const std::vector<std::string> pieces = {"one", "|two", "|three", "", "|four\n", "five"};
  EXPECT_EQ(lines_of_pieces(pieces, 0), "one|two|three|four\n  five");
  EXPECT_EQ(lines_of_pieces(pieces, 10), "one|two\n  |three\n  |four\n  five");
  EXPECT_EQ(lines_of_pieces({"ab", "cdefgh나i", "j"}, 6), "ab\n  cdef\n  gh나\n  ij");
  EXPECT_EQ(lines_of_pieces({"\n\n", "a"}, 10), "\n  \n  a");
  for (int64_t columns = 4; columns < 40; ++columns) {
    for (const std::string& line : lines_of("  " + lines_of_pieces(pieces, columns))) {
      EXPECT_LE(display_columns(line), columns);
    }
  }
}

}  // namespace
}  // namespace naru::cli
