#include "hub/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "formats/utf8.h"
#include "hub/address.h"
#include "hub/curl_setup.h"
#include "hub/http_error.h"

namespace naru::hub {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using EasyHandle = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using MultiHandle = std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)>;
using HeaderList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

constexpr milliseconds kPauseFirst{500};  // after a failure without progress; doubled each time
constexpr milliseconds kPauseLongest{30000};
constexpr milliseconds kPauseOfProgress{50};  // after one that brought bytes
constexpr milliseconds kLookAround{100};      // between two calls of go_on
constexpr long kBufferBytes = 512 << 10;
constexpr std::string_view kGoesOn = "the same command goes on where it stopped";

Error out_of_handles() {
  return {Code::kResourceExhausted, "starting a transfer: the system gave no more memory; free memory and try again"};
}

// "bytes 100-199/200"; of a 416 "bytes */200"
void read_content_range(std::string_view text, AnswerHead* head) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return;
  text.remove_prefix(kUnit.size());
  const auto number = [](std::string_view digits) -> int64_t {
    int64_t value = -1;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return code == std::errc() && end == digits.data() + digits.size() && value >= 0 ? value : -1;
  };
  const size_t dash = text.find('-'), slash = text.find('/');
  if (slash == std::string_view::npos) return;
  if (dash < slash) head->range_begin = number(text.substr(0, dash));
  head->range_total = number(text.substr(slash + 1));
}

