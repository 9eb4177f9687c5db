// Programs that judge: right, slow, missing, and wrong in every way.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "data/problem_lines.h"
#include "rewards/child_process.h"
#include "rewards/judge.h"
#include "rewards/reply_message.h"
#include "rewards/reward_program.h"
#include "rewards/reward_store.h"

namespace naru::rewards {
namespace {

namespace fs = std::filesystem;

// What it does is its first argument. "right" gives the number of characters of the response.
constexpr const char* kScript = R"(import json, os, random, subprocess, sys, time
mode = sys.argv[1]
if mode == "fails": sys.exit("no such model")
if mode == "banner": print("ready", flush=True)
n = 0
for line in sys.stdin:
    n += 1
    asked = json.loads(line)
    good = json.dumps({"id": asked["id"], "reward": len(asked["response"]), "right": n % 2 == 1, "more": [1]})
    bad = n == 3
    if mode == "slow": time.sleep(random.random() * 0.004)
    if mode == "random": good = json.dumps({"id": asked["id"], "reward": random.random()})
    if mode == "fields": print(line, end="", file=open("asked.jsonl", "a"))
    if mode == "chatty": print("x" * 500000, file=sys.stderr)
    if mode == "child" and n == 1:
        print(subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid,
              file=open("child.txt", "w"))
    if bad or mode.startswith("always"):
        what = mode.removeprefix("always-")
        if what == "text": good = "fine!"
        if what == "nan": good = '{"id": %d, "reward": NaN}' % asked["id"]
        if what == "infinite": good = '{"id": %d, "reward": 1e999}' % asked["id"]
        if what == "huge": good = '{"id": %d, "reward": 1e7}' % asked["id"]
        if what == "id": good = json.dumps({"id": asked["id"] + 1, "reward": 1})
        if what == "no-id": good = '{"reward": 1}'
        if what == "word": good = '{"id": %d, "reward": "1"}' % asked["id"]
        if what == "list": good = "[1]"
        if what == "two": good += "\n" + good
        if what == "half": sys.stdout.write(good[:7]); sys.stdout.flush(); sys.exit(0)
        if what == "binary": sys.stdout.buffer.write(b"\0\xff\xfe\n"); sys.stdout.flush(); continue
        if what == "raises": raise ValueError("bad answer")
        if what == "dies": os.kill(os.getpid(), 9)
        if what == "ends": sys.exit(0)
        if what == "flood":
            while True: sys.stdout.write("y" * 65536)
        if what == "err-flood":
            while True: sys.stderr.write("y" * 65536)
        if what == "hangs": time.sleep(1000)
        if what == "hog": x = bytearray(1 << 30)
    print(good, flush=True)
)";

class RewardProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!find_program("python3", "").ok()) GTEST_SKIP() << "python3 is not here";
    std::string pattern = (fs::temp_directory_path() / "naru-rewards-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    std::ofstream(folder_ / "reward.py") << kScript;
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // nobody is left to be waited for
  }

  recipes::RewardRecipe recipe(const std::string& mode, int64_t processes = 1) const {
    recipes::RewardRecipe one;
    one.kind = "program";
    one.command = {"python3", "reward.py", mode};
    one.processes = processes;
    one.seconds = 0.4;
    one.memory_mib = 800;
    one.failure_reward = -1;
    return one;
  }
  Result<RewardProgram> open(const std::string& mode, int64_t processes = 1) const {
    return RewardProgram::open(recipe(mode, processes), folder_);
  }
  static std::vector<std::string> questions(int64_t n) {
    std::vector<std::string> all;
    for (int64_t i = 0; i < n; ++i)
      all.push_back("{\"response\":\"" + std::string(static_cast<size_t>(i), 'a') + "\"}");
    return all;
  }
  std::vector<data::Problem> problems(int64_t n) const {
    std::vector<data::Problem> all;
    for (int64_t i = 0; i < n; ++i) {
      const std::string line = "{\"prompt\": \"How many?\", \"answer\": 5, \"number\": " + std::to_string(i) + "}";
      all.push_back(*data::parse_problem(line, "p.jsonl:" + std::to_string(i + 1), {}, true));
    }
    return all;
  }
  std::string contents(const char* name) const { return *read_file(folder_ / name, 1 << 20); }

  fs::path folder_;
};

