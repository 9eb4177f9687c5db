// Training data as people have it: the forms of lines, what else a file may be, arrays, and all that is wrong at once.
#include <fmt/format.h>

#include <set>
#include <tuple>

#include "data/array_reader.h"
#include "data/bad_lines.h"
#include "data/containers.h"
#include "data/conversation.h"
#include "data/limits.h"
#include "tests/data/rig.h"

namespace naru::data {
namespace {

constexpr const char* kPlainTurns =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + ':' + m.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant:' }}{% endif %}";
// Writes tools and calls as JSON, as Qwen2.5 does.
constexpr const char* kToolTurns =
    "{% if tools %}{{ '<|im_start|>tools:' + (tools | tojson) + '<|im_end|>' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + ':' + (m.content or '') }}"
    "{% for c in m.tool_calls or [] %}{{ '(' + c.function.name + ' ' }}ARGUMENTS{{ ')' }}{% endfor %}"
    "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant:' }}{% endif %}";

std::string tool_turns(const std::string& arguments) {
  std::string text = kToolTurns;
  return text.replace(text.find("ARGUMENTS"), 9, arguments);
}

text::ChatTemplate template_of(const std::string& source) {
  return text::ChatTemplate::create(source, {}).value();
}

// "user:a|assistant:b", or the error.
std::string messages_of(const std::string& line) {
  const auto sample = parse_sample(line, "x.jsonl:1");
  if (!sample.ok()) return sample.error().message;
  if (!sample->is_chat) return "text:" + sample->text;
  std::string out(form_name(sample->form));
  for (const text::Value& message : sample->messages) {
    const text::Value* content = message.find("content");
    out += fmt::format("|{}:{}", *message.find("role")->as_string(),
                       content && content->as_string() ? *content->as_string() : "-");
    if (message.find("tool_calls")) out += "()";
  }
  return out;
}

// The text of the only document of a line, or the error.
std::string learnt(const std::string& line, const std::string& source) {
  static const text::Tokenizer tokenizer = make_test_tokenizer();
  const auto sample = parse_sample(line, "x.jsonl:1");
  if (!sample.ok()) return sample.error().message;
  const auto made = assistant_documents(*sample, template_of(source), tokenizer, "x.jsonl:1");
  if (!made.ok()) return made.error().message;
  std::string out = made->documents.size() == 1 ? marked(made->documents[0], tokenizer) : "no single document";
  for (const std::string& note : made->shared_notes) out += " NOTE " + note;
  return out;
}

void expect_part(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << part << "\n in " << text;
}

TEST(Forms, EveryFormIsMessages) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})",
       "messages|user:a|assistant:b"},
      {R"({"conversations": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]})", "messages|user:a"},
      {R"({"system": "s", "messages": [{"role": "user", "content": "a"}]})", "messages|system:s|user:a"},
      {R"({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "id": 7})",
       "ShareGPT|user:a|assistant:b"},
      {R"({"messages": [{"from": "user", "value": "a"}, {"from": "chatgpt", "value": "b"}]})",
       "ShareGPT|user:a|assistant:b"},
      {R"({"system": "s", "conversation": [{"from": "human", "value": "a"},
          {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
          {"from": "observation", "value": "2"}, {"from": "gpt", "value": "b"}]})",
       "ShareGPT|system:s|user:a|assistant:-()|tool:2|assistant:b"},
      {R"({"instruction": "a", "input": "", "output": "b", "text": "Below is an instruction"})",
       "Alpaca|user:a|assistant:b"},
      {R"({"instruction": "a", "input": "x\ny", "output": "b", "system": "s", "history": [["q", "r"]]})",
       "Alpaca|system:s|user:q|assistant:r|user:a\nx\ny|assistant:b"},
      {R"({"instruction": "", "input": "x", "output": "b"})", "Alpaca|user:x|assistant:b"},
      {R"({"prompt": "a", "completion": " b"})", "prompt and completion|user:a|assistant: b"},
      {R"({"text": "a", "instruction": 5, "prompt": 1})", "text:a"},
  };
  for (const auto& [line, wanted] : cases) EXPECT_EQ(messages_of(line), wanted) << line;
  EXPECT_EQ(parse_sample(R"({"instruction": "a", "output": "b", "text": "c"})", "x")->note,
            "\"text\" left out: instruction, input and output beside it are read");
}

