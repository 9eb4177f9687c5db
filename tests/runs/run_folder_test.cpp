// The folder of a run: what is written reads back, what a killed run left is mended, two trainers never meet.
#include "runs/run_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "runs/append_file.h"
#include "runs/json_lines.h"
#include "runs/run_files.h"
#include "runs/run_lines.h"
#include "runs/run_starts.h"
#include "runs/tensorboard.h"
#include "tests/runs/file_content.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

class RunFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "naru-runs-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    const auto recipe =
        recipes::parse_recipe("steps = 10\n[model]\npath = \"m\"\n[[data]]\npath = \"a\"\n", "one.toml", {});
    ASSERT_TRUE(recipe.ok());
    recipe_ = *recipe;
  }
  void TearDown() override { fs::remove_all(root_); }
  RunFolder open_good(const fs::path& path) {
    auto run = RunFolder::open(path, recipe_);
    EXPECT_TRUE(run.ok()) << (run.ok() ? "" : run.error().message);
    return std::move(run).value();
  }
  // A start that goes on from `step`.
  RunFolder begin_good(const fs::path& path, int64_t step = 1000) {
    RunFolder run = open_good(path);
    const Status status = run.begin(step, nullptr);
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
    return run;
  }
  fs::path root_;
  recipes::Recipe recipe_;
};

TEST_F(RunFolderTest, MakesOpensAndRefusesAnotherRecipe) {
  const fs::path path = root_ / "runs" / "one";
  {
    RunFolder run = begin_good(path);
    EXPECT_TRUE(run.is_new());
    EXPECT_EQ(content(path / "recipe.toml"), recipes::recipe_text(recipe_));
    ASSERT_TRUE(run.set({{"status", "done"}, {"machine", "a \"box\"\xff"}}, {{"step", 10}, {"loss", 1.5}}).ok());
  }
  EXPECT_FALSE(open_good(path).is_new());
  recipes::Recipe other = recipe_;
  other.optimizer.lr = 0.5;
  const auto refused = RunFolder::open(path, other);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("optimizer.lr is 0.001 there and 0.5 here"), std::string::npos);
  EXPECT_NE(refused.error().message.find("--start-over"), std::string::npos);
  recipes::Recipe watched = recipe_;
  watched.checkpoint.every = 3;
  {
    auto run = RunFolder::open(path, watched);
    ASSERT_TRUE(run.ok());
    ASSERT_TRUE(run->begin(10, nullptr).ok());
  }
  EXPECT_EQ(content(path / "recipe.toml"), recipes::recipe_text(watched));
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
    const bool is_good = run.ok() && run->begin(-1, nullptr).ok();
    (void)!::write(ready[1], is_good ? "y" : "n", 1);
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
    RunFolder run = begin_good(path);
    for (int64_t step = 1; step <= 5; ++step) {
      ASSERT_TRUE(run.add(Metrics{step, {{"loss", 1.0 / static_cast<double>(step)}, {"lr", 1e-3}}}).ok());
      ASSERT_TRUE(run.add(Sample{step, "p\n\"", "a\xff</script>"}).ok());
      for (const int64_t problem : {0, 1}) {  // of one prompt: their numbers tell them apart
        ASSERT_TRUE(run.add(ProblemAnswer{step, problem, "3 5 =", "8", std::string(9000, 'x'), true}).ok());
      }
    }
    ASSERT_TRUE(run.add(Metrics{6, {{"loss", std::numeric_limits<double>::quiet_NaN()}}}).ok());
  }
  // What kill -9 in the middle of a write, and a lost page, leave behind.
  for (const std::string& tail :
       {std::string("{\"step\":7,\"lo"), std::string(40, '\0'), std::string("{\"step\":7}\0\n", 12),
        std::string("not json\n\n"), std::string("[1]\n")}) {
    std::ofstream(path / "metrics.jsonl", std::ios::app | std::ios::binary) << tail;
    RunFolder run = begin_good(path);
    EXPECT_TRUE(content(path / "metrics.jsonl").ends_with("\"loss\":null}\n")) << content(path / "metrics.jsonl");
  }
  RunFolder run = begin_good(path);
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
  // Answers to problems went back too, nothing of them was lost, and none is longer than is kept.
  const std::string problems = content(path / "problems.jsonl"), aside = content(path / "problems.aside.jsonl");
  EXPECT_EQ(std::count(problems.begin(), problems.end(), '\n'), 6);
  EXPECT_EQ(std::count(aside.begin(), aside.end(), '\n'), 4);
  EXPECT_LT(problems.size(), 6 * 8400u);
  EXPECT_FALSE(fs::exists(path / "groups.jsonl")) << "a run that keeps none";
  ASSERT_EQ(answers.size(), 4u);
  EXPECT_EQ(answers[0], "a\xef\xbf\xbd</script>");
  EXPECT_EQ(answers[3], "again");
}

