// Forms: what a schema, a regular expression or choices take, and what of them is refused.
#include "text/forms/form.h"

#include <functional>

#include "tests/text/forms_rig.h"
#include "text/forms/schema_shape.h"

namespace naru::text {
namespace {

struct FormCase {
  const char* schema;
  std::vector<const char*> taken, refused;
};

const FormCase kFormCases[] = {
    {"true",
     {"1", "null", "\"\"", "[]", "{}", R"({"a": [1, {"b": "c"}], "d": -1.5e+10})", "[\n  1,\n  2\n]"},
     {"", "01", "[1,]", "{\"a\"}", "nul", "[1 ,2]", "{\"a\" :1}", " 1"}},
    {R"({"type":"string"})",
     {R"("")", R"("a\n\u00e9\ud83d\ude00")", "\"\xc3\xa9\xf0\x9f\x98\x80\""},
     {R"("\ud83d")", R"("\x")", "\"\xff\"", "\"\n\"", "\"\xed\xa0\x80\"", "1"}},
    {R"({"type":["integer","null"]})", {"0", "-12", "null"}, {"1.0", "1e3", "-", "00", "true"}},
    {R"({"type":"number"})", {"0", "-0.5", "1e10", "1.5E-300", "12.25"}, {"1.", ".5", "1e309", "+1", "1e"}},
    {R"({"type":"string","minLength":2,"maxLength":4})",
     {R"("ab")", "\"\xc3\xa9\xf0\x9f\x98\x80x\"", R"("\u00e9\ud83d\ude00\n\"")"},
     {R"("a")", R"("abcde")", R"("\u00e9")"}},
    {R"({"type":"string","minLength":3})", {R"("abc")", R"("abcdefgh")"}, {R"("ab")"}},
    {R"({"type":"string","pattern":"^[a-c]+$"})", {R"("abc")"}, {R"("")", R"("abd")"}},
    {R"({"type":"string","pattern":"b"})", {R"("b")", R"("abc")", R"("\n\"b\\")"}, {R"("ac")", R"("\u0062")"}},
    {R"({"type":"string","pattern":"^a|b$"})", {R"("ax")", R"("xb")"}, {R"("xa")", R"("bx")"}},
    {R"({"type":"string","pattern":"^[a-z]*$","minLength":2,"maxLength":3})",
     {R"("ab")", R"("abc")"},
     {R"("a")", R"("abcd")"}},
    {R"({"allOf":[{"pattern":"^a"},{"pattern":"z$"}],"type":"string"})",
     {R"("az")", R"("abz")"},
     {R"("a")", R"("z")", R"("za")"}},
    {R"({"type":"string","format":"date"})",
     {R"("2024-02-29")", R"("1999-12-31")"},
     {R"("2023-02-29")", R"("1900-02-29")", R"("2024-04-31")", R"("0000-01-01")"}},
    {R"({"type":"string","format":"uuid"})", {R"("123e4567-e89b-12d3-a456-426614174000")"}, {R"("123e4567")"}},
    {R"({"type":"string","format":"ipv6"})",
     {R"("::1")", R"("1:2:3:4:5:6:7:8")", R"("fe80::1:2")"},
     {R"("1:2")", R"(":::")"}},
    {R"({"type":"integer","minimum":-5,"maximum":120})", {"-5", "0", "9", "99", "120"}, {"-6", "121", "-10", "1000"}},
    {R"({"type":"integer","exclusiveMinimum":0})", {"1", "10", "999999999999"}, {"0", "-1"}},
    {R"({"type":"integer","exclusiveMaximum":0})", {"-1", "-100"}, {"0", "1"}},
    {R"({"type":"integer","minimum":1.5,"maximum":3.5})", {"2", "3"}, {"1", "4"}},
    {R"({"type":"integer","minimum":99,"maximum":101})", {"99", "100", "101"}, {"98", "102", "9"}},
    {R"({"type":"number","minimum":0,"maximum":1})", {"0", "1", "0.5", "1.0", "0.0001"}, {"1.01", "-0.1", "2"}},
    {R"({"type":"number","exclusiveMinimum":-1.25,"maximum":2.5})",
     {"-1.2", "-1", "0", "-0.5", "2.5", "2.50", "2.49"},
     {"-1.25", "-1.250", "-1.3", "2.51", "3", "-2"}},
    {R"({"type":"integer","multipleOf":5,"minimum":-7,"maximum":22})", {"-5", "0", "20"}, {"25", "-10", "7", "5.0"}},
    {R"({"type":"integer","minimum":98})",
     {"98", "99", "100", "1000", "9999999999999999999999999999999999999999"},
     {"97", "9", "0", "0100", "-98", "10000000000000000000000000000000000000000"}},
    {R"({"type":"integer","minimum":8,"maximum":1203})",
     {"8", "9", "10", "99", "100", "999", "1000", "1203"},
     {"7", "1204", "1210", "1300", "2000", "010", "10000"}},
    {R"({"type":"integer","minimum":0,"multipleOf":60})",
     {"0", "60", "600", "12000", "6000000000000000000000000000000000000000"},
     {"30", "-60", "060", "61", "60000000000000000000000000000000000000000"}},
    {R"({"type":"number","exclusiveMinimum":0,"multipleOf":9})", {"9", "18", "1080", "999"}, {"0", "10", "-9", "109"}},
    {R"({"type":"integer","multipleOf":1000})", {"0", "1000", "-25000"}, {"100", "1500", "1e3"}},
    {R"({"type":"number","multipleOf":0.25})", {"0", "1", "0.5", "-3.75", "12.50"}, {"0.3", "0.125", "1e1", "."}},
    {R"({"type":"number","multipleOf":0.01,"minimum":0,"exclusiveMaximum":1})",
     {"0.99", "0", "0.5", "0.50"},
     {"1", "1.00", "0.001", "-0.01"}},
    {R"({"type":"integer","allOf":[{"multipleOf":4},{"multipleOf":6},{"multipleOf":0.5}]})",
     {"12", "-24", "0"},
     {"4", "6", "8"}},
    {R"({"enum":[4,5,1e20,0.5,6.0],"multipleOf":2})", {"4", "1e+20", "6"}, {"5", "0.5"}},
    {R"({"enum":["a","ab",1,null,{"k":[1,"x"]}]})",
     {R"("a")", R"("ab")", "1", "null", R"({"k":[1,"x"]})", R"({"k": [1, "x"]})"},
     {R"("b")", "2", R"("")", R"({"k":[1]})"}},
    {R"({"const":"x","type":"string"})", {R"("x")"}, {R"("y")", "1"}},
    {R"({"enum":[1e20,1],"maximum":5})", {"1"}, {"1e+20", "1e20"}},
    {R"({"enum":[100000000000000000000000001,-100000000000000000000000001,1e400,7],"minimum":6})",
     {"100000000000000000000000001", "1e400", "7"},
     {"-100000000000000000000000001"}},
    {R"({"enum":[[1,2,3],[1]],"maxItems":1})", {"[1]"}, {"[1,2,3]"}},
    {R"({"enum":[{"a":1,"b":2},{"a":1}],"maxProperties":1})", {R"({"a":1})"}, {R"({"a":1,"b":2})"}},
    {R"({"enum":["ab","b","c",1],"pattern":"b$","minLength":2})", {R"("ab")", "1"}, {R"("b")", R"("c")"}},
    {R"({"enum":[{"a":1},{"a":"x"},{"b":1}],"required":["a"],"properties":{"a":{"type":"integer"}}})",
     {R"({"a":1})"},
     {R"({"a":"x"})", R"({"b":1})"}},
    {R"({"enum":[[1],["x"]],"items":{"anyOf":[{"type":"string"},{"type":"null"}]}})", {R"(["x"])"}, {"[1]"}},
    {R"({"allOf":[{"enum":[1,2,{"a":1,"b":2}]},{"enum":[3,1.0,{"b":2,"a":1.0}]}]})", {"1"}, {"2", "3"}},
    {R"({"enum":[1,2,"c"],"type":"integer","minimum":2})", {"2"}, {"1", R"("c")"}},
    {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["b"],"additionalProperties":false})",
     {R"({"a":1,"b":"x"})", R"({"b": "x"})", "{\n  \"b\": \"x\"\n}"},
     {"{}", R"({"a":1})", R"({"b":"x","a":1})", R"({"b":"x","c":1})", R"({"b":"x",})"}},
    {R"({"type":"object","properties":{"a":{"type":"integer"}}})",
     {"{}", R"({"a":1})", R"({"x":1})", R"({"a":1,"ab":true,"\"":2})", R"({"":1})"},
     {R"({"a":"x"})", R"({"x":1,"a":"y"})", R"({"x":1,"a":1})", R"({"\u0061":"x"})"}},
    {R"({"type":"object","additionalProperties":{"type":"integer"},"minProperties":1,"maxProperties":2})",
     {R"({"a":1})", R"({"a":1,"b":2})"},
     {"{}", R"({"a":1,"b":2,"c":3})", R"({"a":"x"})"}},
    {R"({"type":"object","patternProperties":{"^a":{"type":"integer"},"^b":{"type":"null"}},"properties":{"ab":{"minimum":3},"x":{"type":"string"}},"additionalProperties":false})",
     {"{}", R"({"ab":3})", R"({"x":"y","a1":5,"b":null})", R"({"a":1,"a2":2})"},
     {R"({"ab":2})", R"({"c":1})", R"({"a":null})", R"({"b":1})", R"({"x":1})"}},
    {R"({"type":"object","patternProperties":{"a":{"type":"integer"}},"required":["b"]})",
     {R"({"b":"x"})", R"({"b":1,"cab":2})"},
     {R"({"b":1,"a":"x"})", R"({"a":1})", R"({"b":1,"c":2})"}},
    {R"({"type":"object","propertyNames":{"pattern":"^[a-z]+$","maxLength":3},"properties":{"ab":{"type":"integer"},"AB":{}}})",
     {R"({"ab":1,"xyz":null})", R"({"b":1})", "{}"},
     {R"({"AB":1})", R"({"abcd":1})", R"({"ab":"x"})", R"({"":1})", R"({"a":1,"ab":2})"}},
    {R"({"type":"object","propertyNames":{"enum":["b","a",1]},"additionalProperties":{"type":"integer"},"minProperties":1})",
     {R"({"b":1,"a":2})", R"({"a":1})"},
     {"{}", R"({"c":1})", R"({"a":"x"})"}},
    {R"({"type":"object","propertyNames":false})", {"{}"}, {R"({"a":1})"}},
    {R"({"type":"object","properties":{"a":{},"b":{},"c":{}},"dependentRequired":{"a":["b"]},"additionalProperties":false})",
     {R"({"a":1,"b":2})", R"({"b":1})", R"({"c":1})", "{}"},
     {R"({"a":1})", R"({"a":1,"c":2})"}},
    {R"({"dependentSchemas":{"a":{"properties":{"b":{"type":"integer"}},"required":["b"]}},"type":["object","null"]})",
     {"null", R"({"b":"x"})", R"({"b":2,"a":1})", "{}"},
     {R"({"a":1})", R"({"a":1,"b":"x"})", "1"}},
    {R"({"enum":[{"a1":2},{"a1":"x"},{"b":1},{"cc":1}],"patternProperties":{"^a":{"type":"integer"}},"propertyNames":{"minLength":2},"dependentRequired":{"cc":["a"]}})",
     {R"({"a1":2})"},
     {R"({"a1":"x"})", R"({"b":1})", R"({"cc":1})"}},
    {R"({"type":"object","required":["z"]})", {R"({"z":1})", R"({"z":1,"y":2})"}, {"{}", R"({"y":1})"}},
    {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
     {"[1]", "[1, 2,3]", "[\n  1\n]"},
     {"[]", "[1,2,3,4]", "[\"a\"]"}},
    {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false})",
     {"[]", "[1]", R"([1,"a"])"},
     {R"(["a"])", R"([1,"a",2])"}},
    {R"({"type":"array","items":[{"type":"integer"},{"type":"string"}],"additionalItems":{"type":"null"}})",
     {"[]", "[1]", R"([1,"a"])", R"([1,"a",null,null])"},
     {R"(["a"])", R"([1,"a",2])"}},
    {R"({"type":"array","items":{"type":"integer"},"additionalItems":false})", {"[1,2]"}, {"[null]"}},
    {R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}},
    {R"({"type":"array","minItems":2})", {"[1,2]", "[1,2,3,4]"}, {"[1]"}},
    {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})", {"12", R"("a")"}, {R"("ab")", "null"}},
    {R"({"type":"object","properties":{"a":{"type":"integer"}},"anyOf":[{"required":["a"]},{"required":["b"]}]})",
     {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"},
     {"{}", R"({"c":1})"}},
    {R"({"oneOf":[{"type":"object","properties":{"k":{"const":"x"},"v":{"type":"integer"}},"required":["k","v"]},
                  {"type":"object","properties":{"k":{"const":"y"}},"required":["k"]}]})",
     {R"({"k":"x","v":1})", R"({"k":"y"})"},
     {R"({"k":"x"})", R"({"k":"z"})"}},
    {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"a":{"minimum":3},"b":{"type":"null"}}}]})",
     {R"({"a":3})", R"({"a":4,"b":null})"},
     {R"({"a":2})", R"({"b":null})"}},
    {R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}}})",
     {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
     {R"({"v":1})", R"({"v":1,"next":{}})"}},
    {R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
    {R"({"title":"t","description":"d","default":1,"examples":[],"$schema":"x","$id":"y","$comment":"c","deprecated":true,"type":"null"})",
     {"null"},
     {"1"}},
};

