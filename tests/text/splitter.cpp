// The pre-tokenizers: pieces of single texts. That whole texts give the official ids is for tokenizer.cpp.
#include "text/splitter.h"

#include <gtest/gtest.h>

#include "tests/text/fixtures.h"

namespace naru::text {
namespace {

using Pieces = std::vector<std::string>;

Pieces pieces(const Splitter& splitter, std::string_view text) {
  std::vector<size_t> ends, spare;
  splitter.split(text, ends, spare);
  Pieces out;
  size_t begin = 0;
  for (const size_t end : ends) {
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return out;
}

Splitter of_gguf(std::string name) {
  formats::TokenizerData data;
  data.gguf_pre = std::move(name);
  return Splitter::create(data).value();
}

formats::TokenizerData with_pattern(std::string pattern) {
  formats::TokenizerData data;
  formats::PreTokenizerStep split;
  split.kind = formats::PreTokenizerKind::kSplitRegex;
  split.name = "Split";
  split.pattern = std::move(pattern);
  formats::PreTokenizerStep bytes;
  bytes.kind = formats::PreTokenizerKind::kByteLevel;
  bytes.name = "ByteLevel";
  data.pre_tokenizer = {split, bytes};
  return data;
}

TEST(Splitter, Families) {
  EXPECT_EQ(pieces(of_gguf("gpt-2"), "I'd  go 12 'S"), (Pieces{"I", "'d", " ", " go", " 12", " '", "S"}));
  EXPECT_EQ(pieces(of_gguf("smollm"), "a 12"), (Pieces{"a", " ", "1", "2"}));
  EXPECT_EQ(pieces(of_gguf("llama-bpe"), "I'D x\n\n y 12345!?\n"),
            (Pieces{"I", "'D", " x", "\n\n", " y", " ", "123", "45", "!?\n"}));
  EXPECT_EQ(pieces(of_gguf("qwen2"), " 123"), (Pieces{" ", "1", "2", "3"}));
  EXPECT_EQ(pieces(of_gguf("deepseek-v3"), ".foo 1234\u4e2d\u6587ab\u0301 !?\n"),
            (Pieces{".foo", " ", "123", "4", "\u4e2d\u6587", "ab\u0301", " !?\n"}));
  EXPECT_EQ(pieces(of_gguf("deepseek-llm"), "ab 12\n\u4e2d  "), (Pieces{"ab", " ", "1", "2", "\n", "\u4e2d", "  "}));
  EXPECT_EQ(pieces(of_gguf("deepseek-coder"), "f(x)"), (Pieces{"f", "(", "x", ")"}));
}

TEST(Splitter, WhiteSpaceLeavesOneForTheWord) {
  const Splitter llama3 = of_gguf("llama-bpe");
  EXPECT_EQ(pieces(llama3, "a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(pieces(llama3, "a   "), (Pieces{"a", "   "}));
  EXPECT_EQ(pieces(llama3, "a \n \n  b"), (Pieces{"a", " \n \n", " ", " b"}));
  EXPECT_EQ(pieces(llama3, "\u3000\u3000b"), (Pieces{"\u3000", "\u3000b"}));
  EXPECT_EQ(pieces(llama3, "\n\n"), (Pieces{"\n\n"}));
  EXPECT_EQ(pieces(llama3, ""), Pieces{});
}

TEST(Splitter, GgufNamesMeanTheSameAsTheFiles) {
  const std::pair<std::string, std::string> names[] = {{"gpt-2", "gpt2"},
                                                       {"smollm", "smollm"},
                                                       {"llama-bpe", "llama3"},
                                                       {"qwen2", "qwen2"},
                                                       {"deepseek-r1-qwen", "qwen2"},
                                                       {"deepseek-v3", "deepseek_v3"},
                                                       {"deepseek-llm", "deepseek_v2"},
                                                       {"deepseek-coder", "deepseek_coder"}};
  const Value cases = read_json_fixture("tokenizer_cases.json");
  for (const auto& [gguf, file] : names) {
    const Splitter from_file = Splitter::create(read_tokenizer_data(file)).value();
    const Splitter from_gguf = of_gguf(gguf);
    for (const Value& test : *cases.find(file)->find("encode")->as_list()) {
      const std::string text = repair_utf8(from_hex(*test.find("hex")->as_string()));
      EXPECT_EQ(pieces(from_gguf, text), pieces(from_file, text)) << gguf;
    }
  }
  EXPECT_TRUE(gguf_pre_uses_nfc("qwen2"));
  EXPECT_FALSE(gguf_pre_uses_nfc("deepseek-v3"));
  EXPECT_TRUE(gguf_pre_ignores_merges("llama-bpe"));
}

TEST(Splitter, RefusesUnknownPatternsByName) {
  for (const char* pattern : {"\\w+|[^\\w\\s]+", "[^a]+", "[[:alpha:]]+", "[a&&b]", "a+", "\\s?[a-z]*", "[z-a]+", "[a",
                              "", "(?i:'s|'t)|\\p{L}+", "\\p{Greek}+", "\\p{N}{2,3}"}) {
    const auto splitter = Splitter::create(with_pattern(pattern));
    ASSERT_FALSE(splitter.ok()) << pattern;
    EXPECT_EQ(splitter.error().code, Code::kUnsupported);
    EXPECT_NE(splitter.error().message.find(pattern), std::string::npos) << splitter.error().message;
  }
  formats::TokenizerData data;
  data.gguf_pre = "gpt-5-secret";
  const auto splitter = Splitter::create(data);
  ASSERT_FALSE(splitter.ok());
  EXPECT_NE(splitter.error().message.find("gpt-5-secret"), std::string::npos);
}

TEST(Splitter, ReadsRunsOfOneClass) {
  const auto run = [](std::string pattern) { return Splitter::create(with_pattern(std::move(pattern))).value(); };
  EXPECT_EQ(pieces(run("\\s?[a-c\\]]+"), "xab c]d"), (Pieces{"x", "ab", " c]", "d"}));
  EXPECT_EQ(pieces(run("[\\r\\n]"), "a\r\nb"), (Pieces{"a", "\r", "\n", "b"}));
  EXPECT_EQ(pieces(run("\\p{N}{1,2}"), "12345"), (Pieces{"12", "34", "5"}));
  // The optional white space is given up where nothing of the class follows, and is a member itself here.
  EXPECT_EQ(pieces(run("\\s?[\u3000-\u3002]+"), "a\u3000b \u3001"), (Pieces{"a", "\u3000", "b", " \u3001"}));
}

TEST(Splitter, LongRunsTakeLinearTime) {
  // Each of these would take minutes where a matcher looks back or ahead over the whole run.
  for (const char* name : {"gpt-2", "llama-bpe", "deepseek-v3", "deepseek-llm"}) {
    const Splitter splitter = of_gguf(name);
    for (const std::string unit : {" ", "\n", " \n", "a", "'", "1", "\u4e2d", "\u0301", "a "}) {
      std::string text;
      while (text.size() < 300000) text += unit;
      size_t total = 0;
      for (const std::string& piece : pieces(splitter, text)) total += piece.size();
      EXPECT_EQ(total, text.size());
    }
  }
}

}  // namespace
}  // namespace naru::text
