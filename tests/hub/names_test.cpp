// Names of models, and the folders that they are kept in.
#include <gtest/gtest.h>

#include "hub/address.h"
#include "hub/name.h"

namespace naru::hub {
namespace {

TEST(ModelName, PartsAndFolder) {
  const auto plain = parse_name("Qwen/Qwen2.5-0.5B");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->owner, "Qwen");
  EXPECT_EQ(plain->repository, "Qwen2.5-0.5B");
  EXPECT_FALSE(plain->file || plain->revision);
  EXPECT_EQ(plain->folder(), "Qwen/Qwen2.5-0.5B");

  const auto full = parse_name("a/b:c/d.gguf@refs/pr/3");
  ASSERT_TRUE(full.ok());
  EXPECT_EQ(full->file, "c/d.gguf");
  EXPECT_EQ(full->revision, "refs/pr/3");
  EXPECT_EQ(full->text(), "a/b:c/d.gguf@refs/pr/3");
  EXPECT_EQ(full->folder(), "a/b@refs--pr--3--c--d.gguf");
}

TEST(ModelName, WhatIsNone) {
  for (const std::string_view text :
       {"",         "/",      "a",          "a/",       "/b",         "a/b/c",   ".a/b",       "a./b",
        "-a/b",     "a/b-",   "a--b/c",     "a/b..c",   "a/..",       "../a",    "a b/c",      "a/b\n",
        "a/b:",     "a/b:/c", "a/b:c/",     "a/b:c//d", "a/b:c/../d", "a/b:./c", "a/b:c\\d",   "a/b:c\x1b",
        "a/b:\xff", "a/b@",   "a/b@-/../x", "a/b@/x",   "a/b@x y",    "a/b@..",  "a\xc3\xa9/b"}) {
    const auto name = parse_name(text);
    ASSERT_FALSE(name.ok()) << text;
    EXPECT_EQ(name.error().code, Code::kInvalidArgument) << text;
  }
}

TEST(ModelName, Bounds) {
  EXPECT_TRUE(parse_name("o/" + std::string(kNamePartBytesMax, 'r')).ok());
  EXPECT_FALSE(parse_name("o/" + std::string(kNamePartBytesMax + 1, 'r')).ok());
  EXPECT_TRUE(parse_name("o/r@" + std::string(kRevisionBytesMax, 'v')).ok());
  EXPECT_FALSE(parse_name("o/r@" + std::string(kRevisionBytesMax + 1, 'v')).ok());
  // "o--r--" and the file are one name on disk.
  EXPECT_TRUE(parse_name("o/r:" + std::string(kFolderNameBytesMax - 6, 'f')).ok());
  EXPECT_FALSE(parse_name("o/r:" + std::string(kFolderNameBytesMax - 5, 'f')).ok());
  EXPECT_TRUE(is_safe_path(std::string(kRepositoryPathBytesMax, 'p')));
  EXPECT_FALSE(is_safe_path(std::string(kRepositoryPathBytesMax + 1, 'p')));
}

TEST(Address, Origins) {
  EXPECT_EQ(*origin_of("https://Hub.example/a?b=c"), "https://hub.example:443");
  EXPECT_EQ(*origin_of("https://hub.example:443/"), "https://hub.example:443");
  EXPECT_EQ(*origin_of("http://hub.example:8080"), "http://hub.example:8080");
  EXPECT_NE(*origin_of("http://hub.example"), *origin_of("https://hub.example"));
  EXPECT_NE(*origin_of("https://hub.example"), *origin_of("https://hub.example.evil"));
  EXPECT_FALSE(origin_of("https://token@hub.example").ok());
  EXPECT_FALSE(origin_of("ftp://hub.example").ok());
  EXPECT_FALSE(origin_of("hub.example").ok());
  EXPECT_FALSE(origin_of("https://h/" + std::string(kAddressBytesMax, 'a')).ok());
}

TEST(Address, MessagesHaveNoPassword) {
  for (const char* text : {"https://user:secret@host/simple", "https://user:sec ret@host", "user:secret@host",
                           "https://us@er:secret@host/?q", "https://secret@host"}) {
    const auto endpoint = parse_endpoint(text, "PIP_INDEX_URL");
    ASSERT_FALSE(endpoint.ok()) << text;
    EXPECT_EQ(endpoint.error().message.find("sec"), std::string::npos) << endpoint.error().message;
    EXPECT_NE(endpoint.error().message.find("host"), std::string::npos) << endpoint.error().message;
    EXPECT_EQ(origin_of(text).error().message.find("sec"), std::string::npos) << text;
  }
}

TEST(Address, Escapes) {
  EXPECT_EQ(escaped("a b/c%?#", true), "a%20b/c%25%3F%23");
  EXPECT_EQ(escaped("refs/pr/1", false), "refs%2Fpr%2F1");
  EXPECT_EQ(escaped("\xeb\x82\x98", true), "%EB%82%98");
}

}  // namespace
}  // namespace naru::hub
