// adapter_config.json: an accepted one has a finite scale, and is read again as it was written.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "formats/adapter_config.h"
#include "formats/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::formats;
  const auto config = parse_adapter_config({reinterpret_cast<const std::byte*>(data), size}, "a");
  if (!config.ok()) {
    NARU_CHECK(is_valid_utf8(config.error().message));
    return 0;
  }
  NARU_CHECK(config->rank >= 1 && config->rank <= kAdapterRankMax && std::isfinite(config->scale()));
  const std::string text = adapter_config_json(*config, "base");
  const auto again = parse_adapter_config(as_bytes(text), "written");
  NARU_CHECK(again.ok(), again.error().message);
  NARU_CHECK(again->rank == config->rank && again->targets == config->targets);
  NARU_CHECK(again->scale() == config->scale());
  return 0;
}
