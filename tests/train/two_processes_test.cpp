// Runs that two processes train together: they end in the weights of one, stop together, and say when one has gone.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "runs/run_folder.h"
#include "tests/train/distill_rig.h"
#include "tests/train/grpo_rig.h"
#include "tests/train/peers.h"
#include "train/checkpoint.h"

extern "C" char** environ;  // NOLINT: POSIX's name

namespace naru::train {
namespace {

// What the second process is told.
struct Second {
  std::string recipe = "recipe.toml";  // below the rig's folder
  int64_t n_questions = -1;            // asks to stop when it is asked so often whether it wants to
  int64_t dies_behind = -1;            // ends without a word behind that step
  std::string refusal;                 // what it expects to be told instead of training
};

constexpr const char* kPeerVariable = "NARU_TEST_PEER";

// What this program is when TwoProcesses starts it: the second process of a run.
TEST(PeerProcess, Second) {
  const char* text = std::getenv(kPeerVariable);
  if (text == nullptr) GTEST_SKIP() << "it is run by the tests of two processes";
  const nlohmann::json how = nlohmann::json::parse(text);
  const fs::path folder = how["folder"].get<std::string>();
  const recipes::Recipe recipe = recipes::read_recipe(folder / how["recipe"].get<std::string>(), {}).value();
  test::SocketPeers peers(how["socket"], 1);
  TrainerParts parts;
  parts.peers = &peers;
  TrainerEvents events;
  if (how["n_questions"] >= 0) events = stop_after(how["n_questions"]);
  events.step = [dies_behind = how["dies_behind"].get<int64_t>()](const StepReport& report) {
    if (report.step == dies_behind) ::_exit(0);
  };
  const auto chip = test::make_chip("cpu", 1);
  const auto trainer = Trainer::open(recipe, folder, *chip, std::move(events), {}, std::move(parts));
  const std::string refusal = how["refusal"];
  ASSERT_EQ(trainer.ok(), refusal.empty()) << (trainer.ok() ? "" : trainer.error().message);
  if (!trainer.ok()) {
    EXPECT_NE(trainer.error().message.find(refusal), std::string::npos) << trainer.error().message;
    return;
  }
  const auto result = (*trainer)->run();
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->is_done, how["n_questions"] < 0);
  EXPECT_EQ(result->weights_sha256.size(), result->is_done ? 64u : 0u);
}

// Trains the recipe in this process and a second one, and waits for that.
Result<RunResult> run_in_two(const TrainerRig& rig, const recipes::Recipe& recipe, const Second& second = {},
                             TrainerEvents events = {}) {
  if (second.recipe == "recipe.toml") std::ofstream(rig.path() / "recipe.toml") << recipes::recipe_text(recipe);
  int sockets[2] = {-1, -1};
  NARU_CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
  ::fcntl(sockets[0], F_SETFD, FD_CLOEXEC);
  const std::string how =
      std::string(kPeerVariable) + "=" +
      nlohmann::json{
          {"folder", rig.path().string()},     {"recipe", second.recipe},           {"socket", sockets[1]},
          {"n_questions", second.n_questions}, {"dies_behind", second.dies_behind}, {"refusal", second.refusal}}
          .dump();
  std::vector<char*> environment;
  for (char** one = environ; *one != nullptr; ++one) environment.push_back(*one);
  environment.push_back(const_cast<char*>(how.c_str()));
  environment.push_back(nullptr);
  std::string program = "/proc/self/exe", filter = "--gtest_filter=PeerProcess.Second";
  char* const arguments[] = {program.data(), filter.data(), nullptr};
  const std::string said = (rig.path() / "second.txt").string();
  posix_spawn_file_actions_t actions;
  NARU_CHECK(::posix_spawn_file_actions_init(&actions) == 0);
  NARU_CHECK(::posix_spawn_file_actions_addopen(&actions, 1, said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600) == 0);
  pid_t child = -1;
  NARU_CHECK(::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environment.data()) == 0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(sockets[1]);
  Result<RunResult> result = RunResult();
  {
    test::SocketPeers peers(sockets[0], 0);
    TrainerParts parts;
    parts.peers = &peers;
    const auto trainer = rig.open(recipe, best_cpu(), std::move(events), {}, std::move(parts));
    result = trainer.ok() ? (*trainer)->run() : Result<RunResult>(trainer.error());
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << read_file(said, 1 << 20).value();
  return result;
}

std::string finished_in_two(const TrainerRig& rig, const recipes::Recipe& recipe) {
  const auto result = run_in_two(rig, recipe);
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? result->weights_sha256 : "failed";
}

TEST(TwoProcesses, EndInTheWeightsOfOne) {
  const TrainerRig rig;
  recipes::Recipe llama = rig.recipe("llama"), experts = rig.recipe("v3", "v3.json"),
                  predicting = rig.recipe("mtp", "v3-mtp.json");
  recipes::SourceRecipe held;
  held.path = (rig.path() / "held.txt").string();
  std::ofstream(held.path) << "12 + 7 = 19\n3 + 4 = 7\n";
  llama.validation = {held};
  llama.validate = {.every = 2, .rows = 4};
  llama.sample.prompts = {"1 + 1"};
  llama.sample.max_tokens = 4;
  experts.compute = contract::ComputeMode::kBF16;
  experts.optimizer.kind = "muon";
  experts.loss.bias_update = 0.01;
  predicting.loss.mtp = 0.3;
  predicting.batch.rows = 5;
  for (recipes::Recipe recipe : {llama, experts, predicting}) {
    const auto one = rig.run(recipe, best_cpu());
    ASSERT_TRUE(one.ok()) << one.error().message;
    recipe.output = rig.run_folder(recipe.name + "-two").string();
    recipe.guard.recheck_every = 2;  // decides no bit
    const auto two = run_in_two(rig, recipe);
    ASSERT_TRUE(two.ok()) << two.error().message;
    EXPECT_EQ(two->weights_sha256, one->weights_sha256) << recipe.name;
    EXPECT_EQ(two->loss, one->loss);
    EXPECT_EQ(two->validation_loss, one->validation_loss);
    EXPECT_EQ(two->validation_loss.has_value(), recipe.name == "llama");
  }
}

TEST(TwoProcesses, WriteTheSameAnswersAndStopTogether) {
  const GrpoRig rig;
  const auto named = [&rig](const std::string& name) {
    recipes::Recipe recipe = rig.grpo(name);
    recipe.grpo.keep_routing = true;
    return recipe;
  };
  const std::string wanted = rig.finished(named("one"), best_cpu());
  EXPECT_EQ(finished_in_two(rig, named("two")), wanted);
  for (const int64_t n_questions : {3, 11, 40}) {  // the second one is asked in rollouts too
    const recipes::Recipe recipe = named("stopped-" + std::to_string(n_questions));
    Second second;
    second.n_questions = n_questions;
    const auto stopped = run_in_two(rig, recipe, second);
    ASSERT_TRUE(stopped.ok()) << stopped.error().message;
    EXPECT_FALSE(stopped->is_done);
    EXPECT_EQ(finished_in_two(rig, recipe), wanted) << n_questions;
  }
}

// One asks, all have the same: a reward at random would part them.
TEST(TwoProcesses, ShareWhatAProgramSays) {
  const GrpoRig rig;
  std::ofstream(rig.path() / "reward.py") << "import json, random, sys\n"
                                             "for line in sys.stdin:\n"
                                             "    print(json.dumps({'id': json.loads(line)['id'], 'reward': "
                                             "random.random()}), flush=True)\n";
  recipes::Recipe recipe = rig.grpo("random");
  recipe.reward.resize(1);
  recipe.reward[0].kind = "program";
  recipe.reward[0].command = {"python3", "reward.py"};
  Second second;
  second.n_questions = 40;
  const auto stopped = run_in_two(rig, recipe, second);
  ASSERT_TRUE(stopped.ok()) << stopped.error().message;
  EXPECT_FALSE(stopped->is_done);
  EXPECT_EQ(finished_in_two(rig, recipe).size(), 64u);
}

// The second process ends with the bits of the first: of the reference too, which only the first one reads back.
TEST(TwoProcesses, HaveOneReferenceAndOneSumOfWhatUpdatesDid) {
  const GrpoRig rig;
  const auto recipe_of = [&](const std::string& name) {
    recipes::Recipe recipe = rig.grpo(name);
    recipe.grpo.kl_weight = 0.5;
    recipe.grpo.reference_every = 2;
    recipe.grpo.top_k = 50;
    recipe.checkpoint.every = 1;
    return recipe;
  };
  const auto values_of = [](const recipes::Recipe& recipe) {
    std::vector<nlohmann::json> lines;
    std::ifstream file(fs::path(recipe.output) / "metrics.jsonl");
    for (std::string line; std::getline(file, line);) {
      lines.push_back(nlohmann::json::parse(line));
      for (const char* key : kMeasuredMetrics) lines.back().erase(key);
    }
    return lines;
  };
  const std::string wanted = rig.finished(recipe_of("one"), best_cpu());
  EXPECT_EQ(finished_in_two(rig, recipe_of("two")), wanted);
  EXPECT_EQ(values_of(recipe_of("two")), values_of(recipe_of("one")));
  Second second;
  second.n_questions = 40;
  const auto stopped = run_in_two(rig, recipe_of("stopped"), second);
  ASSERT_TRUE(stopped.ok()) << stopped.error().message;
  EXPECT_FALSE(stopped->is_done);
  EXPECT_EQ(finished_in_two(rig, recipe_of("stopped")), wanted);
}

// Each can go on with what the other left.
TEST(TwoProcesses, StopTogetherAndGoOn) {
  const TrainerRig rig;
  const std::string wanted = rig.finished(rig.recipe("whole"), best_cpu());
  // A step asks the second process once before it and once before each of its micro-batches: at least twice.
  for (const int64_t n_questions : {0, 4, 7}) {
    recipes::Recipe recipe = rig.recipe("second-" + std::to_string(n_questions));
    Second second;
    second.n_questions = n_questions;
    const auto stopped = run_in_two(rig, recipe, second);
    ASSERT_TRUE(stopped.ok()) << stopped.error().message;
    EXPECT_FALSE(stopped->is_done);
    EXPECT_LT(stopped->step, 5);
    EXPECT_EQ(n_questions % 2 == 0 ? finished_in_two(rig, recipe) : rig.finished(recipe, best_cpu()), wanted);
  }
  recipes::Recipe recipe = rig.recipe("one");
  ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(13)).ok());
  EXPECT_EQ(finished_in_two(rig, recipe), wanted);
}

