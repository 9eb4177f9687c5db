// Recipes: every key there and back, what is refused and with which words, overrides, hostile bytes.
#include "recipes/recipe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "formats/utf8.h"
#include "recipes/pipeline.h"
#include "recipes/recipe_schema.h"
#include "recipes/toml_text.h"
#include "tests/recipes/recipe_rig.h"

namespace naru::recipes {
namespace {

TEST(Recipe, SmallOneHasDefaults) {
  const Recipe r = parse_good(kSmall);
  EXPECT_EQ(r.name, "small");
  EXPECT_EQ(r.output, "runs/small");
  EXPECT_EQ(r.kind, RunKind::kPretrain);
  EXPECT_EQ(r.steps, 10);
  EXPECT_EQ(r.batch.micro_rows, 4);
  EXPECT_EQ(r.optimizer.beta2, 0.95);
  EXPECT_EQ(r.lora.rank, 0);
  EXPECT_EQ(r.lora.targets, std::vector<std::string>{"all"});
  EXPECT_EQ(r.compute, contract::ComputeMode::kF32);
  ASSERT_EQ(r.data.size(), 1u);
  EXPECT_EQ(r.data[0].path, "a.txt");
  EXPECT_EQ(r.data[0].weight, 1);
}

TEST(Recipe, TextReadsBackAsItself) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    Recipe r = parse_good(kSmall);
    r.data.resize(2);
    r.validation.resize(1);
    r.reward.resize(1);
    r.teacher.resize(2);
    for (const KeyRow& row : recipe_keys()) {
      const bool is_twice = row.section == "data" || row.section == "teacher";
      for (size_t i = 0; i < (is_twice ? 2 : 1); ++i) change(row, row.field(r, i), random);
    }
    // What keys must be to each other.
    r.epochs = 0;
    r.model.config = "";
    for (SourceRecipe* s : {&r.data[0], &r.data[1], &r.validation[0]}) {
      s->path = "";
      s->generator = "countdown";
    }
    r.schedule.warmup_steps = r.schedule.decay_steps = 1;
    r.guard.skip_z = r.guard.clip_z * 1.5 + 1e-300;
    if (r.guard.skip_z > 1e9) r.guard.skip_z = r.guard.clip_z;
    r.rejection = {};
    if (round % 3 == 2) {
      r.kind = RunKind::kDistill;
      r.grpo = {};
      r.reward = {};
      r.data.resize(1);
      r.loss.mtp = 0;
      r.distill.prompts = 15;
      r.distill.answers = 16;
      r.distill.updates = 5;
      r.distill.max_tokens = 100;
      r.distill.top_k = 17;
      r.batch.rows = 16;
      r.batch.overlong = "cut";
      r.data[0].weight = 1;
      r.data[0].trace = "";
      r.validate.rows = 64;
    } else if (round % 3 == 0) {
      r.grpo = {};
      r.distill = {};
      r.teacher = {};
      r.reward = {};
      r.validate.samples = ValidateRecipe{}.samples;
      r.validate.problems = ValidateRecipe{}.problems;
    } else {
      r.kind = RunKind::kGrpo;
      r.distill = {};
      r.teacher = {};
      if (round % 4 == 1) r.data.resize(1);
      r.loss.mtp = 0;
      r.grpo.updates = 5;
      r.grpo.max_tokens = 100;
      r.grpo.soft_tokens = 7;
      r.grpo.prompts = 15;
      r.grpo.clip_low = 0.2;
      r.grpo.answers = 16;
      r.grpo.rounds = 3;
      r.grpo.top_k = 17;
      r.grpo.kl_weight = 0.125;
      r.grpo.reference_every = 25;
      r.batch.rows = 16;
      r.batch.micro_rows = 40;
      r.batch.overlong = "cut";
      if (r.data.size() == 1) r.data[0].weight = 1;
      for (SourceRecipe& source : r.data) source.trace = "";
      r.validate.rows = 64;
      RewardRecipe& reward = r.reward[0];
      reward.kind = "program";
      reward.name = "mine-1";
      reward.find = reward.compare = "";
      reward.strict = false;
      reward.tag = "think";
      reward.tokens = 0;
      reward.command.insert(reward.command.begin(), "python3");
      reward.command.resize(std::min<size_t>(reward.command.size(), 5));
    }
    const std::string text = recipe_text(r);
    const Recipe back = parse_good(text);
    ASSERT_EQ(recipe_text(back), text);
    ASSERT_EQ(back.optimizer.lr, r.optimizer.lr);
    ASSERT_EQ(back.sample.prompts, r.sample.prompts);
    ASSERT_EQ(back.seed, r.seed);
    ASSERT_FALSE(recipe_difference(back, r).has_value());
  }
}