Status rewind_lines(const fs::path& lines, int64_t step) {
  NARU_ASSIGN(const LineRewind rewind, LineRewind::plan(lines, step));
  return rewind.apply();
}

// The steps of the lines of a file, "-" for a line that is no object.
std::string steps_in(const fs::path& path) {
  std::string steps;
  EXPECT_TRUE(for_each_json_line(
                  path,
                  [&](const nlohmann::json& line, std::string_view) {
                    steps += fmt::format("{} ", json_whole(line, "step").value_or(-7));
                  },
                  [&](std::string_view) { steps += "- "; })
                  .ok());
  return steps;
}

TEST_F(RunFolderTest, LinesThatAreTakenOutStayAsideUntilALaterCheckpoint) {
  const fs::path lines = root_ / "metrics.jsonl", aside = aside_of(lines);
  EXPECT_EQ(aside, root_ / "metrics.aside.jsonl");
  ASSERT_TRUE(rewind_lines(lines, 5).ok());
  EXPECT_FALSE(fs::exists(lines) || fs::exists(aside));
  std::ofstream(lines) << "{\"step\":0}\n{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":2}\n"
                       << "{\"step\":2,\"validation_loss\":3}\n{\"step\":3,\"lo";
  ASSERT_TRUE(rewind_lines(lines, 1).ok());
  EXPECT_EQ(steps_in(lines), "0 1 ");
  EXPECT_EQ(steps_in(aside), "- 2 2 ");
  ASSERT_TRUE(rewind_lines(lines, 1).ok());
  EXPECT_EQ(steps_in(aside), "- 2 2 ") << "a second start loses nothing";
  // A roll-back that takes out the same step again keeps the newer line of each kind.
  std::ofstream(lines, std::ios::app) << "{\"step\":2,\"loss\":9}\n";
  ASSERT_TRUE(rewind_lines(lines, 0).ok());
  EXPECT_EQ(steps_in(lines), "0 ");
  EXPECT_EQ(steps_in(aside), "- 1 2 2 ");
  EXPECT_NE(content(aside).find("\"loss\":9"), std::string::npos);
  EXPECT_EQ(content(aside).find("\"loss\":2"), std::string::npos);
  // Going on from later than the lines reach brings back what is aside.
  ASSERT_TRUE(rewind_lines(lines, 2).ok());
  EXPECT_EQ(steps_in(lines), "0 1 2 2 ");
  ASSERT_TRUE(rewind_lines(lines, 2).ok());
  EXPECT_EQ(steps_in(lines), "0 1 2 2 ") << "once";
  EXPECT_EQ(steps_in(aside), "- ");
  ASSERT_TRUE(settle_lines(lines, 2, true).ok());
  EXPECT_FALSE(fs::exists(aside));
}

