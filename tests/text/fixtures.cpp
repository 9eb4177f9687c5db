#include "tests/text/fixtures.h"

#include "base/file.h"

namespace naru::text {

std::string read_fixture(const std::string& name) {
  return read_file(std::string(NARU_TEST_DATA "/text/") + name, 16 << 20).value();
}

Value read_json_fixture(const std::string& name) {
  return parse_value(read_fixture(name), name).value();
}

formats::TokenizerData read_tokenizer_data(const std::string& name) {
  const std::string json = read_fixture("tokenizers/" + name + ".json");
  formats::TokenizerSources sources;
  sources.tokenizer_json = as_bytes(json);
  return formats::parse_tokenizer(sources, name).value();
}

Tokenizer make_tokenizer(const std::string& name) {
  return Tokenizer::create(read_tokenizer_data(name)).value();
}

std::string from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  return out;
}

std::vector<int32_t> ids_of(const Value& list) {
  std::vector<int32_t> ids;
  for (const Value& id : *list.as_list()) ids.push_back(static_cast<int32_t>(*id.as_int()));
  return ids;
}

}  // namespace naru::text
