// UTF-8 checks and the strict JSON reader.
#include <nlohmann/json.hpp>
#include <string>

#include "formats/json.h"
#include "formats/utf8.h"
#include "tests/formats/helpers.h"

namespace naru::formats {

namespace {

Result<nlohmann::json> parse(std::string_view text, JsonLimits limits = {}) {
  return parse_json(as_bytes(text), "x.json", limits);
}

// An encoder that knows the rule only: every code point but surrogates, nothing else, is valid.
std::string encode(uint32_t point, int length) {
  std::string text(static_cast<size_t>(length), '\0');
  for (int i = length - 1; i > 0; --i, point >>= 6)
    text[static_cast<size_t>(i)] = static_cast<char>(0x80 | (point & 0x3f));
  const uint32_t lead = length == 1 ? 0 : length == 2 ? 0xc0 : length == 3 ? 0xe0 : 0xf0;
  text[0] = static_cast<char>(lead | point);
  return text;
}

int shortest_length(uint32_t point) {
  return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

TEST(Utf8, EveryCodePointInEveryLength) {
  for (uint32_t point = 0; point < 0x200000; point += point < 0x11000 ? 1 : 37) {
    for (int length = shortest_length(point); length <= 4; ++length) {
      const bool is_good = length == shortest_length(point) && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
      ASSERT_EQ(is_valid_utf8(encode(point, length)), is_good) << std::hex << point << " in " << length;
    }
  }
}

TEST(Utf8, CutAndBrokenSequences) {
  const std::string good = "abcdefghi\xea\xb0\x80";  // crosses the eight-byte stride
  EXPECT_TRUE(is_valid_utf8(good));
  EXPECT_EQ(utf8_valid_prefix(good.substr(0, 11)), 9);
  EXPECT_EQ(utf8_valid_prefix("ab\x80"
                              "cd"),
            2);
  EXPECT_EQ(utf8_valid_prefix("\xff"), 0);
  EXPECT_EQ(utf8_valid_prefix(""), 0);
}

TEST(Utf8, PrintableNeverBreaksALine) {
  EXPECT_EQ(printable("a\nb\x01"), "a\\x0ab\\x01");
  EXPECT_EQ(printable("\xc2\x85"
                      "가\xff"),
            "\\xc2\\x85가\\xff");
  EXPECT_EQ(printable("abcdef", 3), "abc ... (6 bytes)");
  EXPECT_TRUE(has_control_characters("a\x7f"));
  EXPECT_TRUE(has_control_characters("\xc2\x9f"));
  EXPECT_FALSE(has_control_characters("가 \xc2\xa0"));
}

TEST(Json, ReadsWhatIsLegal) {
  const auto value =
      parse(R"( {"a": [1, -9223372036854775808, 2.5, 1e3, "가\u0000\ud83d\ude00", true, null], "b": {}} )");
  ASSERT_TRUE(value.ok()) << message_of(value);
  EXPECT_EQ((*value)["a"][1].get<int64_t>(), INT64_MIN);
  EXPECT_EQ((*value)["a"][3].get<double>(), 1000.0);
  EXPECT_EQ((*value)["a"][4].get<std::string>(), std::string("가\0😀", 8));
  EXPECT_EQ((*value)["a"].size(), 7u);
  EXPECT_TRUE(parse("[1]", {.object_root = false}).ok());
  EXPECT_TRUE(parse("3", {.object_root = false}).ok());
}

TEST(Json, RefusesWhatIsNot) {
  for (const std::string_view text : {"",
                                      " ",
                                      "{",
                                      "{\"a\":1,}",
                                      "{\"a\":1} x",
                                      "{\"a\":1}{}",
                                      "{'a':1}",
                                      "{\"a\":01}",
                                      "{\"a\":+1}",
                                      "{\"a\":.5}",
                                      "{\"a\":NaN}",
                                      "{\"a\":Infinity}",
                                      "{\"a\":1}//",
                                      "/**/{}",
                                      "{\"a\":\"\\x\"}",
                                      "{\"a\":\"\t\"}",
                                      "{\"a\":\"\\ud800\"}",
                                      "{\"a\":\"\\udc00x\"}",
                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":\"\xed\xa0\x80\"}",
                                      "{\"a\":\"\xc0\x80\"}",
                                      "[1]",
                                      "3",
                                      "\"x\"",
                                      "null",
                                      "nul",
                                      "{\"a\"}",
                                      "{1:2}"}) {
    expect_error(parse(text), Code::kCorrupt, {"reading x.json"});
  }
}

TEST(Json, NamesWhatIsWrong) {
  expect_error(parse("\xef\xbb\xbf{}"), Code::kCorrupt, {"byte order mark"});
  expect_error(parse(std::string_view("{}\0{}", 5)), Code::kCorrupt, {"at byte 2", "zero byte"});
  expect_error(parse(R"({"a":{"b":1,"c":2,"b":3}})"), Code::kCorrupt, {"key 'b'", "twice"});
  expect_error(parse(R"({"a":9223372036854775808})"), Code::kCorrupt, {"9223372036854775808", "64 bits"});
  expect_error(parse(R"({"a":-9223372036854775809})"), Code::kCorrupt, {"64 bits"});
  expect_error(parse(R"({"a":1e999})"), Code::kCorrupt, {"number overflow"});
  expect_error(parse("{\"a\":" + std::string(400, '9') + "}"), Code::kCorrupt, {});
  expect_error(parse("[1]"), Code::kCorrupt, {"an array of 1", "an object was wanted"});
}

TEST(Json, WideIntegersBecomeDoublesWhereAsked) {
  const auto value =
      parse(R"({"a":1000000000000000019884624838656,"b":9223372036854775808,"c":5})", {.wide_integers = true});
  ASSERT_TRUE(value.ok());
  EXPECT_EQ((*value)["a"].get<double>(), 1e30);
  EXPECT_TRUE((*value)["b"].is_number_float());
  EXPECT_EQ((*value)["c"].get<int64_t>(), 5);
}

TEST(Json, LimitsHoldAtTheLimitAndOneBeyond) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_TRUE(parse(nested(64), {.object_root = false}).ok());
  expect_error(parse(nested(65), {.object_root = false}), Code::kCorrupt, {"64 deep"});
  expect_error(parse(std::string(1000000, '['), {.object_root = false}), Code::kCorrupt, {"deep"});
  std::string chain;
  for (int i = 0; i < 300000; ++i) chain += "{\"a\":";
  expect_error(parse(chain), Code::kCorrupt, {"deep"});
  EXPECT_TRUE(parse("[1,2,3]", {.values_max = 4, .object_root = false}).ok());
  expect_error(parse("[1,2,3,4]", {.values_max = 4, .object_root = false}), Code::kCorrupt, {"more than 4 values"});
  EXPECT_TRUE(parse("{}", {.bytes_max = 2}).ok());
  expect_error(parse("{} ", {.bytes_max = 2}), Code::kCorrupt, {"3 bytes", "at most 2"});
}

TEST(Json, EveryPrefixOfADocumentIsRefused) {
  const std::string text = R"({"a":[1,2.5,"xé",{"b":null}],"c":true})";
  for (size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(parse(text.substr(0, n)).ok()) << n;
  EXPECT_TRUE(parse(text).ok());
}

class JsonFields : public ::testing::Test {
 protected:
  void SetUp() override {
    document_ = *parse(
        R"({"n": 5, "x": 2.5, "s": "text", "t": true, "z": null, "list": [1, 2], "inner": {"k": "v"}, "big": 70000})");
  }
  JsonObject root() { return *JsonObject::of(document_, "x.json"); }
  nlohmann::json document_;
};

TEST_F(JsonFields, TypedAccess) {
  EXPECT_EQ(*root().get_int("n", 0, 5), 5);
  EXPECT_EQ(*root().get_double("n"), 5.0);
  EXPECT_EQ(*root().get_double("x"), 2.5);
  EXPECT_EQ(*root().get_string("s"), "text");
  EXPECT_EQ(*root().get_bool("t"), true);
  EXPECT_EQ(*root().get_int_or("z", 0, 9, 7), 7);  // null is absent
  EXPECT_EQ(*root().get_int_or("nowhere", 0, 9, 8), 8);
  EXPECT_FALSE(root().has("z"));
  EXPECT_EQ(*root().find_ids("n", 0, 9), std::vector<int32_t>{5});
  EXPECT_EQ(*root().find_ids("list", 0, 9), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(*(*root().get_object("inner")).get_string("k"), "v");
}

TEST_F(JsonFields, MessagesNameFileKeyFoundAndWanted) {
  expect_error(root().get_int("n", 6, 9), Code::kCorrupt, {"x.json", "n is 5", "from 6 to 9"});
  expect_error(root().get_int("x", 0, 9), Code::kCorrupt, {"x is 2.5", "an integer"});
  expect_error(root().get_int("s", 0, 9), Code::kCorrupt, {"\"text\""});
  expect_error(root().get_bool("n"), Code::kCorrupt, {"true or false"});
  expect_error(root().get_string("list"), Code::kCorrupt, {"an array of 2", "a string"});
  expect_error(root().get_object("s"), Code::kCorrupt, {"an object was wanted"});
  expect_error(root().get_int("nowhere", 0, 9), Code::kCorrupt, {"nowhere is missing"});
  expect_error((*root().get_object("inner")).get_int("k", 0, 1), Code::kCorrupt, {"inner.k is"});
  expect_error(root().find_ids("list", 0, 1), Code::kCorrupt, {"list"});
  expect_error(root().find_array("n"), Code::kCorrupt, {"an array"});
}

}  // namespace
}  // namespace naru::formats
