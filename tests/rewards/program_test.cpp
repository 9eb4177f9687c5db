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

// What it does is its first argument, or "!" and what to do wrong as the response. The reward is the length of that.
constexpr const char* kScript = R"(import json, os, sys, time
mode = sys.argv[1]
if mode == "fails": sys.exit("no such model")
if mode == "banner": print("ready", flush=True)
n = 0
for line in sys.stdin:
    n += 1
    asked = json.loads(line)
    response = asked["response"]
    number = asked["id"]
    good = json.dumps({"id": number, "reward": len(response), "right": n % 2 == 1, "more": [1]})
    if mode == "slow": time.sleep(os.urandom(1)[0] * 2e-5)
    if mode == "random": good = '{"id": %d, "reward": %r}' % (number, int.from_bytes(os.urandom(4), "big") / 2**32)
    if mode == "fields": print(line, end="", file=open("asked.jsonl", "a"))
    if mode == "chatty": print("x" * 500000, file=sys.stderr)
    if mode == "child":
        import subprocess
        print(subprocess.Popen(["sleep", "1000"]).pid, file=open("child.txt", "w"))
    if mode == "third" and n == 3: raise ValueError("bad answer")
    if mode == "hangs": time.sleep(1000)
    if response == "!text": good = "fine!"
    if response == "!nan": good = '{"id": %d, "reward": NaN}' % number
    if response == "!infinite": good = '{"id": %d, "reward": 1e999}' % number
    if response == "!huge": good = '{"id": %d, "reward": 1e7}' % number
    if response == "!id": good = json.dumps({"id": number + 1, "reward": 1})
    if response == "!no-id": good = '{"reward": 1}'
    if response == "!word": good = '{"id": %d, "reward": "1"}' % number
    if response == "!list": good = "[1]"
    if response == "!two": good += "\n" + good
    if response == "!half": sys.stdout.write(good[:7]); sys.stdout.flush(); sys.exit(0)
    if response == "!binary": sys.stdout.buffer.write(b"\0\xff\xfe\n"); sys.stdout.flush(); continue
    if response == "!raises": raise ValueError("bad answer")
    if response == "!dies": os.kill(os.getpid(), 9)
    if response == "!ends": sys.exit(0)
    while response == "!flood": sys.stdout.write("y" * 65536)
    while response == "!err-flood": sys.stderr.write("y" * 65536)
    if response == "!hangs": time.sleep(1000)
    if response == "!hog": x = bytearray(1 << 30)
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
    one.seconds = 60;
    one.memory_mib = 800;
    one.failure_reward = -1;
    return one;
  }
  Result<RewardProgram> open(const std::string& mode, int64_t processes = 1) const {
    return RewardProgram::open(recipe(mode, processes), folder_);
  }
  static std::string question(const std::string& response) { return "{\"response\":\"" + response + "\"}"; }
  static std::vector<std::string> questions(int64_t n) {
    std::vector<std::string> all;
    for (int64_t i = 0; i < n; ++i) all.push_back(question(std::string(static_cast<size_t>(i), 'a')));
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

// Each is between two answers that have their rewards.
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
      {"binary", "it wrote '\\x00\\xff\\xfe'"},
      {"raises", "ValueError: bad answer"},
      {"dies", "it was ended by signal 9 (Killed)"},
      {"ends", "it ended with status 0"},
      {"flood", "it wrote more than 65536 bytes"},
      {"err-flood", "it wrote more than 1048576 bytes of error output"},
      {"hog", "MemoryError"}};
  auto program = open("right");
  ASSERT_TRUE(program.ok()) << program.error().message;
  std::vector<std::string> asked = {question("aa")};
  for (const auto& [way, message] : ways) {
    asked.push_back(question("!" + std::string(way)));
    asked.push_back(question("aa"));
  }
  const auto replies = program->ask(asked);
  ASSERT_TRUE(replies.ok()) << replies.error().message;
  for (size_t i = 0; i < asked.size(); ++i) {
    const ProgramReply& one = (*replies)[i];
    if (i % 2 == 0) {
      EXPECT_EQ(one.failure, "") << i;
      EXPECT_EQ(one.reply.reward, 2) << i;
    } else {
      EXPECT_NE(one.failure.find(ways[i / 2].second), std::string::npos) << ways[i / 2].first << ": " << one.failure;
      EXPECT_LT(one.failure.size(), 700u) << one.failure;
    }
  }
}

