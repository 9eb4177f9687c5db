// The strict JSON reader: what it accepts must be valid UTF-8, must survive its own dump, and a document that it
// accepts as a tree must be accepted without one.
#include <cstddef>
#include <cstdint>

#include "formats/json.h"
#include "formats/utf8.h"

namespace {

class Silent final : public naru::formats::JsonEvents {
 public:
  bool on_null() override { return true; }
  bool on_bool(bool) override { return true; }
  bool on_integer(int64_t) override { return true; }
  bool on_double(double) override { return true; }
  bool on_string(std::string&&) override { return true; }
  bool on_key(std::string&&) override { return true; }
  bool on_start_object() override { return true; }
  bool on_end_object() override { return true; }
  bool on_start_array() override { return true; }
  bool on_end_array() override { return true; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::formats;
  const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  const JsonLimits limits{.bytes_max = 1 << 20, .depth_max = 32, .values_max = 10000, .object_root = false};
  const auto tree = parse_json(bytes, "x", limits);
  if (!tree.ok()) {
    NARU_CHECK(is_valid_utf8(tree.error().message));
    return 0;
  }
  NARU_CHECK(is_valid_utf8(as_text(bytes)));
  Silent silent;
  NARU_CHECK(walk_json(bytes, "x", limits, &silent).ok());
  const std::string dumped = tree->dump();
  const auto again = parse_json(as_bytes(dumped), "x", {.bytes_max = 1 << 24, .depth_max = 32, .object_root = false});
  NARU_CHECK(again.ok() && *again == *tree, dumped);
  return 0;
}
