// The command that trains a tokenizer: files in, a folder out or nothing at all.
#include "cli/train_tokenizer.h"

#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "cli/interrupts.h"
#include "formats/tokenizer_files.h"
#include "tests/formats/helpers.h"
#include "text/tokenizer.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;
using formats::TempFolder;

struct Outcome {
  Status status;
  std::string output;
  std::string notes;
};

Outcome run(const TrainTokenizerOptions& options) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome{train_tokenizer_command(options), "", ""};
  outcome.output = testing::internal::GetCapturedStdout();
  outcome.notes = testing::internal::GetCapturedStderr();
  return outcome;
}

TrainTokenizerOptions options_of(const TempFolder& folder, std::vector<std::string> inputs) {
  TrainTokenizerOptions options;
  for (const std::string& input : inputs) options.inputs.push_back(folder / input);
  options.output = folder / "out";
  options.vocab_size = 280;
  return options;
}

// No folder, and nothing half-made beside it.
void expect_nothing_written(const TempFolder& folder) {
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    EXPECT_EQ(entry.path().filename().string().rfind("out", 0), std::string::npos) << entry.path();
  }
}

TEST(TrainTokenizer, WritesAFolderThatWorks) {
  const TempFolder folder;
  folder.write("a.txt", "the ferry, the river, the ferry\nthe wind\n");
  folder.write("b.jsonl", "{\"text\": \"the ferry\"}\n\n \r\n{\"text\": \"\\u4e2d\\u6587\"}");
  folder.write("c.json",
               "[{\"conversations\": [{\"from\": \"human\", \"value\": \"river river\"},\n"
               "{\"from\": \"gpt\", \"value\": \"\", \"reasoning_content\": \"ferry\"}]}]\r\n");
  TrainTokenizerOptions options = options_of(folder, {"a.txt", "b.jsonl", "c.json"});
  options.special_tokens = {"<|more|>"};
  options.special_tokens_map = true;
  const Outcome done = run(options);
  ASSERT_TRUE(done.status.ok()) << done.status.error().message;
  EXPECT_NE(done.output.find("a vocabulary of 2"), std::string::npos) << done.output;
  EXPECT_NE(done.output.find("bytes a token"), std::string::npos) << done.output;
  EXPECT_NE(done.notes.find("280 ids were asked for; the texts hold no more pairs that come 2 times"),
            std::string::npos)
      << done.notes;
  EXPECT_TRUE(fs::exists(folder / "out" / "special_tokens_map.json"));
  const text::Tokenizer tokenizer =
      text::Tokenizer::create(formats::read_tokenizer_folder(folder / "out").value()).value();
  EXPECT_EQ(tokenizer.find("<|more|>"), 5);
  EXPECT_EQ(tokenizer.encode(" ferry").size(), 1u);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("\u4e2d ferry\x01")), "\u4e2d ferry\x01");
  EXPECT_EQ(tokenizer.eos_id(), tokenizer.find("<|im_end|>"));
}

TEST(TrainTokenizer, SummaryAsJson) {
  const TempFolder folder;
  folder.write("a.txt", "ab ab ab\xff");
  TrainTokenizerOptions options = options_of(folder, {"a.txt"});
  options.json = true;
  const Outcome done = run(options);
  ASSERT_TRUE(done.status.ok()) << done.status.error().message;
  const auto json = nlohmann::json::parse(done.output);
  EXPECT_EQ(json["text_bytes"], 9);
  EXPECT_EQ(json["words"], 4);  // "ab", " ab", " ab", U+FFFD
  EXPECT_EQ(json["distinct_words"], 3);
  EXPECT_EQ(json["merges"], 2);  // "ab", " ab"; U+FFFD is there once
  EXPECT_EQ(json["vocab_size"], 5 + 256 + 2);
  EXPECT_EQ(json["tokens"], 3 + 3);
  EXPECT_EQ(json["bytes_per_token"], 1.5);
  EXPECT_EQ(json["invalid_utf8_replaced"], true);
}

