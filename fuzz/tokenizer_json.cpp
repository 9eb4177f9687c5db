// tokenizer.json with its companions. A byte 0x1e, which no JSON holds, parts the input into tokenizer.json,
// tokenizer_config.json, special_tokens_map.json and chat_template.jinja.
#include <cstddef>
#include <cstdint>

#include "formats/tokenizer_writer.h"
#include "formats/utf8.h"
#include "fuzz/tokenizer_checks.h"

namespace {

// What can be written is read back as it was.
void check_written(const naru::formats::TokenizerData& data) {
  using namespace naru;
  const auto texts = formats::tokenizer_texts(data);
  if (!texts.ok()) {
    NARU_CHECK(formats::is_valid_utf8(texts.error().message));
    return;
  }
  formats::TokenizerSources sources;
  sources.tokenizer_json = as_bytes(texts->tokenizer_json);
  sources.tokenizer_config_json = as_bytes(texts->tokenizer_config_json);
  const auto again = formats::parse_tokenizer(sources, "x");
  NARU_CHECK(again.ok(), again.error().message);
  NARU_CHECK(again->vocab == data.vocab && again->merges.size() == data.merges.size());
  NARU_CHECK(again->added_tokens.size() == data.added_tokens.size());
  for (size_t i = 0; i < data.added_tokens.size(); ++i) {
    NARU_CHECK(again->added_tokens[i].id == data.added_tokens[i].id);
    NARU_CHECK(again->added_tokens[i].text == data.added_tokens[i].text);
    NARU_CHECK(again->added_tokens[i].special == data.added_tokens[i].special);
  }
  NARU_CHECK(again->bos_id == data.bos_id && again->eos_id == data.eos_id && again->pad_id == data.pad_id);
  NARU_CHECK(again->unk_id == data.unk_id && again->chat_template == data.chat_template);
  NARU_CHECK(again->prefix_ids == data.prefix_ids && again->suffix_ids == data.suffix_ids);
  NARU_CHECK(again->pre_tokenizer.size() == data.pre_tokenizer.size() && again->normalizer == data.normalizer);
}

}  // namespace

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
    check_written(*tokenizer);
  } else {
    NARU_CHECK(is_valid_utf8(tokenizer.error().message));
  }
  return 0;
}
