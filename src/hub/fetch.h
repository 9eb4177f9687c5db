// Files of a manifest into the folder of a pull in progress: what is there is checked and gone on from, several come at
// once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "hub/http.h"
#include "hub/manifest.h"
#include "hub/pull.h"

namespace naru::hub {

struct FetchPlan {
  const PullManifest* manifest = nullptr;
  std::filesystem::path folder;
  std::function<std::string(const PulledFile& file)> address;
  HttpOptions http;
  int64_t more_bytes = 0;  // that the disk must have beside
};

// Adds to *n_fetched the bytes that came, also where not all did.
Status fetch_files(const FetchPlan& plan, const PullOptions& options, int64_t* n_fetched);

// A small answer as text.
Result<std::string> fetch_text(const HttpRequest& request, int64_t bytes_max, const PullOptions& options,
                               HttpOptions http);

// What the options of a pull say of its transfers, and the origin of `endpoint`.
HttpOptions http_options(const PullOptions& options, const std::string& endpoint);

// Now, as "2026-11-25T10:20:05Z".
std::string now_text();

}  // namespace naru::hub