TEST_F(RunFolderTest, WhatIsAsideGoesWhenNoLaterCheckpointCouldWantIt) {
  const fs::path lines = root_ / "samples.jsonl", aside = aside_of(lines);
  const std::string text =
      "{\"step\":1,\"prompt\":\"p\"}\n{\"step\":2,\"prompt\":\"p\"}\n"
      "{\"step\":2,\"prompt\":\"q\"}\n{\"step\":9,\"prompt\":\"q\"}\n";
  std::ofstream(lines) << text;
  ASSERT_TRUE(rewind_lines(lines, -1).ok());
  EXPECT_EQ(content(lines), "");
  EXPECT_EQ(content(aside), text);
  ASSERT_TRUE(settle_lines(lines, 1, true).ok());
  EXPECT_EQ(steps_in(aside), "2 2 9 ");
  ASSERT_TRUE(settle_lines(lines, 1, false).ok());
  EXPECT_FALSE(fs::exists(aside));
}

// Killed between the two writes, the lines are in both files; nothing is there twice afterwards.
TEST_F(RunFolderTest, KilledBetweenTheTwoFilesNoLineIsLostOrTwice) {
  const fs::path lines = root_ / "metrics.jsonl", aside = aside_of(lines);
  const std::string text = "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n";
  std::ofstream(lines) << text;
  ASSERT_TRUE(rewind_lines(lines, 1).ok());
  std::ofstream(lines) << text;  // as if the second write had not been
  ASSERT_TRUE(rewind_lines(lines, 1).ok());
  EXPECT_EQ(steps_in(lines), "1 ");
  EXPECT_EQ(steps_in(aside), "2 3 ");
  // The same when lines come back: aside is written first, and has them still.
  std::ofstream(aside) << "{\"step\":2}\n{\"step\":3}\n";
  ASSERT_TRUE(rewind_lines(lines, 3).ok());
  EXPECT_EQ(steps_in(lines), "1 2 3 ");
  EXPECT_EQ(steps_in(aside), "2 3 ");
}

TEST_F(RunFolderTest, LinesWithoutAStepGoAside) {
  const fs::path lines = root_ / "metrics.jsonl", aside = aside_of(lines);
  const std::string foreign =
      "7\n[1]\n\"step\"\nnull\n{}\n{\"loss\":1}\n{\"step\":\"2\"}\n{\"step\":1.5}\n{\"step\":null}\n{\"step\":-1}\n"
      "{\"step\":18446744073709551615}\n";
  std::ofstream(lines) << "{\"step\":0}\n" << foreign << "{\"step\":1}\n";
  ASSERT_TRUE(rewind_lines(lines, 3).ok());
  EXPECT_EQ(content(lines), "{\"step\":0}\n{\"step\":1}\n");
  EXPECT_EQ(content(aside), foreign);
  ASSERT_TRUE(rewind_lines(lines, 3).ok());
  EXPECT_EQ(content(aside), foreign) << "once";
  ASSERT_TRUE(settle_lines(lines, 1, true).ok());
  EXPECT_FALSE(fs::exists(aside));
}

TEST_F(RunFolderTest, AFileOfLinesThatCannotBeReadIsNoEmptyOne) {
  const fs::path lines = root_ / "metrics.jsonl";
  fs::create_symlink("metrics.jsonl", lines);
  EXPECT_FALSE(rewind_lines(lines, 3).ok());
  EXPECT_TRUE(fs::is_symlink(lines));
}

// Neither the folder, nor those above it, nor a lock; of folders that were there, no lock.
TEST_F(RunFolderTest, AStartThatIsRefusedLeavesNothingBehind) {
  { const RunFolder run = open_good(root_ / "new" / "deep" / "one"); }
  EXPECT_FALSE(fs::exists(root_ / "new"));
  fs::create_directories(root_ / "empty");
  { const RunFolder run = open_good(root_ / "empty" / "one" / "."); }
  EXPECT_TRUE(fs::is_empty(root_ / "empty"));
  fs::create_directories(root_ / "foreign");
  std::ofstream(root_ / "foreign" / "thesis.txt") << "x";
  EXPECT_FALSE(RunFolder::open(root_ / "foreign", recipe_).ok());
  EXPECT_FALSE(fs::exists(root_ / "foreign" / "lock"));
  // A lock that was there stays, and so does what somebody else put into a folder of ours meanwhile.
  { RunFolder run = begin_good(root_ / "kept"); }
  { const RunFolder run = open_good(root_ / "kept"); }
  EXPECT_TRUE(fs::exists(root_ / "kept" / "lock"));
  {
    const RunFolder run = open_good(root_ / "shared");
    std::ofstream(root_ / "shared" / "mine.txt") << "x";
  }
  EXPECT_TRUE(fs::exists(root_ / "shared" / "mine.txt"));
  EXPECT_FALSE(fs::exists(root_ / "shared" / "lock"));
}