TEST(Recipe, EveryKeyIsOfItsOwn) {
  std::set<std::string> paths;
  for (const KeyRow& row : recipe_keys()) {
    EXPECT_TRUE(paths.insert(row.path()).second) << row.path();
    EXPECT_TRUE(row.section.empty() || find_section(row.section) != nullptr) << row.path();
    EXPECT_FALSE(row.meaning.empty()) << row.path();
    Recipe r = one_of_each();
    const std::string before = recipe_text(r);
    std::mt19937_64 random(1);
    change(row, row.field(r, 0), random);
    const std::string after = recipe_text(r);
    int changed = 0;
    std::istringstream a(before), b(after);
    for (std::string x, y; std::getline(a, x) && std::getline(b, y);) changed += x != y ? 1 : 0;
    EXPECT_EQ(changed, 1) << row.path() << " shares its field with another key";
  }
}

TEST(Recipe, UnknownKeysNameTheNearest) {
  expect_in(refusal(kSmall + "[optimizer]\nlearning = 1\n"),
            {"reading recipe small.toml: line 7", "optimizer.learning"});
  expect_in(refusal(kSmall + "[optimizer]\nbetas1 = 1\n"), {"line 7", "did you mean optimizer.beta1?"});
  expect_in(refusal("lr = 1\n" + kSmall), {"line 1", "no key lr", "did you mean optimizer.lr?"});
  expect_in(refusal(kSmall + "[schedule]\nlr = 1\n"), {"did you mean optimizer.lr?"});
  expect_in(refusal(kSmall + "[optimiser]\nlr = 1\n"), {"no section [optimiser]", "did you mean optimizer?"});
  expect_in(refusal("stesp = 4\n" + kSmall), {"did you mean steps?"});
  expect_in(refusal(kSmall + "[[datas]]\npath = \"x\"\n"), {"no section [datas]", "did you mean data?"});
  expect_in(refusal(kSmall + "pth = \"x\"\n"), {"line 6", "data.pth", "did you mean data.path?"});
}

TEST(Recipe, WrongValuesSayWhatWasWanted) {
  expect_in(refusal(kSmall + "[optimizer]\nlr = \"high\"\n"),
            {"line 7: optimizer.lr is the text \"high\"", "a number above 0, at most 10 was wanted"});
  expect_in(refusal(kSmall + "[optimizer]\nlr = 0\n"), {"optimizer.lr is 0"});
  expect_in(refusal(kSmall + "[optimizer]\nbeta1 = 1.0\n"), {"a number from 0 to below 1"});
  expect_in(refusal(kSmall + "[optimizer]\nlr = nan\n"), {"optimizer.lr is nan"});
  expect_in(refusal(kSmall + "[optimizer]\nweight_decay = inf\n"), {"inf"});
  expect_in(refusal(kSmall + "[batch]\nrows = 2.5\n"), {"batch.rows is 2.5", "a whole number from 1 to"});
  expect_in(refusal(kSmall + "[batch]\nrows = -1\n"), {"batch.rows is -1"});
  expect_in(refusal(kSmall + "[batch]\nrows = 1048577\n"), {"batch.rows is 1048577"});
  expect_in(refusal("compute = \"auto\"\n" + kSmall), {"compute is the text \"auto\"", "\"f32\", \"bf16\""});
  expect_in(refusal("kind = \"pretrian\"\n" + kSmall),
            {"one of \"pretrain\", \"sft\", \"grpo\", \"rejection\", \"distill\" (\"pretrain\"?)"});
  expect_in(refusal("recompute = 1\n" + kSmall), {"true or false"});
  expect_in(refusal(kSmall + "[lora]\ntargets = [\"q_porj\"]\n"), {"lora.targets[0]", "(\"q_proj\"?)"});
  expect_in(refusal(kSmall + "[lora]\ntargets = [\"q_proj\", \"q_proj\"]\n"), {"lora.targets[1]", "each once"});
  expect_in(refusal(kSmall + "[lora]\ntargets = \"q_proj\"\n"), {"a list of"});
  expect_in(refusal(kSmall + "[sample]\nprompts = [1]\n"), {"sample.prompts[0] is 1"});
  expect_in(refusal(kSmall + "[lora]\nalpha = 2000-01-01\n"), {"lora.alpha is a date"});
  expect_in(refusal("seed = -1\n" + kSmall), {"seed is -1"});
  expect_in(refusal("name = \"a/b\"\n" + kSmall), {"name is", "without /"});
  expect_in(refusal("name = \"..\"\n" + kSmall), {"name is"});
  expect_in(refusal("output = \"a\\u0000b\"\n" + kSmall), {"output is", "a path was wanted"});
  expect_in(refusal("steps = 1\nmodel = 3\n"), {"line 2: model is 3", "one section [model]"});
  expect_in(refusal("steps = 1\n[model]\npath=\"m\"\n[data]\npath=\"x\"\n"), {"[[data]]"});
  EXPECT_EQ(parse_good(kSmall + "[batch]\nrows = 1048576\n").batch.rows, 1048576);
  EXPECT_EQ(parse_good(kSmall + "[optimizer]\nlr = 10\n").optimizer.lr, 10);
  EXPECT_FALSE(std::signbit(parse_good(kSmall + "[optimizer]\nweight_decay = -0.0\n").optimizer.weight_decay));
}

