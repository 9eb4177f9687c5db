// A hub's list of a repository, and what is chosen of it: no path leads out of a folder, and all that is chosen can be
// checked.
#include <cstdint>

#include "base/check.h"
#include "formats/utf8.h"
#include "hub/choice.h"
#include "hub/listing.h"
#include "hub/name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::hub;
  const auto listing = parse_listing({reinterpret_cast<const std::byte*>(data), size}, "a");
  if (!listing.ok()) {
    NARU_CHECK(formats::is_valid_utf8(listing.error().message));
    return 0;
  }
  for (const HubFile& file : listing->files) NARU_CHECK(is_safe_path(file.path) && listing->find(file.path) != nullptr);
  for (const char* name : {"owner/name", "owner/name:a.gguf"}) {
    const auto choice = choose_files(*parse_name(name), *listing);
    if (!choice.ok()) continue;
    NARU_CHECK(!choice->files.empty());
    for (const PulledFile& file : choice->files) {
      NARU_CHECK(is_safe_path(file.name) && file.source.bytes >= 0);
      NARU_CHECK(is_hash(file.source.hash.hex, file.source.hash.kind));
    }
  }
  return 0;
}
