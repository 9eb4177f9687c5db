#include "hub/stream_http.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "formats/utf8.h"
#include "hub/address.h"
#include "hub/curl_setup.h"

namespace naru::hub {
namespace {

using StreamClock = std::chrono::steady_clock;
using StreamEasy = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using StreamMulti = std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)>;
using StreamHeaders = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

constexpr int kStreamLookMs = 50;  // between two calls of go_on

Error no_memory() {
  return {Code::kResourceExhausted, "asking a server: the system gave no more memory; free memory and try again"};
}

// The request under way, as the library's callback sees it.
struct Stream {
  explicit Stream(const StreamRequest& request_in) : request(request_in) {}

  const StreamRequest& request;
  StreamEasy handle{curl_easy_init(), &curl_easy_cleanup};
  StreamHeaders headers{nullptr, &curl_slist_free_all};
  StreamAnswer answer;
  std::optional<Error> error;  // of `take`
  StreamClock::time_point moved = StreamClock::now();
  char reason[CURL_ERROR_SIZE] = "";

  int64_t status() const {
    long value = 0;
    curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &value);
    return value;
  }
  bool take(std::string_view bytes) {
    moved = StreamClock::now();
    if (status() != 200) {
      answer.error_body += bytes.substr(0, static_cast<size_t>(kStreamErrorBytesMax) - answer.error_body.size());
      return static_cast<int64_t>(answer.error_body.size()) < kStreamErrorBytesMax;
    }
    if (Status taken = request.take(bytes); !taken.ok()) error = std::move(taken).error();
    return !error;
  }
};

size_t on_stream_body(char* data, size_t size, size_t n, void* stream) {
  // Fewer than came is the library's word for "stop".
  return static_cast<Stream*>(stream)->take({data, size * n}) ? size * n : 0;
}

Status set_stream_options(Stream& stream) {
  const StreamRequest& request = stream.request;
  CURL* h = stream.handle.get();
  const auto add = [&stream](const std::string& line) {
    curl_slist* longer = curl_slist_append(stream.headers.get(), line.c_str());
    if (longer == nullptr) return false;
    if (!stream.headers) stream.headers.reset(longer);
    return true;
  };
  bool is_added = add("Accept: text/event-stream, application/json");
  if (!request.body.empty()) is_added = is_added && add("Content-Type: application/json") && add("Expect:");
  if (!request.key.empty()) is_added = is_added && add("Authorization: Bearer " + request.key);
  if (!is_added) return no_memory();
  curl_easy_setopt(h, CURLOPT_URL, request.address.c_str());
  curl_easy_setopt(h, CURLOPT_HTTPHEADER, stream.headers.get());
  curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(h, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(h, CURLOPT_USERAGENT, "naru");
  curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, static_cast<long>(request.connect_seconds));
  curl_easy_setopt(h, CURLOPT_ERRORBUFFER, stream.reason);
  curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_stream_body);
  curl_easy_setopt(h, CURLOPT_WRITEDATA, &stream);
  if (request.is_direct) curl_easy_setopt(h, CURLOPT_PROXY, "");
  if (!request.unix_socket.empty()) curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  if (!request.body.empty()) {
    curl_easy_setopt(h, CURLOPT_POST, 1L);
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  }
  set_certificates(h);
  return {};
}

Error broken_error(const Stream& stream, std::string_view reason) {
  const StreamRequest& request = stream.request;
  const std::string where = request.unix_socket.empty() ? request.address : "unix:" + request.unix_socket;
  const bool has_begun = stream.status() > 0;
  if (!has_begun && !request.unix_socket.empty()) {  // the library names the host of the address, which is nobody's
    return {Code::kUnavailable, fmt::format("asking {}: no server answers at this socket; check the path, and that the "
                                            "server is there",
                                            formats::printable(where, 300))};
  }
  return {Code::kUnavailable,
          fmt::format("asking {}: {}: {}; {}", formats::printable(where, 300),
                      has_begun ? "its answer broke off" : "it cannot be reached", formats::printable(reason, 300),
                      has_begun ? "try again" : "check the address, and that the server is there")};
}

// Until the answer is whole; the library's code where it is.
Result<CURLcode> run_stream(Stream& stream, CURLM* multi) {
  while (true) {
    if (stream.request.go_on && !stream.request.go_on()) {
      stream.answer.is_stopped = true;
      return CURLE_OK;
    }
    int n_running = 0, n_left = 0;
    if (curl_multi_perform(multi, &n_running) != CURLM_OK) return no_memory();
    while (const CURLMsg* message = curl_multi_info_read(multi, &n_left)) {
      if (message->msg == CURLMSG_DONE) return message->data.result;
    }
    if (StreamClock::now() - stream.moved > std::chrono::seconds(stream.request.silence_seconds)) {
      return broken_error(stream, fmt::format("no byte came for {} s", stream.request.silence_seconds));
    }
    curl_multi_poll(multi, nullptr, 0, kStreamLookMs, nullptr);
  }
}

}  // namespace

Result<StreamAnswer> ask_streamed(const StreamRequest& request) {
  NARU_TRY(start_curl());
  NARU_TRY(origin_of(request.address));
  Stream stream(request);
  const StreamMulti multi(curl_multi_init(), &curl_multi_cleanup);
  if (!stream.handle || !multi) return no_memory();
  NARU_TRY(set_stream_options(stream));
  if (curl_multi_add_handle(multi.get(), stream.handle.get()) != CURLM_OK) return no_memory();
  auto ended = run_stream(stream, multi.get());
  curl_multi_remove_handle(multi.get(), stream.handle.get());
  if (!ended.ok()) return std::move(ended).error();
  if (stream.error) return std::move(*stream.error);
  stream.answer.status = stream.status();
  const char* type = nullptr;
  if (curl_easy_getinfo(stream.handle.get(), CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type != nullptr) {
    stream.answer.content_type = type;
  }
  for (const std::string& name : request.wanted_fields) {
    stream.answer.fields.push_back(header_of(stream.handle.get(), name.c_str()));
  }
  const bool is_enough = *ended == CURLE_WRITE_ERROR && stream.answer.status != 200;  // of a long error
  if (*ended == CURLE_OK || is_enough) return std::move(stream.answer);
  return broken_error(stream, stream.reason[0] != '\0' ? stream.reason : curl_easy_strerror(*ended));
}

}  // namespace naru::hub
