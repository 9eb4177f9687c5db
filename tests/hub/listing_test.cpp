// The hub's list of a repository, what is chosen of it, and the manifest of what was pulled.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "hub/choice.h"
#include "hub/listing.h"
#include "hub/manifest.h"

namespace naru::hub {
namespace {

const std::string kCommit(40, 'c');
const std::string kSha256(64, 'a');
const std::string kBlob(40, 'b');

std::string large(std::string_view path, int64_t bytes) {
  return fmt::format(
      R"({{"rfilename": "{}", "size": {}, "blobId": "{}", "lfs": {{"sha256": "{}", "size": {}, "pointerSize": 134}}}})",
      path, bytes, kBlob, kSha256, bytes);
}

std::string small(std::string_view path, int64_t bytes) {
  return fmt::format(R"({{"rfilename": "{}", "size": {}, "blobId": "{}"}})", path, bytes, kBlob);
}

std::string listing_text(const std::vector<std::string>& entries) {
  std::string text;
  for (const std::string& entry : entries) text += (text.empty() ? "" : ", ") + entry;
  return fmt::format(R"({{"sha": "{}", "likes": 18446744073709551615, "siblings": [{}]}})", kCommit, text);
}

Result<Listing> parse(const std::vector<std::string>& entries) {
  return parse_listing(as_bytes(listing_text(entries)), "list");
}

std::vector<std::string> chosen(const std::vector<std::string>& entries, std::string_view name = "o/r") {
  const auto choice = choose_files(*parse_name(name), *parse(entries));
  if (!choice.ok()) return {std::string(code_name(choice.error().code))};
  std::vector<std::string> names;
  for (const PulledFile& file : choice->files) names.push_back(file.name);
  return names;
}

TEST(Listing, FilesWithSizesAndHashes) {
  const auto listing = parse({large("w.gguf", 1000), small("config.json", 10)});
  ASSERT_TRUE(listing.ok()) << listing.error().message;
  EXPECT_EQ(listing->commit, kCommit);
  ASSERT_EQ(listing->files.size(), 2u);
  EXPECT_EQ(listing->files[0].path, "config.json");
  EXPECT_EQ(listing->files[0].hash, (ContentHash{Digest::Kind::kSha1, kBlob}));
  EXPECT_EQ(listing->find("w.gguf")->bytes, 1000);
  EXPECT_EQ(listing->find("w.gguf")->hash, (ContentHash{Digest::Kind::kSha256, kSha256}));
  EXPECT_EQ(listing->find("x"), nullptr);
}

TEST(Listing, GitBlobIds) {
  // As `git hash-object` gives them.
  const auto id = [](std::string_view text) {
    Digest digest = start_digest(Digest::Kind::kSha1, static_cast<int64_t>(text.size()));
    digest.update(as_bytes(text));
    return digest.finish_hex();
  };
  EXPECT_EQ(id(""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(id("hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
}

TEST(Listing, WhatIsRefused) {
  for (const std::string_view path : {"", "..", "../a", "a/../b", "/a", "a//b", "a\\\\b", "a\\u0000b", "a\\u001bb"}) {
    const auto listing = parse({small(path, 1)});
    ASSERT_FALSE(listing.ok()) << path;
    EXPECT_EQ(listing.error().code, Code::kCorrupt) << path;
  }
  EXPECT_FALSE(parse({small("a", 1), small("a", 1)}).ok());
  EXPECT_TRUE(parse({small("a", kHubFileBytesMax)}).ok());
  EXPECT_FALSE(parse({small("a", kHubFileBytesMax + 1)}).ok());
  EXPECT_FALSE(parse({small("a", -1)}).ok());
  EXPECT_FALSE(parse_listing(as_bytes(R"({"sha": "main", "siblings": []})"), "list").ok());
  EXPECT_FALSE(parse_listing(as_bytes("{}"), "list").ok());
}

TEST(Listing, NumberOfFiles) {
  std::vector<std::string> entries;
  for (int64_t i = 0; i < kListedFilesMax; ++i) entries.push_back(fmt::format(R"({{"rfilename": "{}"}})", i));
  EXPECT_TRUE(parse(entries).ok());
  entries.push_back(R"({"rfilename": "x"})");
  EXPECT_FALSE(parse(entries).ok());
}

TEST(Choice, AFolderInSafetensorsForm) {
  const std::vector<std::string> names =
      chosen({small("config.json", 1), large("model.safetensors", 9), small("tokenizer.json", 1),
              large("pytorch_model.bin", 9), large("consolidated.safetensors", 9), small("sub/config.json", 1),
              large("x.gguf", 9), small("LICENSE.txt", 1), small("additional_chat_templates/a.jinja", 1),
              small("additional_chat_templates/b/c.jinja", 1)});
  EXPECT_EQ(names, (std::vector<std::string>{"LICENSE.txt", "additional_chat_templates/a.jinja", "config.json",
                                             "model.safetensors", "tokenizer.json"}));
}

TEST(Choice, Shards) {
  const auto listing =
      parse({small("config.json", 1), small("model.safetensors.index.json", 1), large("a.safetensors", 9)});
  auto choice = choose_files(*parse_name("o/r"), *listing);
  ASSERT_TRUE(choice.ok() && choice->has_shards && choice->files.size() == 2);
  const std::vector<std::string> lacking = {"b.safetensors"}, good = {"a.safetensors"};
  EXPECT_EQ(add_shards(lacking, *listing, &*choice).error().code, Code::kCorrupt);
  EXPECT_TRUE(add_shards(good, *listing, &*choice).ok());
  EXPECT_EQ(choice->files.back().name, "a.safetensors");
}

TEST(Choice, GgufFiles) {
  const std::vector<std::string> one = {small("config.json", 1), large("sub/a.gguf", 9),
                                        large("b-00001-of-00002.gguf", 9)};
  EXPECT_EQ(chosen(one), std::vector<std::string>{"a.gguf"});
  const std::vector<std::string> two = {large("a.gguf", 9), large("sub/b.gguf", 9)};
  EXPECT_EQ(chosen(two), std::vector<std::string>{"invalid_argument"});
  EXPECT_EQ(chosen(two, "o/r:sub/b.gguf"), std::vector<std::string>{"b.gguf"});
  EXPECT_EQ(chosen(two, "o/r:b.gguf"), std::vector<std::string>{"not_found"});
  EXPECT_EQ(chosen(one, "o/r:b-00001-of-00002.gguf"), std::vector<std::string>{"unsupported"});
  EXPECT_EQ(chosen({small("pytorch_model.bin", 1)}), std::vector<std::string>{"unsupported"});
}

TEST(Choice, WhatCannotBeChecked) {
  EXPECT_EQ(chosen({R"({"rfilename": "a.gguf", "size": 3})"}), std::vector<std::string>{"unsupported"});
  EXPECT_EQ(chosen({fmt::format(R"({{"rfilename": "a.gguf", "blobId": "{}"}})", kBlob)}),
            std::vector<std::string>{"unsupported"});
}

PullManifest small_manifest() {
  return {.model = "o/r:sub/a.gguf",
          .endpoint = "https://hub.example",
          .commit = kCommit,
          .kind = PulledKind::kGguf,
          .pulled = "2026-11-25T10:20:05Z",
          .files = {{"a.gguf", {"sub/a.gguf", 9, {Digest::Kind::kSha256, kSha256}}},
                    {"LICENSE", {"LICENSE", 0, {Digest::Kind::kSha1, kBlob}}}}};
}

TEST(PullManifest, ThereAndBack) {
  const std::string text = pull_manifest_text(small_manifest());
  const auto again = parse_pull_manifest(as_bytes(text), "m");
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(pull_manifest_text(*again), text);
  EXPECT_EQ(again->bytes(), 9);
  EXPECT_EQ(again->find("a.gguf")->source.path, "sub/a.gguf");
  EXPECT_EQ(again->find("sub/a.gguf"), nullptr);
}

TEST(PullManifest, WhatIsRefused) {
  const auto refused = [](auto change) {
    PullManifest manifest = small_manifest();
    change(manifest);
    return !parse_pull_manifest(as_bytes(pull_manifest_text(manifest)), "m").ok();
  };
  EXPECT_FALSE(refused([](PullManifest&) {}));
  EXPECT_TRUE(refused([](PullManifest& m) { m.files[0].name = "../a"; }));
  EXPECT_TRUE(refused([](PullManifest& m) { m.files[0].name = kPullManifestName; }));
  EXPECT_TRUE(refused([](PullManifest& m) { m.files[0].source.path = "/a"; }));
  EXPECT_TRUE(refused([](PullManifest& m) { m.files[0].source.bytes = -1; }));
  EXPECT_TRUE(refused([](PullManifest& m) { m.files[0].source.hash.hex = "x"; }));
  EXPECT_TRUE(refused([](PullManifest& m) { m.files[1] = m.files[0]; }));
  const auto many = [](int64_t n, int64_t bytes) {
    PullManifest manifest = small_manifest();
    manifest.files.clear();
    for (int64_t i = 0; i < n; ++i) {
      const std::string name = fmt::format("{}", i);
      manifest.files.push_back({name, {name, bytes, {Digest::Kind::kSha1, kBlob}}});
    }
    return parse_pull_manifest(as_bytes(pull_manifest_text(manifest)), "m").ok();
  };
  EXPECT_TRUE(many(kPulledFilesMax, 1));
  EXPECT_FALSE(many(kPulledFilesMax + 1, 1));
  EXPECT_FALSE(many(kPulledFilesMax, kHubFileBytesMax));  // together past int64
}

}  // namespace
}  // namespace naru::hub