TEST(Forms, SchemasTakeTheirValues) {
  for (const FormCase& each : kFormCases) {
    FormRig rig(schema_form(each.schema));
    ASSERT_NE(rig.matcher, nullptr) << each.schema;
    for (const char* text : each.taken) {
      EXPECT_TRUE(rig.accepts(text)) << each.schema << "\n" << text << "\ntaken " << rig.taken(text);
    }
    for (const char* text : each.refused) EXPECT_FALSE(rig.accepts(text)) << each.schema << "\n" << text;
  }
}

TEST(Forms, WhatIsNotDoneIsSaidWithItsPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"type":"object","properties":{"a":{"uniqueItems":true}}})", "#/properties/a/uniqueItems: the keyword"},
      {R"({"not":{}})", "#/not: the keyword not"},
      {R"({"multipleOf":0})", "#/multipleOf: it is 0, a number above 0 was wanted"},
      {R"({"multipleOf":true})", "#/multipleOf: it is true, a number above 0 was wanted"},
      {R"({"multipleOf":-3})", "#/multipleOf: it is -3, a number above 0 was wanted"},
      {R"({"multipleOf":4097})", "#/multipleOf: it is 4097; its digits as a number"},
      {R"({"multipleOf":1e-30})", "#/multipleOf: it is 1e-30; its digits as a number"},
      {R"({"allOf":[{"multipleOf":0.0001},{"multipleOf":64}]})", "#/allOf/1/multipleOf: it is 64"},
      {R"({"type":"integer","multipleOf":4093})", "take a smaller multipleOf, or bounds"},
      {R"({"type":"integer","multipleOf":5,"minimum":1,"maximum":4})", "# cannot be met"},
      {R"({"patternProperties":{"a":{},"b":{}}})", "#/patternProperties/b: names may meet it"},
      {R"({"patternProperties":{"(":{}}})", "#/patternProperties/(: at byte 1"},
      {R"({"patternProperties":{"a":{}},"additionalProperties":{}})",
       "#/additionalProperties: beside patternProperties"},
      {R"({"allOf":[{"patternProperties":{"a":{}}},{"patternProperties":{"a":{}}}]})",
       "#/allOf/1/patternProperties: #/allOf/0 has some"},
      {R"({"propertyNames":{"anyOf":[{"maxLength":1},{"pattern":"a"}]}})", "#/propertyNames/anyOf: alternatives"},
      {R"({"type":"object","propertyNames":{"maxLength":1},"required":["ab"]})",
       R"(#/required (it asks for "ab", which #/propertyNames forbids) cannot be met)"},
      {R"({"dependentRequired":{"a":1}})", "#/dependentRequired/a"},
      {R"({"dependentRequired":[]})", "#/dependentRequired: an object of lists"},
      {R"({"a~/b":1})", "#/a~0~1b"},
      {R"({"type":"strnig"})", "#/type: it is \"strnig\""},
      {R"({"type":[]})", "#/type"},
      {R"({"enum":[]})", "#/enum"},
      {R"({"minLength":-1})", "#/minLength: it is -1"},
      {R"({"minimum":"x"})", "#/minimum"},
      {R"({"minimum":1e300})", "#/minimum"},
      {R"x({"pattern":"(?=a)"})x", "#/pattern: at byte 2: a look ahead"},
      {R"({"pattern":"a\\b"})", "#/pattern: at byte 1: \\b is not done"},
      {R"({"pattern":"("})", "#/pattern: at byte 1: a group has no ')'"},
      {R"({"pattern":"a^b"})", "ends of the pattern"},
      {R"({"format":"idn-email"})", "#/format: the format \"idn-email\""},
      {R"({"items":[{}],"prefixItems":[{}]})", "#/prefixItems: prefixItems and a list as items"},
      {R"({"items":3})", "#/items: it is 3"},
      {R"({"$ref":"other.json"})", "#/$ref"},
      {R"({"$ref":"#/$defs/x"})", "#/$ref: nothing is at #/$defs/x"},
      {R"({"anyOf":[]})", "#/anyOf"},
      {R"({"oneOf":[{"type":"integer"},{"minimum":3}]})", "#/oneOf: its alternatives 0 and 1"},
      {R"({"enum":["a"],"pattern":"b"})", "# cannot be met"},
      {R"({"type":"object","properties":{"a":{}},"required":["b"],"additionalProperties":false})",
       R"(#/required (it asks for "b", which #/additionalProperties forbids) cannot be met)"},
      {R"({"type":"array","minItems":2,"items":false})", "#/minItems (it asks for 2 items, which #/items forbids)"},
      {R"({"type":"object","minProperties":1,"additionalProperties":false})", "#/minProperties (it asks for 1"},
      {R"([])", "#: it is []"},
      // Circles, and what nothing meets.
      {R"({"$ref":"#"})", "refers to itself"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "is itself again"},
      {R"({"type":["object","null"],"anyOf":[{"$ref":"#"},{"type":"null"}]})", "deep"},
      {R"({"type":"object","dependentSchemas":{"a":{"$ref":"#"}}})",
       "dependentSchemas of one value are more than 32 deep"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "# is recursive without an end"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"],"additionalProperties":false})",
       "# is recursive without an end"},
      {R"(false)", "# cannot be met"},
      {R"({"type":"object","properties":{"a":{"type":"string","minLength":3,"maxLength":2}},"required":["a"]})",
       "#/properties/a cannot be met"},
      // Of several contradictions the one in the way.
      {R"({"properties":{"a":{"type":"string","minLength":3,"maxLength":2}},"required":["a"],"type":"object",
          "additionalProperties":false})",
       "#/properties/a cannot be met"},
      {R"({"type":"object","properties":{"b":false,"c":{"type":"integer","minimum":3,"maximum":2},"a":{"type":"array",
          "items":{"anyOf":[false,{"type":"string","minLength":3,"maxLength":2}]},"minItems":1}},"required":["a"]})",
       "#/properties/a/items"},
      {R"({"type":"object","properties":{"b":{"type":"object","properties":{"c":false}},
          "a":{"type":"integer","minimum":3,"maximum":2}},"required":["b","a"],"additionalProperties":false})",
       "#/properties/a cannot be met"},
      {R"({"type":"integer","minimum":3,"maximum":2})", "# cannot be met"},
      {R"({"type":"integer","minimum":1.2,"maximum":1.8})", "# cannot be met"},
      {R"({"type":"array","minItems":3,"maxItems":2})", "# cannot be met"},
      {R"({"allOf":[{"type":"string"},{"type":"integer"}]})", "# cannot be met"},
      {R"({"type":"object","required":["a"],"additionalProperties":false})", "cannot be met"},
      // Too much.
      {R"({"type":"string","maxLength":1000000})", "too large"},
      {R"({"type":"array","items":{"type":"integer"},"maxItems":1000000000000})", "too large"},
      {R"({"pattern":"((a{1000}){1000}){1000}"})", "states"},
      {R"({"pattern":"((((){4000}){4000}){4000}){4000}"})", "states"},
      {R"({"pattern":"a{5000}"})", "more than 4096 times"},
  };
  for (const auto& [schema, wanted] : cases) {
    const std::string message = form_error(schema_form(schema));
    EXPECT_NE(message.find(wanted), std::string::npos) << schema << "\n" << message;
    EXPECT_TRUE(message.starts_with("reading the schema: ")) << message;
  }
}

