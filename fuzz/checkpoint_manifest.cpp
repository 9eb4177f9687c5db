// The manifest of a checkpoint. Its own SHA-256 would keep nearly all inputs out, so each input is also parsed with
// the right one put in.
#include "train/checkpoint_manifest.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/sha256.h"

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
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  auto document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object()) return 0;
  document.erase("sha256");
  const auto dump = [&] { return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); };
  document["sha256"] = naru::sha256_hex(naru::as_bytes(dump()));
  check(dump());
  return 0;
}
