// Who may ask, and what is where.
#include "server/access.h"

#include <gtest/gtest.h>

#include <map>

#include "server/limits.h"
#include "server/ollama_request.h"
#include "server/openai_request.h"
#include "server/routes.h"

namespace naru::server {
namespace {

const std::string kFirst = "0123456789abcdef", kSecond = "fedcba9876543210";

HttpRequest get(std::map<std::string, std::string> fields, std::string target = "/v1/models",
                std::string method = "GET") {
  HttpRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  for (auto& [name, value] : fields) request.fields.push_back({name, value});
  return request;
}

int status_of(const AccessRules& rules, const HttpRequest& request, bool is_public = false) {
  const Admission admission = admit(rules, request, is_public);
  return admission.refusal ? admission.refusal->status : 200;
}

TEST(Keys, AFileOfThem) {
  const auto keys = parse_keys("# ours\n" + kFirst + "  anna\r\n\n  " + kSecond + "\n", "keys.txt");
  ASSERT_TRUE(keys.ok()) << keys.error().message;
  ASSERT_EQ(keys->size(), 2u);
  EXPECT_EQ((*keys)[0].name, "anna");
  EXPECT_EQ((*keys)[1].name, "key-2");
  EXPECT_EQ(find_key(*keys, kFirst), &(*keys)[0]);
  EXPECT_EQ(find_key(*keys, kSecond), &(*keys)[1]);
  for (const std::string& other : {std::string(), kFirst + "0", kFirst.substr(1), std::string("anna")}) {
    EXPECT_EQ(find_key(*keys, other), nullptr);
  }
}

TEST(Keys, WhatIsNoneIsRefusedByItsLineAndNeverShown) {
  std::string many;
  for (int64_t i = 0; i <= kKeysMax; ++i) many += "0123456789abcdef" + std::to_string(i) + "\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "holds no key"},
      {"# only words\n", "holds no key"},
      {kFirst + " key-2\n" + kSecond + "\n", "keys.txt:2: a second key is called key-2"},
      {kFirst + "\nshort-secret\n", "keys.txt:2: the key has 12 bytes"},
      {kFirst + "\n" + kFirst + "\n", "keys.txt:2: the key stands in an earlier line"},
      {kFirst + "\x01 a\n", "keys.txt:1: the key has 17 bytes"},
      {kFirst + " two words\n", "keys.txt:1: the name"},
      {std::string(kKeyBytesMax + 1, 'a'), "keys.txt:1: the key has 513 bytes"},
      {many, "more than 1024 keys"},
  };
  for (const auto& [text, found] : cases) {
    const auto keys = parse_keys(text, "keys.txt");
    ASSERT_FALSE(keys.ok()) << text;
    EXPECT_NE(keys.error().message.find(found), std::string::npos) << keys.error().message;
    EXPECT_EQ(keys.error().message.find(kFirst), std::string::npos);
    EXPECT_EQ(keys.error().message.find("secret"), std::string::npos);
  }
}

TEST(Access, KeysAreWantedWhereThereAreSome) {
  AccessRules rules;
  EXPECT_EQ(status_of(rules, get({{"host", "localhost"}})), 200);
  rules.keys = parse_keys(kFirst + " anna\n", "k").value();
  const auto with = [&](const std::string& name, const std::string& value) {
    return get({{"host", "localhost"}, {name, value}});
  };
  EXPECT_EQ(status_of(rules, get({{"host", "localhost"}})), 401);
  EXPECT_EQ(status_of(rules, with("authorization", "Bearer " + kFirst)), 200);
  EXPECT_EQ(status_of(rules, with("authorization", "bearer " + kFirst)), 200);
  EXPECT_EQ(status_of(rules, with("x-api-key", kFirst)), 200);
  EXPECT_EQ(admit(rules, with("x-api-key", kFirst), false).key->name, "anna");
  for (const std::string& wrong : std::vector<std::string>{kFirst, "Bearer", "Bearer ", "Basic " + kFirst,
                                                           "Bearer  " + kFirst, "Bearer " + kSecond}) {
    EXPECT_EQ(status_of(rules, with("authorization", wrong)), 401) << wrong;
  }
  EXPECT_EQ(status_of(rules, get({{"host", "localhost"}}), true), 200);
}

// With a key every route but the public ones wants it: a route that is added is asked for too.
TEST(Access, EveryRouteButHealthAndThePageWantsAKey) {
  AccessRules rules;
  rules.keys = parse_keys(kFirst, "k").value();
  int n_public = 0;
  for (const Route& route : all_routes()) {
    n_public += route.is_public ? 1 : 0;
    EXPECT_EQ(status_of(rules, get({{"host", "localhost"}}, std::string(route.path)), route.is_public),
              route.is_public ? 200 : 401)
        << route.path;
  }
  EXPECT_EQ(n_public, 3);  // /health, / and /page/
}

TEST(Access, TheLoopbackIsCalledByItsOwnNamesOnly) {
  AccessRules rules;
  for (const char* host : {"localhost", "LOCALHOST:8080", "127.0.0.1", "127.1.2.3:80", "[::1]:8080", "a.localhost"}) {
    EXPECT_EQ(status_of(rules, get({{"host", host}})), 200) << host;
  }
  for (const char* host : {"example.org", "127.0.0.1.example.org", "localhost.example.org", "10.0.0.1", "[::2]", "",
                           "127.example.org", "127.0.0.", "notlocalhost"}) {
    EXPECT_EQ(status_of(rules, get({{"host", host}})), 421) << host;
  }
  rules.hosts = {"naru.lan"};
  EXPECT_EQ(status_of(rules, get({{"host", "Naru.LAN:8080"}})), 200);
  rules.checks_host = false;
  EXPECT_EQ(status_of(rules, get({{"host", "example.org"}})), 200);
}

TEST(Access, WebPagesOfOthersMayNotAsk) {
  AccessRules rules;
  const auto from = [](const std::string& origin, const std::string& method) {
    return get({{"host", "127.0.0.1:8080"}, {"origin", origin}}, "/v1/chat/completions", method);
  };
  EXPECT_EQ(status_of(rules, from("http://127.0.0.1:8080", "POST")), 200);
  for (const char* origin : {"https://example.org", "null", "http://127.0.0.1:9090", "https://127.0.0.1:8080"}) {
    EXPECT_EQ(status_of(rules, from(origin, "POST")), 403) << origin;
    EXPECT_TRUE(cross_origin_fields(rules, from(origin, "GET")).empty());
  }
  rules.origins = {"https://example.org"};
  EXPECT_EQ(status_of(rules, from("https://example.org", "POST")), 200);
  EXPECT_EQ(status_of(rules, from("https://example.org.evil", "POST")), 403);
  ASSERT_FALSE(cross_origin_fields(rules, from("https://example.org", "GET")).empty());
  EXPECT_EQ(cross_origin_fields(rules, from("https://example.org", "GET"))[0].value, "https://example.org");
  rules.origins = {"*"};
  EXPECT_EQ(status_of(rules, from("https://anywhere.net", "POST")), 200);
}

TEST(Routes, PathsMethodsAndWhatIsElsewhere) {
  const auto routed = [](const std::string& method, const std::string& target) {
    return find_route(get({}, target, method));
  };
  for (const std::string prefix : {"", "/v1", "/beta"}) {
    ASSERT_NE(routed("GET", prefix + "/health").route, nullptr);
    EXPECT_EQ(routed("GET", prefix + "/health?x=1").route->page, Page::kHealth);
    EXPECT_EQ(routed("HEAD", prefix + "/models").route->page, Page::kModels);
    EXPECT_EQ(routed("POST", prefix + "/chat/completions").route->dialect, &kOpenAiChat);
    EXPECT_EQ(routed("POST", prefix + "/completions").route->dialect, &kOpenAiCompletion);
  }
  const HttpRequest one = get({}, "/v1/models/owner/name");
  EXPECT_EQ(find_route(one).rest, "owner/name");
  EXPECT_EQ(routed("GET", "/v1/chat/completions").refusal.status, 405);
  EXPECT_EQ(routed("GET", "/v1/chat/completions").allow, "POST, OPTIONS");
  EXPECT_EQ(routed("POST", "/v1/models").allow, "GET, HEAD, OPTIONS");
  for (const char* path : {"/v1", "/v1/", "/v1/models/", "/v1/v1/models", "/v11/models", "//models", "/v1/chat", "*"}) {
    EXPECT_EQ(routed("GET", path).refusal.status, 404) << path;
  }
  EXPECT_EQ(routed("HEAD", "/").route->page, Page::kHealth);
  EXPECT_EQ(routed("GET", "/").route->page, Page::kPage);
  EXPECT_EQ(routed("GET", "/page/main.js").route->page, Page::kPageFile);
  EXPECT_EQ(routed("GET", "/v1/page/main.js").refusal.status, 404);
  EXPECT_EQ(routed("POST", "/").refusal.status, 405);
  EXPECT_EQ(routed("GET", "/runs/a/b").route->page, Page::kRun);
  EXPECT_EQ(routed("POST", "/api/embed").route->dialect, &kOllamaEmbed);
  EXPECT_EQ(routed("POST", "/v1/embeddings").route->dialect, &kOpenAiEmbeddings);
  EXPECT_NE(routed("POST", "/api/pull").refusal.message.find("naru pull"), std::string::npos);
}

// Whoever speaks a dialect reads its errors, also of paths and methods that are not there.
TEST(Routes, ErrorsInTheWordsOfThePath) {
  const Refusal refusal{404, "no", "", "", 0};
  EXPECT_EQ(error_body(get({}, "/api/chat", "GET"), refusal), R"({"error":"no"})");
  EXPECT_EQ(error_body(get({}, "/api/pull", "POST"), refusal), R"({"error":"no"})");
  EXPECT_TRUE(error_body(get({}, "/v1/models"), refusal).starts_with(R"({"error":{"message":"no")"));
  EXPECT_TRUE(error_body(get({}, "/tokenize", "POST"), refusal).starts_with(R"({"error":{"message":"no")"));
}

}  // namespace
}  // namespace naru::server