TEST(Forms, WhatIsNoneOfThemSaysWhatToWrite) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"instruction": "a", "response": "b"})", "call the answer \"output\""},
      {R"({"prompt": "a", "response": "b"})", "call the answer \"completion\""},
      {R"({"question": "a", "answer": "b"})", "\"prompt\" and \"completion\""},
      {R"({"prompt": "a", "chosen": "b", "rejected": "c"})", "keep the better one"},
      {R"({"prompt": [{"role": "user", "content": "a"}], "completion": []})", "prompt is an array"},
      {R"({"instruction": "", "output": "b"})", "instruction is empty"},
      {R"({"instruction": "a", "output": null})", "output is null, a string was wanted"},
      {R"({"instruction": "a", "output": "b", "history": [["a"]]})", "history is no list of pairs"},
      {R"({"messages": [], "text": "a"})", "both \"text\" and \"messages\""},
      {R"({"messages": [], "conversations": []})", "both \"messages\" and \"conversations\""},
      {R"({"prompt": "a", "completion": "b", "messages": []})", "both \"messages\" and \"completion\""},
      {R"({"conversations": {}})", "conversations is an object, an array was wanted"},
      {R"({"conversations": []})", "conversations is empty"},
      {R"({"conversations": [{"from": "narrator", "value": "a"}]})", "conversations[0].from is 'narrator'"},
      {R"({"conversations": [{"from": "human"}]})", "conversations[0].value is missing"},
      {R"({"conversations": [{"from": "human", "value": "a"}, {"role": "user", "content": "a"}]})",
       "conversations[1] is an object with \"role\""},
      {R"({"messages": [{"role": "user", "content": "a"}, {"from": "gpt", "value": "a"}]})",
       "messages[1] is an object with \"from\""},
      {R"({"conversations": [{"from": "function_call", "value": "f 1"}]})", "conversations[0].value is no JSON"},
      {R"({"conversations": [{"from": "function_call", "value": "[]"}]})", "conversations[0].value is empty"},
      {R"({"messages": [{"role": "assistant", "content": null, "function_call": {"name": "f"}}]})",
       "write \"tool_calls\""},
      {R"({"messages": [{"role": "function", "content": "a"}]})", "write tool"},
      {R"({"functions": [], "messages": [{"role": "user", "content": "a"}]})", "write \"tools\""},
      {R"({"tools": "[{]", "messages": [{"role": "user", "content": "a"}]})", "tools is a string that is no JSON"},
      {R"({"tools": [5], "messages": [{"role": "user", "content": "a"}]})", "does not hold objects alone"},
      {R"({"messages": [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]})", "an array of 2 parts"},
      {R"({"system": "s", "messages": [{"role": "system", "content": "a"}]})", "a first message of that role"},
  };
  for (const auto& [line, wanted] : cases) expect_part(messages_of(line), wanted);
}