TEST_F(RunFolderTest, StartsAreKeptWithWhereTheyBeganAndHowTheyEnded) {
  const fs::path path = root_ / "one";
  const auto starts = [&] { return read_starts(nlohmann::json::parse(content(path / "run.json"))); };
  {
    RunFolder run = begin_good(path, -1);
    ASSERT_TRUE(run.set({{"machine", "here"}}, {{"step", 4}}).ok());
    ASSERT_TRUE(run.set({{"status", "stopped"}}, {{"step", 7}}).ok());
  }
  {
    RunFolder run = begin_good(path, 7);
    ASSERT_TRUE(run.set({{"machine", "there"}}, {}).ok());  // its step is not known yet
  }
  { RunFolder run = begin_good(path, 7); }
  ASSERT_EQ(starts().size(), 3u);
  EXPECT_EQ(starts()[0].from_step, 0);
  EXPECT_EQ(starts()[0].step, 7);
  EXPECT_EQ(starts()[0].status, "stopped");
  EXPECT_EQ(starts()[0].machine, "here");
  EXPECT_EQ(starts()[1].step, 7);
  EXPECT_EQ(starts()[1].status, "killed");
  EXPECT_EQ(starts()[1].machine, "there");
  EXPECT_EQ(starts()[2].status, "running");
  // Only so many are kept; what is none is no reason to lose the run.
  nlohmann::ordered_json info = {{"starts", nlohmann::ordered_json::array()}};
  for (int64_t i = 0; i <= kRunStartsMax; ++i) begin_start(info, i, "now");
  EXPECT_EQ(info["starts"].size(), static_cast<size_t>(kRunStartsMax));
  EXPECT_EQ(info["starts"][0]["from_step"], 1);
  for (const char* text : {"7", "[]", "[7]", "{}"}) {
    nlohmann::ordered_json odd = {{"starts", nlohmann::ordered_json::parse(text)}};
    update_start(odd, true);
    begin_start(odd, 3, "now");
    EXPECT_EQ(odd["starts"].back()["from_step"], 3) << text;
  }
}

// A start that is refused changes nothing but the lock.
TEST_F(RunFolderTest, OpeningWritesNothing) {
  const fs::path path = root_ / "one";
  {
    RunFolder run = begin_good(path);
    ASSERT_TRUE(run.add(Metrics{4, {{"loss", 2.25}}}).ok());
    ASSERT_TRUE(run.set({{"status", "stopped"}}, {{"saved_step", 3}}).ok());
  }
  std::ofstream(path / "metrics.jsonl", std::ios::app) << "half";
  const auto everything = [&] {
    std::string all;
    for (const char* name : {"run.json", "recipe.toml", "metrics.jsonl", "samples.jsonl"}) all += content(path / name);
    return all;
  };
  const std::string before = everything();
  const RunFolder run = open_good(path);
  EXPECT_EQ(everything(), before);
  EXPECT_EQ(run.field("saved_step"), 3);
  EXPECT_TRUE(run.field("nothing").is_null());
}