TEST(TwoProcesses, GoBackTogether) {
  const TrainerRig rig;
  recipes::Recipe recipe = guarded(rig, "guarded");
  recipe.batch.groups = 2;
  std::vector<std::string> notes;
  const std::string wanted = rig.finished(recipe, best_cpu(), keep_notes(notes));
  EXPECT_TRUE(has_note(notes, "back to step"));
  recipe.output = rig.run_folder("guarded-two").string();
  EXPECT_EQ(finished_in_two(rig, recipe), wanted);
}

TEST(TwoProcesses, OneThatDiesIsSaidAndTheRunGoesOnLater) {
  const TrainerRig rig;
  const std::string wanted = rig.finished(rig.recipe("whole"), best_cpu());
  const recipes::Recipe recipe = rig.recipe("left-alone");
  Second second;
  second.dies_behind = 3;
  const auto left = run_in_two(rig, recipe, second);
  ASSERT_FALSE(left.ok());
  EXPECT_EQ(left.error().code, Code::kUnavailable);
  EXPECT_NE(left.error().message.find("process 1 has ended"), std::string::npos) << left.error().message;
  EXPECT_EQ(runs::list_runs(rig.run_folder("left-alone")).value()[0].status, "failed");
  EXPECT_EQ(list_checkpoints(rig.run_folder("left-alone") / "checkpoints").value().front().step, 2);
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
}