// Arguments come as OpenAI has them, a text, or as an object; templates want one or the other.
TEST(Forms, ArgumentsAreGivenAsTheTemplateWritesThem) {
  const auto line = [](const std::string& arguments) {
    return R"({"tools": [{"type": "function", "function": {"name": "get"}}], "messages": [)"
           R"({"role": "user", "content": "q"}, {"role": "assistant", "content": null, "tool_calls": [)"
           R"({"id": "1", "type": "function", "function": {"name": "get", "arguments": )" +
           arguments + R"(}}]}, {"role": "tool", "content": "5"}, {"role": "assistant", "content": "five"}]})";
  };
  const std::string by_json = tool_turns("{{ c.function.arguments | tojson }}");
  const std::string by_text = tool_turns("{{ c.function.arguments + '' }}");
  const std::string by_either =
      tool_turns("{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}");
  const std::string by_repr = tool_turns("{{ c.function.arguments }}");
  for (const char* arguments : {R"({"a": "b\"c"})", R"("{\"a\": \"b\\\"c\"}")"}) {
    for (const std::string& source : {by_json, by_text, by_either, by_repr}) {
      expect_part(learnt(line(arguments), source), R"([(get {"a": "b\"c"})<|im_end|>])");
    }
  }
  // Without arguments only the quotation marks tell.
  for (const char* arguments : {"{}", R"("{}")"}) {
    for (const std::string& source : {by_json, by_text}) {
      expect_part(learnt(line(arguments), source), "[(get {})<|im_end|>]");
    }
  }
  // The author's own spaces stay where the template leaves them.
  expect_part(learnt(line(R"("{\"a\":1}")"), by_either), R"((get {"a":1}))");
  expect_part(learnt(line(R"("{\"a\":1}")"), by_json), R"((get {"a": 1}))");
  // What is no JSON is nobody's object.
  expect_part(learnt(line(R"("a=1")"), by_text), "(get a=1)");
  // tools as text, as tables keep them.
  const std::string as_text = R"({"tools": "[{\"name\": \"get\"}]", "conversations": [{"from": "human", "value": "q"},
      {"from": "function_call", "value": "{\"name\": \"get\", \"arguments\": {}}"}]})";
  expect_part(learnt(as_text, by_json), R"(tools:[{"name": "get"}]<|im_end|>)");
}

TEST(Forms, WhatTheTemplateLeavesOutIsSaid) {
  const char* no_tools =
      "{% for m in messages %}{% if m.role in ['user', 'assistant'] %}{{ '<|im_start|>' + m.role + ':' + m.content + "
      "'<|im_end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant:' }}{% endif %}";
  const std::string tool = R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"},
      {"role": "tool", "content": "5"}, {"role": "assistant", "content": "b"}]})";
  expect_part(learnt(tool, no_tools), "messages[2] is what a tool gave, and the chat template does not write it; ");
  expect_part(learnt(tool, kPlainTurns), "<|im_start|>tool:5<|im_end|>");
  const std::string system = R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
      {"role": "assistant", "content": "a"}]})";
  expect_part(learnt(system, no_tools), "NOTE a message of role system is not in it");
  EXPECT_EQ(learnt(system, kPlainTurns).find("NOTE"), std::string::npos);
}

struct FileRig : ::testing::Test {
  Result<BatchStream> read(const std::string& name, recipes::RunKind kind = recipes::RunKind::kPretrain,
                           const std::function<bool()>& should_stop = {}) {
    recipes::Recipe recipe = make_recipe({path_source(name)}, 256);
    recipe.kind = kind;
    static const text::Tokenizer tokenizer = make_test_tokenizer();
    static const text::ChatTemplate chat = make_test_template();
    return BatchStream::open(recipe, recipe.data, tokenizer, &chat, folder.path(), {.should_stop = should_stop});
  }
  std::string refusal(const std::string& name, recipes::RunKind kind = recipes::RunKind::kPretrain) {
    const auto stream = read(name, kind);
    EXPECT_FALSE(stream.ok()) << name;
    return stream.ok() ? "" : stream.error().message;
  }
  Folder folder;
};
using DataFiles = FileRig;

TEST_F(DataFiles, AnArrayIsReadElementByElement) {
  const std::string a = R"({"instruction": "[a", "input": "\"}]", "output": "b\\"})", b = R"({"instruction": "c",
    "output": "d"})";
  folder.write("a.jsonl", a + "\n" + R"({"instruction": "c", "output": "d"})");
  folder.write("one.json", "[" + a + "," + b + "]");
  folder.write("lines.json", "\xEF\xBB\xBF\r\n [\n  " + a + " ,\n\n  " + b + "\n]\n\n");
  const auto wanted = read("a.jsonl");
  ASSERT_TRUE(wanted.ok()) << wanted.error().message;
  EXPECT_EQ(wanted->files().at(0).form, "Alpaca");
  for (const char* name : {"one.json", "lines.json"}) {
    const auto stream = read(name);
    ASSERT_TRUE(stream.ok()) << stream.error().message;
    EXPECT_EQ(stream->sha256(), wanted->sha256()) << name;
    EXPECT_EQ(stream->files().at(0).form, "Alpaca in an array");
    EXPECT_EQ(stream->files().at(0).bytes, static_cast<int64_t>(std::filesystem::file_size(folder.path() / name)));
    std::set<std::string> places;
    for (int64_t i = 0; i < stream->n_documents(); ++i) places.insert(stream->place(stream->document(i)));
    EXPECT_EQ(places, (std::set<std::string>{std::string(name) + "[0]", std::string(name) + "[1]"}));
  }
}