TEST(Recipe, KeysMustFitEachOther) {
  expect_in(refusal("epochs = 2\n" + kSmall), {"line 1: steps is 10 and epochs is 2", "exactly one"});
  expect_in(refusal(kSmall, {"steps=0"}), {"neither steps nor epochs"});
  expect_in(refusal("steps = 1\n[[data]]\npath=\"x\"\n"), {"none is of model.path and model.config"});
  expect_in(refusal(kSmall, {"model.config=c.json"}), {"both are of model.path and model.config"});
  expect_in(refusal(kSmall, {"model.config=c.json", "model.path="}),
            {"model.tokenizer is not given", "--train-tokenizer"});
  expect_in(refusal("steps = 1\n[model]\npath = \"m\"\n"), {"there is no [[data]]"});
  expect_in(refusal(kSmall + "generator = \"digits\"\n"), {"data.0 has both a path and a generator"});
  expect_in(refusal(kSmall + "[[data]]\nweight = 2\n"), {"data.1 has no path and no generator"});
  expect_in(refusal(kSmall + "language = \"en\"\n"), {"with a generator only"});
  expect_in(refusal(kSmall, {"data.path=", "data.generator=digits", "data.language=ko"}),
            {"word_problems and countdown only"});
  expect_in(refusal(kSmall, {"data.path=", "data.generator=digits", "data.trace=think"}),
            {"trace \"think\" and generator \"digits\""});
  expect_in(refusal(kSmall, {"data.path=", "data.generator=digits", "data.numbers=3"}), {"with countdown only"});
  expect_in(refusal(kSmall, {"data.path=", "data.generator=countdown", "data.numbers=2"}), {"3 or 4"});
  expect_in(refusal(kSmall, {"data.path=", "data.generator=countdown", "data.numbers=5"}), {"from 0 to 4"});
  expect_in(refusal(kSmall + "numbers = 3\n"), {"with a generator only"});
  EXPECT_EQ(parse_good(kSmall, {"data.path=", "data.generator=countdown", "data.numbers=3", "data.language=all",
                                "data.trace=think"})
                .data[0]
                .numbers,
            3);
  expect_in(refusal(kSmall, {"batch.micro_rows=17"}), {"batch.micro_rows is 17 and batch.rows is 16"});
  EXPECT_EQ(parse_good(kSmall, {"batch.micro_rows=5"}).batch.micro_rows, 5);
  // Only what was given clashes: the default gives way, and says so in the effective recipe.
  const Recipe few = parse_good(kSmall, {"batch.rows=2"});
  EXPECT_EQ(few.batch.micro_rows, 2);
  EXPECT_NE(recipe_text(few).find("micro_rows = 2\n"), std::string::npos);
  EXPECT_FALSE(recipe_difference(few, parse_good(recipe_text(few))).has_value());
  expect_in(refusal(kSmall + "[batch]\nrows = 2\nmicro_rows = 4\n"), {"batch.micro_rows is 4 and batch.rows is 2"});
  expect_in(refusal(kSmall, {"batch.rows=2", "batch.micro_rows=4"}), {"batch.micro_rows is 4 and batch.rows is 2"});
  expect_in(refusal(kSmall, {"schedule.kind=wsd"}), {"decay_steps is 0"});
  expect_in(refusal(kSmall, {"schedule.decay_steps=2"}), {"wsd only"});
  expect_in(refusal(kSmall, {"schedule.warmup_steps=11"}), {"warmup_steps 11 is above steps 10"});
  expect_in(refusal(kSmall, {"guard.skip_z=1"}), {"skip_z at least as large"});
  expect_in(refusal(kSmall, {"lora.rank=4", "lora.targets="}), {"at least one matrix"});
  expect_in(refusal(kSmall, {"lora.rank=4", "lora.targets=q_proj,all"}), {"names all and others"});
}