TEST(TrainTokenizer, AnEmptyFolderIsFilledAndAnotherIsLeftAlone) {
  const TempFolder folder;
  folder.write("a.txt", "ab ab");
  fs::create_directory(folder / "out");
  TrainTokenizerOptions options = options_of(folder, {"a.txt"});
  EXPECT_TRUE(run(options).status.ok());
  formats::expect_error(run(options).status, Code::kInvalidArgument, {"already, with files in it", "--force"});
  options.existing = Existing::kReplace;
  EXPECT_TRUE(run(options).status.ok());
  folder.write("out/thesis.txt", "mine");
  formats::expect_error(run(options).status, Code::kInvalidArgument, {"thesis.txt"});
  options.output = folder / "a.txt";
  formats::expect_error(run(options).status, Code::kInvalidArgument, {"a file of that name already"});
  options.output = folder / "absent" / "out";
  formats::expect_error(run(options).status, Code::kNotFound, {"absent"});
  options.output = (folder / "slash").string() + "/";
  EXPECT_TRUE(run(options).status.ok());
  EXPECT_TRUE(fs::exists(folder / "slash" / "tokenizer.json"));
  options.output = "";
  formats::expect_error(run(options).status, Code::kInvalidArgument, {"no output was given"});
}

TEST(TrainTokenizer, AnInterruptLeavesNothing) {
  const TempFolder folder;
  folder.write("a.txt", "ab ab");
  std::signal(SIGINT, SIG_DFL);  // a test in the background would ignore it, and so would we
  install_interrupts();
  ASSERT_EQ(std::raise(SIGINT), 0);
  const Outcome done = run(options_of(folder, {"a.txt"}));
  forget_interrupts();
  formats::expect_error(done.status, Code::kCancelled, {"stopped by you"});
  expect_nothing_written(folder);
  EXPECT_TRUE(run(options_of(folder, {"a.txt"})).status.ok());
}

TEST(TrainTokenizer, BadInputsAreNamedAndNothingIsWritten) {
  const TempFolder folder;
  folder.write("empty.txt", "");
  folder.write("blank.jsonl", "\n{\"text\": \"\"}\n");
  folder.write("broken.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"\n");
  folder.write("other.jsonl", "{\"text\": \"a\"}\n\n{\"prompt\": \"b\"}\n");
  folder.write("number.jsonl", "{\"text\": 7}\n");
  folder.write("utf8.jsonl", "{\"text\": \"\xff\"}\n");
  folder.write("messages.jsonl", "{\"messages\": [{\"content\": 1}]}\n");
  folder.write("list.jsonl", "[1]\n");
  const auto refuse = [&folder](std::vector<std::string> inputs, Code code,
                                std::initializer_list<std::string_view> words) {
    formats::expect_error(run(options_of(folder, std::move(inputs))).status, code, words);
    expect_nothing_written(folder);
  };
  refuse({}, Code::kInvalidArgument, {"no input was given"});
  refuse({"absent.txt"}, Code::kNotFound, {"absent.txt"});
  refuse({"."}, Code::kInvalidArgument, {"a folder"});
  refuse({"empty.txt"}, Code::kInvalidArgument, {"empty.txt holds no text"});
  refuse({"blank.jsonl", "empty.txt"}, Code::kInvalidArgument, {"and the others hold no text"});
  refuse({"broken.jsonl"}, Code::kCorrupt, {"broken.jsonl:2"});
  refuse({"other.jsonl"}, Code::kInvalidArgument, {"other.jsonl:3", "text", "messages"});
  refuse({"number.jsonl"}, Code::kInvalidArgument, {"number.jsonl:1", "text", "a number"});
  refuse({"utf8.jsonl"}, Code::kCorrupt, {"utf8.jsonl:1"});
  refuse({"messages.jsonl"}, Code::kInvalidArgument, {"messages.jsonl:1", "messages[0]"});
  refuse({"list.jsonl"}, Code::kInvalidArgument, {"list.jsonl[0]", "object"});
}

TEST(TrainTokenizer, BadOptionsAreNamedAndNothingIsWritten) {
  const TempFolder folder;
  folder.write("a.txt", "ab ab");
  const auto refuse = [&folder](const std::function<void(TrainTokenizerOptions&)>& change, Code code,
                                std::string_view word) {
    TrainTokenizerOptions options = options_of(folder, {"a.txt"});
    change(options);
    formats::expect_error(run(options).status, code, {"training a tokenizer", word});
    expect_nothing_written(folder);
  };
  refuse([](auto& o) { o.vocab_size = 260; }, Code::kInvalidArgument, "260 was asked for, 261 to");
  refuse([](auto& o) { o.pre_tokenizer = "none"; }, Code::kInvalidArgument, "'none'");
  refuse([](auto& o) { o.special_tokens = {"<think>"}; }, Code::kInvalidArgument, "twice");
  refuse([](auto& o) { o.memory_bytes_max = 1000; }, Code::kResourceExhausted, "1000 B");
}

}  // namespace
}  // namespace naru::cli
