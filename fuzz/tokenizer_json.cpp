// tokenizer.json with its companions. A byte 0x1e, which no JSON holds, parts the input into tokenizer.json,
// tokenizer_config.json, special_tokens_map.json and chat_template.jinja.
#include <cstddef>
#include <cstdint>

#include "formats/utf8.h"
#include "fuzz/tokenizer_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::formats;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto next = [&]() -> std::optional<Bytes> {
    if (rest.data() == nullptr) return std::nullopt;
    const size_t end = rest.find('\x1e');
    const std::string_view part = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    return as_bytes(part);
  };
  TokenizerSources sources;
  sources.tokenizer_json = next().value_or(Bytes());
  sources.tokenizer_config_json = next();
  sources.special_tokens_map_json = next();
  sources.chat_template_jinja = next();
  const auto tokenizer = parse_tokenizer(sources, "x");
  if (tokenizer.ok()) {
    check_tokenizer(*tokenizer);
  } else {
    NARU_CHECK(is_valid_utf8(tokenizer.error().message));
  }
  return 0;
}
