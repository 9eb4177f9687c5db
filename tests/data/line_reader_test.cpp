// A file that changes under its reader: no document is made of two halves that never stood together.
#include "data/line_reader.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "tests/formats/helpers.h"

namespace naru::data {
namespace {

namespace fs = std::filesystem;
using formats::expect_error;
using formats::TempFolder;

std::string many_lines() {
  std::string text;
  while (text.size() < 3 * static_cast<size_t>(LineReader::kBlockBytes)) text += "a line of some words\n";
  return text;
}

// Reads blocks to the end, or to the first error; `change` comes after the first.
Status read_with(const fs::path& path, const std::function<void()>& change) {
  NARU_ASSIGN(LineReader reader, LineReader::open(path, "data.txt"));
  for (int n = 0;; ++n) {
    NARU_ASSIGN(const auto block, reader.next_block());
    if (!block) return {};
    if (n > 0) continue;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a file system's clock ticks up to 10 ms apart
    change();
  }
}

TEST(LineReader, AFileThatChangesBetweenTwoBlocksIsRefused) {
  const TempFolder folder;
  const std::string text = many_lines();
  const fs::path path = folder.write("data.txt", text);
  EXPECT_TRUE(read_with(path, [] {}).ok());
  expect_error(read_with(path, [&] { std::ofstream(path, std::ios::app) << "more"; }), Code::kUnavailable,
               {"data.txt", "when it was opened"});
  expect_error(read_with(path, [&] { fs::resize_file(path, 2000000); }), Code::kUnavailable,
               {"data.txt", "has 2000000 now"});
  folder.write("data.txt", text);
  expect_error(read_with(path, [&] { std::fstream(path, std::ios::in | std::ios::out) << "A LINE"; }),
               Code::kUnavailable, {"data.txt", "was written to"});
}

}  // namespace
}  // namespace naru::data