TEST(Recipe, Overrides) {
  const Recipe r = parse_good(kSmall + "[[data]]\npath = \"b\"\n",
                              {"optimizer.lr=3e-4", "steps=500", "recompute=true", "compute=bf16", "name=other",
                               "data.1.weight=2", "data.0.path=/x y/z=1.txt", "lora.targets=q_proj,v_proj",
                               "sample.prompts=[\"a, b\", \"c\"]", "optimizer.kind=\"muon\""});
  EXPECT_EQ(r.optimizer.lr, 3e-4);
  EXPECT_EQ(r.steps, 500);
  EXPECT_TRUE(r.recompute);
  EXPECT_EQ(r.compute, contract::ComputeMode::kBF16);
  EXPECT_EQ(r.output, "runs/other");
  EXPECT_EQ(r.data[1].weight, 2);
  EXPECT_EQ(r.data[0].path, "/x y/z=1.txt");
  EXPECT_EQ(r.lora.targets, (std::vector<std::string>{"q_proj", "v_proj"}));
  EXPECT_EQ(r.sample.prompts, (std::vector<std::string>{"a, b", "c"}));
  EXPECT_EQ(r.optimizer.kind, "muon");
  expect_in(refusal(kSmall, {"optimizer.rl=1"}), {"reading the override optimizer.rl=1", "did you mean optimizer.lr?"});
  expect_in(refusal(kSmall, {"steps"}), {"KEY=VALUE was wanted"});
  expect_in(refusal(kSmall, {"steps=ten"}), {"reading the override steps=ten"});
  expect_in(refusal(kSmall, {"steps=1\n[model]"}), {"several lines"});
  expect_in(refusal(kSmall, {"steps="}), {"reading the override steps="});
  expect_in(refusal(kSmall, {"optimzer.lr=1"}), {"did you mean optimizer?"});
  expect_in(refusal(kSmall, {"data.1.weight=1"}), {"'1' names none of the 1 [[data]]"});
  expect_in(refusal(kSmall, {"data.99999999999999999999.weight=1"}), {"names none"});
  expect_in(refusal(kSmall + "[[data]]\npath=\"x\"\n", {"data.weight=1"}), {"the recipe has 2 [[data]]"});
  expect_in(refusal(kSmall, {"validation.weight=1"}), {"has 0 [[validation]]"});
  expect_in(refusal(kSmall, {"output=\xff"}), {"UTF-8"});
}

TEST(Recipe, Differences) {
  const Recipe a = parse_good(kSmall);
  EXPECT_FALSE(recipe_difference(a, parse_good(kSmall, {"output=x", "name=y", "checkpoint.every=7"})).has_value());
  EXPECT_EQ(recipe_difference(a, parse_good(kSmall, {"optimizer.lr=0.002"})),
            "optimizer.lr is 0.001 there and 0.002 here");
  EXPECT_EQ(recipe_difference(a, parse_good(kSmall + "[[data]]\npath=\"b\"\n")),
            "1 source in [[data]] there and 2 sources here");
  const auto all = recipe_differences(a, parse_good(kSmall, {"optimizer.lr=0.002", "seed=7", "checkpoint.every=7"}));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].path + all[0].there + all[0].here, "seed17");
  EXPECT_EQ(all[1].path, "optimizer.lr");
}

