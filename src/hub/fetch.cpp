#include "hub/fetch.h"

#include <fmt/format.h>

#include <ctime>
#include <numeric>
#include <vector>

#include "base/memory.h"
#include "hub/models_folder.h"
#include "hub/sinks.h"

namespace naru::hub {
namespace {

constexpr int64_t kSpareBytes = 16ll << 20;  // that a disk keeps free

std::string what_of(const PullManifest& manifest, const PulledFile& file) {
  return fmt::format("{}: {}", manifest.model, file.source.path);
}

bool goes_on(const PullOptions& options, int64_t done, int64_t total) {
  return !options.progress || options.progress(done, total);
}

int64_t held_by(const std::vector<FileSink>& sinks) {
  return std::accumulate(sinks.begin(), sinks.end(), int64_t{0},
                         [](int64_t sum, const FileSink& sink) { return sum + sink.held(); });
}

Status check_space(const PullManifest& manifest, int64_t bytes, const PullOptions& options) {
  if (bytes == 0) return {};
  NARU_ASSIGN(const int64_t free, free_bytes(options.models));
  if (bytes <= free - kSpareBytes) return {};
  return Error{
      Code::kResourceExhausted,
      fmt::format("pulling {}: {} are to come ({} bytes), and the disk of {} has {} free ({} bytes); free some "
                  "space, or have NARU_MODELS name another disk",
                  manifest.model, format_bytes(bytes), bytes, options.models.string(), format_bytes(free), free)};
}

}  // namespace

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

HttpOptions http_options(const PullOptions& options, const std::string& endpoint) {
  return {.endpoint = endpoint,
          .token = {},
          .at_once = options.at_once,
          .timeout_seconds = options.timeout_seconds,
          .retries = options.retries,
          .go_on = {}};
}

Result<std::string> fetch_text(const HttpRequest& request, int64_t bytes_max, const PullOptions& options,
                               HttpOptions http) {
  TextSink sink(request.what, bytes_max);
  HttpRequest filled = request;
  filled.sink = &sink;
  http.go_on = [&options] { return goes_on(options, 0, 0); };
  NARU_TRY(run_requests({&filled, 1}, http));
  return sink.text();
}

Status fetch_files(const FetchPlan& plan, const PullOptions& options, int64_t* n_fetched) {
  const PullManifest& manifest = *plan.manifest;
  const int64_t total = manifest.bytes();
  std::vector<FileSink> sinks;
  int64_t held = 0;
  for (const PulledFile& file : manifest.files) {
    const auto go_on = [&](int64_t of_file) { return goes_on(options, held + of_file, total); };
    NARU_ASSIGN(FileSink sink, FileSink::open(plan.folder / file.name, file, what_of(manifest, file), go_on));
    held += sink.held();
    sinks.push_back(std::move(sink));
  }
  NARU_TRY(check_space(manifest, total - held + (held < total ? plan.more_bytes : 0), options));
  std::vector<HttpRequest> requests;
  for (size_t i = 0; i < sinks.size(); ++i) {
    if (sinks[i].is_whole()) continue;
    const PulledFile& file = manifest.files[i];
    requests.push_back({plan.address(file), what_of(manifest, file), {}, &sinks[i]});
  }
  HttpOptions http = plan.http;
  http.go_on = [&] { return goes_on(options, held_by(sinks), total); };
  const Status outcome = run_requests(requests, http);
  *n_fetched += held_by(sinks) - held;
  return outcome;
}

}  // namespace naru::hub