TEST_F(DataFiles, BrokenArraysSayWhere) {
  const std::pair<std::string, const char*> cases[] = {
      {"[", "the file ends inside of the array"},
      {"[{\"text\": \"a\"}", "at line 1, column 15: the file ends inside of the array"},
      {"[\n{\"text\": \"a\"},\n]", "[1]: at line 3, column 1: syntax error"},
      {"[{\"text\": \"a\"}] x", "at line 1, column 17: more text behind the array"},
      {"[{\"text\": \"a\"}}]", "column 15: a } that closes nothing"},
      {"[{\"text\": \"a\"},\n  {\"text\": \"b\" \"c\"}]", "[1]: at line 2, column 18: syntax error"},
      {"[\n\n{\"text\":\n7x}]", "[0]: at line 4, column 2: syntax error"},
      {"[]", "the file is empty"},
      {"[[1], 2]", "[0]: the line is an array"},
      {"[\"" + std::string(kDataLineBytesMax, 'a') + "\"]", "[0]: the element has more than 8388608 bytes"},
      {"[" + std::string(100, '[') + std::string(100, ']') + "]", "more than 64 deep"},
      {"{\n  \"data\": []\n}\n", "one JSON object over several lines"},
  };
  for (const auto& [text, wanted] : cases) {
    folder.write("a.json", text);
    expect_part(refusal("a.json"), wanted);
    EXPECT_EQ(refusal("a.json").find("get it again"), std::string::npos);
  }
}

TEST_F(DataFiles, AllBadLinesAreListed) {
  std::string lines = "{\"text\": \"a\"}\n{\"text\": \"b\", }\n{\"txt\": 1}\n";
  folder.write("a.jsonl", lines);
  const std::string three = refusal("a.jsonl");
  expect_part(three, "reading a.jsonl: 2 of its 3 lines cannot be read; correct them, or take them out:\n");
  expect_part(three, "\n  a.jsonl:2: at line 2, column 15: syntax error");
  expect_part(three, "\n  a.jsonl:3: the line is an object without");
  EXPECT_EQ(three.find("get it again"), std::string::npos) << three;
  for (int i = 0; i < 30; ++i) lines += "{\"text\": 5}\n";
  folder.write("a.jsonl", lines);
  const std::string many = refusal("a.jsonl");
  expect_part(many, "32 of its 33 lines");
  expect_part(many, "\n  a.jsonl:21: text is a number");
  EXPECT_EQ(many.find("a.jsonl:22"), std::string::npos);
  expect_part(many, "\n  and 12 more");
  // One alone is said as it is; a line that breaks off says where.
  folder.write("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\n");
  const std::string one = refusal("a.jsonl");
  EXPECT_EQ(one.find("reading a.jsonl:2: at line 2, column 12: "), 0u) << one;
  EXPECT_EQ(one.find('\n'), std::string::npos) << one;
  // What the template refuses is listed too.
  folder.write("a.jsonl", R"({"tools": [{"name": "f"}], "messages": [{"role": "user", "content": "a"}]})"
                          "\n"
                          R"({"messages": [{"role": "user", "content": "a"}]})"
                          "\n"
                          R"({"messages": [{"role": "bot", "content": "a"}]})");
  const std::string mixed = refusal("a.jsonl");
  expect_part(mixed, "\n  a.jsonl:1: it has \"tools\", and the chat template does not write them");
  expect_part(mixed, "\n  a.jsonl:3: messages[0].role is 'bot'");
}

TEST_F(DataFiles, TwoFormsInOneFileAreRefused) {
  folder.write("a.jsonl", R"({"prompt": "a", "completion": "b"})"
                          "\n"
                          R"({"prompt": "a", "completion": "b"})"
                          "\n"
                          R"({"instruction": "a", "output": "b"})"
                          "\n"
                          R"({"text": "a"})"
                          "\n{\n");
  const std::string message = refusal("a.jsonl");
  expect_part(message,
              "its lines are of 3 forms, prompt and completion (first at a.jsonl:1), Alpaca (first at a.jsonl:3), text "
              "(first at a.jsonl:4), one was wanted");
  expect_part(message, "1 of its 5 lines cannot be read:\n  a.jsonl:5");
  folder.write("d/a.jsonl", R"({"prompt": "a", "completion": "b"})");
  folder.write("d/b.json", R"([{"text": "a"}])");
  folder.write("d/about.json", "{\"license\": \"none\"}");
  folder.write("d/c.parquet", std::string("PAR1\x15\0", 6));
  const auto stream = read("d");
  ASSERT_TRUE(stream.ok()) << stream.error().message;
  EXPECT_EQ(stream->files().at(1).form, "text in an array");
  ASSERT_EQ(stream->notes().size(), 2u);
  expect_part(stream->notes()[0].reason, "no JSON array");
  expect_part(stream->notes()[1].reason, "a Parquet file; make lines of JSON of it: python3");
}

