// Documents that carry their own SHA-256: it would keep nearly all inputs out, so each is given to the target twice, as
// it is and with the right one put in.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "formats/json_digest.h"

template <typename Check>
int with_own_digest(const uint8_t* data, size_t size, const Check& check) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  auto document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object()) return 0;
  document["sha256"] = naru::formats::own_digest(document);
  check(naru::formats::compact(document));
  return 0;
}
