#include "server/access.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

#include "base/file.h"
#include "server/limits.h"

namespace naru::server {
namespace {

constexpr size_t kKeyBytesMin = 16;

bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

// A host without its port: "[::1]:8080" gives "[::1]".
std::string_view without_port(std::string_view host) {
  const size_t bracket = host.starts_with('[') ? host.find(']') : std::string_view::npos;
  if (bracket != std::string_view::npos) return host.substr(0, bracket + 1);
  return host.substr(0, host.find(':'));
}

bool is_own_origin(const AccessRules& rules, std::string_view origin, const HttpRequest& head) {
  const std::string* host = head.find("host");
  return host != nullptr && equal_ignoring_case(origin, (rules.speaks_tls ? "https://" : "http://") + *host);
}

bool is_allowed_origin(const AccessRules& rules, std::string_view origin) {
  return std::any_of(rules.origins.begin(), rules.origins.end(), [&](const std::string& allowed) {
    return allowed == "*" || equal_ignoring_case(allowed, origin);
  });
}

std::string_view key_text(const HttpRequest& head) {
  constexpr std::string_view kBearer = "bearer ";
  if (const std::string* value = head.find("authorization")) {
    if (value->size() > kBearer.size() && equal_ignoring_case(value->substr(0, kBearer.size()), kBearer)) {
      return std::string_view(*value).substr(kBearer.size());
    }
  }
  const std::string* value = head.find("x-api-key");
  return value ? std::string_view(*value) : std::string_view();
}

}  // namespace

KeyDigest digest_of_key(std::string_view key) {
  KeyDigest digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

Result<std::vector<ApiKey>> parse_keys(std::string_view text, std::string_view file) {
  std::vector<ApiKey> keys;
  int64_t n_line = 0;
  const auto wrong = [&](std::string found, std::string_view wanted) {
    return Error{Code::kInvalidArgument, fmt::format("reading the keys: {}:{}: {}, {} was wanted; correct the line",
                                                     file, n_line, found, wanted)};
  };
  while (!text.empty()) {
    ++n_line;
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    if (line.empty() || line.front() == '#') continue;
    const size_t blank = std::min(line.find_first_of(" \t"), line.size());
    const std::string_view key = line.substr(0, blank);
    std::string_view name = line.substr(blank);
    name.remove_prefix(std::min(name.find_first_not_of(" \t"), name.size()));
    if (key.size() < kKeyBytesMin || static_cast<int64_t>(key.size()) > kKeyBytesMax || !is_visible(key)) {
      return wrong(fmt::format("the key has {} bytes", key.size()),
                   fmt::format("one of {} to {} visible ASCII characters", kKeyBytesMin, kKeyBytesMax));
    }
    if (name.size() > 64 || !is_visible(name))
      return wrong("the name behind the key is none", "one word of at most 64");
    const KeyDigest digest = digest_of_key(key);
    for (const ApiKey& other : keys) {
      if (other.digest == digest) return wrong("the key stands in an earlier line too", "each key once");
    }
    std::string called = name.empty() ? fmt::format("key-{}", keys.size() + 1) : std::string(name);
    for (const ApiKey& other : keys) {  // whoever has one name shares one cache
      if (other.name == called) return wrong(fmt::format("a second key is called {}", called), "each name once");
    }
    keys.push_back({digest, std::move(called)});
    if (static_cast<int64_t>(keys.size()) > kKeysMax) {
      return wrong(fmt::format("there are more than {} keys", kKeysMax), "no more");
    }
  }
  if (keys.empty()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading the keys: {}: it holds no key, one at least was wanted; write one a line, for "
                             "example of `openssl rand -hex 24`",
                             file)};
  }
  return keys;
}

Result<std::vector<ApiKey>> read_keys(const std::string& path) {
  NARU_ASSIGN(const std::string text, read_file(path, kKeysFileBytesMax));
  return parse_keys(text, path);
}

const ApiKey* find_key(const std::vector<ApiKey>& keys, std::string_view text) {
  const KeyDigest digest = digest_of_key(text);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys) {
    if (CRYPTO_memcmp(key.digest.data(), digest.data(), digest.size()) == 0) found = &key;
  }
  return found;
}

bool is_loopback_host(std::string_view host) {
  if (equal_ignoring_case(host, "localhost") || host == "[::1]" || host == "::1") return true;
  if (host.size() > 10 && equal_ignoring_case(host.substr(host.size() - 10), ".localhost")) return true;
  // 127.0.0.0/8, written as four numbers: a name that begins with 127. belongs to anybody.
  return host.starts_with("127.") && std::count(host.begin(), host.end(), '.') == 3 &&
         host.find_first_not_of("0123456789.") == std::string_view::npos && host.back() != '.';
}

Admission admit(const AccessRules& rules, const HttpRequest& head, bool is_public_route) {
  const std::string* host = head.find("host");
  if (rules.checks_host && host != nullptr) {
    const std::string_view name = without_port(*host);
    const bool is_listed = std::any_of(rules.hosts.begin(), rules.hosts.end(),
                                       [&](const std::string& each) { return equal_ignoring_case(each, name); });
    if (!is_loopback_host(name) && !is_listed) {
      return {Refusal{421,
                      "reading the request: its Host is no name of this machine's loopback; use http://127.0.0.1 or "
                      "http://localhost, or start the server with --allow-host NAME",
                      "", "host_not_allowed", 0},
              nullptr};
    }
  }
  const std::string* origin = head.find("origin");
  if (origin != nullptr && head.method == "POST" && !is_own_origin(rules, *origin, head) &&
      !is_allowed_origin(rules, *origin)) {
    return {Refusal{403,
                    "reading the request: it comes from a web page of an origin that is not allowed; start the "
                    "server with --allow-origin ORIGIN if it shall be",
                    "", "origin_not_allowed", 0},
            nullptr};
  }
  if (is_public_route || rules.keys.empty()) return {};
  const std::string_view text = key_text(head);
  const ApiKey* key = find_key(rules.keys, text);
  if (key != nullptr) return {std::nullopt, key};
  return {
      Refusal{401,
              text.empty() ? "reading the request: it has no API key, one was wanted; send Authorization: Bearer KEY"
                           : "reading the request: its API key is not known here; send one of the server's keys",
              "", "invalid_api_key", 0},
      nullptr};
}

std::vector<HttpField> cross_origin_fields(const AccessRules& rules, const HttpRequest& head) {
  const std::string* origin = head.find("origin");
  if (origin == nullptr || !is_allowed_origin(rules, *origin)) return {};
  return {{"Access-Control-Allow-Origin", *origin},
          {"Vary", "Origin"},
          {"Access-Control-Expose-Headers", "x-naru-ignored, x-naru-seed, retry-after"}};
}

}  // namespace naru::server
