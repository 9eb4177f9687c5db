// The text of an answer: stop strings at every way to cut the text into tokens, whole characters, special tokens,
// reasoning apart from content.
#include "engine/text_stream.h"

#include "tests/engine/vocabulary.h"

namespace naru::engine {
namespace {

std::set<std::string> all_pieces(const std::string& text) {
  std::set<std::string> pieces;
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (size_t n = 1; begin + n <= text.size(); ++n) pieces.insert(text.substr(begin, n));
  }
  return pieces;
}

struct Outcome {
  std::string reasoning, content;
  bool is_stopped = false;
  bool operator==(const Outcome&) const = default;
};

// Runs the text through a stream, cut behind byte i where bit i of `cuts` is set; checks what must hold at every token.
Outcome run_cut(const Vocabulary& vocabulary, const TextOptions& options, const std::string& text, uint32_t cuts,
                const Outcome* wanted) {
  auto stream = TextStream::create(*vocabulary, options);
  EXPECT_TRUE(stream.ok());
  Outcome got;
  const auto take = [&](const TextDelta& delta) {
    EXPECT_TRUE(text::is_valid_utf8(delta.content) && text::is_valid_utf8(delta.reasoning));
    got.reasoning += delta.reasoning;
    got.content += delta.content;
    got.is_stopped |= delta.is_stopped;
    if (wanted == nullptr) return;
    EXPECT_EQ(wanted->content.compare(0, got.content.size(), got.content), 0) << "gave out too much: " << got.content;
    EXPECT_EQ(wanted->reasoning.compare(0, got.reasoning.size(), got.reasoning), 0) << got.reasoning;
  };
  size_t begin = 0;
  for (size_t i = 0; i < text.size() && !got.is_stopped; ++i) {
    if (i + 1 < text.size() && (cuts >> i & 1u) == 0) continue;
    take(stream->push(vocabulary.id(text.substr(begin, i + 1 - begin))));
    begin = i + 1;
  }
  take(stream->finish());
  return got;
}

void expect_at_every_cut(const TextOptions& options, const std::string& text, const Outcome& wanted) {
  ASSERT_LE(text.size(), 17u);
  const Vocabulary vocabulary(all_pieces(text), false);
  for (uint32_t cuts = 0; cuts < 1u << (text.size() - 1); ++cuts) {
    const Outcome got = run_cut(vocabulary, options, text, cuts, &wanted);
    ASSERT_EQ(got, wanted) << text << " cut by " << cuts << ": '" << got.content << "' '" << got.reasoning << "'";
  }
}

TextOptions with_stops(std::vector<std::string> stops) {
  TextOptions options;
  options.stop = std::move(stops);
  return options;
}

TEST(TextStream, StopStringsAtEveryCut) {
  expect_at_every_cut(with_stops({"STOP"}), "ab STOP cd", {"", "ab ", true});
  expect_at_every_cut(with_stops({"STOP"}), "STSTOSTOPx", {"", "STSTO", true});
  expect_at_every_cut(with_stops({"STOP"}), "no STO end", {"", "no STO end", false});
  expect_at_every_cut(with_stops({"STOP"}), "ends in ST", {"", "ends in ST", false});
  expect_at_every_cut(with_stops({"aab"}), "aaaab aab", {"", "aa", true});
  expect_at_every_cut(with_stops({"abcd", "bc"}), "xabcdef", {"", "xa", true});
  expect_at_every_cut(with_stops({"bc", "abc"}), "xxabcdef", {"", "xx", true});
  expect_at_every_cut(with_stops({"\n\n", "\n#"}), "a\nb\n#c", {"", "a\nb", true});
  expect_at_every_cut(with_stops({"a"}), "abc", {"", "", true});
}

TEST(TextStream, WholeCharactersAtEveryCut) {
  expect_at_every_cut({}, "é나루😀", {"", "é나루😀", false});
  expect_at_every_cut(with_stops({"루"}), "é나루😀", {"", "é나", true});
  expect_at_every_cut(with_stops({"😀"}), "é😁😀", {"", "é😁", true});
}

TEST(TextStream, ACutCharacterAtTheEndIsReplaced) {
  const Vocabulary vocabulary;
  auto stream = TextStream::create(*vocabulary, {}).value();
  EXPECT_EQ(stream.push('a').content, "a");
  EXPECT_EQ(stream.push(0xF0).content, "");
  EXPECT_EQ(stream.push(0x9F).content, "");
  EXPECT_EQ(stream.finish().content, "\xEF\xBF\xBD");
}

TEST(TextStream, ReasoningAtEveryCut) {
  TextOptions options;
  options.split_reasoning = true;
  expect_at_every_cut(options, "<think>a</think>b", {"a", "b", false});
  expect_at_every_cut(options, "\n <think>a<b", {"a<b", "", false});
  expect_at_every_cut(options, "<think>a</thi", {"a</thi", "", false});
  expect_at_every_cut(options, "a<think>b", {"", "a<think>b", false});
  expect_at_every_cut(options, " <thinx", {"", " <thinx", false});
  expect_at_every_cut(options, " <", {"", " <", false});
  options.starts_in_reasoning = true;
  expect_at_every_cut(options, "a</</think>b", {"a</", "b", false});
  options.stop = {"b<"};
  expect_at_every_cut(options, "ab</think>c", {"a", "", true});
  options.stop = {"c"};
  expect_at_every_cut(options, "ab</think>dc", {"ab", "d", true});
  options.stop = {"think"};
  expect_at_every_cut(options, "ab</think>dc", {"ab</", "", true});
}

TEST(TextStream, SpecialTokensGiveNoTextButMarkersSplit) {
  const Vocabulary vocabulary;
  TextOptions options;
  options.split_reasoning = true;
  options.starts_in_reasoning = true;
  auto stream = TextStream::create(*vocabulary, options).value();
  EXPECT_TRUE(stream.is_reasoning());
  EXPECT_EQ(stream.push('x').reasoning, "x");
  EXPECT_TRUE(stream.push(vocabulary.id("<|end|>")).empty());
  EXPECT_TRUE(stream.push(vocabulary.id("</think>")).empty());
  EXPECT_FALSE(stream.is_reasoning());
  EXPECT_EQ(stream.push('y').content, "y");
  EXPECT_TRUE(stream.finish().empty());

  options = {};
  options.skip_special = false;
  auto plain = TextStream::create(*vocabulary, options).value();
  EXPECT_EQ(plain.push(vocabulary.id("<|end|>")).content, "<|end|>");
}

// The outcome of an answer, "[" and "]" in `text` standing for the tokens of the tags, the rest cut as `cuts` says.
Outcome run_tagged(const Vocabulary& vocabulary, const TextOptions& options, const std::string& text, uint32_t cuts) {
  auto stream = TextStream::create(*vocabulary, options).value();
  Outcome got;
  std::string waiting;
  const auto take = [&](const TextDelta& delta) {
    got.reasoning += delta.reasoning;
    got.content += delta.content;
    got.is_stopped |= delta.is_stopped;
  };
  const auto flush = [&] {
    if (!waiting.empty() && !got.is_stopped) take(stream.push(vocabulary.id(waiting)));
    waiting.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[' || text[i] == ']') {
      flush();
      if (!got.is_stopped) take(stream.push(vocabulary.id(text[i] == '[' ? "<think>" : "</think>")));
      continue;
    }
    waiting += text[i];
    if ((cuts >> i & 1u) != 0) flush();
  }
  flush();
  take(stream.finish());
  return got;
}

