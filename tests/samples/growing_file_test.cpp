// A file that is made again from its start: proved, compared and gone on with; edited, cut, grown and missing ones; a
// full disk and a kill at every call.
#include "samples/growing_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "tests/disk_faults.h"

namespace naru::samples {
namespace {

namespace fs = std::filesystem;

Status no_lines(std::string_view, int64_t) {
  return {};
}

class GrowingFiles : public ::testing::Test {
 protected:
  GrowingFiles() {
    std::string pattern = (fs::temp_directory_path() / "naru-grow-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ / "a.jsonl";
  }
  ~GrowingFiles() override { fs::remove_all(folder_); }
  void put(std::string_view text) const { std::ofstream(path_, std::ios::binary) << text; }
  std::string text() const { return read_file(path_, 1 << 20).value(); }
  Result<GrowingFile> begun(const FileMark& mark = {}) const {
    NARU_ASSIGN(GrowingFile file, GrowingFile::open(path_, mark, no_lines));
    NARU_TRY(file.begin());
    return file;
  }
  static std::string message(const Status& status) { return status.ok() ? "no error" : status.error().message; }

  fs::path folder_, path_;
};

const FileMark kTwoLines = {8, sha256_hex(as_bytes(std::string_view("one\ntwo\n")))};

TEST_F(GrowingFiles, GrowsAndIsGoneOnWith) {
  {
    auto file = begun();
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->append("one\n").ok() && file->append("").ok() && file->append("two\n").ok());
    EXPECT_EQ(file->mark().bytes, 8);
    EXPECT_EQ(file->mark().sha256, kTwoLines.sha256);
    EXPECT_TRUE(file->sync().ok() && file->check_end().ok());
  }
  std::vector<std::string> lines;
  auto again = GrowingFile::open(path_, kTwoLines, [&](std::string_view line, int64_t number) {
    EXPECT_EQ(number, std::ssize(lines) + 1);
    lines.emplace_back(line);
    return Status();
  });
  ASSERT_TRUE(again.ok() && again->begin().ok());
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two"}));
  ASSERT_TRUE(again->append("three\n").ok());
  EXPECT_EQ(text(), "one\ntwo\nthree\n");
  EXPECT_EQ(again->mark().sha256, sha256_hex(as_bytes(text())));
}

// Whatever of the bytes was there before, in whatever pieces they come: the same file.
TEST_F(GrowingFiles, WhatLiesThereIsComparedAndNeverCut) {
  const std::string whole = "one\ntwo\nthree\nfour\n";
  for (size_t there = 0; there <= whole.size(); ++there) {
    for (const size_t piece : {1u, 3u, 100u}) {
      put(whole.substr(0, there));
      auto file = begun();
      ASSERT_TRUE(file.ok());
      for (size_t at = 0; at < whole.size(); at += piece) {
        ASSERT_TRUE(file->append(std::string_view(whole).substr(at, piece)).ok()) << there << " " << at;
        EXPECT_EQ(text().substr(0, there), whole.substr(0, there));
      }
      EXPECT_EQ(text(), whole);
      EXPECT_EQ(file->mark().sha256, sha256_hex(as_bytes(whole)));
      EXPECT_TRUE(file->check_end().ok());
    }
  }
}

TEST_F(GrowingFiles, EditedBehindTheMark) {
  put("one\ntwo\nthrEe\n");
  auto file = begun(kTwoLines);
  ASSERT_TRUE(file.ok());
  const Status status = file->append("three\nfour\n");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kCorrupt);
  EXPECT_NE(message(status).find("line 3, from byte 11 on"), std::string::npos) << message(status);
  EXPECT_EQ(text(), "one\ntwo\nthrEe\n");
}

TEST_F(GrowingFiles, EditedCutOrGoneBeforeTheMark) {
  put("one\ntwO\n");
  EXPECT_NE(message(begun(kTwoLines).error()).find("it was edited"), std::string::npos);
  put("one\n");
  auto cut = begun(kTwoLines);
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().code, Code::kCorrupt);
  EXPECT_NE(cut.error().message.find("it has 4 bytes, its first 8 were written"), std::string::npos);
  fs::remove(path_);
  auto gone = begun(kTwoLines);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code, Code::kNotFound);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(GrowingFiles, AddedToBehindTheEnd) {
  put("one\ntwo\nmine\n");
  auto file = begun();
  ASSERT_TRUE(file.ok() && file->append("one\ntwo\n").ok());
  const Status status = file->check_end();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(message(status).find("behind the 8 that the run wrote"), std::string::npos) << message(status);
  EXPECT_EQ(text(), "one\ntwo\nmine\n");
}

TEST_F(GrowingFiles, OtherThingsOfTheName) {
  fs::create_directory(path_);
  auto folder = begun();
  EXPECT_FALSE(folder.ok());
  fs::remove(path_);
  std::ofstream(folder_ / "other") << "one\n";
  fs::create_symlink(folder_ / "other", path_);
  auto link = begun();
  EXPECT_FALSE(link.ok()) << "a link is not written through";
  EXPECT_EQ(read_file(folder_ / "other", 100).value(), "one\n");
}

Status write_all(const fs::path& path) {
  NARU_ASSIGN(GrowingFile file, GrowingFile::open(path, {}, no_lines));
  NARU_TRY(file.begin());
  for (const char* line : {"one\n", "two\n", "three\n"}) {
    NARU_TRY(file.append(line));
    NARU_TRY(file.sync());
  }
  return file.check_end();
}

TEST_F(GrowingFiles, KilledOrFullAtAnyCallItIsGoneOnWith) {
  for (int at = 0;; ++at) {
    fs::remove(path_);
    const pid_t child = ::fork();
    if (child == 0) {
      const test::FaultAt fault(at, 0);
      ::_exit(write_all(path_).ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(write_all(path_).ok()) << at;
    EXPECT_EQ(text(), "one\ntwo\nthree\n") << at;
    if (WEXITSTATUS(status) == 0) break;
    ASSERT_LT(at, 100);
  }
  for (int at = 0;; ++at) {
    fs::remove(path_);
    Status status;
    {
      const test::FaultAt fault(at, ENOSPC, true);
      status = write_all(path_);
    }
    if (status.ok()) break;
    EXPECT_EQ(status.error().code, Code::kResourceExhausted);
    EXPECT_NE(message(status).find("free some space"), std::string::npos);
    ASSERT_TRUE(write_all(path_).ok()) << at;
    EXPECT_EQ(text(), "one\ntwo\nthree\n") << at;
    ASSERT_LT(at, 100);
  }
}

}  // namespace
}  // namespace naru::samples
