// The folder of a run: what is written reads back, what a killed run left is mended, two trainers never meet.
#include "train/run_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>

#include "tests/train_runs/file_content.h"
#include "train/append_file.h"
#include "train/json_lines.h"
#include "train/run_files.h"
#include "train/tensorboard.h"

namespace naru::train {
namespace {

namespace fs = std::filesystem;

class RunFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "naru-runs-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    const auto recipe = parse_recipe("steps = 10\n[model]\npath = \"m\"\n[[data]]\npath = \"a\"\n", "one.toml", {});
    ASSERT_TRUE(recipe.ok());
    recipe_ = *recipe;
  }
  void TearDown() override { fs::remove_all(root_); }
  RunFolder open_good(const fs::path& path) {
    auto run = RunFolder::open(path, recipe_);
    EXPECT_TRUE(run.ok()) << (run.ok() ? "" : run.error().message);
    return std::move(run).value();
  }
  fs::path root_;
  Recipe recipe_;
};

TEST_F(RunFolderTest, MakesOpensAndRefusesAnotherRecipe) {
  const fs::path path = root_ / "runs" / "one";
  {
    RunFolder run = open_good(path);
    EXPECT_TRUE(run.is_new());
    EXPECT_EQ(content(path / "recipe.toml"), recipe_text(recipe_));
    ASSERT_TRUE(run.set({{"status", "done"}, {"machine", "a \"box\"\xff"}}, {{"step", 10}, {"loss", 1.5}}).ok());
  }
  EXPECT_FALSE(open_good(path).is_new());
  Recipe other = recipe_;
  other.optimizer.lr = 0.5;
  const auto refused = RunFolder::open(path, other);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("optimizer.lr is 0.001 there and 0.5 here"), std::string::npos);
  Recipe watched = recipe_;
  watched.checkpoint.every = 3;
  EXPECT_TRUE(RunFolder::open(path, watched).ok());
  EXPECT_EQ(content(path / "recipe.toml"), recipe_text(watched));
}

TEST_F(RunFolderTest, RefusesForeignFolders) {
  std::ofstream(root_ / "thesis.txt") << "x";
  const auto run = RunFolder::open(root_, recipe_);
  ASSERT_FALSE(run.ok());
  EXPECT_NE(run.error().message.find("other files in it"), std::string::npos);
  EXPECT_FALSE(RunFolder::open(root_ / "thesis.txt", recipe_).ok());
  fs::create_directories(root_ / "damaged");
  std::ofstream(root_ / "damaged" / "recipe.toml") << "steps = [";
  EXPECT_FALSE(RunFolder::open(root_ / "damaged", recipe_).ok());
}

TEST_F(RunFolderTest, SecondTrainerIsRefusedUntilTheFirstDies) {
  const fs::path path = root_ / "one";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto run = RunFolder::open(path, recipe_);
    (void)!::write(ready[1], run.ok() ? "y" : "n", 1);
    ::pause();
    ::_exit(0);
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  const auto second = RunFolder::open(path, recipe_);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find(fmt::format("another trainer (process {}) is at work", child)),
            std::string::npos)
      << second.error().message;
  EXPECT_EQ((*list_runs(root_))[0].status, "running");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ((*list_runs(root_))[0].status, "stopped");
  EXPECT_TRUE(RunFolder::open(path, recipe_).ok());
  // The same process twice is refused as well.
  const RunFolder first = open_good(path);
  EXPECT_FALSE(RunFolder::open(path, recipe_).ok());
}

TEST_F(RunFolderTest, MetricsReadBackAndRewind) {
  const fs::path path = root_ / "one";
  {
    RunFolder run = open_good(path);
    for (int64_t step = 1; step <= 5; ++step) {
      ASSERT_TRUE(run.add(Metrics{step, {{"loss", 1.0 / static_cast<double>(step)}, {"lr", 1e-3}}}).ok());
      ASSERT_TRUE(run.add(Sample{step, "p\n\"", "a\xff</script>"}).ok());
    }
    ASSERT_TRUE(run.add(Metrics{6, {{"loss", std::numeric_limits<double>::quiet_NaN()}}}).ok());
  }
  // What kill -9 in the middle of a write, and a lost page, leave behind.
  for (const std::string& tail :
       {std::string("{\"step\":7,\"lo"), std::string(40, '\0'), std::string("{\"step\":7}\0\n", 12),
        std::string("not json\n\n"), std::string("[1]\n")}) {
    std::ofstream(path / "metrics.jsonl", std::ios::app | std::ios::binary) << tail;
    RunFolder run = open_good(path);
    EXPECT_TRUE(content(path / "metrics.jsonl").ends_with("\"loss\":null}\n")) << content(path / "metrics.jsonl");
  }
  RunFolder run = open_good(path);
  ASSERT_TRUE(run.rewind(3).ok());
  ASSERT_TRUE(run.add(Metrics{4, {{"loss", 0.125}}}).ok());
  ASSERT_TRUE(run.add(Sample{4, "p", "again"}).ok());
  std::vector<std::string> lines;
  ASSERT_EQ(*for_each_json_line(path / "metrics.jsonl",
                                [&](const nlohmann::json& line, std::string_view) {
                                  lines.push_back(
                                      fmt::format("{} {}", *json_whole(line, "step"), *json_number(line, "loss")));
                                }),
            0);
  EXPECT_EQ(lines, (std::vector<std::string>{"1 1", "2 0.5", fmt::format("3 {}", 1.0 / 3), "4 0.125"}));
  std::vector<std::string> answers;
  ASSERT_EQ(*for_each_json_line(
                path / "samples.jsonl",
                [&](const nlohmann::json& line, std::string_view) { answers.push_back(json_text_of(line, "answer")); }),
            0);
  ASSERT_EQ(answers.size(), 4u);
  EXPECT_EQ(answers[0], "a\xef\xbf\xbd</script>");
  EXPECT_EQ(answers[3], "again");
}

