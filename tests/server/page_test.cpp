// The page's files: which are there, with which headers, and what stands in their place where they are not.
#include "server/page.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "server/page_files.h"

namespace naru::server {
namespace {

HttpResponse page_at(const std::string& target, std::vector<HttpField> fields = {}, const std::string& method = "GET") {
  HttpRequest request;
  request.method = method;
  request.target = target;
  request.fields = std::move(fields);
  return page_response(request);
}

std::string field_of(const HttpResponse& response, std::string_view name) {
  for (const HttpField& field : response.fields) {
    if (field.name == name) return field.value;
  }
  return "";
}

TEST(ServerPage, EitherAllOfItIsThereOrItSaysWhatIsMissing) {
  const HttpResponse index = page_at("/?x=1");
  EXPECT_EQ(index.status, 200);
  EXPECT_EQ(index.content_type, "text/html; charset=utf-8");
  EXPECT_EQ(page_files().empty(), !page_packages_missing().empty());
  if (page_files().empty()) {
    EXPECT_NE(index.body.find(page_packages_missing()), std::string::npos);
    GTEST_SKIP() << "built without the page: " << page_packages_missing() << " is missing";
  }
  EXPECT_NE(index.body.find("page/main.js"), std::string::npos);
  for (const char* name : {"main.js", "chat.css", "marked.js", "purify.js", "katex.js", "katex.css", "chart.js"}) {
    const HttpResponse file = page_at(std::string("/page/") + name);
    EXPECT_EQ(file.status, 200) << name;
    EXPECT_GT(file.body.size(), 500u) << name;
  }
}

TEST(ServerPage, EveryFileHasItsTypeAndThePolicy) {
  for (const PageFile& file : page_files()) {
    const HttpResponse response = page_at("/page/" + std::string(file.name));
    EXPECT_EQ(response.body, file.bytes) << file.name;
    EXPECT_EQ(field_of(response, "X-Content-Type-Options"), "nosniff");
    const std::string policy = field_of(response, "Content-Security-Policy");
    EXPECT_NE(policy.find("script-src 'self';"), std::string::npos);
    EXPECT_EQ(policy.find("unsafe"), std::string::npos);
    // Nothing that a policy without inline script would stop, and no other server.
    if (!file.name.ends_with(".html")) continue;
    EXPECT_EQ(file.bytes.find("<style"), std::string_view::npos);
    EXPECT_EQ(file.bytes.find(" style="), std::string_view::npos);
    EXPECT_EQ(file.bytes.find("http"), std::string_view::npos);
  }
}

TEST(ServerPage, WhatIsHeldAlreadyIsNotSentAgain) {
  const std::string tag = field_of(page_at("/"), "ETag");
  ASSERT_EQ(tag.size(), 34u);
  for (const std::string& held : {tag, "\"other\", " + tag, "W/" + tag, std::string("*")}) {
    const HttpResponse again = page_at("/", {{"if-none-match", held}});
    EXPECT_EQ(again.status, 304) << held;
    EXPECT_EQ(again.body, "");
    EXPECT_EQ(head_of(again, Framing::kLength, true).find("Content-Length"), std::string::npos);
  }
  EXPECT_EQ(page_at("/", {{"if-none-match", "\"other\""}}).status, 200);
  EXPECT_TRUE(page_at("/", {}, "HEAD").is_head_only);
}

TEST(ServerPage, OtherNamesAreNotThere) {
  for (const char* path :
       {"/page/", "/page/none", "/page/../main.js", "/page/%6dain.js", "/page/main.js/", "/page/page/main.js"}) {
    EXPECT_EQ(page_at(path).status, 404) << path;
  }
}

}  // namespace
}  // namespace naru::server