bool is_redirect(int64_t status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_passing_status(int64_t status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

// What another try cannot mend.
bool is_lasting(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER: return true;
    default: return false;
  }
}

bool is_unreachable(CURLcode code) {
  return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_COULDNT_CONNECT;
}

// One request with its redirects and tries.
struct Exchange {
  const HttpRequest* request = nullptr;
  EasyHandle handle{nullptr, &curl_easy_cleanup};
  HeaderList headers{nullptr, &curl_slist_free_all};
  std::string address, origin;
  bool has_token = false, is_begun = false;
  int64_t n_redirects = 0, n_failures = 0, held_before = 0;
  std::string error_body;
  std::optional<Error> sink_error;
  Clock::time_point moved;  // when it began, or its last byte came
  char reason[CURL_ERROR_SIZE] = "";

  int64_t status() const {
    long value = 0;
    curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &value);
    return value;
  }
  // The sink learns what comes before the first byte of it.
  Status begin() {
    if (is_begun) return {};
    is_begun = true;
    AnswerHead head{.status = status()};
    curl_off_t length = -1;
    curl_easy_getinfo(handle.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    head.length = length;
    if (head.status == 206) read_content_range(header_of(handle.get(), "Content-Range"), &head);
    return request->sink->begin(head);
  }
  bool take(Bytes bytes) {
    moved = Clock::now();
    const int64_t answered = status();
    if (answered != 200 && answered != 206) {
      const auto room = static_cast<size_t>(kErrorBodyBytesMax) - error_body.size();
      error_body += as_text(bytes).substr(0, room);
      return static_cast<int64_t>(error_body.size()) < kErrorBodyBytesMax;
    }
    Status taken = begin();
    if (taken.ok()) taken = request->sink->write(bytes);
    if (!taken.ok()) sink_error = std::move(taken).error();
    return !sink_error;
  }
};

size_t on_body(char* data, size_t size, size_t n, void* exchange) {
  const bool is_taken = static_cast<Exchange*>(exchange)->take(as_bytes({data, size * n}));
  return is_taken ? size * n : 0;  // fewer than came is the library's word for "stop"
}

class Runner {
 public:
  explicit Runner(const HttpOptions& options) : options_(options), multi_(curl_multi_init(), &curl_multi_cleanup) {}

  Status run(std::span<const HttpRequest> requests) {
    if (!multi_) return out_of_handles();
    NARU_ASSIGN(hub_origin_, origin_of(options_.endpoint));
    for (const HttpRequest& request : requests) waiting_.push_back({Clock::now(), make_exchange(request)});
    std::reverse(waiting_.begin(), waiting_.end());
    Status outcome;
    while (outcome.ok() && (!waiting_.empty() || !running_.empty())) outcome = step();
    for (const auto& exchange : running_) curl_multi_remove_handle(multi_.get(), exchange->handle.get());
    return outcome;
  }

 private:
  using ExchangePtr = std::unique_ptr<Exchange>;
  struct Waiting {
    Clock::time_point due;
    ExchangePtr exchange;
  };

  static ExchangePtr make_exchange(const HttpRequest& request) {
    auto exchange = std::make_unique<Exchange>();
    exchange->request = &request;
    return exchange;
  }

  Status step() {
    if (options_.go_on && !options_.go_on()) return Error{Code::kCancelled, ""};
    NARU_TRY(start_due());
    int n_running = 0;
    if (curl_multi_perform(multi_.get(), &n_running) != CURLM_OK) return out_of_handles();
    bool is_any = false;
    int n_left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &n_left)) {
      if (message->msg != CURLMSG_DONE) continue;
      is_any = true;
      const CURLcode result = message->data.result;  // the message goes with the handle's removal
      NARU_TRY(finish(take_running(message->easy_handle), result));
    }
    NARU_TRY(stop_stalled());
    if (!is_any) curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(kLookAround.count()), nullptr);
    return {};
  }

  // The library's own limit is of a speed that it takes the mean of: some seconds late.
  Status stop_stalled() {
    const Clock::time_point begin = Clock::now() - std::chrono::seconds(options_.timeout_seconds);
    for (size_t i = running_.size(); i-- > 0;) {
      if (running_[i]->moved > begin) continue;
      ExchangePtr exchange = take_running(running_[i]->handle.get());
      const std::string reason = fmt::format("no byte came for {} s", options_.timeout_seconds);
      Error error = cut_error(*exchange, reason);
      NARU_TRY(again(std::move(exchange), milliseconds(0), std::move(error)));
    }
    return {};
  }

  // Those that wait stand last to first.
  Status start_due() {
    const Clock::time_point now = Clock::now();
    for (size_t i = waiting_.size(); i-- > 0 && static_cast<int64_t>(running_.size()) < options_.at_once;) {
      if (waiting_[i].due > now) continue;
      ExchangePtr exchange = std::move(waiting_[i].exchange);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      exchange->held_before = exchange->request->sink->held();
      exchange->n_redirects = 0;
      NARU_TRY(start(std::move(exchange), {}));
    }
    return {};
  }

  // `address`: where a redirect leads; empty: that of the request.
  Status start(ExchangePtr exchange, const std::string& address) {
    Exchange& e = *exchange;
    e.address = address.empty() ? e.request->address : address;
    NARU_ASSIGN(e.origin, origin_of(e.address));
    e.has_token = !options_.token.empty() && e.origin == hub_origin_;
    e.is_begun = false;
    e.moved = Clock::now();
    e.error_body.clear();
    e.reason[0] = '\0';
    e.handle.reset(curl_easy_init());
    e.headers.reset(curl_slist_append(nullptr, "Accept-Encoding: identity"));
    if (e.has_token) {
      const std::string line = "Authorization: Bearer " + options_.token;
      if (curl_slist_append(e.headers.get(), line.c_str()) == nullptr) return out_of_handles();
    }
    if (!e.request->accept.empty()) {
      const std::string line = "Accept: " + e.request->accept;
      if (curl_slist_append(e.headers.get(), line.c_str()) == nullptr) return out_of_handles();
    }
    if (!e.handle || !e.headers) return out_of_handles();
    set_options(e);
    if (curl_multi_add_handle(multi_.get(), e.handle.get()) != CURLM_OK) return out_of_handles();
    running_.push_back(std::move(exchange));
    return {};
  }

  void set_options(Exchange& e) const {
    CURL* h = e.handle.get();
    curl_easy_setopt(h, CURLOPT_URL, e.address.c_str());
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, e.headers.get());
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));  // a connection for each file
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L);  // Ctrl-C waits for no name server
    curl_easy_setopt(h, CURLOPT_USERAGENT, "naru");
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, kBufferBytes);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options_.timeout_seconds));
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, e.reason);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, &e);
    const int64_t held = e.request->sink->held();
    if (held > 0) curl_easy_setopt(h, CURLOPT_RANGE, fmt::format("{}-", held).c_str());
    set_certificates(h);
  }

  ExchangePtr take_running(const CURL* handle) {
    const auto place = std::find_if(running_.begin(), running_.end(),
                                    [handle](const ExchangePtr& exchange) { return exchange->handle.get() == handle; });
    NARU_CHECK(place != running_.end());
    ExchangePtr exchange = std::move(*place);
    running_.erase(place);
    curl_multi_remove_handle(multi_.get(), exchange->handle.get());
    return exchange;
  }

  Status finish(ExchangePtr exchange, CURLcode code) {
    Exchange& e = *exchange;
    const int64_t status = e.status();
    has_answered_ |= status > 0;
    if (e.sink_error) return std::move(*e.sink_error);
    const bool is_ended = code == CURLE_OK || (code == CURLE_WRITE_ERROR && status >= 300);  // enough of a long body
    if (is_ended && is_redirect(status)) return follow(std::move(exchange));
    if (is_ended && status != 200 && status != 206) return refused(std::move(exchange), status);
    if (code == CURLE_OK) {
      NARU_TRY(e.begin());
      NARU_ASSIGN(const bool is_done, e.request->sink->finish());
      return is_done ? Status() : again(std::move(exchange), milliseconds(0), cut_error(e, "it ended too early"));
    }
    const std::string reason = e.reason[0] != '\0' ? e.reason : curl_easy_strerror(code);
    if (is_unreachable(code) && !has_answered_) return unreachable_error(e, reason);
    if (is_lasting(code)) return cut_error(e, reason);
    return again(std::move(exchange), milliseconds(0), cut_error(e, reason));
  }

  Status follow(ExchangePtr exchange) {
    Exchange& e = *exchange;
    const char* target = nullptr;
    curl_easy_getinfo(e.handle.get(), CURLINFO_REDIRECT_URL, &target);
    const std::string address = target == nullptr ? "" : target;
    const auto origin = origin_of(address);
    const auto refuse = [&e](std::string_view found) -> Status {
      return Error{Code::kUnavailable, fmt::format("pulling {}: {} {}; check HF_ENDPOINT, or try again later",
                                                   e.request->what, e.origin, found)};
    };
    if (!origin.ok()) return refuse("redirects to what is no http or https address");
    if (e.origin.starts_with("https:") && origin->starts_with("http:")) {
      return refuse(fmt::format("redirects from https to {}, which anybody on the way could change", *origin));
    }
    if (++e.n_redirects > kRedirectsMax) return refuse(fmt::format("redirects more than {} times", kRedirectsMax));
    return start(std::move(exchange), address);
  }

  Status refused(ExchangePtr exchange, int64_t status) {
    Exchange& e = *exchange;
    Refusal refusal{.status = status,
                    .error_code = header_of(e.handle.get(), "X-Error-Code"),
                    .error_message = header_of(e.handle.get(), "X-Error-Message"),
                    .had_token = e.has_token,
                    .is_hub = options_.is_hub && e.origin == hub_origin_,
                    .endpoint = options_.endpoint,
                    .origin = e.origin};
    if (refusal.error_message.empty()) refusal.error_message = e.error_body;
    if (status == 416 && e.request->sink->held() > 0) {
      AnswerHead head{.status = status};
      read_content_range(header_of(e.handle.get(), "Content-Range"), &head);
      NARU_TRY(e.request->sink->begin(head));
    }
    Error error = refusal_error(e.request->what, refusal);
    if (!is_passing_status(status)) return error;
    curl_off_t seconds = 0;
    curl_easy_getinfo(e.handle.get(), CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= kRetryAfterSecondsMax) {
      return again(std::move(exchange), std::chrono::seconds(seconds), std::move(error));
    }
    return Error{
        Code::kUnavailable,
        fmt::format("pulling {}: {} answered with status {} and asks to wait {} s, more than {} are not waited "
                    "for; try again then, {}",
                    e.request->what, e.origin, status, static_cast<int64_t>(seconds), kRetryAfterSecondsMax, kGoesOn)};
  }

  // Another try after a pause, `asked` at least; `error` where there were enough.
  Status again(ExchangePtr exchange, milliseconds asked, Error error) {
    Exchange& e = *exchange;
    const bool has_progress = e.request->sink->held() > e.held_before;
    e.n_failures = has_progress ? 0 : e.n_failures + 1;
    if (e.n_failures > options_.retries) return error;
    milliseconds pause = kPauseOfProgress;
    if (!has_progress) {
      pause = kPauseFirst;
      for (int64_t i = 1; i < e.n_failures && pause < kPauseLongest; ++i) pause *= 2;
    }
    waiting_.push_back({Clock::now() + std::max(pause, asked), std::move(exchange)});
    return {};
  }

  Error cut_error(const Exchange& e, const std::string& reason) const {
    return {Code::kUnavailable,
            fmt::format("pulling {}: the transfer from {} broke off at byte {}: {}; check the "
                        "network, {}",
                        e.request->what, e.origin, e.request->sink->held(), formats::printable(reason, 300), kGoesOn)};
  }

  Error unreachable_error(const Exchange& e, const std::string& reason) const {
    return {Code::kUnavailable, fmt::format("pulling {}: {} cannot be reached: {}; check the network, HTTPS_PROXY and "
                                            "HF_ENDPOINT",
                                            e.request->what, e.origin, formats::printable(reason, 300))};
  }

  const HttpOptions& options_;
  MultiHandle multi_;
  std::string hub_origin_;
  std::vector<Waiting> waiting_;
  std::vector<ExchangePtr> running_;
  bool has_answered_ = false;
};

}  // namespace

Status run_requests(std::span<const HttpRequest> requests, const HttpOptions& options) {
  NARU_TRY(start_curl());
  return Runner(options).run(requests);
}

}  // namespace naru::hub
