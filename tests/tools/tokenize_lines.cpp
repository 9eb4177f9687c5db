// Tokenizes line by line, for tools that compare with another tokenizer (tools/tokenizer_differential.py).
//
//   naru_tokenize_lines MODEL          MODEL: a folder with tokenizer.json, a tokenizer.json, or a .gguf file
//
// One JSON object a line on stdin, one line on stdout for each:
//   {"text_b64": "..."}                        -> ids, with spaces between ("parse_special": false: specials are text;
//                                                 "add_special": true: with what the tokenizer puts around)
//   {"ids": [...], "skip_special": false}      -> the decoded text in base64
//   {"segments": [["b64", is_content], ...]}   -> ids of the segments of a conversation
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"
#include "formats/gguf.h"
#include "formats/tokenizer_files.h"
#include "text/tokenizer.h"

namespace naru {
namespace {

std::string from_base64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int n = 0;
  for (const char c : text) {
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (value < 0) break;
    bits = bits << 6 | static_cast<uint32_t>(value);
    n += 6;
    if (n >= 8) out.push_back(static_cast<char>(bits >> (n -= 8)));
  }
  return out;
}

std::string to_base64(std::string_view bytes) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out.push_back(i + k <= bytes.size() ? kAlphabet[bits >> (18 - 6 * k) & 63] : '=');
  }
  return out;
}

Result<text::Tokenizer> load(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    NARU_ASSIGN(auto data, formats::read_tokenizer_folder(path));
    return text::Tokenizer::create(std::move(data));
  }
  NARU_ASSIGN(const MappedFile file, MappedFile::open(path));
  if (path.extension() == ".gguf") {
    NARU_ASSIGN(const auto gguf, formats::parse_gguf(file.bytes(), path.string()));
    NARU_ASSIGN(auto data, formats::tokenizer_from_gguf(gguf));
    return text::Tokenizer::create(std::move(data));
  }
  formats::TokenizerSources sources;
  sources.tokenizer_json = file.bytes();
  NARU_ASSIGN(auto data, formats::parse_tokenizer(sources, path.string()));
  return text::Tokenizer::create(std::move(data));
}

std::string answer(const text::Tokenizer& tokenizer, const nlohmann::json& line) {
  if (line.contains("ids")) {
    return to_base64(tokenizer.decode(line["ids"].get<std::vector<int32_t>>(), line.value("skip_special", false)));
  }
  std::vector<int32_t> ids;
  if (line.contains("segments")) {
    std::vector<text::Segment> segments;
    for (const auto& segment : line["segments"]) {
      segments.push_back({from_base64(segment[0].get_ref<const std::string&>()), segment[1].get<bool>()});
    }
    ids = tokenizer.encode_segments(segments);
  } else {
    const text::EncodeOptions options{.add_special = line.value("add_special", false),
                                      .parse_special = line.value("parse_special", true)};
    ids = tokenizer.encode(from_base64(line["text_b64"].get_ref<const std::string&>()), options);
  }
  std::string out;
  for (const int32_t id : ids) out += (out.empty() ? "" : " ") + std::to_string(id);
  return out;
}

}  // namespace
}  // namespace naru

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: naru_tokenize_lines MODEL < LINES\n");
    return 2;
  }
  auto tokenizer = naru::load(argv[1]);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return naru::exit_status(tokenizer.error().code);
  }
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    const std::string out = naru::answer(*tokenizer, nlohmann::json::parse(line));
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fputc('\n', stdout);
    if (std::cin.rdbuf()->in_avail() <= 0) std::fflush(stdout);
  }
  return 0;
}
