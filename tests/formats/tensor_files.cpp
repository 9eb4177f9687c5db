// Checkpoints as they lie on disk: single files, shards, GGUF; and what is wrong with those that are not.
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "formats/gguf.h"
#include "formats/tensor_file.h"
#include "tests/formats/helpers.h"

namespace naru::formats {
namespace {

std::string shard(std::string_view name, char fill, size_t n) {
  std::string file = safetensors_file("{\"" + std::string(name) + "\":{\"dtype\":\"U8\",\"shape\":[" +
                                          std::to_string(n) + "],\"data_offsets\":[0," + std::to_string(n) + "]}}",
                                      0);
  return file.append(n, fill);
}

TEST(TensorFiles, OneSafetensorsFile) {
  const auto files = TensorFiles::open(fixture_path("tiny.safetensors"));
  ASSERT_TRUE(files.ok()) << message_of(files);
  EXPECT_EQ(files->entries().size(), 4u);
  EXPECT_EQ(files->gguf(), nullptr);
  EXPECT_EQ(files->find("nowhere"), nullptr);
  const TensorEntry* b = files->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->n_elements(), 6);
  EXPECT_EQ(b->shape_text(), "[2, 3]");
  float values[6];
  std::memcpy(values, files->bytes(*b).data(), sizeof(values));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(values[i], static_cast<float>(i));
  EXPECT_EQ(files->tensor_bytes_total(), 24 + 8 + 3);
  EXPECT_TRUE(files->check_unchanged().ok());
  files->drop(*b, 0, 24);
}

TEST(TensorFiles, OneGgufFile) {
  auto files = TensorFiles::open(fixture_path("tiny.gguf"));
  ASSERT_TRUE(files.ok()) << message_of(files);
  ASSERT_NE(files->gguf(), nullptr);
  const TensorFiles moved = std::move(*files);
  EXPECT_EQ(*moved.gguf()->get_string("general.name"), "tiny");  // the view survives a move
  EXPECT_EQ(moved.find("output_norm.weight")->shape, (std::vector<int64_t>{32}));
  EXPECT_EQ(moved.n_files(), 1);
  EXPECT_EQ(moved.file_bytes_total(), static_cast<int64_t>(fixture("tiny.gguf").size()));
}

TEST(TensorFiles, Folders) {
  const TempFolder folder;
  expect_error(TensorFiles::open(folder.path()), Code::kNotFound, {"model.safetensors", ".gguf"});
  folder.write("a.gguf", fixture("tiny.gguf"));
  EXPECT_TRUE(TensorFiles::open(folder.path()).ok());
  folder.write("b.gguf", fixture("tiny.gguf"));
  expect_error(TensorFiles::open(folder.path()), Code::kInvalidArgument, {"several .gguf files"});
  folder.write("model.safetensors", fixture("tiny.safetensors"));
  const auto files = TensorFiles::open(folder.path());
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(files->gguf(), nullptr);
  EXPECT_EQ(files->folder(), folder.path());
}

class Sharded : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_.write("model-00001-of-00002.safetensors", shard("x", 'x', 5));
    folder_.write("model-00002-of-00002.safetensors", shard("y", 'y', 7));
  }
  Result<TensorFiles> open(std::string_view weight_map) {
    folder_.write("model.safetensors.index.json",
                  "{\"metadata\":{\"total_size\":12},\"weight_map\":" + std::string(weight_map) + "}");
    return TensorFiles::open(folder_.path());
  }
  TempFolder folder_;
};

TEST_F(Sharded, ReadsAllShards) {
  auto files = open(R"({"x":"model-00001-of-00002.safetensors","y":"model-00002-of-00002.safetensors"})");
  ASSERT_TRUE(files.ok()) << message_of(files);
  EXPECT_EQ(files->n_files(), 2);
  EXPECT_EQ(as_text(files->bytes(*files->find("y"))), "yyyyyyy");
  int64_t last = 0;
  const auto digests = files->digests([&](int64_t done, int64_t total) {
    EXPECT_GT(done, last);
    EXPECT_LE(done, total);
    last = done;
    return true;
  });
  ASSERT_TRUE(digests.ok());
  EXPECT_EQ(last, files->file_bytes_total());
  EXPECT_EQ(digests->at(1).name, "model-00002-of-00002.safetensors");
  EXPECT_EQ(digests->at(1).sha256.size(), 64u);
  EXPECT_TRUE(files->digests([](int64_t, int64_t) { return false; }).ok());  // kept, so nothing to cancel
}

TEST_F(Sharded, HashingCanBeStopped) {
  auto files = open(R"({"x":"model-00001-of-00002.safetensors"})");
  ASSERT_TRUE(files.ok());
  expect_error(files->digests([](int64_t, int64_t) { return false; }), Code::kCancelled, {"hashing"});
}