int64_t open_files() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

TEST_F(RewardProgramTest, RepliesComeInTheirOrderWhoeverIsFaster) {
  const int64_t files = open_files();
  {
    auto program = open("slow", 3);
    ASSERT_TRUE(program.ok()) << program.error().message;
    ASSERT_EQ(program->files().size(), 1u);
    EXPECT_EQ(program->files()[0].name, "reward.py");
    for (int64_t round = 0; round < 2; ++round) {
      const auto replies = program->ask(questions(40));
      ASSERT_TRUE(replies.ok()) << replies.error().message;
      for (size_t i = 0; i < 40; ++i) {
        EXPECT_EQ((*replies)[i].failure, "");
        EXPECT_EQ((*replies)[i].reply.reward, static_cast<double>(i));
      }
    }
    EXPECT_TRUE(program->ask({})->empty());
  }
  EXPECT_EQ(open_files(), files);
}

TEST_F(RewardProgramTest, WhatCannotWorkIsRefusedBeforeTheRun) {
  const auto refused = [&](const recipes::RewardRecipe& one) {
    const auto program = RewardProgram::open(one, folder_);
    return program.ok() ? std::string("opened") : program.error().message;
  };
  recipes::RewardRecipe one = recipe("right");
  one.command = {"naru-no-such-program"};
  EXPECT_NE(refused(one).find("no folder of PATH has a program naru-no-such-program"), std::string::npos)
      << refused(one);
  one.command = {"./missing"};
  EXPECT_NE(refused(one).find("is not there"), std::string::npos) << refused(one);
  one.command = {"./reward.py"};
  EXPECT_NE(refused(one).find("may not be run"), std::string::npos) << refused(one);
  one.command = {"python3", "missing.py"};
  EXPECT_NE(refused(one).find("ended with status 2"), std::string::npos) << refused(one);
  EXPECT_NE(refused(recipe("fails")).find("no such model"), std::string::npos) << refused(recipe("fails"));
  EXPECT_NE(refused(recipe("banner")).find("it wrote 'ready"), std::string::npos) << refused(recipe("banner"));
  fs::permissions(folder_ / "reward.py", fs::perms::owner_exec, fs::perm_options::add);
  one.command = {"./reward.py", "right"};  // has no #! line
  EXPECT_NE(refused(one).find("starting "), std::string::npos) << refused(one);
  EXPECT_EQ(refused(recipe("right")), "opened");
  std::string asked;
  const auto cancelled = RewardProgram::open(recipe("right"), folder_, [] { return true; });
  EXPECT_EQ(cancelled.error().code, Code::kCancelled);
}

