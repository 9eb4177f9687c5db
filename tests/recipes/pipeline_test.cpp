// Pipelines: what they read as, in which order stages run, what overrides reach, and what is refused with which words.
#include "recipes/pipeline.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "formats/utf8.h"

namespace naru::recipes {
namespace {

namespace fs = std::filesystem;

const std::string kTwo =
    "kind = \"pipeline\"\n"
    "[[stage]]\nname = \"rl\"\nrecipe = \"rl.toml\"\ntakes = \"base\"\n"
    "[[stage]]\nname = \"base\"\nrecipe = \"base.toml\"\nset = [\"steps=7\"]\n";

std::string pipeline_refusal(std::string_view toml, const std::vector<std::string>& overrides = {}) {
  const auto pipeline = parse_pipeline(toml, "dir/p.toml", overrides);
  EXPECT_FALSE(pipeline.ok()) << toml;
  if (pipeline.ok()) return "";
  EXPECT_EQ(pipeline.error().code, Code::kInvalidArgument);
  EXPECT_TRUE(formats::is_valid_utf8(pipeline.error().message));
  return pipeline.error().message;
}

void expect_parts(const std::string& message, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << part << "\n in " << message;
  }
}

std::string stage(std::string_view name, std::string_view takes) {
  return "[[stage]]\nname = \"" + std::string(name) + "\"\nrecipe = \"a.toml\"\ntakes = \"" + std::string(takes) +
         "\"\n";
}

TEST(Pipeline, StagesStandBehindWhatTheyTake) {
  const auto p = parse_pipeline(kTwo, "dir/p.toml", {});
  ASSERT_TRUE(p.ok()) << p.error().message;
  EXPECT_EQ(p->name, "p");
  EXPECT_EQ(p->output, "runs/p");
  ASSERT_EQ(p->stages.size(), 2u);
  EXPECT_EQ(p->stages[0].name, "base");
  EXPECT_EQ(p->stages[1].name, "rl");
  EXPECT_EQ(p->stages[1].takes, "base");
}

// The seed of the file comes first, then what a stage sets, then the command line; each may be for one stage alone.
TEST(Pipeline, OverridesReachStagesInOrder) {
  const auto p = parse_pipeline("seed = 3\n" + kTwo, "p.toml", {"steps=9", "base.seed=5", "output=elsewhere"});
  ASSERT_TRUE(p.ok()) << p.error().message;
  EXPECT_EQ(p->output, "elsewhere");
  EXPECT_EQ(p->stages[0].set, (std::vector<std::string>{"seed=3", "steps=7", "steps=9", "seed=5"}));
  EXPECT_EQ(p->stages[1].set, (std::vector<std::string>{"seed=3", "steps=9"}));
}

TEST(Pipeline, WhatIsNoneIsRefusedByLine) {
  expect_parts(pipeline_refusal("kind = \"pipeline\"\n"), {"it has no [[stage]]"});
  expect_parts(pipeline_refusal("kind = \"pipeline\"\nstages = 3\n"),
               {"line 2", "no key stages", "did you mean stage?"});
  expect_parts(pipeline_refusal(stage("a", "") + "steps = 3\n"), {"line 5", "a stage has no key steps"});
  expect_parts(pipeline_refusal(stage("a", "") + stage("a", "")), {"line 5", "a second stage is called a"});
  expect_parts(pipeline_refusal(stage("a", "bsae") + stage("base", "")),
               {"takes 'bsae'", "no such stage", "did you mean base?"});
  expect_parts(pipeline_refusal(stage("a", "b") + stage("b", "a")), {"stage a takes b, which waits for it"});
  expect_parts(pipeline_refusal(stage("a", "a")), {"stage a takes a, which waits for it"});
  expect_parts(pipeline_refusal(stage("grpo", "")), {"called grpo, as a section of recipes is"});
  expect_parts(pipeline_refusal(stage("../x", "")), {"the name of the stage is '../x'"});
  expect_parts(pipeline_refusal("[[stage]]\nname = \"a\"\n"), {"stage a names no recipe"});
  expect_parts(pipeline_refusal("stage = 3\n"), {"each under a line [[stage]]"});
  expect_parts(pipeline_refusal(stage("a", "") + "set = [3]\n"), {"a list of texts KEY=VALUE"});
  expect_parts(pipeline_refusal("seed = -1\n" + stage("a", "")), {"a whole number from 0"});
  expect_parts(pipeline_refusal("name = \"a/b\"\n" + stage("a", "")), {"its name is 'a/b'"});
}

// Any graph without cycles: two models from one, a teacher and samples from others, in any order of the file.
TEST(Pipeline, StagesStandBehindAllThatTheyHaveFromOthers) {
  const std::string toml = stage("student", "base") + "teacher = \"rl\"\n" + "[[stage]]\nname = \"again\"\n" +
                           "recipe = \"a.toml\"\ntakes = \"base\"\ndata = [\"collect\", \"more\"]\n" +
                           stage("rl", "base") + stage("collect", "rl") + stage("more", "base") + stage("base", "");
  const auto p = parse_pipeline(toml, "p.toml", {});
  ASSERT_TRUE(p.ok()) << p.error().message;
  std::string order;
  for (const StageText& one : p->stages) order += one.name + " ";
  EXPECT_EQ(order, "base rl student collect more again ");
  EXPECT_EQ(p->stages[2].teacher, "rl");
  EXPECT_EQ(p->stages[5].data, (std::vector<std::string>{"collect", "more"}));
}

TEST(Pipeline, WhatIsNotThereAndWhatGoesRoundIsRefusedByLine) {
  expect_parts(pipeline_refusal(stage("a", "") + stage("b", "a") + "teacher = \"aa\"\n"),
               {"line 9", "stage b has as its teacher 'aa', and there is no such stage", "did you mean a?"});
  expect_parts(pipeline_refusal(stage("a", "") + stage("b", "a") + "data = [\"collect\"]\n"),
               {"line 9", "stage b is trained on samples of 'collect', and there is no such stage"});
  expect_parts(pipeline_refusal(stage("a", "") + stage("b", "a") + "data = [\"a\", \"a\"]\n"),
               {"line 9", "samples of a twice"});
  expect_parts(pipeline_refusal(stage("a", "") + "data = [3]\n"),
               {"line 5", "a list of texts, each the name of a stage"});
  expect_parts(pipeline_refusal(stage("first", "") + stage("a", "c") + stage("b", "a") + stage("c", "b")),
               {"line 8", "stage a takes c, which waits for it (round and round: a, c, b, a)"});
  expect_parts(pipeline_refusal(stage("a", "") + "data = [\"b\"]\n" + stage("b", "a")),
               {"line 5", "stage a is trained on samples of b, which waits for it"});
  expect_parts(pipeline_refusal(stage("a", "") + "teacher = \"b\"\n" + stage("b", "a")),
               {"line 5", "stage a has as its teacher b, which waits for it"});
  expect_parts(pipeline_refusal(stage("evaluate", "")), {"called evaluate, as a section of recipes is"});
}

TEST(Pipeline, WhatModelsAreAskedIsRead) {
  const std::string toml =
      stage("a", "") +
      "[[evaluate]]\ngenerator = \"word_problems\"\nlanguage = \"ko\"\nproblems = 50\n"
      "samples = 4\nmax_tokens = 32\ntemperature = 0.5\nseed = 9\n[[evaluate]]\npath = \"x/own.jsonl\"\n";
  const auto p = parse_pipeline(toml, "p.toml", {"evaluate.max_tokens=16", "evaluate.problems=7"});
  ASSERT_TRUE(p.ok()) << p.error().message;
  ASSERT_EQ(p->evaluate.size(), 2u);
  const EvaluateRecipe& one = p->evaluate[0];
  EXPECT_EQ(one.name, "word_problems-ko");
  EXPECT_EQ(one.problems, 7);
  EXPECT_EQ(one.samples, 4);
  EXPECT_EQ(one.max_tokens, 16);
  EXPECT_EQ(one.temperature, 0.5);
  EXPECT_EQ(one.seed, 9u);
  EXPECT_EQ(p->evaluate[1].name, "own");
  EXPECT_EQ(p->evaluate[1].samples, 8);
  // None of it makes another run of a stage.
  EXPECT_TRUE(p->stages[0].set.empty());
}

TEST(Pipeline, WhatCannotBeAskedIsRefusedByLine) {
  const auto refused = [](const std::string& keys, const std::vector<std::string>& overrides = {}) {
    return pipeline_refusal(stage("a", "") + "[[evaluate]]\n" + keys, overrides);
  };
  const std::string digits = "generator = \"digits\"\n";
  expect_parts(refused(""), {"line 5", "no generator and no path"});
  expect_parts(refused(digits + "path = \"a.jsonl\"\n"), {"line 5", "both a generator and a path"});
  expect_parts(refused("generator = \"digit\"\n"), {"line 6", "generator is the text \"digit\"", "\"digits\""});
  expect_parts(refused(digits + "language = \"ko\"\n"), {"line 5", "a language with word_problems and countdown only"});
  expect_parts(refused(digits + "sample = 3\n"), {"line 7", "no key sample", "did you mean samples?"});
  expect_parts(refused(digits + "samples = 1025\n"), {"line 7", "a whole number from 0 to 1024"});
  expect_parts(refused(digits + "problems = 0\n"), {"a whole number from 1 to 100000"});
  expect_parts(refused(digits + "max_tokens = 1048577\n"), {"a whole number from 1 to 1048576"});
  expect_parts(refused(digits + "temperature = 0\n"), {"a number above 0"});
  expect_parts(refused(digits + "temperature = nan\n"), {"a number above 0"});
  expect_parts(refused(digits + "seed = -1\n"), {"a whole number from 0"});
  expect_parts(refused(digits + "[[evaluate]]\n" + digits), {"line 7", "a second [[evaluate]] is called digits"});
  expect_parts(refused(digits, {"evaluate.problem=3"}), {"the override evaluate.problem=3", "did you mean problems?"});
  expect_parts(refused(digits, {"evaluate.samples=many"}), {"samples is the text \"many\""});
  expect_parts(pipeline_refusal(stage("a", ""), {"evaluate.samples=3"}), {"the pipeline has no [[evaluate]]"});
  expect_parts(pipeline_refusal(stage("a", "") + "evaluate = 3\n"), {"a stage has no key evaluate"});
  expect_parts(pipeline_refusal("evaluate = 3\n" + stage("a", "")), {"each under a line [[evaluate]]"});
  std::string many = stage("a", "");
  for (int i = 0; i < 17; ++i) many += "[[evaluate]]\npath = \"" + std::to_string(i) + ".jsonl\"\n";
  expect_parts(pipeline_refusal(many), {"at most 16 evaluations"});
}

TEST(Pipeline, OverridesThatReachNothingAreRefused) {
  expect_parts(pipeline_refusal(kTwo, {"steps"}), {"it has no ="});
  expect_parts(pipeline_refusal(kTwo, {"bass.steps=3"}), {"'bass' is no stage and no section", "base, rl"});
  expect_parts(pipeline_refusal(kTwo, {"kind=sft"}), {"another kind"});
}

class PipelineFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pipeline-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    write("p.toml", kTwo);
    write("base.toml",
          "steps = 10\n[model]\nconfig = \"c.json\"\ntokenizer = \"t\"\n[[data]]\ngenerator = \"digits\"\n");
    write("rl.toml", "kind = \"grpo\"\nsteps = 2\n[model]\npath = \"m\"\n[[data]]\ngenerator = \"digits\"\n");
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  fs::path folder_;
};

