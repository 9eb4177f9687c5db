// ModelSource: a model that may be served: its name, how it is opened, and what is known of it before.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "contract/chip.h"
#include "engine/engine.h"
#include "models/weight_loader.h"

namespace naru::server {

// A model on its chip, as the thread of its engine makes it.
struct ServedEngine {
  std::unique_ptr<contract::Chip> chip;
  std::unique_ptr<engine::Engine> engine;  // freed before the chip
  std::string chip_name;
};
using OpenEngine = std::function<Result<ServedEngine>(const models::LoadProgress& progress)>;

// SHA-256 of a file of the model.
struct FileHash {
  std::string name;
  int64_t bytes = 0;
  std::string sha256;
};
using HashFiles = std::function<Result<std::vector<FileHash>>(const std::function<bool()>& should_stop)>;

struct ModelSource {
  std::string name;   // that requests call it by
  OpenEngine open;    // again and again, where it is unloaded between
  HashFiles hash;     // of its files; may be empty
  int64_t bytes = 0;  // of memory while it is loaded, as planned; 0: not known, and not counted
};

enum class ModelState : uint8_t { kIdle, kLoading, kLoaded };

}  // namespace naru::server
