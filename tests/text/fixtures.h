// Reading the fixtures of tests/fixtures/text (made by tools/make_text_fixtures.py).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/tokenizer_files.h"
#include "text/tokenizer.h"
#include "text/value.h"

namespace naru::text {

std::string read_fixture(const std::string& name);
Value read_json_fixture(const std::string& name);

// The description of tokenizers/NAME.json, and a tokenizer made from it.
formats::TokenizerData read_tokenizer_data(const std::string& name);
Tokenizer make_tokenizer(const std::string& name);

std::string from_hex(std::string_view hex);
std::vector<int32_t> ids_of(const Value& list);

}  // namespace naru::text