void expect_tagged(const TextOptions& options, const std::string& text, const Outcome& wanted) {
  // Pieces that spell a whole tag are the tags' own tokens here, and no answer spells a tag so.
  std::set<std::string> pieces = all_pieces(text);
  std::erase_if(pieces, [](const std::string& piece) { return piece == "<think>" || piece == "</think>"; });
  const Vocabulary vocabulary(pieces);
  ASSERT_LE(text.size(), 16u);
  for (uint32_t cuts = 0; cuts < 1u << text.size(); ++cuts) {
    bool spells_whole = false;
    size_t begin = 0;
    for (size_t i = 0; i <= text.size(); ++i) {
      const bool is_border = i == text.size() || text[i] == '[' || text[i] == ']' || (cuts >> i & 1u) != 0;
      if (!is_border) continue;
      const size_t end = i < text.size() && text[i] != '[' && text[i] != ']' ? i + 1 : i;
      const std::string piece = text.substr(begin, end - begin);
      spells_whole |= piece == "<think>" || piece == "</think>";
      begin = i + 1;
    }
    if (spells_whole) continue;
    const Outcome got = run_tagged(vocabulary, options, text, cuts);
    ASSERT_EQ(got, wanted) << text << " cut by " << cuts << ": '" << got.content << "' '" << got.reasoning << "'";
  }
}

