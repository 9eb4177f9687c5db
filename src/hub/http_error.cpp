#include "hub/http_error.h"

#include <fmt/format.h>

#include "formats/utf8.h"

namespace naru::hub {
namespace {

constexpr int64_t kSaidBytesMax = 200;

std::string token_advice(const Refusal& refusal) {
  return refusal.had_token ? "check that HF_TOKEN is of an account that may read it"
                           : "set HF_TOKEN to a token of an account that may read it";
}

// "owner/name" of "owner/name@v1: config.json"
std::string repository_of(const std::string& what) {
  return what.substr(0, what.find_first_of(":@"));
}

Error not_allowed(const std::string& what, const std::string& doing, const Refusal& refusal, const std::string& said) {
  const bool is_unknown = refusal.error_code == "RepoNotFound";
  if (refusal.error_code == "GatedRepo") {
    return {Code::kUnavailable,
            fmt::format("{}: the model is gated: its makers want you to accept their terms first{}; accept them on its "
                        "page at {}/{}, then {}",
                        doing, said, refusal.endpoint, repository_of(what), token_advice(refusal))};
  }
  if (is_unknown) {
    return {Code::kNotFound, fmt::format("{}: the hub has no such repository, or not for you{}; check the name; if it "
                                         "is private, {}",
                                         doing, said, token_advice(refusal))};
  }
  if (refusal.status == 401 && refusal.had_token) {
    return {Code::kUnavailable,
            fmt::format("{}: the hub does not take the token in HF_TOKEN{}; renew it, or unset HF_TOKEN for what is "
                        "public",
                        doing, said)};
  }
  return {Code::kUnavailable, fmt::format("{}: {} refuses it (status {}){}; {}", doing, refusal.origin, refusal.status,
                                          said, token_advice(refusal))};
}

Error not_found(const std::string& doing, const Refusal& refusal, const std::string& said) {
  if (refusal.error_code == "RevisionNotFound") {
    return {Code::kNotFound, fmt::format("{}: the repository has no such revision{}; check what follows @: a branch, a "
                                         "tag or a commit",
                                         doing, said)};
  }
  if (refusal.error_code == "EntryNotFound") {
    return {Code::kNotFound,
            fmt::format("{}: the repository has no such file at this commit{}; try again", doing, said)};
  }
  return {Code::kNotFound,
          fmt::format("{}: {} has no such repository or file{}; check the name", doing, refusal.origin, said)};
}

}  // namespace

Error refusal_error(const std::string& what, const Refusal& refusal) {
  const std::string said =
      refusal.error_message.empty()
          ? ""
          : fmt::format(" (it says: {})", formats::printable(refusal.error_message, kSaidBytesMax));
  const std::string begin = fmt::format("pulling {}", what);
  if (refusal.is_hub && (refusal.status == 401 || refusal.status == 403))
    return not_allowed(what, begin, refusal, said);
  if (refusal.is_hub && (refusal.status == 404 || refusal.status == 410)) return not_found(begin, refusal, said);
  if (refusal.status == 429) {
    return {Code::kUnavailable,
            fmt::format("{}: {} takes no more requests for now (status 429){}; wait some minutes and give the same "
                        "command; it goes on where it stopped",
                        begin, refusal.origin, said)};
  }
  return {Code::kUnavailable, fmt::format("{}: {} answered with status {}{}; try again later, the same command goes on "
                                          "where it stopped",
                                          begin, refusal.origin, refusal.status, said)};
}

}  // namespace naru::hub
