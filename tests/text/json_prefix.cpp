// JsonPrefix against the parser: what it takes whole is what the parser reads, and what it refuses no parser reads.
#include "text/json_prefix.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "text/value.h"

namespace naru::text {
namespace {

// How many of the bytes are taken, and whether they are an object then.
std::pair<size_t, bool> take_json_bytes(std::string_view text, uint16_t blanks_max = 0) {
  JsonPrefix prefix(blanks_max);
  size_t n = 0;
  while (n < text.size() && prefix.push(text[n])) ++n;
  return {n, prefix.is_whole()};
}

TEST(JsonPrefix, TakesObjectsAndNothingElse) {
  for (const std::string text :
       {R"({})", R"( { } )", R"({"a":1,"b":[true,false,null,{}],"c":{"d":"e"}})", "{\"a\" :\n[ ]\t}",
        R"({"":-0.5e+10,"x":0,"y":-12.25E-3,"z":1e9})", R"({"\u00e9\n\"\\\/":"\ud83d\ude00"})",
        "{\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\":\"\x7f\"}"}) {
    const auto [n, is_whole] = take_json_bytes(text);
    EXPECT_TRUE(is_whole) << text;
    EXPECT_GE(n, text.find_last_of('}') + 1) << text;
    EXPECT_TRUE(parse_value(text, "t").ok()) << text;
  }
  // The byte that is refused.
  const std::pair<std::string, size_t> cases[] = {{"[]", 0},
                                                  {"x", 0},
                                                  {"\"a\"", 0},
                                                  {"{1", 1},
                                                  {"{,", 1},
                                                  {"{\"a\"}", 4},
                                                  {"{\"a\":}", 5},
                                                  {"{\"a\":1,}", 7},
                                                  {"{\"a\":01", 6},
                                                  {"{\"a\":-}", 6},
                                                  {"{\"a\":1.}", 7},
                                                  {"{\"a\":1e}", 7},
                                                  {"{\"a\":tru}", 8},
                                                  {"{\"a\":nul1", 8},
                                                  {"{\"a\":[1,]", 8},
                                                  {"{\"a\":[}", 6},
                                                  {"{\"a\":{]", 6},
                                                  {"{\"\n", 2},
                                                  {"{\"\\x", 3},
                                                  {"{\"\\u12g", 6},
                                                  {"{\"\\udc00", 5},
                                                  {"{\"\\ud800x", 8},
                                                  {"{\"\\ud800\\n", 9},
                                                  {"{\"\\ud800\\ud8", 11},
                                                  {"{\"\\ud800\\u0", 10},
                                                  {"{\"\xff", 2},
                                                  {"{\"\xc1", 2},
                                                  {"{\"\xe0\x80", 3},
                                                  {"{\"\xed\xa0", 3},
                                                  {"{\"\xf4\x90", 3},
                                                  {"{\"\xc3x", 3},
                                                  {"{}{", 2},
                                                  {"{} ", 2},
                                                  {"\xef\xbb\xbf{", 0},
                                                  {"{\"a\":+1", 5},
                                                  {"{\"a\":.5", 5},
                                                  {"{'a'", 1},
                                                  {"{\"a\":NaN", 5},
                                                  {"{/", 1}};
  for (const auto& [text, n] : cases) {
    EXPECT_EQ(take_json_bytes(text).first, n) << text;
    EXPECT_TRUE(!take_json_bytes(text).second || text.starts_with("{}")) << text;
  }
}

TEST(JsonPrefix, DepthAndBlanksAreBounded) {
  std::string deep = "{\"a\":";
  for (int i = 1; i < kJsonDepthMax; ++i) deep += '[';
  EXPECT_EQ(take_json_bytes(deep).first, deep.size());
  EXPECT_EQ(take_json_bytes(deep + "[").first, deep.size());
  EXPECT_EQ(take_json_bytes(deep + "{").first, deep.size());
  std::string closed = deep + "1";
  for (int i = 1; i < kJsonDepthMax; ++i) closed += ']';
  EXPECT_TRUE(take_json_bytes(closed + "}").second);
  EXPECT_TRUE(parse_value(closed + "}", "t").ok());
  EXPECT_EQ(take_json_bytes("  {", 2).first, 3u);
  EXPECT_EQ(take_json_bytes("   {", 2).first, 2u);
  EXPECT_EQ(take_json_bytes("{ \n\"a\" \t: \r1 \n, \n\"   \":2\n\n\n", 2).first, 26u);
  EXPECT_EQ(take_json_bytes("{\"a\":12   ", 2).first, 9u);
  EXPECT_EQ(take_json_bytes("{\n\n\n", 64).first, 3u);
  EXPECT_EQ(take_json_bytes("{\n" + std::string(50, ' '), 64).first, 42u);
}