TEST(TwoProcesses, OfDifferentRunsAreRefused) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("alike");
  recipes::Recipe other_seed = recipe, longer = recipe;
  other_seed.seed = 2;
  longer.validate.every = 7;
  for (const auto& [other, part] :
       {std::pair{other_seed, "another recipe"}, std::pair{longer, "another timing of validation or rechecks"}}) {
    std::ofstream(rig.path() / "other.toml") << recipes::recipe_text(other);
    Second second;
    second.recipe = "other.toml";
    second.refusal = part;
    const auto refused = run_in_two(rig, recipe, second);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find(std::string("process 1 has ") + part), std::string::npos)
        << refused.error().message;
    EXPECT_FALSE(fs::exists(recipe.output)) << "refused before anything is made";
  }
}

// Each computes some of the micro-batches with teachers of its own.
TEST(TwoProcesses, LearnFromTeachersAsOne) {
  const DistillRig& rig = distill_rig();
  const auto named = [&rig](const std::string& name) {
    recipes::Recipe recipe = rig.distill(name);
    recipe.distill.updates = 2;
    recipe.teacher.push_back(recipe.teacher[0]);
    recipe.teacher[0].weight = 0.5;
    recipe.teacher[1].path = rig.model("student").string();
    return recipe;
  };
  const auto one = rig.run(named("of-one"), best_cpu());
  ASSERT_TRUE(one.ok()) << one.error().message;
  const auto two = run_in_two(rig, named("of-two"));
  ASSERT_TRUE(two.ok()) << two.error().message;
  EXPECT_EQ(two->weights_sha256, one->weights_sha256);
  EXPECT_EQ(two->loss, one->loss);
  EXPECT_EQ(two->tokens_compared, one->tokens_compared);
  Second second;
  second.n_questions = 25;
  const auto stopped = run_in_two(rig, named("stopped-of-two"), second);
  ASSERT_TRUE(stopped.ok()) << stopped.error().message;
  EXPECT_FALSE(stopped->is_done);
  EXPECT_EQ(finished_in_two(rig, named("stopped-of-two")), one->weights_sha256);
}

}  // namespace
}  // namespace naru::train
