// The manifest of a checkpoint.
#include "train/checkpoint_manifest.h"

#include <cstdlib>

#include "fuzz/own_digest.h"

namespace {

void check(std::string_view text) {
  const auto manifest = naru::train::parse_manifest(naru::as_bytes(text), "fuzz");
  if (!manifest.ok()) return;
  for (const auto& file : manifest->files) {
    if (file.name.find_first_of("/\\") != std::string::npos || file.name[0] == '.' || file.bytes < 0) std::abort();
  }
  const auto again = naru::train::manifest_text(*manifest);
  if (!again.ok() || !naru::train::parse_manifest(naru::as_bytes(*again), "again").ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return with_own_digest(data, size, check);
}