std::string list_of(size_t n, const std::function<std::string(size_t)>& item) {
  std::string list;
  for (size_t i = 0; i < n; ++i) list += (i > 0 ? "," : "") + item(i);
  return "[" + list + "]";
}

// One budget for a whole form: what is small in text and large in work is refused with its place.
TEST(Forms, WorkIsCounted) {
  const auto pattern = [](size_t i) { return R"({"pattern":"(?:.{4096}){15}x{)" + std::to_string(i) + R"(}"})"; };
  std::string schema = R"({"type":"string","allOf":)" + list_of(400, pattern) + "}";
  EXPECT_NE(form_error(schema_form(schema)).find("#/allOf/"), std::string::npos) << form_error(schema_form(schema));
  const auto value = [](size_t i) {
    return R"({"enum":)" + list_of(40, [&](size_t j) { return std::to_string(i * 40 + j); }) + "}";
  };
  schema = R"({"oneOf":)" + list_of(600, value) + "}";
  EXPECT_NE(form_error(schema_form(schema)).find("steps to read"), std::string::npos);
  // Two enums at once, and many names asked for, are no more work than they are long.
  const auto number = [](size_t i) { return std::to_string(i); };
  schema = R"({"allOf":[{"enum":)" + list_of(8000, number) + R"(},{"enum":)" + list_of(8000, number) +
           R"(},{"maximum":5}]})";
  EXPECT_EQ(form_error(schema_form(schema)), "");
  const auto name = [](size_t i) { return "\"" + std::to_string(i) + "\""; };
  schema = R"({"type":"object","properties":{"a":{}},"required":)" + list_of(1000, name) + "}";
  EXPECT_EQ(form_error(schema_form(schema)), "");
  schema = R"({"enum":[1e400,123456789012345678901234567],"description":")" + std::string(kSchemaBytesMax, 'a') + "\"}";
  EXPECT_NE(form_error(schema_form(schema)).find("bytes"), std::string::npos);
}

