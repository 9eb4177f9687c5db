// safetensors headers: an accepted one must describe ranges that tile the data exactly.
#include "formats/safetensors.h"

#include <cstddef>
#include <cstdint>

#include "formats/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto index = formats::parse_safetensors(bytes, "x");
  if (!index.ok()) {
    NARU_CHECK(formats::is_valid_utf8(index.error().message));
    return 0;
  }
  int64_t end = 0;
  for (const auto& entry : index->entries) {
    int64_t elements = 1;
    for (const int64_t dim : entry.shape) elements *= dim;
    NARU_CHECK(entry.begin == end && entry.end >= entry.begin, entry.begin, entry.end, end);
    const auto bytes = dtype_bytes(entry.dtype, elements);
    if (entry.unread.empty()) NARU_CHECK(bytes == entry.end - entry.begin, entry.name);
    if (!entry.unread.empty()) NARU_CHECK(entry.dtype == DType::kU8, entry.name);
    end = entry.end;
  }
  NARU_CHECK(index->data_begin + end == static_cast<int64_t>(size), index->data_begin, end, size);
  return 0;
}
