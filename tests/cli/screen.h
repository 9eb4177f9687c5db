// What a program writes to a terminal, and the screen that comes of it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace naru::cli {

// What `work` writes to a standard error that is a terminal of `columns` columns, or a pipe where they are 0. In a
// process of its own: what standard error is, is asked once.
inline std::string output_of(int columns, const std::function<void()>& work, int rows = 24) {
  int mine = -1;
  int theirs = -1;
  if (columns > 0) {
    mine = ::posix_openpt(O_RDWR | O_NOCTTY);
    EXPECT_TRUE(mine >= 0 && ::grantpt(mine) == 0 && ::unlockpt(mine) == 0);
    theirs = ::open(::ptsname(mine), O_RDWR | O_NOCTTY);
    const winsize size{.ws_row = static_cast<unsigned short>(rows),
                       .ws_col = static_cast<unsigned short>(columns),
                       .ws_xpixel = 0,
                       .ws_ypixel = 0};
    EXPECT_EQ(::ioctl(theirs, TIOCSWINSZ, &size), 0);
  } else {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    mine = ends[0];
    theirs = ends[1];
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("NO_COLOR", "1", 1);
    ::dup2(theirs, STDERR_FILENO);
    ::close(theirs);
    ::close(mine);
    work();
    ::_exit(0);
  }
  ::close(theirs);
  std::string text;
  char part[4096];
  for (ssize_t n = 0; (n = ::read(mine, part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(n));
  ::close(mine);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  return text;
}

inline int64_t count(const std::string& text, const std::string& word) {
  int64_t n = 0;
  for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += word.size()) ++n;
  return n;
}

// The rows of a screen after `text`, which moves by \r, \n, "up", and "erase to the end" of the line or of the screen.
inline std::vector<std::string> screen_after(const std::string& text) {
  std::vector<std::string> rows(1);
  size_t row = 0, column = 0;  // bytes: what is drawn over is drawn anew up to its end
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "\x1b[") == 0) {
      const size_t end = text.find_first_of("AJK", i);
      if (end == std::string::npos) break;
      if (text[end] != 'A') rows[row].resize(std::min(column, rows[row].size()));
      if (text[end] == 'A') row -= std::min<size_t>(row, std::stoul(text.substr(i + 2, end - i - 2)));
      if (text[end] == 'J') rows.resize(row + 1);
      i = end;
    } else if (text[i] == '\r') {
      column = 0;
    } else if (text[i] == '\n') {
      if (++row == rows.size()) rows.emplace_back();
      column = 0;
    } else {
      if (column == 0) rows[row].clear();
      rows[row].resize(std::max(rows[row].size(), column + 1));
      rows[row][column++] = text[i];
    }
  }
  return rows;
}

}  // namespace naru::cli