// The third answer of every process goes wrong; all others have their rewards.
TEST_F(RewardProgramTest, EveryWayToFailIsSaidAndTheOthersGoOn) {
  const std::vector<std::pair<const char*, const char*>> ways = {
      {"text", "it wrote 'fine!', {\"id\": N, \"reward\": NUMBER} and nothing else was wanted"},
      {"nan", "NaN"},
      {"infinite", "1e999"},
      {"huge", "reward 10000000, one from -1e+06 to 1e+06 was wanted"},
      {"id", "that of the answer it was asked about"},
      {"no-id", "a line without an id"},
      {"word", "reward the string \"1\", a number was wanted"},
      {"list", "it wrote '[1]'"},
      {"two", "it wrote more than one line"},
      {"half", "it ended with status 0 in the middle of '{\"id\": '"},
      {"binary", "it wrote '\\x00\\xFF\\xFE'"},
      {"raises", "ValueError: bad answer"},
      {"dies", "it was ended by signal 9 (Killed)"},
      {"ends", "it ended with status 0"},
      {"flood", "it wrote more than 65536 bytes"},
      {"err-flood", "it wrote more than 1048576 bytes of error output"},
      {"hangs", "it gave no answer within 0.4 seconds (reward.seconds)"},
      {"hog", "MemoryError"}};
  for (const auto& [way, message] : ways) {
    auto program = open(way);
    ASSERT_TRUE(program.ok()) << program.error().message;
    const auto replies = program->ask(questions(4));
    ASSERT_TRUE(replies.ok()) << way << ": " << replies.error().message;
    for (size_t i = 0; i < 4; ++i) {
      const ProgramReply& one = (*replies)[i];
      if (i == 2) {
        EXPECT_NE(one.failure.find(message), std::string::npos) << way << ": " << one.failure;
        EXPECT_LT(one.failure.size(), 700u) << way;
      } else {
        EXPECT_EQ(one.failure, "") << way << " " << i;
        EXPECT_EQ(one.reply.reward, static_cast<double>(i)) << way;
      }
    }
  }
}

TEST_F(RewardProgramTest, AProgramThatNeverAnswersIsAnError) {
  auto program = open("always-text", 2);
  const auto replies = program->ask(questions(kRewardFailuresMax + 5));
  ASSERT_FALSE(replies.ok());
  EXPECT_EQ(replies.error().code, Code::kUnavailable);
  EXPECT_NE(replies.error().message.find("none of its first 32 answers got a reward"), std::string::npos)
      << replies.error().message;
  EXPECT_TRUE(program->ask(questions(4)).ok());  // few: each is a failure
}

TEST_F(RewardProgramTest, StopsWithinASecondThoughItHangs) {
  auto program = open("always-hangs", 2);
  const auto begin = std::chrono::steady_clock::now();
  const auto since = [&] { return std::chrono::steady_clock::now() - begin; };
  const auto replies = program->ask(questions(4), [&] { return since() > std::chrono::milliseconds(150); });
  EXPECT_EQ(replies.error().code, Code::kCancelled);
  EXPECT_LT(since(), std::chrono::seconds(1));
}

// Megabytes to it while it writes much: nobody waits for the other.
TEST_F(RewardProgramTest, LargeTextsDoNotLock) {
  auto program = open("chatty");
  std::vector<std::string> large(3, "{\"response\":\"" + std::string(3 << 20, 'a') + "\"}");
  const auto replies = program->ask(large);
  ASSERT_TRUE(replies.ok());
  for (const ProgramReply& one : *replies) EXPECT_EQ(one.reply.reward, 3 << 20) << one.failure;
}

