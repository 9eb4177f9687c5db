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

namespace naru::recipes {
namespace {

const std::string kSmall = "steps = 10\n[model]\npath = \"m\"\n[[data]]\npath = \"a.txt\"\n";

Recipe parse_good(std::string_view text, const std::vector<std::string>& overrides = {}) {
  auto recipe = parse_recipe(text, "dir/small.toml", overrides);
  EXPECT_TRUE(recipe.ok()) << recipe.error().message;
  return recipe.ok() ? *recipe : Recipe();
}

std::string refusal(std::string_view text, const std::vector<std::string>& overrides = {}) {
  const auto recipe = parse_recipe(text, "small.toml", overrides);
  EXPECT_FALSE(recipe.ok()) << text;
  if (recipe.ok()) return "";
  EXPECT_EQ(recipe.error().code, Code::kInvalidArgument);
  EXPECT_TRUE(formats::is_valid_utf8(recipe.error().message));
  return recipe.error().message;
}

void expect_in(const std::string& message, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << part << "\n in " << message;
}

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

// Another value than the default for every key of the table, so that a row that points to the wrong field is seen.
void change(const KeyRow& row, const Field& field, std::mt19937_64& random) {
  if (auto* const* text = std::get_if<std::string*>(&field)) {
    **text = row.words.empty() ? fmt::format("{}-\"\\\t\x01한", row.key) : std::string(row.words.back());
    if (row.text != TextKind::kAny) **text = fmt::format("x'{}\"\\ é {}", row.key, random() % 100);
  } else if (auto* const* texts = std::get_if<std::vector<std::string>*>(&field)) {
    **texts = row.words.empty() ? std::vector<std::string>{"one\ntwo", "", "\"\\\"\x7f"}
                                : std::vector<std::string>{std::string(row.words.back())};
  } else if (auto* const* truth = std::get_if<bool*>(&field)) {
    **truth = !**truth;
  } else if (auto* const* mode = std::get_if<contract::ComputeMode*>(&field)) {
    **mode = contract::ComputeMode::kBF16;
  } else if (auto* const* kind = std::get_if<RunKind*>(&field)) {
    **kind = RunKind::kSft;
  } else if (auto* const* number = std::get_if<double*>(&field)) {
    std::uniform_real_distribution<double> any(row.range.low, row.range.high);
    **number = any(random);
  } else if (auto* const* whole = std::get_if<int64_t*>(&field)) {
    **whole = static_cast<int64_t>(row.range.high) - 1;
  } else if (auto* const* seed = std::get_if<uint64_t*>(&field)) {
    **seed = static_cast<uint64_t>(INT64_MAX);
  }
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

TEST(Recipe, TextOfRejectionReadsBackAsItself) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 100; ++round) {
    Recipe r = parse_good("kind = \"rejection\"\n[model]\npath = \"m\"\n[[data]]\ngenerator = \"digits\"\n");
    r.data.emplace_back();
    r.data[1].path = "a.jsonl";
    r.data[1].weight = 2.5;
    r.reward.resize(2);
    r.reward[1].kind = "language";
    r.reward[1].weight = 0.5;
    for (const KeyRow& row : rejection_keys()) change(row, row.field(r, 0), random);
    // What keys must be to each other.
    RejectionRecipe& j = r.rejection;
    j.tokens_low = 1;
    j.tokens_high = j.max_tokens / 2;
    j.pass_rate_low = j.pass_rate_high / 2;
    j.keep = j.answers - 1;
    j.right = round % 2 == 0;
    const std::string text = recipe_text(r);
    const Recipe back = parse_good(text);
    ASSERT_EQ(recipe_text(back), text);
    ASSERT_EQ(back.rejection.repetition_high, j.repetition_high);
    ASSERT_FALSE(recipe_difference(back, r).has_value());
    r.rejection.at_once = 3;
    ASSERT_EQ(recipe_identity(back), recipe_identity(r)) << "how many are written together decides no bit";
    r.rejection.language_low = 0.25;
    ASSERT_NE(recipe_identity(back), recipe_identity(r));
  }
}

TEST(Recipe, RejectionFitsTogether) {
  const std::string top = "kind = \"rejection\"\n";
  const std::string good = top + "[model]\npath = \"m\"\n[[data]]\ngenerator = \"digits\"\n[rejection]\nanswers = 4\n";
  const Recipe plain = parse_good(good);
  EXPECT_EQ(plain.steps, 0);
  EXPECT_TRUE(plain.rejection.right);
  EXPECT_EQ(plain.rejection.tokens_high, 0);
  expect_in(refusal("steps = 3\n" + good), {"steps is given and kind is rejection, which trains nothing", "remove"});
  expect_in(refusal(good + "[optimizer]\nlr = 0.1\n"), {"line", "optimizer.lr is given and kind is rejection"});
  expect_in(refusal(good + "[sample]\nprompts = [\"a\"]\n"), {"sample.prompts is given"});
  expect_in(refusal(good + "[[validation]]\npath = \"a.jsonl\"\n"), {"[[validation]]", "remove the section"});
  expect_in(refusal(good + "[grpo]\nprompts = 8\n"), {"grpo.prompts is given and kind is rejection"});
  expect_in(refusal(kSmall + "[rejection]\nkeep = 1\n"), {"rejection.keep is given and kind is pretrain", "set kind"});
  expect_in(refusal(good, {"model.path=", "model.config=c.json", "model.tokenizer=t"}),
            {"model.config begins a new model", "train it first"});
  expect_in(refusal(good, {"model.tokenizer=t"}), {"model.tokenizer is given", "the model's own tokenizer"});
  expect_in(refusal(good, {"data.weight=2"}), {"data.0 has weight 2, and there is one source"});
  expect_in(refusal(good, {"data.trace=long"}), {"data.0 has a trace"});
  const std::string two = good + "[[data]]\npath = \"a.jsonl\"\nweight = 3\n";
  expect_in(refusal(two), {"data.1 has weight 3, and rejection.problems is 0", "set rejection.problems"});
  EXPECT_EQ(parse_good(two, {"rejection.problems=100"}).data[1].weight, 3);
  expect_in(refusal(good + "top_k = 1\n"), {"rejection.top_k is 1", "draw one answer"});
  EXPECT_EQ(parse_good(good, {"rejection.top_k=1", "rejection.answers=1"}).rejection.top_k, 1);
  expect_in(refusal(good + "answers = 0\n", {}), {"answers"});
  expect_in(refusal(good, {"rejection.answers=1025"}), {"from 1 to 1024"});
  expect_in(refusal(good, {"rejection.problems=1000001"}), {"from 0 to 1000000"});
  expect_in(refusal(good, {"rejection.temperature=0"}), {"a number from 0.01 to 100"});
  expect_in(refusal(good + "keep = 5\n"), {"rejection.keep is 5 and rejection.answers 4", "at most all"});
  expect_in(refusal(good + "tokens_high = 257\n"), {"rejection.tokens_high is 257 and rejection.max_tokens 256"});
  expect_in(refusal(good + "tokens_low = 257\n"), {"rejection.tokens_low is 257", "longest answer 256"});
  expect_in(refusal(good + "pass_rate_low = 0.5\npass_rate_high = 0.25\n"), {"pass_rate_low is 0.5", "lower"});
  const std::string language = good + "[[reward]]\nkind = \"language\"\n";
  expect_in(refusal(language), {"rejection.right asks what is right, and no [[reward]] says it", "right = false"});
  EXPECT_FALSE(parse_good(language, {"rejection.right=false"}).rejection.right);
  expect_in(refusal(language, {"rejection.right=false", "rejection.pass_rate_high=0.5"}),
            {"rejection.pass_rate_high asks what is right"});
  expect_in(refusal(good + "[[reward]]\n[[reward]]\nkind = \"length\"\ntokens = 256\n"),
            {"tokens 256 and rejection.max_tokens is 256"});
  // Every source is looked at.
  expect_in(refusal(good + "[[data]]\npath = \"a.jsonl\"\n[[reward]]\nfind = \"verifier\"\n"),
            {"find \"verifier\" and [[data]] is a file"});
  EXPECT_EQ(parse_good(good + "[[data]]\npath = \"a.jsonl\"\n[[reward]]\n").reward.size(), 1u);
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

TEST(Recipe, GroupsOfAnswersFitTogether) {
  const std::string good =
      "kind = \"grpo\"\nsteps = 3\n[model]\npath = \"m\"\n[[data]]\ngenerator = \"digits\"\n[batch]\ncontext = 99\n"
      "[grpo]\nmax_tokens = 40\n";
  EXPECT_EQ(parse_good(good).grpo.prompts, 32);
  expect_in(refusal(good + "answers = 4096\nprompts = 32\n"), {"at most 65536 answers"});
  expect_in(refusal(good + "off_policy_max = 1.0\n"), {"grpo.off_policy_max is given for a run that does not read it"});
  expect_in(refusal(good + "keep_routing = true\n"), {"grpo.keep_routing is given", "with one update"});
  EXPECT_TRUE(parse_good(good + "keep_routing = true\nupdates = 4\n").grpo.keep_routing);
  expect_in(refusal(good + "[validate]\nrows = 3\n"), {"validate.rows is given", "remove the line"});
  for (const std::string key : {"problems", "samples"}) {
    const std::string keys = "[validate]\n" + key + " = 7\n";
    expect_in(refusal(good + keys), {"validate." + key + " is given and no [[validation]] has problems", "remove"});
    EXPECT_EQ(parse_good(good + keys + "[[validation]]\npath = \"a.jsonl\"\n").validation.size(), 1u);
  }
  const std::string texts = kSmall + "[validate]\nproblems = 7\n[[validation]]\n";
  expect_in(refusal(texts + "path = \"a.jsonl\"\n"), {"no [[validation]] has problems", "with a generator"});
  EXPECT_EQ(parse_good(texts + "generator = \"digits\"\n").validate.problems, 7);
  expect_in(refusal(good, {"data.weight=2"}), {"data.weight is given", "there is one source"});
  const std::string two = good + "[[data]]\npath = \"b.jsonl\"\nweight = 2\n";
  EXPECT_EQ(parse_good(two + "[[validation]]\npath = \"a\"\n[[validation]]\npath = \"b\"\n").data[1].weight, 2);
  expect_in(refusal(two + "[[data]]\ngenerator = \"countdown\"\ntrace = \"long\"\n"),
            {"data.trace is given", "solutions are not read"});
  expect_in(refusal(good + "prompts = 10\nupdates = 4\n"), {"grpo.prompts is 10 and grpo.updates 4", "divide"});
  expect_in(refusal(good + "soft_tokens = 40\n"), {"soft_tokens is 40", "lower soft_tokens"});
  expect_in(refusal(good + "answers = 1\n"), {"grpo.answers is 1", "from 2 to 4096", "raise grpo.answers"});
  expect_in(refusal(good + "answers = 64\nrounds = 33\n"), {"grpo.rounds 33", "at most 65536 answers"});
  expect_in(refusal(good + "kl = \"unbiased\"\n"), {"grpo.kl is given and grpo.kl_weight is 0", "set grpo.kl_weight"});
  expect_in(refusal(good + "reference_every = 10\n"), {"grpo.reference_every is given", "set grpo.kl_weight"});
  expect_in(refusal(good + "kl_weight = 0.1\nupdates = 4\nreference_every = 10\n"),
            {"reference_every is 10", "divide"});
  EXPECT_EQ(parse_good(good + "kl_weight = 0.1\nupdates = 4\nreference_every = 8\nkl = \"unbiased\"\n").grpo.kl_weight,
            0.1);
  expect_in(refusal(good + "top_k = 1\n"), {"grpo.top_k is 1", "raise grpo.top_k"});
  expect_in(refusal(good + "temperature = 0\n"), {"grpo.temperature is 0", "a number from 0.01 to 100"});
  expect_in(refusal(good + "[loss]\nmtp = 0.3\n"), {"loss.mtp is 0.3", "prediction layers learn from texts"});
  std::string wrong = good;
  wrong.replace(wrong.find("40"), 2, "99");
  expect_in(refusal(wrong), {"grpo.max_tokens is 99 and batch.context 99", "raise batch.context"});
  wrong = good;
  wrong.replace(wrong.find("generator = \"digits\""), 20, "path = \"a.jsonl\"");
  EXPECT_EQ(parse_good(wrong).data[0].path, "a.jsonl");
  wrong = good;
  wrong.replace(wrong.find("path = \"m\""), 10, "config = \"c.json\"\ntokenizer = \"t\"");
  expect_in(refusal(wrong), {"model.config begins a new model", "train it first"});
  expect_in(refusal(kSmall + "[grpo]\nprompts = 8\n"), {"grpo.prompts is given and kind is pretrain", "set kind"});
}

TEST(Recipe, TeachersFitTogether) {
  const std::string head =
      "kind = \"distill\"\nsteps = 3\n[model]\npath = \"m\"\n[[data]]\ngenerator = \"digits\"\n[batch]\ncontext = 99\n";
  const std::string good = head + "[[teacher]]\npath = \"t\"\n[distill]\nmax_tokens = 40\n";
  const Recipe recipe = parse_good(good);
  EXPECT_EQ(recipe.teacher[0].path, "t");
  EXPECT_EQ(recipe.teacher[0].weight, 1);
  EXPECT_EQ(recipe.distill.average, "token_mean");
  EXPECT_EQ(rollout_of(recipe).max_tokens, 40);
  EXPECT_EQ(teacher_place(recipe.teacher[0], "/r"), "/r/t");
  EXPECT_EQ(parse_recipe(good, "r.toml", {"teacher.path=u", "teacher.0.weight=0.5"})->teacher[0].weight, 0.5);
  expect_in(refusal(head), {"there is no [[teacher]]", "write [[teacher]]"});
  expect_in(refusal(head + "[[teacher]]\nweight = 2.0\n"), {"teacher.0 has no path"});
  expect_in(refusal(good + "[[teacher]]\npath = \"u\"\nweight = 0\n"), {"teacher.weight is 0", "a number above 0"});
  expect_in(refusal(good + "[grpo]\nkl_weight = 0.1\n"), {"grpo.kl_weight is given and kind is distill", "remove"});
  expect_in(refusal(kSmall + "[distill]\nanswers = 2\n"),
            {"distill.answers is given and kind is pretrain", "set kind"});
  expect_in(refusal(kSmall + "[[teacher]]\npath = \"t\"\n"), {"there is [[teacher]] and kind is pretrain"});
  expect_in(refusal(good + "prompts = 10\nupdates = 4\n"), {"distill.prompts is 10 and distill.updates 4", "divide"});
  expect_in(refusal(good + "answers = 4096\nprompts = 32\n"), {"at most 65536 answers"});
  expect_in(refusal(good + "top_k = 1\n"), {"distill.top_k is 1", "raise distill.top_k"});
  EXPECT_EQ(parse_good(good + "top_k = 1\nanswers = 1\n").distill.top_k, 1);
  expect_in(refusal(good + "max_tokens = 99\n", {}), {"line"});
  expect_in(refusal(good, {"distill.max_tokens=99"}), {"distill.max_tokens is 99 and batch.context 99"});
  expect_in(refusal(good, {"loss.mtp=0.3"}), {"loss.mtp is 0.3", "kind is distill"});
  EXPECT_EQ(parse_good(good + "[[data]]\npath = \"b\"\n").data.size(), 2u);
  EXPECT_EQ(parse_good(good + "[[reward]]\nkind = \"format\"\n").reward.size(), 1u);
  // Which run it is: the teachers and their weights.
  const std::string identity = recipe_identity(recipe);
  EXPECT_NE(recipe_identity(parse_good(good, {"teacher.path=u"})), identity);
  EXPECT_NE(recipe_identity(parse_good(good, {"teacher.weight=2"})), identity);
  EXPECT_NE(recipe_identity(parse_good(good + "[[teacher]]\npath = \"u\"\n")), identity);
  EXPECT_EQ(recipe_identity(parse_good(good, {"distill.at_once=7"})), identity);
  Recipe pulled = recipe;
  pulled.teacher[0].pulled_path = "/models/t";
  EXPECT_EQ(teacher_place(pulled.teacher[0], "/r"), "/models/t");
  EXPECT_EQ(recipe_identity(pulled), identity) << "where a teacher lies decides nothing";
}

TEST(Recipe, RewardsFitTogether) {
  const std::string made =
      "kind = \"grpo\"\nsteps = 3\n[model]\npath = \"m\"\n[[data]]\ngenerator = \"digits\"\n[batch]\ncontext = 99\n"
      "[grpo]\nmax_tokens = 40\n";
  std::string own = made;
  own.replace(own.find("generator = \"digits\""), 20, "path = \"a.jsonl\"");
  const auto reward = [](const std::string& keys) { return "[[reward]]\n" + keys + "\n"; };
  const std::string program = "kind = \"program\"\ncommand = [\"python3\", \"r.py\"]\n";
  const Recipe good = parse_good(own + reward("find = \"boxed\"\nweight = 0.5") + reward("kind = \"format\"") +
                                 reward("kind = \"language\"") + reward("kind = \"length\"\ntokens = 20") +
                                 reward(program + "seconds = 3\nname = \"mine\"") + reward(program + "weight = -1"));
  ASSERT_EQ(good.reward.size(), 6u);
  EXPECT_EQ(reward_name(good.reward[0]), "answer");
  EXPECT_EQ(reward_name(good.reward[4]), "mine");
  EXPECT_EQ(good.reward[4].command, (std::vector<std::string>{"python3", "r.py"}));
  EXPECT_EQ(parse_good(recipe_text(good)).reward[0].weight, 0.5);
  EXPECT_EQ(
      parse_recipe(own + reward(program), "r.toml", {"reward.seconds=2", "reward.0.processes=5"})->reward[0].processes,
      5);
  expect_in(refusal(own + reward("kind = \"answer\"") + reward("")), {"reward.1 has the name \"answer\"", "taken"});
  expect_in(refusal(own + reward("name = \"a b\"")), {"reward.0 has a name", "letters, digits"});
  expect_in(refusal(own + reward("name = \"failures\"")), {"taken"});
  expect_in(refusal(own + "soft_tokens = 5\n" + reward("kind = \"length\"")), {"\"length\", which is taken"});
  expect_in(refusal(own + reward("kind = \"length\"\ntokens = 40")), {"tokens 40 and grpo.max_tokens is 40"});
  expect_in(refusal(own + reward("kind = \"program\"")), {"a program without a command", "python3"});
  expect_in(refusal(own + reward("command = [\"a\"]")), {"kind \"answer\" and command", "remove the line"});
  expect_in(refusal(own + reward("kind = \"language\"\ntag = \"t\"")), {"tag with kind \"answer\" only"});
  expect_in(refusal(own + reward("kind = \"format\"\ntag = \"a>b\"")), {"a tag of other characters"});
  expect_in(refusal(own + reward("kind = \"right\"")), {"reward.kind is the text \"right\"", "\"program\""});
  expect_in(refusal(own + reward("find = \"verifier\"")), {"find \"verifier\" and [[data]] is a file", "boxed"});
  expect_in(refusal(made + "[[validation]]\npath = \"b.jsonl\"\n" + reward("find = \"verifier\"")),
            {"[[validation]] is a file"});
  expect_in(refusal(own + "[[data]]\ngenerator = \"digits\"\n" + reward("find = \"verifier\"")),
            {"[[data]] is a file"});
  expect_in(refusal(own + "[[data]]\ngenerator = \"countdown\"\n" + reward("find = \"mark\"")),
            {"countdown", "remove find"});
  expect_in(refusal(made + reward("compare = \"text\"")), {"compare and the verifier of digits"});
  expect_in(refusal(own + reward("find = \"number\"\ncompare = \"text\"")), {"finds a number and compares it as text"});
  expect_in(refusal(kSmall + reward("")), {"[[reward]] and kind is pretrain", "set kind = \"grpo\""});
  // Which run it is: everything but how fast the program is and how much it may take.
  const Recipe one = parse_good(own + reward(program));
  EXPECT_EQ(recipe_identity(one), recipe_identity(parse_good(own + reward(program + "seconds = 3\nprocesses = 9"))));
  EXPECT_NE(recipe_identity(one), recipe_identity(parse_good(own + reward(program + "failure_reward = 1.0"))));
  EXPECT_NE(recipe_identity(one), recipe_identity(parse_good(own)));
  EXPECT_EQ(recipe_difference(one, parse_good(own)), "1 reward in [[reward]] there and 0 rewards here");
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