// Bytes of an alphabet in which every other text nearly is JSON: parser and prefix agree, and every prefix that is
// taken can be continued by some byte.
TEST(JsonPrefix, AgreesWithTheParser) {
  constexpr std::string_view kPieces[] = {"{",    "}",    "[",     "]",       ",",       ":",    "\"a\"", "\"b\"",
                                          "\"",   "\\",   "u00e9", "1",       "0",       "-",    ".",     "e",
                                          "true", "null", " ",     "\\ud800", "\\udc00", "\xc3", "\xa9"};
  std::mt19937 random(7);
  int64_t n_whole = 0;
  for (int round = 0; round < 20000; ++round) {
    JsonPrefix prefix;
    std::string text;
    for (int i = 0; i < 40 && !prefix.is_whole(); ++i) {
      const std::string_view piece = kPieces[random() % std::size(kPieces)];
      JsonPrefix next = prefix;
      bool is_taken = true;
      for (const char byte : piece) is_taken = is_taken && next.push(byte);
      if (!is_taken) continue;
      prefix = next;
      text += piece;
    }
    if (prefix.is_whole()) ++n_whole;
    const auto parsed = parse_value(text, "t");
    const bool has_key_twice = !parsed.ok() && parsed.error().message.find("twice") != std::string::npos;
    EXPECT_EQ(prefix.is_whole(), parsed.ok() || (prefix.is_whole() && has_key_twice)) << text;
    if (prefix.is_whole()) continue;
    bool goes_on = false;
    for (int byte = 0; byte < 256 && !goes_on; ++byte) goes_on = JsonPrefix(prefix).push(static_cast<char>(byte));
    EXPECT_TRUE(goes_on) << text;
  }
  EXPECT_GT(n_whole, 500);
}

TEST(JsonPrefix, EqualKeysGoOnAlike) {
  const auto key_of = [](std::string_view text) {
    JsonPrefix prefix;
    for (const char byte : text) EXPECT_TRUE(prefix.push(byte)) << text;
    return prefix.key();
  };
  EXPECT_EQ(key_of("{\"a\":\"x"), key_of("{\"bcd\":\"yz\xc3\xa9\\u00e9"));
  EXPECT_EQ(key_of("{\"a\":[1"), key_of("{\"a\":[true,[],23"));
  const std::string_view different[] = {"",
                                        "{",
                                        "{\"",
                                        "{\"a\"",
                                        "{\"a\":",
                                        "{\"a\":\"",
                                        "{\"a\":\"\\",
                                        "{\"a\":1",
                                        "{\"a\":0",
                                        "{\"a\":-",
                                        "{\"a\":1.",
                                        "{\"a\":1.2",
                                        "{\"a\":1e",
                                        "{\"a\":1e+",
                                        "{\"a\":1e1",
                                        "{\"a\":[",
                                        "{\"a\":{",
                                        "{\"a\":[{",
                                        "{\"a\":[[",
                                        "{\"a\":[1,",
                                        "{\"a\":t",
                                        "{\"a\":tr",
                                        "{\"a\":f",
                                        "{\"a\":\"\xc3",
                                        "{\"a\":\"\xe2",
                                        "{\"a\":\"\xe0",
                                        "{\"a\":\"\\u",
                                        "{\"a\":\"\\u1",
                                        "{\"a\":\"\\ud",
                                        "{\"a\":\"\\ud800",
                                        "{\"a\":\"\\ud800\\",
                                        "{\"a\":\"\\ud800\\u",
                                        "{\"a\":1,",
                                        "{}"};
  for (const auto& a : different) {
    for (const auto& b : different) EXPECT_EQ(key_of(a) == key_of(b), a == b) << a << " " << b;
  }
}

}  // namespace
}  // namespace naru::text