TEST_F(RewardProgramTest, AnAnswerThatTakesTooLongFails) {
  recipes::RewardRecipe one = recipe("right");
  one.seconds = 0.4;
  auto program = RewardProgram::open(one, folder_);
  ASSERT_TRUE(program.ok()) << program.error().message;
  const auto replies = program->ask({question("aa"), question("!hangs")});  // a process has longer for its first one
  ASSERT_TRUE(replies.ok()) << replies.error().message;
  EXPECT_NE((*replies)[1].failure.find("it gave no answer within 0.4 seconds (reward.seconds)"), std::string::npos)
      << (*replies)[1].failure;
}

// The third of every process: another one begins.
TEST_F(RewardProgramTest, AnotherBeginsWhereOneDied) {
  auto program = open("third");
  const auto replies = program->ask(questions(7));
  ASSERT_TRUE(replies.ok()) << replies.error().message;
  for (size_t i = 0; i < 7; ++i) EXPECT_EQ((*replies)[i].failure.empty(), i % 3 != 2) << (*replies)[i].failure;
}

TEST_F(RewardProgramTest, AProgramThatNeverAnswersIsAnError) {
  recipes::RewardRecipe one = recipe("");
  one.command = {"cat"};  // says what it was told
  auto program = RewardProgram::open(one, folder_);
  ASSERT_TRUE(program.ok()) << program.error().message;
  const auto replies = program->ask(questions(kRewardFailuresMax + 5));
  ASSERT_FALSE(replies.ok());
  EXPECT_EQ(replies.error().code, Code::kUnavailable);
  EXPECT_NE(replies.error().message.find("none of its first 32 answers got a reward"), std::string::npos)
      << replies.error().message;
  EXPECT_TRUE(program->ask(questions(4)).ok());  // few: each is a failure
}

// Long before the answer's time is over.
TEST_F(RewardProgramTest, StopsThoughItHangs) {
  auto program = open("hangs", 2);
  const auto begin = std::chrono::steady_clock::now();
  const auto since = [&] { return std::chrono::steady_clock::now() - begin; };
  const auto replies = program->ask(questions(4), [&] { return since() > std::chrono::milliseconds(150); });
  EXPECT_EQ(replies.error().code, Code::kCancelled);
  EXPECT_LT(since(), std::chrono::seconds(30));
}

