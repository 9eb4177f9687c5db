// The manifest of a pulled model: an accepted one names files of its folder only, and is read again as it was written.
#include <cstdint>

#include "base/check.h"
#include "formats/utf8.h"
#include "hub/manifest.h"
#include "hub/name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::hub;
  const auto manifest = parse_pull_manifest({reinterpret_cast<const std::byte*>(data), size}, "a");
  if (!manifest.ok()) {
    NARU_CHECK(formats::is_valid_utf8(manifest.error().message));
    return 0;
  }
  for (const PulledFile& file : manifest->files) {
    NARU_CHECK(is_safe_path(file.name) && is_safe_path(file.source.path) && file.name != kPullManifestName);
  }
  const std::string text = pull_manifest_text(*manifest);
  const auto again = parse_pull_manifest(as_bytes(text), "written");
  NARU_CHECK(again.ok(), again.error().message);
  NARU_CHECK(pull_manifest_text(*again) == text && again->bytes() == manifest->bytes());
  return 0;
}
