// Runs of on-policy distillation on tiny models: a run's weights are a function of its recipe and its teachers however
// it is stopped, with any number of threads and answers at once; and what is refused before any work.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tests/train/distill_rig.h"

namespace naru::train {
namespace {

std::vector<nlohmann::json> lines_of(const recipes::Recipe& recipe) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(fs::path(recipe.output) / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

void expect_parts(const std::string& message, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << part << "\n in " << message;
}

TEST(Distill, GivesTheSameWeightsHoweverItIsRun) {
  const DistillRig& rig = distill_rig();
  const recipes::Recipe recipe = rig.distill("whole");
  const std::string wanted = rig.finished(recipe, best_cpu());
  ASSERT_EQ(wanted.size(), 64u);
  int64_t n_steps = 0;
  for (const nlohmann::json& line : lines_of(recipe)) {
    if (!line.contains("loss")) continue;
    ++n_steps;
    for (const char* name : {"reverse_kl", "entropy", "reward", "answer_tokens", "tokens_compared"}) {
      ASSERT_TRUE(line.contains(name)) << name << " " << line;
    }
    EXPECT_NEAR(line["reverse_kl"].get<double>(), line["loss"].get<double>(), 1e-5) << "the mean over tokens";
    EXPECT_GT(line["reverse_kl"], 0.0);
    EXPECT_GT(line["entropy"], 0.0);
    EXPECT_EQ(line["tokens_changed"], 0);
    EXPECT_EQ(line["tokens_compared"].get<double>(), line["answer_tokens"].get<double>() * 8);
    EXPECT_FALSE(line.contains("flat_groups")) << "nothing is compared in groups";
  }
  EXPECT_EQ(n_steps, 6);
  recipes::Recipe one_by_one = rig.distill("one-by-one");
  one_by_one.distill.at_once = 1;
  const auto single = test::make_chip("cpu", 1);
  EXPECT_EQ(rig.finished(one_by_one, *single), wanted);
  recipes::Recipe seeded = rig.distill("seeded");
  seeded.seed = 2;
  EXPECT_NE(rig.finished(seeded, best_cpu()), wanted);
  recipes::Recipe weighted = rig.distill("weighted");
  weighted.teacher[0].weight = 0.5;
  EXPECT_NE(rig.finished(weighted, best_cpu()), wanted);
}

TEST(Distill, GoesOnFromAnywhere) {
  const DistillRig& rig = distill_rig();
  const auto twice = [&rig](const std::string& name) {
    recipes::Recipe r = rig.distill(name);
    r.distill.updates = 2;
    r.distill.temperature = 0.8;  // by rows on the host
    r.distill.top_k = 50;
    return r;
  };
  const std::string wanted = rig.finished(twice("whole-of-two"), best_cpu());
  for (const int64_t k : {2, 20, 31, 45}) {  // in rollouts, and in the steps on them
    recipes::Recipe recipe = twice(fmt::format("asked-{}", k));
    recipe.checkpoint.every = 3;
    const auto first = rig.run(recipe, best_cpu(), stop_after(k));
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted) << recipe.name;
  }
  for (const int64_t step : {1, 4}) {  // 1: an update is left on a rollout whose weights are gone
    recipes::Recipe recipe = twice(fmt::format("behind-{}", step));
    bool stops = false;
    TrainerEvents events;
    events.step = [&stops, step](const StepReport& report) { stops = report.step == step; };
    events.should_stop = [&stops] { return stops; };
    const auto first = rig.run(recipe, best_cpu(), events);
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_EQ(first->step, step);
    EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted) << recipe.name;
  }
}

TEST(Distill, HasTheTrainersBitsInEveryForm) {
  const DistillRig& rig = distill_rig();
  for (const bool is_bf16 : {false, true}) {
    for (const int64_t rank : {0, 2}) {
      for (const char* student : {"student", "teacher"}) {
        const std::string other = std::string(student) == "student" ? "teacher" : "student";
        recipes::Recipe recipe =
            rig.distill(fmt::format("{}-{}-{}", is_bf16 ? "bf16" : "f32", rank, student), student, other);
        recipe.steps = 2;
        recipe.compute = is_bf16 ? contract::ComputeMode::kBF16 : contract::ComputeMode::kF32;
        recipe.lora.rank = rank;
        recipe.guard.recheck_every = 1;
        EXPECT_EQ(rig.finished(recipe, best_cpu()).size(), 64u);  // a token whose bits differ stops the run
      }
    }
  }
}

TEST(Distill, StudentComesNearer) {
  const DistillRig& rig = distill_rig();
  recipes::Recipe recipe = rig.distill("long");
  recipe.steps = 40;
  recipe.optimizer.lr = 0.01;
  recipe.checkpoint.every = 40;
  recipe.validation = {recipe.data[0]};
  recipe.validate.problems = 10;
  const auto result = rig.run(recipe, best_cpu());
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_TRUE(result->accuracy.has_value());
  EXPECT_TRUE(result->loss.has_value());
  EXPECT_GT(result->tokens_compared.value_or(0), 0);
  std::vector<double> distances;
  for (const nlohmann::json& line : lines_of(recipe)) {
    if (line.contains("reverse_kl")) distances.push_back(line["reverse_kl"]);
  }
  ASSERT_EQ(distances.size(), 40u);
  EXPECT_LT(distances.back(), 0.7 * distances.front());
}

TEST(Distill, TwoTeachersAndANewStudent) {
  const DistillRig& rig = distill_rig();
  recipes::Recipe recipe = rig.distill("new");
  recipe.model = rig.recipe("x").model;
  recipe.teacher.push_back(recipe.teacher[0]);
  recipe.teacher[0].weight = 0.25;
  recipe.teacher[1].path = rig.model("student").string();
  EXPECT_EQ(rig.finished(recipe, best_cpu()).size(), 64u);
}

TEST(Distill, RefusesWhatCannotTeach) {
  const DistillRig& rig = distill_rig();
  recipes::Recipe recipe = rig.distill("refused");
  std::string& path = recipe.teacher[0].path;
  path = (rig.path() / "nowhere").string();
  expect_parts(rig.refusal(recipe), {"teacher ", "nowhere"});
  path = rig.copied("teacher", "cut").string();
  fs::resize_file(fs::path(path) / "model.safetensors", 1000);
  expect_parts(rig.refusal(recipe), {"teacher ", "cut"});
  path = rig.copied("teacher", "wordless").string();
  fs::remove(fs::path(path) / "tokenizer.json");
  expect_parts(rig.refusal(recipe), {"teacher ", "tokenizer"});

  path = rig.copied("teacher", "larger").string();
  nlohmann::json config = nlohmann::json::parse(std::ifstream(fs::path(path) / "config.json"));
  config["vocab_size"] = 406;
  std::ofstream(fs::path(path) / "config.json") << config;
  expect_parts(rig.refusal(recipe), {"opening teacher ", "406 ids", "405", "own vocabulary"});

  // Before any data are read: nobody waits for those to be told that.
  recipes::Recipe without_data = recipe;
  without_data.data[0] = {};
  without_data.data[0].path = "no-such-file.jsonl";
  without_data.validation = without_data.data;
  expect_parts(rig.refusal(without_data), {"opening teacher ", "406 ids"});

  path = rig.copied("teacher", "reworded").string();
  nlohmann::json tokenizer = nlohmann::json::parse(std::ifstream(fs::path(path) / "tokenizer.json"));
  nlohmann::json& vocab = tokenizer["model"]["vocab"];
  const auto is_plain = [](const std::string& piece) { return piece == "5" || piece == "7"; };
  std::vector<std::string> two;
  for (const auto& [piece, id] : vocab.items()) {
    if (is_plain(piece)) two.push_back(piece);
  }
  ASSERT_EQ(two.size(), 2u);
  std::swap(vocab[two[0]], vocab[two[1]]);
  std::ofstream(fs::path(path) / "tokenizer.json") << tokenizer;
  expect_parts(
      rig.refusal(recipe),
      {"both vocabularies have 405 ids",
       fmt::format("and id {} is '", std::min(vocab[two[0]].get<int>(), vocab[two[1]].get<int>())), "of the student"});

  path = rig.copied("teacher", "short").string();
  config["vocab_size"] = 405;
  config["max_position_embeddings"] = 40;
  std::ofstream(fs::path(path) / "config.json") << config;
  expect_parts(rig.refusal(recipe), {"it was made for 40 tokens", "batch.context is 48"});
}

TEST(Distill, PlansTheTeachersMemory) {
  const DistillRig& rig = distill_rig();
  recipes::Recipe recipe = rig.distill("planned");
  const auto one = Trainer::plan_run(recipe, rig.path(), best_cpu(), {});
  ASSERT_TRUE(one.ok()) << one.error().message;
  EXPECT_GT(one->teacher_bytes, fs::file_size(rig.model("teacher") / "model.safetensors"));
  recipe.teacher.push_back(recipe.teacher[0]);
  const auto two = Trainer::plan_run(recipe, rig.path(), best_cpu(), {});
  ASSERT_TRUE(two.ok()) << two.error().message;
  EXPECT_EQ(two->teacher_bytes, 2 * one->teacher_bytes);
  EXPECT_GT(two->total_bytes(), one->total_bytes() + one->teacher_bytes);
  // One that is not there yet is planned by its config.
  recipe.teacher.resize(1);
  recipe.teacher[0].path = "a stage";
  recipe.teacher[0].planned_config = rig.model("teacher") / "config.json";
  recipe.teacher[0].planned_tokenizer = rig.model("teacher");
  const auto planned = Trainer::plan_run(recipe, rig.path(), best_cpu(), {});
  ASSERT_TRUE(planned.ok()) << planned.error().message;
  EXPECT_EQ(planned->teacher_bytes, one->teacher_bytes);
  recipe.batch.context = 4096;  // a stage's teacher is refused before the stage is trained
  const auto long_rows = Trainer::plan_run(recipe, rig.path(), best_cpu(), {});
  ASSERT_FALSE(long_rows.ok());
  expect_parts(long_rows.error().message, {"opening teacher a stage", "batch.context is 4096"});
  TrainingPlan small = *one;
  small.available_bytes = small.total_bytes() - 1;
  const Status refused = check_fits(small);
  ASSERT_FALSE(refused.ok());
  expect_parts(refused.error().message, {", teachers ", "a smaller teacher"});
}

TEST(Distill, GoesOnOnlyWithTheTeacherItBeganWith) {
  const DistillRig& rig = distill_rig();
  recipes::Recipe recipe = rig.distill("changed");
  recipe.teacher[0].path = rig.copied("teacher", "first").string();
  bool stops = false;
  TrainerEvents events;
  events.step = [&stops](const StepReport& report) { stops = report.step == 2; };
  events.should_stop = [&stops] { return stops; };
  ASSERT_TRUE(rig.run(recipe, best_cpu(), events).ok());
  fs::copy_file(rig.model("teacher") / "model.safetensors", rig.path() / "kept");
  std::fstream weights(fs::path(recipe.teacher[0].path) / "model.safetensors", std::ios::in | std::ios::out);
  weights.seekp(-4, std::ios::end);
  weights << 'x';
  weights.close();
  const auto refused = rig.open(recipe, best_cpu());
  ASSERT_FALSE(refused.ok());
  expect_parts(refused.error().message, {"its data changed", "model.safetensors", "put the old data back"});
  fs::copy_file(rig.path() / "kept", fs::path(recipe.teacher[0].path) / "model.safetensors",
                fs::copy_options::overwrite_existing);
  EXPECT_EQ(rig.finished(recipe, best_cpu()).size(), 64u);
}

}  // namespace
}  // namespace naru::train
