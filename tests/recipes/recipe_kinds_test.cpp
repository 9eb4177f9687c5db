// Recipes of each kind of run: which keys it has, and what they must be to each other.
#include <gtest/gtest.h>

#include <random>

#include "tests/recipes/recipe_rig.h"

namespace naru::recipes {
namespace {

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

}  // namespace
}  // namespace naru::recipes
