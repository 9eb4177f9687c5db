// Files inside of the program: opened as files are, by paths of their own, and known for damaged where they are.
#include "base/builtin_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "base/file.h"
#include "base/sha256.h"

namespace naru {
namespace {

namespace fs = std::filesystem;

std::string builtin_text = "what the build put there";

std::string_view offered(std::string_view path) {
  static const std::string hash = sha256_hex(as_bytes(builtin_text));
  add_builtin_file({path, as_bytes(builtin_text), hash});
  return path;
}

TEST(BuiltinFile, OpensAsAFileDoes) {
  auto file = MappedFile::open(offered("builtin:/a.txt"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(as_text(file->bytes()), builtin_text);
  EXPECT_EQ(file->size(), std::ssize(builtin_text));
  EXPECT_EQ(file->path(), "builtin:/a.txt");
  EXPECT_TRUE(file->check_unchanged().ok());
  file->drop_pages(0, file->size());
  MappedFile moved = std::move(*file);
  EXPECT_EQ(as_text(moved.bytes()), builtin_text);
  EXPECT_TRUE(moved.check_unchanged().ok());
  moved = MappedFile::open("builtin:/a.txt").value();  // what was there before is let go of, and nothing is unmapped
  EXPECT_EQ(as_text(moved.bytes()), builtin_text);
}

TEST(BuiltinFile, OneThatIsNotThereIsNotFound) {
  const auto file = MappedFile::open("builtin:/none.txt");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, Code::kNotFound);
  EXPECT_NE(file.error().message.find("no such file inside"), std::string::npos) << file.error().message;
}

TEST(BuiltinFile, ADamagedOneIsRefused) {
  const std::string_view path = offered("builtin:/damaged.txt");
  ASSERT_TRUE(MappedFile::open(path).ok());
  for (char& letter : builtin_text) {
    letter ^= 1;
    const auto file = MappedFile::open(path);
    letter ^= 1;
    ASSERT_FALSE(file.ok()) << letter;
    EXPECT_EQ(file.error().code, Code::kCorrupt) << file.error().message;
  }
  EXPECT_TRUE(MappedFile::open(path).ok());
}

TEST(BuiltinFile, AFileOnDiskOfThatNameIsAnother) {
  const fs::path before = fs::current_path();
  std::string pattern = (fs::temp_directory_path() / "naru-builtin-XXXXXX").string();
  const fs::path folder = ::mkdtemp(pattern.data());
  fs::current_path(folder);
  fs::create_directory("builtin:");
  std::ofstream("builtin:/a.txt") << "on disk";
  EXPECT_EQ(as_text(MappedFile::open(offered("builtin:/a.txt")).value().bytes()), builtin_text);
  EXPECT_EQ(as_text(MappedFile::open("./builtin:/a.txt").value().bytes()), "on disk");
  EXPECT_EQ(absolute_place("builtin:/a.txt"), "builtin:/a.txt");
  EXPECT_EQ(absolute_place("./builtin:/a.txt"), fs::current_path() / "./builtin:/a.txt");
  fs::current_path(before);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace naru