// Names times schemas times patterns: refused at the pattern at which the work is used up, not past the rest of them.
TEST(Forms, PatternsOfManyNamesAreCounted) {
  std::string patterns, names;
  for (int i = 0; i < 2000; ++i) {
    patterns += (i > 0 ? ",\"^q" : "\"^q") + std::to_string(i) + "\":{}";
    names += (i > 0 ? ",\"p" : "\"p") + std::to_string(i) + "\":{}";
  }
  const auto ref = [](size_t) { return std::string(R"({"$ref":"#/$defs/a"})"); };
  const std::string schema = R"({"$defs":{"a":{"patternProperties":{)" + patterns +
                             R"(}}},"type":"object","properties":{)" + names + R"(},"allOf":)" + list_of(16, ref) + "}";
  const auto made = compile(schema_form(schema), {});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, Code::kResourceExhausted);
  EXPECT_NE(made.error().message.find("#/$defs/a/patternProperties/^q"), std::string::npos) << made.error().message;
  EXPECT_NE(made.error().message.find("steps to read"), std::string::npos) << made.error().message;
}

TEST(Forms, MultiplesFromABoundOn) {
  for (const int multiple : {7, 9, 11, 12, 13, 18, 24, 36, 60, 90, 360}) {
    for (const char* rest :
         {R"("integer","minimum":0)", R"("integer","maximum":-5)", R"("number","exclusiveMinimum":0)",
          R"("number","minimum":-1.5)", R"("integer","minimum":0,"maximum":100000000000000000)"}) {
      const std::string schema = R"({"multipleOf":)" + std::to_string(multiple) + R"(,"type":)" + rest + "}";
      EXPECT_EQ(form_error(schema_form(schema)), "") << schema;
    }
  }
  const std::string message = form_error(schema_form(R"({"type":"integer","multipleOf":4093,"minimum":0})"));
  EXPECT_TRUE(message.ends_with("take a smaller multipleOf")) << message;
}

// Each doubles what there is: docs/forms.md says how many fit.
TEST(Forms, DependentNamesMultiply) {
  const auto schema_of = [](const std::string& type, int n) {
    std::string schema = R"({"type":")" + type + R"(","dependentRequired":{)";
    for (int i = 0; i < n; ++i) {
      const std::string at = std::to_string(i);
      schema += std::string(i > 0 ? "," : "") + "\"a" + at + "\":[\"b" + at + "\"]";
    }
    return schema_form(schema + "}}");
  };
  EXPECT_EQ(form_error(schema_of("object", 8)), "");
  for (const int n : {9, 14}) {
    const std::string many = form_error(schema_of("object", n));
    EXPECT_NE(
        many.find("#: its alternatives (of anyOf, oneOf, dependentRequired and dependentSchemas: a dependent name "
                  "has two) "),
        std::string::npos)
        << n << ": " << many;
  }
  const std::string message = form_error(schema_of("null", 14));
  EXPECT_NE(message.find("dependentRequired and dependentSchemas: a dependent name has two) come to more"),
            std::string::npos)
      << message;
}

TEST(Forms, AlternativesThatMultiplyAreCounted) {
  // 3^20 of them.
  std::string schema = R"({"type":"object","allOf":[)";
  for (int i = 0; i < 20; ++i) {
    schema +=
        (i > 0 ? "," : "") + std::string(R"({"anyOf":[{"required":["a"]},{"required":["b"]},{"required":["c"]}]})");
  }
  const std::string message = form_error(schema_form(schema + "]}"));
  EXPECT_TRUE(message.find("multiplied out") != std::string::npos || message.find("too large") != std::string::npos)
      << message;
}

TEST(Forms, DeepValuesEnd) {
  FormRig rig(schema_form(R"({"type":"array","items":{"$ref":"#"}})"));
  const std::string open(kFormDepthMax, '[');
  EXPECT_EQ(rig.taken(open), kFormDepthMax);
  EXPECT_EQ(rig.taken(open + "["), kFormDepthMax);
  EXPECT_TRUE(rig.accepts(open + std::string(kFormDepthMax, ']')));
  // Where a value needs an inner one, the last that fits is the last that is begun.
  FormRig nested(
      schema_form(R"({"type":"object","properties":{"a":{"type":"array","items":{"$ref":"#"},"minItems":1}}})"));
  std::string text;
  size_t n = 0;
  while (nested.taken(text + R"({"a":[)") == text.size() + 6) text += R"({"a":[)", ++n;
  EXPECT_EQ(n, (kFormDepthMax - 1) / 2);
  EXPECT_TRUE(nested.accepts(text + "{}" + [&] {
    std::string s;
    for (size_t i = 0; i < n; ++i) s += "]}";
    return s;
  }()));
}

TEST(Forms, RegularExpressions) {
  struct Case {
    const char* regex;
    std::vector<const char*> taken, refused;
  };
  const Case cases[] = {
      {"a|bc", {"a", "bc"}, {"", "ab", "abc"}},
      {"(a|b)*c+?", {"c", "abcc"}, {"", "ab"}},
      {"[^a-c]", {"d", "\xf0\x9f\x98\x80", "\n"}, {"a", "", "\xff"}},
      {".", {"x", "\xe2\x82\xac"}, {"\n", "\xe2\x80\xa8", ""}},
      {"\\d{2,3}-\\w+\\s?", {"12-a_Z", "123-x "}, {"1-a", "1234-a"}},
      {"[\\d\\-a]+", {"1-a"}, {"b"}},
      {"\\u00e9\\x41\\u{1F600}\\ud83d\\ude00",
       {"\xc3\xa9"
        "A\xf0\x9f\x98\x80\xf0\x9f\x98\x80"},
       {"e"}},
      {"(?:a{2}){2}(?<n>b)", {"aaaab"}, {"aaab"}},
      {"^a$", {"a"}, {"ab"}},
      {"\\.\\*\\[\\/", {".*[/"}, {"x"}},
      {"[\xc3\xa9-\xc3\xab]", {"\xc3\xaa"}, {"e"}},
      {"", {""}, {"a"}},
      {"(|a)b?", {"", "a", "ab", "b"}, {"ba"}},
      {"(a*)*", {"", "aaa"}, {"b"}},
      {"\\D\\W\\S", {"x-y"}, {"1-y"}},
      {"[]a]", {}, {}},
  };
  for (const Case& each : cases) {
    if (each.taken.empty()) continue;
    FormRig rig(RegexForm{each.regex});
    ASSERT_NE(rig.matcher, nullptr) << each.regex;
    for (const char* text : each.taken) EXPECT_TRUE(rig.accepts(text)) << each.regex << " " << text;
    for (const char* text : each.refused) EXPECT_FALSE(rig.accepts(text)) << each.regex << " " << text;
  }
  for (const char* regex : {"*a", "a**", "(a", "a)", "[a", "a{2", "a{3,2}", "\\", "[z-a]", "(?i)a", "a\\1", "\\p{L}",
                            "[\\d-z]", "\\u{110000}", "\\ud800", "{2}", "a|*", "\xff"}) {
    EXPECT_NE(form_error(RegexForm{regex}), "") << regex;
  }
  EXPECT_EQ(form_error(RegexForm{"ab\xc3\xa9(?=x)"}),
            "reading the regular expression: at byte 6: a look ahead is not done; write the pattern without");
}

// Parts that take nothing cost no places, however many there are.
TEST(Forms, EmptyPartsLeadOn) {
  FormRig whole(RegexForm{"(?:|){2000}ab"}), nested(RegexForm{"(?:(?:|(?:|)*)*){500}ab"});
  EXPECT_TRUE(whole.accepts("ab"));
  EXPECT_TRUE(nested.accepts("ab"));
  FormRig inside(schema_form(R"({"pattern":"^(?:|){2000}ab$","type":"string"})"));
  EXPECT_TRUE(inside.accepts(R"("ab")"));
  EXPECT_FALSE(inside.accepts(R"("b")"));
  FormRig behind(RegexForm{"x(?:|){3000}y(?:a|){2000}"});
  EXPECT_TRUE(behind.accepts("xy" + std::string(1500, 'a')));
  EXPECT_TRUE(behind.accepts("xy"));
}

TEST(Forms, FormsAreSmallAndSayHowLarge) {
  FormRig person(schema_form(R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}}})"));
  EXPECT_GT(person.compiled.bytes(), 1000U);
  EXPECT_LT(person.compiled.bytes(), 100U << 10);
  FormRig large(schema_form(R"({"type":"string","maxLength":40000})"));
  EXPECT_GT(large.compiled.bytes(), 1U << 20);
  EXPECT_LT(large.compiled.bytes(), 5U << 20);
  EXPECT_NE(form_error(schema_form(R"({"type":"string","maxLength":70000})")).find("too large"), std::string::npos);
}

TEST(Forms, Choices) {
  FormRig rig(ChoiceForm{{"yes", "no", "nothing", "\xc3\xa9", "yes"}});
  for (const char* text : {"yes", "no", "nothing", "\xc3\xa9"}) EXPECT_TRUE(rig.accepts(text)) << text;
  for (const char* text : {"", "y", "noth", "yesno", "nothing "}) EXPECT_FALSE(rig.accepts(text)) << text;
  EXPECT_NE(form_error(ChoiceForm{{}}), "");
  EXPECT_NE(form_error(ChoiceForm{{"a", ""}}), "");
  EXPECT_NE(form_error(ChoiceForm{{"\xff"}}), "");
}

// Where no token reaches the end of a count, it does not matter how far the count is: such states have one mask, behind
// characters of any length.
TEST(Forms, CountsThatNoTokenReachesAreOneState) {
  FormSigns signs;
  signs.longest_token = 16;
  for (const char* schema : {R"({"type":"string","maxLength":300})", R"({"type":"string","minLength":300})"}) {
    FormRig rig(schema_form(schema), signs);
    FormMatcher::State state = rig.matcher->step(rig.matcher->begin(rig.compiled.content), "\"a");
    const FormMatcher::State twin = rig.matcher->twin(state);
    for (int n = 1; n < 280; ++n) {
      ASSERT_EQ(rig.matcher->twin(state), twin) << schema << " " << n;
      state = rig.matcher->step(state, n % 2 == 0 ? "b" : "\xc3\xa9");
    }
    for (int n = 280; n < 300; ++n) state = rig.matcher->step(state, "b");
    EXPECT_NE(state, FormMatcher::kDead);
    EXPECT_NE(rig.matcher->twin(state), twin) << "where it ends it does matter";
  }
}

// What comes to be forgotten is found again, and is the same.
TEST(Forms, SavedStatesAreStatesAgain) {
  FormRig rig(schema_form(
      R"({"type":"object","properties":{"a":{"type":"array","items":{"$ref":"#"}},"b":{"type":"string"}}})"));
  const std::string text = R"({"a":[{"a":[{"b":"x)";
  const FormMatcher::State state = rig.matcher->step(rig.matcher->begin(rig.compiled.content), text);
  FormMatcher::Saved saved, again;
  rig.matcher->save(state, saved);
  EXPECT_EQ(rig.matcher->restore(saved), state);
  rig.matcher->forget();
  const FormMatcher::State restored = rig.matcher->restore(saved);
  rig.matcher->save(restored, again);
  EXPECT_EQ(saved, again);
  const FormMatcher::State end = rig.matcher->step(restored, R"("}]}]})");
  ASSERT_NE(end, FormMatcher::kDead);
  EXPECT_TRUE(rig.matcher->may_end(end));
}

}  // namespace
}  // namespace naru::text