// Runs whose recipe has the seven names spelt out go on: they are all that a model has that has them.
TEST(Recipe, AllTargetsHaveTwoSpellings) {
  const std::string seven =
      "[lora]\nrank = 4\ntargets = [\"q_proj\", \"k_proj\", \"v_proj\", \"o_proj\", "
      "\"gate_proj\", \"up_proj\", \"down_proj\"]\n";
  const Recipe spelt = parse_good(kSmall + seven), all = parse_good(kSmall + "[lora]\nrank = 4\n");
  EXPECT_EQ(spelt.lora.targets.size(), 7u) << "a model that lacks one of them is refused";
  EXPECT_FALSE(recipe_difference(spelt, all).has_value());
  EXPECT_EQ(recipe_identity(spelt), recipe_identity(all));
  EXPECT_NE(recipe_identity(all), recipe_identity(parse_good(kSmall, {"lora.rank=4", "lora.targets=q_proj"})));
  EXPECT_NE(recipe_text(all).find("targets = [\"all\"]\n"), std::string::npos);
}

TEST(Recipe, PathsLeadFromItsFolderFromHomeOrToAPulledModel) {
  const std::string home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(resolved_path("a.txt", "/r"), "/r/a.txt");
  EXPECT_EQ(resolved_path("/a.txt", "/r"), "/a.txt");
  EXPECT_EQ(resolved_path("~/a.txt", "/r"), "/home/me/a.txt");
  EXPECT_EQ(resolved_path("~", "/r"), "/home/me");
  EXPECT_EQ(resolved_path("~me/a.txt", "/r"), "/r/~me/a.txt");
  ::setenv("HOME", home.c_str(), 1);
  Recipe recipe = parse_good(kSmall, {"model.path=owner/name"});
  const std::string identity = recipe_identity(recipe), text = recipe_text(recipe);
  EXPECT_EQ(model_place(recipe.model, "/r"), "/r/owner/name");
  EXPECT_EQ(tokenizer_place(recipe.model, "/r"), "/r/owner/name");
  recipe.model.pulled_path = "/models/owner/name";
  EXPECT_EQ(model_place(recipe.model, "/r"), "/models/owner/name");
  EXPECT_EQ(tokenizer_place(recipe.model, "/r"), "/models/owner/name");
  recipe.model.tokenizer = "t";
  EXPECT_EQ(tokenizer_place(recipe.model, "/r"), "/r/t");
  recipe.model.tokenizer = "";
  EXPECT_EQ(recipe_identity(recipe), identity) << "where a pulled model lies decides nothing";
  EXPECT_EQ(recipe_text(recipe), text);
}

TEST(Recipe, HostileText) {
  expect_in(refusal("steps = \n"), {"reading recipe small.toml: line 1", "correct the line"});
  expect_in(refusal(kSmall + "steps = 3\n"), {"line 6"});
  expect_in(refusal("steps = 1\nsteps = 2\n"), {"line 2"});
  expect_in(refusal("a = \"\xff\"\n"), {"no UTF-8"});
  expect_in(refusal(std::string(kRecipeBytesMax + 1, '#')), {"1048577 bytes"});
  EXPECT_FALSE(parse_recipe(std::string(kRecipeBytesMax, '#'), "x.toml", {}).ok());
  std::string dotted = "a";
  for (int64_t i = 1; i < kTomlDepthMax; ++i) dotted += ".a";
  expect_in(refusal(dotted + " = 1\n"), {"no section [a]"});
  expect_in(refusal(dotted + ".a = 1\n"), {"line 1: a key of more than 16 parts"});
  expect_in(refusal("[" + dotted + ".a]\n"), {"a key of more than 16 parts"});
  expect_in(refusal("x = {" + dotted + ".a = 1}\n"), {"a key of more than 16 parts"});
  std::string keys;
  for (int64_t i = 0; i < kTomlKeysMax; ++i) keys += fmt::format("k{} = 1\n", i);
  expect_in(refusal(keys), {"there is no key k0"});
  expect_in(refusal(keys + "k = 1\n"), {"line 257: a table of more than 256 keys"});
  const std::string deepest = std::string(kTomlDepthMax, '[') + std::string(kTomlDepthMax, ']');
  expect_in(refusal("x = " + deepest + "\n"), {"no key x"});
  expect_in(refusal("x = [" + deepest + "]\n"), {"values more than 16 deep"});
  expect_in(refusal("x = " + std::string(100000, '[') + "\n"), {"line 1"});
  std::string many = "steps = 1\n[model]\npath = \"m\"\n";
  for (int64_t i = 0; i < kRecipeSourcesMax; ++i) many += "[[data]]\npath = \"a\"\n";
  EXPECT_EQ(parse_good(many).data.size(), static_cast<size_t>(kRecipeSourcesMax));
  expect_in(refusal(many + "[[data]]\npath = \"a\"\n"), {"data is a list of 65", "at most 64"});
  const std::string text(static_cast<size_t>(kRecipeTextBytesMax), 'x');
  parse_good(kSmall + "[sample]\nprompts = [\"" + text + "\"]\n");
  expect_in(refusal(kSmall + "[sample]\nprompts = [\"" + text + "x\"]\n"), {"65537 bytes"});
  const std::string path(static_cast<size_t>(kRecipePathBytesMax), 'x');
  parse_good(kSmall, {"output=" + path});
  expect_in(refusal(kSmall, {"output=" + path + "x"}), {"4097 bytes"});
  std::string prompts = "\"a\"";
  for (int64_t i = 1; i < kRecipeListMax; ++i) prompts += ", \"a\"";
  parse_good(kSmall + "[sample]\nprompts = [" + prompts + "]\n");
  expect_in(refusal(kSmall + "[sample]\nprompts = [" + prompts + ", \"a\"]\n"), {"a list of 65"});
}

