// Runs of reinforcement learning on problems of the user's own, judged by a program: a function of their recipe however
// fast the program is and however often they are stopped, and told apart where it failed.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/train/grpo_rig.h"

namespace naru::train {
namespace {

// A reward of the response alone, after some time; what it is asked stands in asked.txt.
constexpr const char* kProgram = R"(import json, random, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps([asked["prompt"], asked["response"]]), file=open("asked.txt", "a"))
    time.sleep(random.random() * 0.003)
    if asked["number"] == 3 and MODE == "raises": raise ValueError("three")
    reward = sum(asked["response"].encode()) % 7 / 7
    print(json.dumps({"id": asked["id"], "reward": reward, "right": reward > 0.5}), flush=True)
)";

class RewardRig : public GrpoRig {
 public:
  RewardRig() : GrpoRig("llama.json") {
    write_program("works");
    write_problems(9);
  }
  void write_program(const std::string& mode) const {
    std::ofstream(path() / "reward.py") << "MODE = \"" << mode << "\"\n" << kProgram;
  }
  void write_problems(int64_t n) const {
    std::ofstream file(path() / "problems.jsonl");
    for (int64_t i = 0; i < n; ++i) {
      file << nlohmann::json{{"prompt", std::to_string(i) + " + 4 ="}, {"answer", i + 4}, {"number", i}}.dump() << "\n";
    }
  }
  recipes::Recipe judged(const std::string& name) const {
    recipes::Recipe r = grpo(name);
    r.data[0] = {};
    r.data[0].path = "problems.jsonl";
    r.validation = r.data;
    r.validate.every = 3;
    recipes::RewardRecipe program, answer;
    program.kind = "program";
    program.name = "mine";
    program.command = {"python3", "reward.py"};
    program.failure_reward = -0.25;
    answer.weight = 0.5;
    r.reward = {program, answer};
    return r;
  }
  nlohmann::json record(const recipes::Recipe& recipe) const {
    return nlohmann::json::parse(read_file(fs::path(recipe.output) / "run.json", 1 << 20).value());
  }
};

TEST(RewardRun, SpeedAndKillsChangeNothing) {
  const RewardRig rig;
  const recipes::Recipe whole = rig.judged("whole");
  const std::string wanted = rig.finished(whole, best_cpu());
  const nlohmann::json record = rig.record(whole);
  EXPECT_EQ(record["reward_failures"], 0);
  EXPECT_EQ(record["data"]["training"]["files_in_all"], 2);
  std::ifstream metrics(fs::path(whole.output) / "metrics.jsonl");
  int64_t n_rollouts = 0;
  for (std::string line; std::getline(metrics, line);) {
    const auto json = nlohmann::json::parse(line);
    if (!json.contains("reward")) continue;
    ++n_rollouts;
    EXPECT_LT(json["flat_groups"], 1.0);
    EXPECT_NEAR(json["reward"],
                json["reward_mine"].get<double>() + 0.5 * json["reward_answer"].get<double>() +
                    json["reward_length"].get<double>(),
                1e-12);
    EXPECT_FALSE(json.contains("reward_failures"));
  }
  EXPECT_EQ(n_rollouts, 3);
  for (const int64_t k : {3, 25, 60}) {
    fs::remove(rig.path() / "asked.txt");
    recipes::Recipe recipe = rig.judged("stopped-" + std::to_string(k));
    recipe.reward[0].processes = k % 3 + 1;
    recipe.validation.clear();  // whose answers are asked about and not stored
    const auto first = rig.run(recipe, best_cpu(), stop_after(k));
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_FALSE(first->is_done);
    EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted) << k;
    std::ifstream file(rig.path() / "asked.txt");
    std::set<std::string> asked;
    int64_t n_again = 0;
    for (std::string line; std::getline(file, line);) n_again += asked.insert(line).second ? 0 : 1;
    EXPECT_LE(n_again, recipe.reward[0].processes) << "those that it was at work on";
    EXPECT_GE(asked.size(), 10u);
  }
}

TEST(RewardRun, FailuresAreCountedBesideTheWeights) {
  const RewardRig rig;
  rig.write_program("raises");
  recipes::Recipe recipe = rig.judged("raises");
  recipe.validation.clear();
  std::vector<std::string> notes;
  TrainerEvents events;
  events.note = [&](std::string_view line) { notes.emplace_back(line); };
  const auto result = rig.run(recipe, best_cpu(), events);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_GT(result->reward_failures, 0);
  EXPECT_EQ(rig.record(recipe)["reward_failures"], result->reward_failures);
  const auto told =
      std::ranges::find_if(notes, [](const std::string& line) { return line.starts_with("reward mine: "); });
  ASSERT_NE(told, notes.end());
  EXPECT_NE(told->find("problem problems.jsonl:4 is worth -0.25"), std::string::npos) << *told;
  EXPECT_NE(told->find("ValueError: three"), std::string::npos) << *told;
  // Done already: what the record says is said again.
  const auto again = rig.run(recipe, best_cpu());
  EXPECT_EQ(again->reward_failures, result->reward_failures);
}

TEST(RewardRun, AChangedProgramOrFileIsSeen) {
  const RewardRig rig;
  const recipes::Recipe recipe = rig.judged("changed");
  bool stops = false;
  TrainerEvents events;
  events.step = [&stops](const StepReport&) { stops = true; };
  events.should_stop = [&stops] { return stops; };
  ASSERT_TRUE(rig.run(recipe, best_cpu(), events).ok());
  const auto refusal = [&] {
    const auto opened = rig.open(recipe, best_cpu());
    return opened.ok() ? std::string("opened") : opened.error().message;
  };
  rig.write_program("works better");
  EXPECT_NE(refusal().find("its data changed: reward.py has grown"), std::string::npos) << refusal();
  rig.write_program("works");
  EXPECT_EQ(refusal(), "opened");
  rig.write_problems(10);
  EXPECT_NE(refusal().find("problems.jsonl has grown"), std::string::npos) << refusal();
  std::ofstream(rig.path() / "problems.jsonl", std::ios::app) << "{\"prompt\": \"1 + 1 =\"}\n{\"answer\": 1}\n";
  EXPECT_NE(refusal().find("problems.jsonl:11: answer is missing, a text or a number was wanted"), std::string::npos)
      << refusal();
  EXPECT_NE(refusal().find("2 of its 12 lines"), std::string::npos) << refusal();
  rig.write_problems(9);
  fs::remove(rig.path() / "reward.py");
  EXPECT_NE(refusal().find("trying the reward program python3 reward.py"), std::string::npos) << refusal();
}

TEST(RewardRun, AConversationNeedsAChatTemplate) {
  const RewardRig rig;
  std::ofstream(rig.path() / "problems.jsonl")
      << R"({"messages": [{"role": "user", "content": "2 + 2?"}], "answer": 4})";
  const auto opened = rig.open(rig.judged("chat"), best_cpu());
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("asking problem problems.jsonl:1: it is a conversation"), std::string::npos)
      << opened.error().message;
}

}  // namespace
}  // namespace naru::train