TEST_F(PipelineFiles, StagesAreRecipesWithFoldersOfTheirOwn) {
  const auto p = read_pipeline(folder_ / "p.toml", {"output=o", "rl.grpo.answers=4"});
  ASSERT_TRUE(p.ok()) << p.error().message;
  EXPECT_EQ(p->stages[0].recipe.steps, 7);
  EXPECT_EQ(p->stages[0].recipe.output, "o/base");
  EXPECT_EQ(p->stages[0].recipe.name, "p-base");
  EXPECT_EQ(p->stages[1].recipe.grpo.answers, 4);
  EXPECT_EQ(p->stages[1].recipe.model.path, "base");  // a stage of that name, whatever its recipe says
  EXPECT_EQ(p->stages[1].model_from(), 0u);
  EXPECT_EQ(p->stages[0].model_from(), std::nullopt);
  EXPECT_EQ(p->stages[1].folder, folder_);
  // Where the whole lies says nothing of which run it is.
  const auto other = read_pipeline(folder_ / "p.toml", {"output=x/y", "rl.grpo.answers=4"});
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(recipe_identity(other->stages[1].recipe), recipe_identity(p->stages[1].recipe));
}

TEST_F(PipelineFiles, WhatIsWrongWithARecipeNamesItsStage) {
  const auto refused = [this](const std::vector<std::string>& overrides) {
    const auto p = read_pipeline(folder_ / "p.toml", overrides);
    EXPECT_FALSE(p.ok());
    return p.ok() ? "" : p.error().message;
  };
  expect_parts(refused({"rl.grpo.answer=4"}), {"stage rl of p: ", "no key grpo.answer"});
  expect_parts(refused({"rl.model.path=m"}), {"stage rl of p: ", "model.path=m is set and the stage takes base"});
  expect_parts(refused({"model.path=m"}), {"stage ", "model.path"});
  expect_parts(refused({"base.output=here"}), {"stage base of p: ", "output=here is set", "runs/p/base"});
  // What a stage wants of another must be what that one makes.
  write("p.toml", kTwo + "[[stage]]\nname = \"s\"\nrecipe = \"base.toml\"\ndata = [\"rl\"]\n");
  expect_parts(refused({}),
               {"p.toml: line 13", "stage s wants samples of rl", "of kind grpo, which makes a model and no samples"});
  write("p.toml", kTwo + "[[stage]]\nname = \"s\"\nrecipe = \"rl.toml\"\ntakes = \"base\"\nteacher = \"rl\"\n");
  expect_parts(refused({}),
               {"p.toml: line 14", "stage s has a teacher and its recipe is of kind grpo", "a recipe of kind distill"});
  write("p.toml", kTwo);
  write("rl.toml", "kind = \"grpo\"\n");
  expect_parts(refused({}), {"stage rl of p: "});
  fs::remove(folder_ / "rl.toml");
  expect_parts(refused({}), {"stage rl of p: ", "rl.toml"});
}

TEST_F(PipelineFiles, AKindIsLookedAtBeforeAFileIsRead) {
  EXPECT_TRUE(is_pipeline(folder_ / "p.toml"));
  EXPECT_FALSE(is_pipeline(folder_ / "base.toml"));
  EXPECT_FALSE(is_pipeline(folder_ / "not there"));
  const auto recipe = read_recipe(folder_ / "p.toml", {});
  ASSERT_FALSE(recipe.ok());
  expect_parts(recipe.error().message, {"line 1", "it is a pipeline"});
}

}  // namespace
}  // namespace naru::recipes
