#include "server/access.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "server/limits.h"

namespace naru::server {
namespace {

constexpr size_t kKeyBytesMin = 16;
constexpr size_t kKeyNameBytesMax = 64;  // of its name, and of its scope

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

// What is wrong with a line of a file of keys. It shows no word of the file: any may be a key.
struct WrongLine {
  std::string found;
  std::string wanted;
};

std::vector<std::string_view> words_of(std::string_view line) {
  constexpr std::string_view kBlanks = " \t";
  std::vector<std::string_view> words;
  for (size_t begin = line.find_first_not_of(kBlanks); begin != std::string_view::npos;) {
    const size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(kBlanks, end);
  }
  return words;
}

// "60/m"
std::optional<Rate> read_rate(std::string_view text) {
  Rate rate;
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos || text.size() != slash + 2) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + slash, rate.amount);
  if (error != std::errc() || end != text.data() + slash || rate.amount < 1 || rate.amount > kRateAmountMax)
    return std::nullopt;
  switch (text.back()) {
    case 's': rate.time = std::chrono::seconds(1); return rate;
    case 'm': rate.time = std::chrono::minutes(1); return rate;
    case 'h': rate.time = std::chrono::hours(1); return rate;
    case 'd': rate.time = std::chrono::hours(24); return rate;
    default: return std::nullopt;
  }
}

std::optional<WrongLine> read_key_setting(std::string_view word, ApiKey& key) {
  const std::string_view name = word.substr(0, word.find('='));
  const std::string_view value = word.substr(name.size() + 1);
  const bool is_rate = name == "rate";
  if (is_rate || name == "tokens") {
    std::optional<Rate>& rate = is_rate ? key.requests : key.tokens;
    if (rate) return WrongLine{fmt::format("{}= stands twice", name), "each setting once"};
    rate = read_rate(value);
    if (rate) return std::nullopt;
    return WrongLine{fmt::format("what {}= says is no rate", name),
                     fmt::format("a number of 1 to {} and a time, s, m, h or d, as in {}={}/m", kRateAmountMax, name,
                                 is_rate ? 60 : 100000)};
  }
  if (name != "scope") return WrongLine{"a setting behind the key is not known", "rate=, tokens= or scope="};
  if (!key.scope.empty()) return WrongLine{"scope= stands twice", "each setting once"};
  if (value.empty() || value.size() > kKeyNameBytesMax || !is_visible(value)) {
    return WrongLine{"the scope behind the key is none",
                     fmt::format("one word of at most {} visible ASCII characters", kKeyNameBytesMax)};
  }
  key.scope = value;
  return std::nullopt;
}

// Adds the key of a line, where it has one.
std::optional<WrongLine> read_key_line(std::string_view line, std::vector<ApiKey>& keys) {
  const std::vector<std::string_view> words = words_of(line);
  if (words.empty() || words[0].starts_with('#')) return std::nullopt;
  if (words[0].size() < kKeyBytesMin || static_cast<int64_t>(words[0].size()) > kKeyBytesMax || !is_visible(words[0])) {
    return WrongLine{fmt::format("the key has {} bytes", words[0].size()),
                     fmt::format("one of {} to {} visible ASCII characters", kKeyBytesMin, kKeyBytesMax)};
  }
  ApiKey key;
  key.digest = digest_of_key(words[0]);
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (word.find('=') != std::string_view::npos) {
      if (auto wrong = read_key_setting(word, key)) return wrong;
    } else if (i > 1 || word.size() > kKeyNameBytesMax || !is_visible(word)) {
      return WrongLine{"the name behind the key is none",
                       fmt::format("one word of at most {}, before any setting", kKeyNameBytesMax)};
    } else {
      key.name = word;
    }
  }
  if (key.name.empty()) key.name = fmt::format("key-{}", keys.size() + 1);
  if (key.scope.empty()) key.scope = key.name;
  for (const ApiKey& other : keys) {
    if (other.digest == key.digest) return WrongLine{"the key stands in an earlier line too", "each key once"};
    if (other.name == key.name) return WrongLine{fmt::format("a second key is called {}", key.name), "each name once"};
  }
  keys.push_back(std::move(key));
  if (static_cast<int64_t>(keys.size()) <= kKeysMax) return std::nullopt;
  return WrongLine{fmt::format("there are more than {} keys", kKeysMax), "no more"};
}

}  // namespace

KeyDigest digest_of_key(std::string_view key) {
  KeyDigest digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

Result<std::vector<ApiKey>> parse_keys(std::string_view text, std::string_view file) {
  std::vector<ApiKey> keys;
  for (int64_t n_line = 1; !text.empty(); ++n_line) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::optional<WrongLine> wrong = read_key_line(line, keys);
    if (!wrong) continue;
    return Error{Code::kInvalidArgument, fmt::format("reading the keys: {}:{}: {}, {} was wanted; correct the line",
                                                     file, n_line, wrong->found, wrong->wanted)};
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

bool is_origin(std::string_view text) {
  bool has_scheme = false;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!text.starts_with(scheme)) continue;
    text.remove_prefix(scheme.size());
    has_scheme = true;
  }
  const std::string_view host = without_port(text);
  const std::string_view port = text.substr(host.size());
  const bool is_port = port.empty() || (port.size() >= 2 && port.size() <= 6 && port[0] == ':' &&
                                        port.find_first_not_of("0123456789", 1) == std::string_view::npos);
  return has_scheme && !host.empty() && is_port && is_visible(host) &&
         host.find_first_of("/?#@\\*,\"<>") == std::string_view::npos;
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
  return {
      {"Access-Control-Allow-Origin", *origin},
      {"Vary", "Origin"},
      {"Access-Control-Expose-Headers", "x-naru-ignored, x-naru-warning, x-naru-replayed, x-naru-seed, retry-after"}};
}

}  // namespace naru::server