// Where the vocabulary has the tags as tokens, those who spell them have begun or ended nothing.
TEST(TextStream, SpelledTagsAreTextWhereTheTagsAreTokens) {
  TextOptions options;
  options.split_reasoning = true;
  expect_tagged(options, "[a</think>b]c", {"a</think>b", "c", false});
  expect_tagged(options, "<think>a]b", {"", "<think>a</think>b", false});
  expect_tagged(options, " <think>", {"", " <think>", false});
  expect_tagged(options, "</think>a", {"", "</think>a", false});
  expect_tagged(options, "\n [a<b", {"a<b", "", false});
  expect_tagged(options, "[a</thi]b", {"a</thi", "b", false});
  expect_tagged(options, "[[a]b]c", {"<think>a", "b</think>c", false});
  expect_tagged(options, "a[b]", {"", "a<think>b</think>", false});
  expect_tagged(options, "<t[b]", {"", "<t<think>b</think>", false});
  expect_tagged(options, "]a", {"", "</think>a", false});
  options.starts_in_reasoning = true;
  expect_tagged(options, "a</think>b", {"a</think>b", "", false});  // cut by a limit before its end
  expect_tagged(options, "</think>]b", {"</think>", "b", false});
  expect_tagged(options, "<think>a]b", {"<think>a", "b", false});
  // Stop strings are found in the text of the tags too, and across them.
  options.stop = {"think"};
  expect_tagged(options, "ab]dc", {"ab</", "", true});
  options.stop = {"b<"};
  expect_tagged(options, "ab]c", {"a", "", true});
  options.stop = {">d"};
  expect_tagged(options, "ab]c", {"ab", "c", false});
  expect_tagged(options, "ab]dc", {"ab</think", "", true});
  options.stop = {">xy"};
  expect_tagged(options, "ab]xz", {"ab", "xz", false});
  expect_tagged(options, "ab]x", {"ab", "x", false});
  options.stop = {"think>c"};
  expect_tagged(options, "[b]d", {"<think>b", "d", false});
}

TEST(TextStream, WithoutSplittingTagsAreText) {
  expect_tagged({}, "[a]b", {"", "ab", false});  // they are special tokens here, which give no text
  TextOptions options;
  options.skip_special = false;
  expect_tagged(options, "[a]b", {"", "<think>a</think>b", false});
}