TEST_F(Sharded, IndexesThatLie) {
  expect_error(open(R"({"x":"model-00002-of-00002.safetensors"})"), Code::kCorrupt, {"'x'", "not there"});
  expect_error(open(R"({"x":"model-00001-of-00002.safetensors","z":"model-00001-of-00002.safetensors"})"),
               Code::kCorrupt, {"'z'"});
  expect_error(open(R"({"y":"model-00001-of-00002.safetensors","x":"model-00002-of-00002.safetensors"})"),
               Code::kCorrupt, {"weight_map", "it is in model-0000"});
  expect_error(open(R"({"x":"model-00003-of-00002.safetensors"})"), Code::kNotFound, {"model-00003"});
  expect_error(open("{}"), Code::kCorrupt, {"weight_map is empty"});
  expect_error(open("[]"), Code::kCorrupt, {"an object"});
  expect_error(open("{\"x\":5}"), Code::kCorrupt, {"weight_map.x"});
  for (const std::string_view name : {"../a.safetensors", "/etc/a.safetensors", "sub/a.safetensors", ".safetensors",
                                      ".a.safetensors", "a.bin", "", "a\\\\b.safetensors", "a\\n.safetensors"}) {
    expect_error(open("{\"x\":\"" + std::string(name) + "\"}"), Code::kCorrupt, {"weight_map.x", "in the same folder"});
  }
  folder_.write("model-00002-of-00002.safetensors", shard("x", 'y', 7));
  expect_error(open(R"({"x":"model-00001-of-00002.safetensors","y":"model-00002-of-00002.safetensors"})"),
               Code::kCorrupt, {"'x' is in two of its files"});
}

TEST(TensorFiles, WhatIsNoCheckpoint) {
  const TempFolder folder;
  expect_error(TensorFiles::open(folder / "nowhere.gguf"), Code::kNotFound, {"nowhere.gguf"});
  expect_error(TensorFiles::open(folder.write("a.bin", "hello")), Code::kUnsupported, {"a.bin", ".gguf"});
  expect_error(TensorFiles::open(folder.write("a.gguf", "")), Code::kCorrupt, {"GGUF"});
  expect_error(TensorFiles::open(folder.write("a.safetensors", "")), Code::kCorrupt, {"0 bytes"});
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 98362432\n";
  expect_error(TensorFiles::open(folder.write("lfs.safetensors", pointer)), Code::kCorrupt,
               {"git-lfs pointer", "git lfs pull"});
  expect_error(TensorFiles::open(folder.write("lfs.gguf", pointer)), Code::kCorrupt, {"git-lfs pointer"});
  ASSERT_EQ(::mkfifo((folder / "pipe.gguf").c_str(), 0600), 0);
  expect_error(TensorFiles::open(folder / "pipe.gguf"), Code::kInvalidArgument, {"not a regular file"});
  expect_error(TensorFiles::open("/dev/zero"), Code::kInvalidArgument, {"/dev/zero"});
  GgufBytes split(1, 1);
  split.key("split.count", 2).number<uint16_t>(3).tensor("t", {4}, 0, 0).data(16);
  expect_error(TensorFiles::open(folder.write("split.gguf", split.text)), Code::kUnsupported, {"3 parts", "--merge"});
}

TEST(TensorFiles, ASparseTerabyteIsRefusedByItsHeader) {
  const TempFolder folder;
  folder.write("big.safetensors", "");
  std::error_code code;
  std::filesystem::resize_file(folder / "big.safetensors", uint64_t{1} << 40, code);
  if (code) GTEST_SKIP() << "this file system has no sparse files of a terabyte: " << code.message();
  expect_error(TensorFiles::open(folder / "big.safetensors"), Code::kCorrupt, {"header has 0 bytes"});
}

TEST(TensorFiles, AFileThatIsWrittenOverAfterOpeningIsFound) {
  const TempFolder folder;
  const std::string bytes = fixture("tiny.safetensors");
  auto files = TensorFiles::open(folder.write("a.safetensors", bytes));
  ASSERT_TRUE(files.ok());
  EXPECT_TRUE(files->check_unchanged().ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a file system's clock ticks up to 10 ms apart
  std::fstream(folder / "a.safetensors", std::ios::in | std::ios::out | std::ios::binary) << bytes;
  expect_error(files->check_unchanged(), Code::kUnavailable, {"a.safetensors", "was written to while it was read"});
  expect_error(files->digests(), Code::kUnavailable, {"a.safetensors"});
}

TEST(TensorFiles, AFileThatIsCutAfterOpeningIsFound) {
  const TempFolder folder;
  auto files = TensorFiles::open(folder.write("a.safetensors", fixture("tiny.safetensors")));
  ASSERT_TRUE(files.ok());
  std::filesystem::resize_file(folder / "a.safetensors", 100);
  expect_error(files->check_unchanged(), Code::kUnavailable, {"a.safetensors", "when it was opened"});
  expect_error(files->digests(), Code::kUnavailable, {"a.safetensors"});
}

}  // namespace
}  // namespace naru::formats