// Samples that cannot be read keep metrics as they are.
TEST_F(RunFolderTest, BothFilesAreReadBeforeOneIsChanged) {
  const fs::path path = root_ / "one";
  {
    RunFolder run = begin_good(path);
    ASSERT_TRUE(run.add(Metrics{4, {{"loss", 2.25}}}).ok());
  }
  fs::remove(path / "samples.jsonl");
  fs::create_symlink("/nowhere/at/all", path / "samples.jsonl");
  const std::string lines = content(path / "metrics.jsonl"), record = content(path / "run.json");
  RunFolder run = open_good(path);
  EXPECT_FALSE(run.begin(2, nullptr).ok());
  EXPECT_EQ(content(path / "metrics.jsonl"), lines);
  EXPECT_EQ(content(path / "run.json"), record);
  EXPECT_FALSE(fs::exists(path / "metrics.aside.jsonl"));
  // Nor does a folder of events that leads nowhere.
  fs::remove(path / "samples.jsonl");
  fs::remove_all(path / "tensorboard");
  fs::create_symlink("tensorboard", path / "tensorboard");
  EXPECT_FALSE(run.begin(2, nullptr).ok());
  EXPECT_EQ(content(path / "metrics.jsonl"), lines);
  fs::remove(path / "tensorboard");
  EXPECT_TRUE(run.begin(2, nullptr).ok());
}

TEST_F(RunFolderTest, TheLockIsOfTheFolderAndNotOfAName) {
  const fs::path path = root_ / "one";
  std::ofstream(root_ / "precious") << "12345678\nand more";
  const RunFolder run = begin_good(path);
  const auto expect_locked = [&](const char* what) {
    const auto second = RunFolder::open(path, recipe_);
    ASSERT_FALSE(second.ok()) << what;
    EXPECT_NE(second.error().message.find("another trainer"), std::string::npos) << second.error().message;
    EXPECT_EQ((*list_runs(path))[0].status, "running") << what;
    EXPECT_EQ(content(root_ / "precious"), "12345678\nand more") << what;
  };
  expect_locked("as it is");
  fs::remove(path / "lock");
  expect_locked("removed");
  fs::create_symlink(root_ / "precious", path / "lock");
  expect_locked("a link");
  fs::remove(path / "lock");
  fs::create_hard_link(root_ / "precious", path / "lock");
  expect_locked("another name of another file");
  fs::remove(path / "lock");
  std::ofstream(path / "lock") << "";
  expect_locked("a new file");
}

TEST_F(RunFolderTest, APlantedLockIsNeitherFollowedNorCut) {
  const fs::path path = root_ / "one";
  fs::create_directories(path);
  std::ofstream(root_ / "precious") << "4711\n";
  const auto expect_refused = [&](const char* part) {
    const auto run = RunFolder::open(path, recipe_);
    ASSERT_FALSE(run.ok()) << part;
    EXPECT_EQ(run.error().code, Code::kUnavailable);
    EXPECT_NE(run.error().message.find(part), std::string::npos) << run.error().message;
    fs::remove(path / "lock");
  };
  fs::create_symlink(root_ / "precious", path / "lock");
  expect_refused("is a link");
  fs::create_symlink(root_ / "nothing-yet", path / "lock");
  expect_refused("is a link");
  EXPECT_FALSE(fs::exists(root_ / "nothing-yet"));
  fs::create_hard_link(root_ / "precious", path / "lock");
  expect_refused("something else than a file of naru's");
  std::ofstream(path / "lock") << "my notes";
  expect_refused("something else than a file of naru's");
  fs::create_directory(path / "lock");
  expect_refused("lock");
  ASSERT_EQ(::mkfifo((path / "lock").c_str(), 0600), 0);
  expect_refused("something else than a file of naru's");
  EXPECT_EQ(content(root_ / "precious"), "4711\n");
  EXPECT_TRUE(RunFolder::open(path, recipe_).ok());
}

// A trainer whose folder was moved away does not write into the next one of the name.
TEST_F(RunFolderTest, AMovedFolderIsNotWrittenIntoByItsName) {
  const fs::path path = root_ / "one";
  RunFolder run = begin_good(path);
  fs::rename(path, root_ / "moved");
  EXPECT_FALSE(run.set({}, {{"step", 1}}).ok());
  EXPECT_FALSE(fs::exists(path));
  RunFolder second = begin_good(path);
  EXPECT_FALSE(run.check().ok());
  EXPECT_FALSE(run.rewind(0).ok());
  EXPECT_TRUE(second.check().ok());
}

