// A tokenizer made of the input, and a text: any vocabulary that keeps the promises of formats/tokenizer_files.h must
// encode any text to ids of its own, decode any ids, and keep control tokens out of content.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/tokenizer.h"

namespace {

using namespace naru;

class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view take(size_t n) {
    const std::string_view part = rest_.substr(0, n);
    rest_.remove_prefix(part.size());
    return part;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

constexpr const char* kNames[] = {"gpt-2",       "smollm",       "llama-bpe",     "qwen2",
                                  "deepseek-v3", "deepseek-llm", "deepseek-coder"};

// The character that stands for a byte (see text/byte_level.h).
std::string char_of_byte(int byte) {
  std::string out;
  if ((byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE) {
    text::append_utf8(static_cast<uint32_t>(byte), out);
    return out;
  }
  uint32_t next = 0x100;
  for (int b = 0; b < byte; ++b) next += !((b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE);
  text::append_utf8(next, out);
  return out;
}

struct Made {
  formats::TokenizerData data;
  bool is_reversible = true;  // decoding gives the text back
};

Made make_data(Input& input) {
  Made made;
  formats::TokenizerData& data = made.data;
  data.gguf_pre = kNames[input.byte() % std::size(kNames)];
  made.is_reversible = data.gguf_pre != "qwen2";  // NFC
  const uint8_t first_missing = input.byte();     // bytes from here on have no token; 0: none is missing
  std::set<std::string> known;
  for (int byte = 0; byte < 256; ++byte) {
    if (first_missing != 0 && byte >= first_missing) continue;
    data.vocab.push_back(char_of_byte(byte));
    known.insert(data.vocab.back());
  }
  made.is_reversible &= first_missing == 0;
  for (int n = input.byte(); n > 0; --n) {
    const auto left = static_cast<int32_t>((input.byte() | input.byte() << 8) % data.vocab.size());
    const auto right = static_cast<int32_t>((input.byte() | input.byte() << 8) % data.vocab.size());
    std::string joined = data.vocab[static_cast<size_t>(left)] + data.vocab[static_cast<size_t>(right)];
    if (joined.size() > 64) continue;
    if (!known.insert(joined).second) {
      const auto found = std::find(data.vocab.begin(), data.vocab.end(), joined);
      data.merges.push_back({left, right, static_cast<int32_t>(found - data.vocab.begin())});
      continue;
    }
    data.vocab.push_back(std::move(joined));
    data.merges.push_back({left, right, static_cast<int32_t>(data.vocab.size() - 1)});
  }
  for (int n = input.byte() % 16; n > 0; --n) {
    formats::AddedToken token;
    const uint8_t flags = input.byte();
    token.text = text::repair_utf8(input.take(1 + input.byte() % 8));
    if (token.text.empty() || !known.insert(token.text).second) continue;
    token.id = static_cast<int32_t>(data.vocab.size());
    token.special = flags & 1;
    token.lstrip = flags & 2;
    token.rstrip = flags & 4;
    token.normalized = flags & 8;
    token.single_word = flags & 16;
    made.is_reversible &= !token.lstrip && !token.rstrip;
    for (const char c : token.text)
      made.is_reversible &= c > ' ' && c <= '~';  // others decode through the byte alphabet
    data.vocab.emplace_back();
    data.added_tokens.push_back(std::move(token));
  }
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  Input input(std::string_view(reinterpret_cast<const char*>(bytes), size));
  const Made made = make_data(input);
  const auto tokenizer = text::Tokenizer::create(made.data);
  NARU_CHECK(tokenizer.ok(), tokenizer.error().message);
  const std::string_view text = input.rest();

  const std::vector<int32_t> ids = tokenizer->encode(text);
  for (const int32_t id : ids) NARU_CHECK(id >= 0 && id < tokenizer->n_ids(), id);
  const std::string decoded = tokenizer->decode(ids);
  NARU_CHECK(text::is_valid_utf8(decoded));
  if (made.is_reversible) NARU_CHECK(decoded == text::repair_utf8(text));

  text::StreamDecoder stream(*tokenizer, false);
  std::string streamed;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    NARU_CHECK(text::is_valid_utf8(part));
    streamed += part;
  }
  NARU_CHECK(streamed + stream.finish() == decoded);

  // The first byte of the text cuts it into a part of ours and one from outside.
  const size_t cut = text.empty() ? 0 : static_cast<unsigned char>(text.front()) % (text.size() + 1);
  const text::Segment segments[] = {{std::string(text.substr(0, cut)), false}, {std::string(text.substr(cut)), true}};
  for (const int32_t id : tokenizer->encode_segments(segments)) NARU_CHECK(id >= 0 && id < tokenizer->n_ids(), id);
  for (const int32_t id : tokenizer->encode_segments({segments + 1, 1})) NARU_CHECK(!tokenizer->is_control(id), id);
  tokenizer->encode(text, {.add_special = true, .parse_special = false});
  return 0;
}