TEST_F(DataFiles, OtherContainersAreKnownByTheirBytes) {
  const std::tuple<const char*, std::string, const char*, const char*> cases[] = {
      {"a.parquet", std::string("PAR1\x15\x04\0", 7), "a Parquet file",
       "pandas.read_parquet(\"a.parquet\").to_json(\"a.jsonl\", orient=\"records\", lines=True"},
      {"a.jsonl", std::string("PAR1\x15\x04\0", 7), "a Parquet file", "to_json(\"a-lines.jsonl\""},
      {"a.arrow", std::string("\xFF\xFF\xFF\xFF\x10\0", 6), "an Arrow stream",
       "datasets.Dataset.from_file(\"a.arrow\")"},
      {"a.arrow", std::string("ARROW1\0\0", 8), "an Arrow file", "read_feather"},
      {"a.csv", "a,b\n1,2\n", "a table of values between commas", "read_csv(\"a.csv\")"},
      {"a.tsv", "a\tb\n", "between tabs", "sep=\"\\t\""},
      {"a.jsonl.gz", "\x1F\x8B\x08", "compressed by gzip", "gzip -dk a.jsonl.gz"},
      {"a.txt", "\x1F\x8B\x08", "compressed by gzip", "gzip -dk a.txt"},
      {"a.jsonl.zst", "\x28\xB5\x2F\xFD", "compressed by Zstandard", "zstd -d a.jsonl.zst"},
      {"a.xlsx", "PK\x03\x04", "an Excel sheet", "read_excel"},
      {"a.jsonl", "PK\x03\x04", "a ZIP archive", "unzip"},
      {"a b'.csv", "", "commas", "read_csv(\"FILE\").to_json(\"data.jsonl\""},
      {"a.md", "text", "its name ends with '.md'", "rename it"},
  };
  for (const auto& [name, bytes, what, advice] : cases) {
    folder.write(name, bytes);
    expect_part(refusal(name), what);
    expect_part(refusal(name), advice);
  }
  // Words of a text are no magic.
  for (const char* text : {"GGUF is a format\n", "PAR1 was first\n", "BZhou went\n"}) {
    folder.write("words.txt", text);
    EXPECT_TRUE(read("words.txt").ok()) << text;
  }
}

TEST_F(DataFiles, BytesThatAreNoText) {
  const std::pair<std::string, const char*> cases[] = {
      {std::string("{\0\"\0t\0", 6), "UTF-16"},
      {std::string("\0{\0\"\0t", 6), "UTF-16"},
      {std::string("{\"text\": \"a\0b\"}", 15), "column 12: a zero byte"},
      {"{\"text\": \"\xED\xA0\x80\"}",
       "column 12: syntax error while parsing value - invalid string: ill-formed UTF-8 byte"},
      {std::string(1 << 20, '['), "the file ends inside of the array"},
      {std::string(1 << 16, '{'), "syntax error"},
      {"null", "the line is null"},
      {"\"a\"", "the line is a string"},
      {"{\"text\": \"a\", \"text\": \"b\"}", "key 'text' stands twice"},
      {"{\"messages\": [[{}]]}", "messages[0] is an array"},
      {"{\"messages\": \"a\"}", "messages is a string"},
      {"{\"conversations\": [null]}", "conversations[0] is null"},
      {"{\"conversations\": [{\"from\": 1, \"value\": \"a\"}]}", "conversations[0].from is a number"},
  };
  for (const auto& [bytes, wanted] : cases) {
    folder.write("a.jsonl", bytes);
    expect_part(refusal("a.jsonl"), wanted);
  }
  folder.write("a.txt", std::string("one\ntwo\0\n", 9));
  expect_part(refusal("a.txt"), "a.txt:2: a zero byte");
}

TEST_F(DataFiles, ReadingStopsWhenAsked) {
  folder.write("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n{\"text\": \"c\"}\n");
  int left = 2;
  const auto stream = read("a.jsonl", recipes::RunKind::kPretrain, [&left] { return left-- <= 0; });
  ASSERT_FALSE(stream.ok());
  EXPECT_EQ(stream.error().code, Code::kCancelled);
  EXPECT_EQ(left, -1);
}

}  // namespace
}  // namespace naru::data