// Calls apart from content, cut as the answer's tokens cut them; which stop string ended it.
TEST(TextStream, CallsOfTools) {
  const std::vector<std::string> markers = {"<tool_call>", "</tool_call>"};
  const Vocabulary with_tokens({}, true, markers), without;
  const auto run = [](const Vocabulary& vocabulary, TextOptions options, const std::vector<std::string>& parts) {
    options.split_reasoning = true;
    options.calls = text::ToolCallOptions{text::ToolCallForm::kHermes, {"f"}, "\n", options.calls ? 1 : 0};
    auto stream = TextStream::create(*vocabulary, options).value();
    std::string reasoning, said;
    bool is_stopped = false;
    const auto take = [&](const TextDelta& delta) {
      reasoning += delta.reasoning;
      said += delta.content;
      for (const text::ToolCall& call : delta.calls) said += "[" + call.name + call.arguments + "]";
      if (delta.is_stopped) said += "!" + delta.stop;
      is_stopped = delta.is_stopped;
    };
    for (const std::string& part : parts) {
      const auto whole = (*vocabulary).find(part);
      if (whole && !is_stopped) take(stream.push(*whole));
      for (size_t i = 0; !whole && i < part.size() && !is_stopped; ++i) {
        take(stream.push(vocabulary.id(part.substr(i, 1))));
      }
    }
    take(stream.finish());
    return reasoning + "|" + said;
  };
  const std::string call = "{\"name\":\"f\",\"arguments\":{\"a\":1}}";
  for (const Vocabulary* vocabulary : {&with_tokens, &without}) {
    EXPECT_EQ(run(*vocabulary, {}, {"<think>", "x", "</think>", "\n", "<tool_call>", call, "</tool_call>"}),
              "x|[f{\"a\":1}]");
    EXPECT_EQ(run(*vocabulary, {}, {"hi\n", "<tool_call>", call, "</tool_call>", "<|end|>", "x"}), "|hi[f{\"a\":1}]x");
    EXPECT_EQ(run(*vocabulary, {}, {"<think>", "<tool_call>", "y"}), "<tool_call>y|");
    EXPECT_EQ(run(*vocabulary, with_stops({"1}"}), {"<tool_call>", call}),
              "|<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":!1}");
    TextOptions once;
    once.calls.emplace();
    EXPECT_EQ(run(*vocabulary, once, {"<tool_call>", call, "</tool_call>", "more"}), "|[f{\"a\":1}]!");
  }
  EXPECT_EQ(run(with_tokens, {}, {"<tool_", "call>", call}), "|<tool_call>" + call) << "spelled";
}

// A special token that begins a call is a marker, and no text where it begins none.
TEST(TextStream, AMarkerThatIsASpecialToken) {
  const Vocabulary vocabulary({}, true, {"<|python_tag|>"});
  const auto run = [&](bool skip_special, const std::string& text) {
    TextOptions options;
    options.split_reasoning = true;
    options.skip_special = skip_special;
    options.calls = text::ToolCallOptions{text::ToolCallForm::kBare, {"f"}, "", 0};
    auto stream = TextStream::create(*vocabulary, options).value();
    TextDelta all = stream.push(vocabulary.id("<|python_tag|>"));
    const auto take = [&](TextDelta delta) {
      all.content += delta.content;
      for (auto& call : delta.calls) all.calls.push_back(std::move(call));
    };
    for (const char byte : text) take(stream.push(vocabulary.id(std::string(1, byte))));
    take(stream.finish());
    return all.content + (all.calls.empty() ? "" : "[" + all.calls[0].name + "]");
  };
  EXPECT_EQ(run(true, "{\"name\":\"f\",\"parameters\":{}}"), "[f]");
  EXPECT_EQ(run(false, "{\"name\":\"f\",\"parameters\":{}}"), "[f]");
  EXPECT_EQ(run(true, "print(1)"), "print(1)");
  EXPECT_EQ(run(false, "print(1)"), "<|python_tag|>print(1)");
}

TEST(TextStream, RefusesBadStops) {
  const Vocabulary vocabulary;
  const auto is_fine = [&](std::vector<std::string> stops) {
    const auto stream = TextStream::create(*vocabulary, with_stops(std::move(stops)));
    if (!stream.ok()) {
      EXPECT_EQ(stream.error().code, Code::kInvalidArgument);
    }
    return stream.ok();
  };
  EXPECT_TRUE(is_fine({std::string(kStopStringBytesMax, 'x')}));
  EXPECT_FALSE(is_fine({std::string(kStopStringBytesMax + 1, 'x')}));
  EXPECT_FALSE(is_fine({""}));
  EXPECT_FALSE(is_fine({"\xFF"}));
  EXPECT_TRUE(is_fine(std::vector<std::string>(kStopStringsMax, "x")));
  EXPECT_FALSE(is_fine(std::vector<std::string>(kStopStringsMax + 1, "x")));
}

}  // namespace
}  // namespace naru::engine