// Megabytes to it while it writes much: nobody waits for the other.
TEST_F(RewardProgramTest, LargeTextsDoNotLock) {
  auto program = open("chatty");
  const std::vector<std::string> large(3, question(std::string(999999, 'a')));
  const auto replies = program->ask(large);
  ASSERT_TRUE(replies.ok());
  for (const ProgramReply& one : *replies) EXPECT_EQ(one.reply.reward, 999999) << one.failure;
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
  for (int i = 0; i < 3000 && !is_gone(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(is_gone());
}

// What the program is asked: the whole line, and what is ours.
TEST_F(RewardProgramTest, TheLineIsHandedOn) {
  JudgeOptions options{.max_tokens = 9};
  options.rewards = {recipe("fields")};
  options.folder = folder_;
  Judge judge = Judge::open(options).value();
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

// The program of docs/rewards.md.
TEST_F(RewardProgramTest, TheDocumentsProgramWorks) {
  const std::string document = *read_file(fs::path(NARU_TEST_DATA) / "../../docs/rewards.md", 1 << 20);
  const size_t begin = document.find("```python\n");
  ASSERT_NE(begin, std::string::npos);
  std::ofstream(folder_ / "reward.py") << document.substr(begin + 10, document.find("```", begin + 3) - begin - 10);
  auto program = open("");
  ASSERT_TRUE(program.ok()) << program.error().message;
  const auto replies = program->ask(
      {R"({"answer": 72, "response": "<think>71</think> It is 72"})", R"({"answer": "72", "response": "71"})"});
  ASSERT_TRUE(replies.ok());
  EXPECT_EQ((*replies)[0].reply.reward, 1) << (*replies)[0].failure;
  EXPECT_TRUE((*replies)[0].reply.is_right);
  EXPECT_EQ((*replies)[1].reply.reward, 0) << (*replies)[1].failure;
}

// Rewards at random are the same rewards when they are asked for again: of the file, and of one call.
TEST_F(RewardProgramTest, StoredRewardsAreReadBack) {
  const fs::path store = folder_ / "rewards.jsonl";
  const std::vector<data::Problem> all = problems(10);
  JudgeOptions options{.max_tokens = 9};
  options.rewards = {recipe("random", 2)};
  options.folder = folder_;
  const auto rewards = [&](size_t n) {
    Judge judge = Judge::open(options).value();
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
  const std::string lines = contents("rewards.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 10);
  // Another program is asked anew.
  std::ofstream(folder_ / "reward.py", std::ios::app) << "# changed\n";
  EXPECT_NE(rewards(7), first);
  std::ofstream(store, std::ios::app) << "{\"asked\": 12}\n";
  Judge judge = Judge::open(options).value();
  const auto damaged = judge.judge({{.problem = &all[0], .answer = "5"}}, {.store = store});
  ASSERT_FALSE(damaged.ok());
  EXPECT_NE(damaged.error().message.find("rewards.jsonl:18"), std::string::npos) << damaged.error().message;
}

TEST_F(RewardProgramTest, FailuresAreWorthWhatTheRecipeSaysAndAreCounted) {
  const fs::path store = folder_ / "rewards.jsonl";
  const std::vector<data::Problem> all = problems(9);
  JudgeOptions options{.max_tokens = 9};
  options.rewards = {recipe("third")};
  options.rewards[0].weight = 2;
  options.folder = folder_;
  std::vector<JudgedText> texts;
  for (const data::Problem& one : all) texts.push_back({.problem = &one, .answer = "five"});
  std::vector<std::string> notes;
  const JudgeCall call{.note = [&](const std::string& line) { notes.push_back(line); }, .store = store};
  for (int round = 0; round < 2; ++round) {
    Judge judge = Judge::open(options).value();
    const auto judged = *judge.judge(texts, call);
    for (size_t i = 0; i < 9; ++i) {
      EXPECT_EQ(judged[i].n_failures, i % 3 == 2 ? 1 : 0);
      EXPECT_EQ(judged[i].reward, i % 3 == 2 ? -2 : 8);
      EXPECT_EQ(judged[i].is_right, i % 3 == 0);
    }
    EXPECT_EQ(*judge.stored_failures(store), 3);
  }
  ASSERT_EQ(notes.size(), 2u);  // of the first round: what one failed of, and how many more did
  EXPECT_EQ(notes[1], "reward program: and 2 more answers");
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

// As whoever started us may have left it: the kernel then waits for our children.
TEST(RewardChild, EndsWhereItsStatusIsLost) {
  const auto program = find_program("true", "");
  ASSERT_TRUE(program.ok()) << program.error().message;
  const auto before = ::signal(SIGCHLD, SIG_IGN);
  auto child = ChildProcess::start({.program = *program, .arguments = {"true"}, .folder = "/"});
  ASSERT_TRUE(child.ok()) << child.error().message;
  std::optional<std::string> ended;
  for (int i = 0; i < 2000 && !ended; ++i) {
    ended = child->ended();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ::signal(SIGCHLD, before);
  ASSERT_TRUE(ended.has_value());
  EXPECT_NE(ended->find("SIGCHLD is ignored"), std::string::npos) << *ended;
  EXPECT_TRUE(child->ended_well());
}

TEST(RewardFile, GrowsToWhatIsReadBackAndNoFurther) {
  const fs::path path = fs::temp_directory_path() / ("naru-store-" + std::to_string(::getpid()) + ".jsonl");
  const std::vector<RewardStore::Entry> one = {{.asked = std::string(64, 'a'), .reply = {}}};
  const std::vector<RewardStore::Entry> two = {{.asked = std::string(64, 'b'), .reply = {}}};
  ASSERT_TRUE(RewardStore::open(path)->add(one).ok());
  const auto bytes = static_cast<int64_t>(fs::file_size(path));
  {
    auto store = RewardStore::open(path, 2 * bytes - 1);
    ASSERT_TRUE(store.ok()) << store.error().message;
    const Status full = store->add(two);
    ASSERT_FALSE(full.ok());
    EXPECT_NE(full.error().message.find("in a new run"), std::string::npos) << full.error().message;
    EXPECT_EQ(store->find(two[0].asked), nullptr);
  }
  EXPECT_EQ(static_cast<int64_t>(fs::file_size(path)), bytes);
  ASSERT_TRUE(RewardStore::open(path, 2 * bytes)->add(two).ok());
  EXPECT_NE(RewardStore::open(path, 2 * bytes)->find(two[0].asked), nullptr);
  fs::remove(path);
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