TEST_F(RunFolderTest, MendingKeepsWholeFilesAndEmptiesBrokenOnes) {
  const fs::path path = root_ / "x.jsonl";
  EXPECT_EQ(*mend_lines(path), 0);
  std::ofstream(path) << "";
  EXPECT_EQ(*mend_lines(path), 0);
  std::ofstream(path) << "{\"a\":1}\n{\"a\":2}\n";
  EXPECT_EQ(*mend_lines(path), 0);
  std::ofstream(path) << "\n";
  EXPECT_EQ(*mend_lines(path), 1);
  std::ofstream(path) << "garbage";
  EXPECT_EQ(*mend_lines(path), 7);
  EXPECT_EQ(content(path), "");
}

TEST_F(RunFolderTest, FullDiskLeavesWholeLines) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  auto file = AppendFile::open("/dev/full");
  ASSERT_TRUE(file.ok());
  const Status status = file->append("x\n");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kResourceExhausted);
  EXPECT_NE(status.error().message.find("last checkpoint"), std::string::npos);
}

TEST_F(RunFolderTest, ListsWhatIsThereAndTrustsNothing) {
  {
    ASSERT_TRUE(open_good(root_ / "a")
                    .set({{"status", "done"}, {"weights_sha256", "abc"}}, {{"steps", 9}, {"seconds", 2.5}})
                    .ok());
  }
  {
    RunFolder b = open_good(root_ / "b");
    ASSERT_TRUE(b.add(Metrics{4, {{"loss", 2.25}, {"validation_loss", 2.5}}}).ok());
    ASSERT_TRUE(b.add(Metrics{5, {{"loss", 2.0}}}).ok());
  }
  fs::create_directories(root_ / "c");
  fs::create_directories(root_ / "d");
  std::ofstream(root_ / "c" / "run.json")
      << "{\"status\": 3, \"step\": -9, \"steps\": \"x\", \"loss\": null, \"name\": []}";
  std::ofstream(root_ / "d" / "run.json") << "{{{{";
  std::ofstream(root_ / "file") << "";
  const auto runs = list_runs(root_);
  ASSERT_TRUE(runs.ok());
  ASSERT_EQ(runs->size(), 4u);
  for (const RunSummary& run : *runs) {
    const std::string folder = run.folder.filename().string();
    if (folder == "a") {
      EXPECT_EQ(run.status, "done");
      EXPECT_EQ(run.weights_sha256, "abc");
      EXPECT_EQ(run.steps, 9);
      EXPECT_EQ(run.seconds, 2.5);
    } else if (folder == "b") {
      EXPECT_EQ(run.status, "stopped");
      EXPECT_EQ(run.step, 5);
      EXPECT_EQ(run.loss, 2.0);
      EXPECT_EQ(run.validation_loss, 2.5);
    } else if (folder == "c") {
      EXPECT_EQ(run.name, "c");
      EXPECT_EQ(run.step, 0);
    } else {
      EXPECT_EQ(run.status, "damaged");
    }
  }
  EXPECT_EQ(list_runs(root_ / "a")->size(), 1u);
  EXPECT_FALSE(list_runs(root_ / "nowhere").ok());
}

// --- TensorBoard --------------------------------------------------------------------------------------------------

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

TEST(TensorBoard, ChecksumsAreThoseOfTheStandard) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);            // the check value of CRC-32C
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(""), 0u);
}

// Found equal to what the tensorboard package 2.21 reads back (tools/check_event_files.py).
TEST(TensorBoard, BytesAreGolden) {
  const std::string version = event_record(version_event(1.5));
  const std::string scalars = event_record(scalars_event(2.5, 300, {{"loss", 0.5}, {"lr", 1e-3}}));
  const std::string restart = event_record(restart_event(3.5, 128));
  EXPECT_EQ(hex(version), "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c");
  EXPECT_EQ(
      hex(scalars),
      "2600000000000000734fe30009000000000000044010ac022a180a0b0a046c6f7373150000003f0a090a026c72156f12833af6024c45");
  EXPECT_EQ(hex(restart), "100000000000000095fbfe18090000000000000c401080013a020801033fc0ce");
}

TEST_F(RunFolderTest, EachStartHasAnEventFileThatSortsLast) {
  std::string last;
  for (int round = 0; round < 3; ++round) {
    RunFolder run = open_good(root_ / "one");
    if (round > 0) {
      ASSERT_TRUE(run.rewind(1).ok());
    }
    ASSERT_TRUE(run.add(Metrics{2, {{"loss", 1}}}).ok());
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_ / "one" / "tensorboard")) {
      names.push_back(entry.path().filename().string());
    }
    ASSERT_EQ(names.size(), static_cast<size_t>(round + 1));
    const std::string newest = *std::max_element(names.begin(), names.end());
    EXPECT_GT(newest, last);
    last = newest;
    const std::string bytes = content(root_ / "one" / "tensorboard" / newest);
    EXPECT_NE(bytes.find("brain.Event:2"), std::string::npos);
  }
}

}  // namespace
}  // namespace naru::train
