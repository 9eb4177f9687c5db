#include "hub/address.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/ascii.h"
#include "formats/utf8.h"

namespace naru::hub {
namespace {

using ParsedUrl = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

// Nothing where the library does not take it.
ParsedUrl parse(const std::string& address, unsigned flags) {
  ParsedUrl url(curl_url(), &curl_url_cleanup);
  const bool is_sane = address.size() <= kAddressBytesMax && !formats::has_control_characters(address);
  if (!url || !is_sane || curl_url_set(url.get(), CURLUPART_URL, address.c_str(), flags) != CURLUE_OK) url.reset();
  return url;
}

std::string part_of(const ParsedUrl& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK || text == nullptr) return "";
  std::string copy = text;
  curl_free(text);
  return copy;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

// For messages: without what may be a user's name and password.
std::string without_user(std::string_view address) {
  std::string text(address);
  const size_t scheme = text.find("://");
  const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  const size_t at = text.rfind('@');
  if (at != std::string::npos && at >= begin) text.erase(begin, at + 1 - begin);
  return formats::printable(text, 300);
}

}  // namespace

Result<std::string> origin_of(const std::string& address) {
  const ParsedUrl url = parse(address, CURLU_DISALLOW_USER);
  const std::string scheme = url ? lower(part_of(url, CURLUPART_SCHEME)) : "";
  if (scheme != "http" && scheme != "https") {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading an address: '{}': an http or https address without a user's name was wanted; "
                             "correct it",
                             without_user(address))};
  }
  return fmt::format("{}://{}:{}", scheme, lower(part_of(url, CURLUPART_HOST)),
                     part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

Result<std::string> parse_endpoint(std::string_view text, std::string_view source) {
  std::string address(text);
  while (address.ends_with('/')) address.pop_back();
  const ParsedUrl url = parse(address, CURLU_DISALLOW_USER);
  if (origin_of(address).ok() && part_of(url, CURLUPART_QUERY).empty() && part_of(url, CURLUPART_FRAGMENT).empty()) {
    return address;
  }
  return Error{Code::kInvalidArgument,
               fmt::format("reading {}: '{}': an http or https address was wanted, without a user's name or password, "
                           "which are not taken; correct or unset it",
                           source, without_user(text))};
}

Result<std::string> resolved_address(const std::string& page, const std::string& link) {
  const ParsedUrl url = parse(page, CURLU_DISALLOW_USER);
  const bool is_resolved = url && link.size() <= kAddressBytesMax && !formats::has_control_characters(link) &&
                           curl_url_set(url.get(), CURLUPART_URL, link.c_str(), CURLU_DISALLOW_USER) == CURLUE_OK;
  std::string address = is_resolved ? part_of(url, CURLUPART_URL) : link;
  NARU_TRY(origin_of(address));
  return address;
}

std::string escaped(std::string_view text, bool keep_slash) {
  std::string out;
  for (const char c : text) {
    const bool is_plain =
        is_ascii_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~' || (keep_slash && c == '/');
    out += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace naru::hub
