// A vocabulary trained on the input, under options from its first bytes: it must be one that the reader takes back from
// its files unchanged, that gives every text back, and that does not depend on how the texts were handed over. A byte
// 0x1e parts the texts; the first part is an added token.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "formats/tokenizer_writer.h"
#include "fuzz/tokenizer_checks.h"
#include "text/bpe_trainer.h"
#include "text/cut_text.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

using namespace naru;

Result<formats::TokenizerData> train(const text::BpeTrainerOptions& options, const std::vector<std::string_view>& texts,
                                     size_t part_bytes) {
  NARU_ASSIGN(text::BpeTrainer trainer, text::BpeTrainer::create(options));
  for (std::string_view rest : texts) {
    while (!rest.empty()) {
      const size_t n = text::place_to_cut(rest, part_bytes);
      NARU_CHECK(n > 0 && n <= rest.size(), n, rest.size());
      NARU_TRY(trainer.add_text(rest.substr(0, n)));
      rest.remove_prefix(n);
    }
  }
  NARU_ASSIGN(formats::TokenizerData data, trainer.train());
  NARU_CHECK(trainer.peak_bytes() <= options.memory_bytes_max, trainer.peak_bytes());
  NARU_CHECK(trainer.count_tokens(data).value() <= 3 * trainer.n_bytes());  // U+FFFD has three bytes
  return data;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(bytes), size);
  const auto byte = [&rest]() -> uint8_t {
    if (rest.empty()) return 0;
    const auto value = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    return value;
  };
  text::BpeTrainerOptions options;
  const auto names = text::pre_tokenizer_names();
  options.pre_tokenizer = names[byte() % names.size()];
  options.vocab_size = 250 + 4 * byte();
  options.pair_count_min = byte() % 8;
  options.token_bytes_max = 1 + byte();
  const uint8_t budget = byte();
  options.memory_bytes_max = budget % 2 == 0 ? int64_t{1} << 30 : int64_t{budget} << 16;
  const size_t part_bytes = 1 + byte();
  std::vector<std::string_view> texts;
  while (!rest.empty()) {
    texts.push_back(rest.substr(0, rest.find('\x1e')));
    rest.remove_prefix(std::min(rest.size(), texts.back().size() + 1));
  }
  if (!texts.empty() && !texts[0].empty()) {
    options.added_tokens.push_back({std::string(texts[0]), texts[0].size() % 2 == 0});
  }

  const auto data = train(options, texts, SIZE_MAX);
  if (!data.ok()) {
    NARU_CHECK(text::is_valid_utf8(data.error().message));
    return 0;
  }
  formats::check_tokenizer(*data);
  NARU_CHECK(data->n_ids() <= options.vocab_size);
  const auto written = formats::tokenizer_texts(*data);
  NARU_CHECK(written.ok(), written.error().message);
  const auto in_parts = train(options, texts, part_bytes);
  NARU_CHECK(in_parts.ok() && formats::tokenizer_texts(*in_parts)->tokenizer_json == written->tokenizer_json);

  formats::TokenizerSources sources;
  sources.tokenizer_json = as_bytes(written->tokenizer_json);
  sources.tokenizer_config_json = as_bytes(written->tokenizer_config_json);
  const auto read = formats::parse_tokenizer(sources, "x");
  NARU_CHECK(read.ok(), read.error().message);
  NARU_CHECK(read->vocab == data->vocab && read->merges.size() == data->merges.size());
  const auto tokenizer = text::Tokenizer::create(*read);
  NARU_CHECK(tokenizer.ok(), tokenizer.error().message);
  if (options.pre_tokenizer == "qwen2") return 0;  // NFC
  for (const std::string_view text : texts) {
    NARU_CHECK(tokenizer->decode(tokenizer->encode(text, {.parse_special = false})) == text::repair_utf8(text));
    const text::Segment content[] = {{text::repair_utf8(text), true}};
    for (const int32_t id : tokenizer->encode_segments(content)) NARU_CHECK(!tokenizer->is_control(id), id);
  }
  return 0;
}