TEST(Recipe, CutAtEveryByteNeverStops) {
  const std::string text = recipe_text(parse_good(kSmall + "[sample]\nprompts = [\"a\\nb\"]\n"));
  for (size_t n = 0; n <= text.size(); ++n) (void)parse_recipe(std::string_view(text).substr(0, n), "x.toml", {}).ok();
  for (size_t n = 0; n < text.size(); ++n) {
    for (const char c : {'\0', '"', '[', '.', '\n', '\x80'}) {
      std::string broken = text;
      broken[n] = c;
      (void)parse_recipe(broken, "x.toml", {}).ok();
    }
  }
}

TEST(Recipe, NamesOfFiles) {
  EXPECT_EQ(parse_recipe(kSmall, "/a/b/pretrain.v2.toml", {})->name, "pretrain.v2");
  EXPECT_FALSE(parse_recipe(kSmall, ".toml", {}).ok());
  EXPECT_FALSE(parse_recipe(kSmall, "a\nb.toml", {}).ok());
  EXPECT_FALSE(read_recipe("/nowhere/x.toml", {}).ok());
}

// docs/recipes.md holds the table of keys. NARU_WRITE_DOCS=1 renews it.
TEST(Recipe, DocumentHasTheTable) {
  const std::filesystem::path path = std::filesystem::path(NARU_TEST_DATA) / "../../docs/recipes.md";
  std::stringstream file;
  file << std::ifstream(path).rdbuf();
  std::string text = file.str();
  const std::string begin = "<!-- keys: made from src/recipes/recipe_keys.cpp, see CONTRIBUTING.md -->\n";
  const size_t at = text.find(begin);
  ASSERT_NE(at, std::string::npos);
  const std::string wanted = begin + "\n" + recipe_keys_markdown();
  if (std::getenv("NARU_WRITE_DOCS") != nullptr)
    std::ofstream(path) << text.substr(0, at) + wanted;
  else
    EXPECT_EQ(text.substr(at), wanted)
        << "renew it: NARU_WRITE_DOCS=1 test_recipes --gtest_filter=Recipe.DocumentHasTheTable";
}

// What lies in recipes/ is right.
TEST(Recipe, ShippedOnesParse) {
  const std::filesystem::path folder = std::filesystem::path(NARU_TEST_DATA) / "../../recipes";
  int n = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".toml") continue;
    if (is_pipeline(entry.path())) {
      const auto pipeline = read_pipeline(entry.path(), {});
      EXPECT_TRUE(pipeline.ok()) << pipeline.error().message;
      continue;
    }
    const auto recipe = read_recipe(entry.path(), {});
    EXPECT_TRUE(recipe.ok()) << recipe.error().message;
    ++n;
  }
  EXPECT_GE(n, 4);
}

}  // namespace
}  // namespace naru::recipes