TEST_F(RunFolderTest, StartingOverSetsAsideWhatWasThere) {
  const fs::path path = root_ / "one";
  for (const int round : {1, 2}) {
    { RunFolder run = begin_good(path); }
    fs::create_directories(path / "checkpoints" / "step-00000001");
    std::ofstream(path / "mine.txt") << "mine";
    recipes::Recipe other = recipe_;
    other.optimizer.lr = 0.5;
    const fs::path aside = path / fmt::format("set-aside-{}", round);
    auto run = RunFolder::open(path, round == 1 ? other : recipe_, true);
    ASSERT_TRUE(run.ok()) << run.error().message;
    EXPECT_TRUE(run->is_new());
    EXPECT_TRUE(run->starts_over());
    EXPECT_FALSE(fs::exists(aside)) << "opening changes nothing";
    ASSERT_TRUE(run->begin(-1, nullptr).ok());
    EXPECT_FALSE(run->starts_over());
    EXPECT_EQ(run->set_aside(), aside);
    for (const char* name : {"checkpoints/step-00000001", "run.json", "recipe.toml", "metrics.jsonl"}) {
      EXPECT_TRUE(fs::exists(aside / name)) << name;
    }
    EXPECT_FALSE(fs::exists(path / "checkpoints"));
    EXPECT_EQ(content(path / "mine.txt"), "mine") << "what is not of the run stays where it is";
    EXPECT_EQ(content(path / "recipe.toml"), recipes::recipe_text(round == 1 ? other : recipe_));
    if (round == 1) std::ofstream(path / "recipe.toml") << recipes::recipe_text(recipe_);
  }
  // A folder that was never a run's is left alone.
  fs::create_directories(root_ / "mine" / "checkpoints");
  EXPECT_FALSE(RunFolder::open(root_ / "mine", recipe_, true).ok());
  EXPECT_TRUE(fs::exists(root_ / "mine" / "checkpoints"));
}

TEST_F(RunFolderTest, ADamagedRecordIsSaidWithWhatToDo) {
  const fs::path path = root_ / "one";
  { RunFolder run = begin_good(path); }
  for (const char* text : {"", "{\"status\": ", "[1]"}) {
    std::ofstream(path / "run.json") << text;
    const auto run = RunFolder::open(path, recipe_);
    ASSERT_FALSE(run.ok());
    EXPECT_EQ(run.error().code, Code::kCorrupt);
    EXPECT_NE(run.error().message.find("move it away"), std::string::npos) << run.error().message;
    EXPECT_EQ(content(path / "run.json"), text);
  }
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
    ASSERT_TRUE(begin_good(root_ / "a")
                    .set({{"status", "done"}, {"weights_sha256", "abc"}}, {{"steps", 9}, {"seconds", 2.5}})
                    .ok());
  }
  {
    RunFolder b = begin_good(root_ / "b");
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
}

TEST_F(RunFolderTest, RunsOfOneRecipeAreToldApart) {
  { RunFolder run = begin_good(root_ / "a"); }
  { RunFolder run = begin_good(root_ / "b"); }
  recipe_.optimizer.lr = 0.5;
  recipe_.checkpoint.every = 3;  // decides nothing
  { RunFolder run = begin_good(root_ / "c"); }
  recipe_.seed = 9;
  { RunFolder run = begin_good(root_ / "d"); }
  std::ofstream(root_ / "d" / "recipe.toml") << "steps = [";
  recipe_.name = "another";
  { RunFolder run = begin_good(root_ / "e"); }
  using Values = std::vector<std::pair<std::string, std::string>>;
  const auto runs = list_runs(root_);
  ASSERT_TRUE(runs.ok());
  for (const RunSummary& run : *runs) {
    const std::string folder = run.folder.filename().string();
    const bool is_readable = folder != "d" && folder != "e";
    EXPECT_EQ(run.differs, is_readable ? Values({{"optimizer.lr", folder == "c" ? "0.5" : "0.001"}}) : Values())
        << folder;
  }
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
    RunFolder run = begin_good(root_ / "one");
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
}  // namespace naru::runs