TEST_F(RewardProgramTest, ItsOwnProcessesEndWithIt) {
  pid_t pid = 0;
  {
    auto program = open("child");
    ASSERT_TRUE(program->ask(questions(1)).ok());
    pid = std::stoi(contents("child.txt"));
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  // Who takes in orphans may not have waited for it yet.
  const auto is_gone = [pid] {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string number, name, state;
    return !(stat >> number >> name >> state) || state == "Z";
  };
  for (int i = 0; i < 100 && !is_gone(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(is_gone());
}

// What the program is asked: the whole line, and what is ours.
TEST_F(RewardProgramTest, TheLineIsHandedOn) {
  JudgeOptions options{.max_tokens = 9};
  options.rewards = {recipe("fields")};
  options.folder = folder_;
  Judge judge = *Judge::open(options);
  const data::Problem own = *data::parse_problem(
      R"({"messages": [{"role": "user", "content": "몇?"}], "answer": 72, "id": "x", "response": "y", "tests": [1, {"a": 2}]})",
      "p.jsonl:1", {}, true);
  const data::Problem made = data::make_problem({.generator = data::Generator::kCountdown}, 1, 0, data::Split::kTrain);
  const auto judged = judge.judge({{.problem = &own, .answer = "칠십\xff"}, {.problem = &made, .answer = "1+1"}});
  ASSERT_TRUE(judged.ok()) << judged.error().message;
  EXPECT_EQ((*judged)[0].parts, std::vector<double>{3});
  EXPECT_TRUE((*judged)[0].is_right);
  std::istringstream lines(contents("asked.jsonl"));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(nlohmann::json::parse(line),
            nlohmann::json::parse(R"({"id": 0, "messages": [{"role": "user", "content": "몇?"}], "answer": 72,
              "problem_id": "x", "problem_response": "y", "response": "칠십\ufffd", "tests": [1, {"a": 2}]})"));
  std::getline(lines, line);
  const auto second = nlohmann::json::parse(line);
  EXPECT_EQ(second["generator"], "countdown");
  EXPECT_EQ(second["answer"], made.answer);
  EXPECT_EQ(second["numbers"], made.numbers);
  EXPECT_EQ(second["prompt"], made.prompt);
}

// Rewards at random are the same rewards when they are asked for again: of the file, and of one call.
TEST_F(RewardProgramTest, StoredRewardsAreReadBack) {
  const fs::path store = folder_ / "rewards.jsonl";
  const std::vector<data::Problem> all = problems(10);
  JudgeOptions options{.max_tokens = 9};
  options.rewards = {recipe("random", 2)};
  options.folder = folder_;
  const auto rewards = [&](size_t n) {
    Judge judge = *Judge::open(options);
    std::vector<JudgedText> texts;
    for (size_t i = 0; i < n; ++i) texts.push_back({.problem = &all[i % 10], .answer = "5"});
    const auto judged = judge.judge(texts, {.store = store});
    EXPECT_TRUE(judged.ok()) << judged.error().message;
    std::vector<double> values;
    for (const Judgement& one : *judged) values.push_back(one.reward);
    return values;
  };
  const std::vector<double> first = rewards(7);
  EXPECT_EQ(std::count(first.begin(), first.end(), first[0]), 1);
  std::ofstream(store, std::ios::app) << "{\"asked\": \"12";  // killed in the middle of a line
  const std::vector<double> second = rewards(20);
  EXPECT_EQ(std::vector<double>(second.begin(), second.begin() + 7), first);
  EXPECT_EQ(std::vector<double>(second.begin() + 10, second.end()),
            std::vector<double>(second.begin(), second.begin() + 10));
  EXPECT_EQ(std::count(contents("rewards.jsonl").begin(), contents("rewards.jsonl").end(), '\n'), 10);
  // Another program is asked anew.
  std::ofstream(folder_ / "reward.py", std::ios::app) << "# changed\n";
  EXPECT_NE(rewards(7), first);
  std::ofstream(store, std::ios::app) << "{\"asked\": 12}\n";
  Judge judge = *Judge::open(options);
  const auto damaged = judge.judge({{.problem = &all[0], .answer = "5"}}, {.store = store});
  ASSERT_FALSE(damaged.ok());
  EXPECT_NE(damaged.error().message.find("rewards.jsonl:18"), std::string::npos) << damaged.error().message;
}

TEST_F(RewardProgramTest, FailuresAreWorthWhatTheRecipeSaysAndAreCounted) {
  const fs::path store = folder_ / "rewards.jsonl";
  const std::vector<data::Problem> all = problems(9);
  JudgeOptions options{.max_tokens = 9};
  options.rewards = {recipe("raises")};
  options.rewards[0].weight = 2;
  options.folder = folder_;
  std::vector<JudgedText> texts;
  for (const data::Problem& one : all) texts.push_back({.problem = &one, .answer = "five"});
  std::vector<std::string> notes;
  const JudgeCall call{.note = [&](const std::string& line) { notes.push_back(line); }, .store = store};
  for (int round = 0; round < 2; ++round) {
    Judge judge = *Judge::open(options);
    const auto judged = *judge.judge(texts, call);
    for (size_t i = 0; i < 9; ++i) {
      EXPECT_EQ(judged[i].n_failures, i % 3 == 2 ? 1 : 0);
      EXPECT_EQ(judged[i].reward, i % 3 == 2 ? -2 : 8);
      EXPECT_EQ(judged[i].is_right, i % 3 == 0);
    }
    EXPECT_EQ(*judge.stored_failures(store), 3);
  }
  ASSERT_EQ(notes.size(), 3u);  // of the first round
  EXPECT_NE(notes[0].find("reward program: an answer to problem p.jsonl:3 is worth -1"), std::string::npos) << notes[0];
  EXPECT_NE(notes[0].find("ValueError: bad answer"), std::string::npos) << notes[0];
}

TEST(RewardLines, HostileOnes) {
  for (const char* line : {"",
                           "{",
                           "{}",
                           "null",
                           "[]",
                           "1",
                           "{\"id\":7}",
                           "{\"id\":7,\"reward\":null}",
                           "{\"id\":7,\"reward\":true}",
                           "{\"id\":7.0,\"reward\":1}",
                           "{\"id\":\"7\",\"reward\":1}",
                           "{\"id\":8,\"reward\":1}",
                           "{\"id\":7,\"reward\":1}x",
                           "{\"id\":7,\"id\":7,\"reward\":1}",
                           "{\"id\":7,\"reward\":1,\"right\":1}",
                           "{\"id\":7,\"reward\":NaN}",
                           "{\"id\":7,\"reward\":-1e7}",
                           "{\"id\":7,\"reward\":Infinity}",
                           "\xff",
                           "{\"id\":7,\"reward\":1,\"x\":\"\xff\"}"}) {
    EXPECT_FALSE(parse_reward_reply(line, 7).ok()) << line;
  }
  std::string deep = "{\"id\":7,\"reward\":1,\"x\":" + std::string(1000, '[') + std::string(1000, ']') + "}";
  EXPECT_FALSE(parse_reward_reply(deep, 7).ok());
  EXPECT_EQ(parse_reward_reply(" {\"reward\":-0.0,\"id\":7}\r", 7)->reward, 0);
  EXPECT_FALSE(std::signbit(parse_reward_reply("{\"reward\":-0.0,\"id\":7}", 7)->reward));
  EXPECT_TRUE(parse_reward_reply("{\"reward\":0,\"id\":7,\"right\":true}", 7)->is_right);
  EXPECT_TRUE(parse_reward_reply("{\"reward\":1,\"id\":7}", 7)->is_right);
  EXPECT_FALSE(parse_reward_reply("{\"reward\":1,\"id\":7,\"right\":false}", 7)->is_right);
}

TEST(RewardLines, CrossBetweenProcesses) {
  const std::vector<StoredReward> some = {{{0.1, true}, false}, {{-3, false}, true}};
  const auto back = replies_from_bytes(replies_to_bytes(some), 2);
  ASSERT_TRUE(back.ok());
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ((*back)[i].reply.reward, some[i].reply.reward);
    EXPECT_EQ((*back)[i].reply.is_right, some[i].reply.is_right);
    EXPECT_EQ((*back)[i].is_failed, some[i].is_failed);
  }
  const auto error = replies_from_bytes(replies_to_bytes(Error{Code::kCancelled, "stopped"}), 2);
  EXPECT_EQ(error.error().code, Code::kCancelled);
  EXPECT_EQ(error.error().message, "stopped");
  EXPECT_FALSE(replies_from_bytes("", 2).ok());
  EXPECT_FALSE(replies_from_bytes("r", 2).ok());
  EXPECT_FALSE(replies_from_bytes("e\x70", 2).ok());
}

}  // namespace
}  // namespace naru::rewards
