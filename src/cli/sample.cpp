// naru sample: the command's table, and the recipe of kind rejection that its flags make.
#include "cli/sample.h"

#include <fmt/format.h>

#include <memory>

#include "base/builtin_file.h"
#include "cli/find_model.h"
#include "cli/flag_values.h"
#include "cli/open_model.h"
#include "cli/version.h"
#include "engine/memory_plan.h"
#include "runs/run_files.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

using SharedSample = std::shared_ptr<SampleOptions>;

constexpr int64_t kSampledDefault = 1000;  // problems of a generator
constexpr std::string_view kGroupKept = "What is kept";

// Flags whose value is that of a key of recipes.
SetFlag key_count(const SharedSample& o, std::string key, int64_t low, int64_t high) {
  return [o, key = std::move(key), low, high](const Given& given) -> Status {
    NARU_ASSIGN(const int64_t value, parse_integer(given, low, high));
    o->overrides.push_back(fmt::format("{}={}", key, value));
    return {};
  };
}

SetFlag key_real(const SharedSample& o, std::string key, double low, double high) {
  return [o, key = std::move(key), low, high](const Given& given) -> Status {
    NARU_ASSIGN(const double value, parse_number(given, low, high));
    o->overrides.push_back(fmt::format("{}={}", key, value));
    return {};
  };
}

SetFlag key_switch(const SharedSample& o, std::string override_text) {
  return [o, text = std::move(override_text)](const Given&) -> Status {
    o->overrides.push_back(text);
    return {};
  };
}

SetFlag key_word(const SharedSample& o, std::string key, std::string words) {
  auto word = std::make_shared<std::string>();
  return [o, key = std::move(key), word, set = set_one_of(word.get(), std::move(words))](const Given& given) -> Status {
    NARU_TRY(set(given));
    o->overrides.push_back(fmt::format("{}={}", key, *word));
    return {};
  };
}

std::vector<Flag> sample_drawn_flags(const SharedSample& o) {
  return {{"answers", "N", kGroupSampling, "drawn to each problem; default 8",
           key_count(o, "rejection.answers", 1, recipes::kRejectionAnswersMax)},
          {"max-tokens", "N", kGroupSampling, "the longest answer; default 256. One that is cut off is dropped",
           key_count(o, "rejection.max_tokens", 1, 1048576), 'n'},
          {"temperature", "X", kGroupSampling, "of the answers; default 1",
           key_real(o, "rejection.temperature", 0.01, 100)},
          {"top-k", "N", kGroupSampling, "only the N likeliest tokens; default 0: off",
           key_count(o, "rejection.top_k", 0, 1048576)},
          {"top-p", "X", kGroupSampling, "only the likeliest tokens that together have probability X; default 1: off",
           key_real(o, "rejection.top_p", 1e-9, 1)},
          {"min-p", "X", kGroupSampling, "only tokens at least X times as likely as the likeliest; default 0: off",
           key_real(o, "rejection.min_p", 0, 0.999999)},
          {"seed", "N", kGroupSampling, "of a generator's problems, of their order and of the answers; default 1",
           key_count(o, "seed", 0, INT64_MAX), 's'}};
}

std::vector<Flag> sample_problem_flags(const SharedSample& o) {
  std::vector<Flag> flags =
      problem_flags(o->asked, {.of_generator = "those of a built-in generator that training may see",
                               .count_default = "1000",
                               .find_default = "the first there is of \\boxed{}, ####, and the last number or line",
                               .count_max = recipes::kRejectionProblemsMax});
  for (Flag& flag : sample_drawn_flags(o)) flags.push_back(std::move(flag));
  return flags;
}

std::vector<Flag> kept_flags(const SharedSample& o) {
  return {
      {"wrong", "", kGroupKept, "wrong answers too; default: right ones only", key_switch(o, "rejection.right=false")},
      {"min-language", "X", kGroupKept,
       "the least share of an answer's words that are in the question's language; default 0.9, 0: any",
       key_real(o, "rejection.language_low", 0, 1)},
      {"min-tokens", "N", kGroupKept, "the shortest answer; default 1",
       key_count(o, "rejection.tokens_low", 0, 1048576)},
      {"longest", "N", kGroupKept, "the longest answer that is kept; default: --max-tokens",
       key_count(o, "rejection.tokens_high", 1, 1048576)},
      {"max-repetition", "X", kGroupKept,
       "the largest share of an answer's tokens that only repeat 8 or more from before; default 0.5, 1: any",
       key_real(o, "rejection.repetition_high", 0, 1)},
      {"duplicates", "", kGroupKept, "equal answers to equal questions too; default: the first of them only",
       key_switch(o, "rejection.deduplicate=false")},
      {"min-pass-rate", "X", kGroupKept, "of a problem: the least share of right answers; default 0",
       key_real(o, "rejection.pass_rate_low", 0, 1)},
      {"max-pass-rate", "X", kGroupKept, "the largest, as in 0.9 to leave easy problems out; default 1",
       key_real(o, "rejection.pass_rate_high", 0, 1)},
      {"keep", "N", kGroupKept, "answers of one problem at most; default: all that pass",
       key_count(o, "rejection.keep", 1, recipes::kRejectionAnswersMax)},
      {"form", "messages|text", kGroupKept,
       "of the lines: conversations for fine-tuning, or texts for pretraining; default: as problems were asked",
       key_word(o, "rejection.form", "messages|text")}};
}

Error misused_sample(std::string_view what, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("reading the command line: naru sample: {}; {}", what, next)};
}

Status check_sample(const SampleOptions& o) {
  if (o.asked.problems.empty()) {
    return misused_sample("--problems is missing", "for example: naru sample ./model --problems digits --out samples");
  }
  if (o.out.empty() && !o.plan_only) {
    return misused_sample("--out is missing", "name a folder for the samples, as in --out samples");
  }
  return check_problem_flags(o.asked);
}

Status sample_command(SampleOptions& options) {
  NARU_ASSIGN(const recipes::Recipe recipe, sample_recipe(options));
  options.start.version = version_line().substr(std::string_view("naru ").size());
  TrainOptions again;  // the effective recipe is the same run
  again.recipe_path = (fs::path(recipe.output) / runs::kRecipeFile).string();
  again.output = recipe.output;
  options.start.command = going_on(again);
  NARU_ASSIGN(const auto chip, make_chip(options.model));
  return run_samples(recipe, fs::current_path(), *chip, options.start,
                     {.json = options.json, .plan_only = options.plan_only, .explain = options.model.explain});
}

// The folder's name is the run's, where it is made of letters that any name may have.
std::string name_of_run(const std::string& out) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  fs::path place = fs::absolute(out).lexically_normal();
  if (place.filename().empty()) place = place.parent_path();
  const std::string name = place.filename().string();
  const bool is_plain = !name.empty() && name.find_first_not_of(kLetters) == std::string::npos && name.size() <= 64;
  return is_plain && name[0] != '.' ? name : "samples";
}

// The flags that name problems, as keys.
void put_problems(const ProblemFlags& asked, std::vector<std::string>& keys) {
  if (asked.is_file()) {
    keys.push_back("data.path=" + fs::absolute(asked.problems).lexically_normal().string());
    if (asked.count) keys.push_back(fmt::format("rejection.problems={}", *asked.count));
  } else {
    keys.push_back("data.generator=" + asked.problems);
    keys.push_back(fmt::format("data.documents={}", asked.count.value_or(kSampledDefault)));
  }
  if (!asked.language.empty()) keys.push_back("data.language=" + asked.language);
  if (asked.numbers > 0) keys.push_back(fmt::format("data.numbers={}", asked.numbers));
  if (!asked.find.empty()) keys.push_back("reward.find=" + asked.find);
  if (!asked.compare.empty()) keys.push_back("reward.compare=" + asked.compare);
  if (asked.tag) keys.emplace_back("reward.strict=true");
  if (asked.tag) keys.push_back("reward.tag=" + *asked.tag);
  if (asked.is_raw) keys.emplace_back("rejection.ask=text");
}

}  // namespace

Result<recipes::Recipe> sample_recipe(const SampleOptions& o) {
  const std::string out = o.out.empty() ? "samples" : o.out;  // a plan alone has no folder
  std::vector<std::string> keys = {"model.path=" + absolute_place(o.model.path).lexically_normal().string(),
                                   "output=" + out};
  put_problems(o.asked, keys);
  keys.insert(keys.end(), o.overrides.begin(), o.overrides.end());
  const std::string toml = fmt::format("kind = \"rejection\"\nname = \"{}\"\n[[data]]\n[[reward]]\n", name_of_run(out));
  return recipes::parse_recipe(toml, "of naru sample", keys);
}

Command make_sample() {
  auto o = std::make_shared<SampleOptions>();
  Command c{.name = "sample",
            .summary = "a model's good answers to problems, as training data",
            .description =
                "Asks problems, several answers to each, judges them and keeps the good ones as lines that training "
                "reads (docs/sampling.md): right, in one language, of some length, without repetition, each once, and "
                "of problems that are neither too easy nor too hard. The folder has samples.jsonl and dropped.jsonl, "
                "with the reason. Run again after any interruption, it goes on by itself; the files are the same, byte "
                "for byte, on every machine. A recipe of kind rejection does the same in naru train, from several "
                "sources and with rewards of your own."};
  c.arguments = {model_argument(&o->model.path)};
  c.flags = sample_problem_flags(o);
  for (Flag& flag : kept_flags(o)) c.flags.push_back(std::move(flag));
  c.flags.push_back({"compute", "f32|bf16", kGroupNumbers, "the arithmetic of products; default f32",
                     key_word(o, "compute", "f32|bf16")});
  c.flags.push_back({"out", "FOLDER", kGroupOutput, "the folder of the samples; one that is there is gone on with",
                     set_some_text(&o->out)});
  c.flags.push_back({"start-over", "", kGroupOutput,
                     "begins anew; what is in the folder is set aside in a folder set-aside-N of it",
                     set_on(&o->start.starts_over)});
  c.flags.push_back(
      {"plan", "", kGroupOutput, "prints what it takes, and ends: nothing is written", set_on(&o->plan_only)});
  c.flags.push_back(json_flag(&o->json, "the summary as one JSON object on standard output"));
  // What is kept is what the command line says: nothing of it comes from elsewhere.
  for (Flag& flag : c.flags) flag.has_environment = false;
  c.flags.push_back(threads_flag(&o->model.threads));
  c.flags.push_back(chip_flag(&o->model.chip));
  c.flags.push_back({"at-once", "N", kGroupMachine, "answers written together at most; default 64",
                     key_count(o, "rejection.at_once", 1, engine::kSessionsMax), 0, false, false});
  c.flags.push_back(
      {"explain", "", kGroupMachine, "at the end, which kernels ran and how often", set_on(&o->model.explain)});
  c.examples = {{"naru sample runs/r1-minute/rl/model --problems digits --out samples",
                 "1000 problems, eight answers to each; the right ones are in samples/samples.jsonl."},
                {"naru sample ./model --problems train.jsonl --answers 16 --max-pass-rate 0.9 --keep 2 --out samples",
                 "Problems of your own: two answers to each that is not too easy."}};
  c.check = [o] { return check_sample(*o); };
  c.run = [o] { return sample_command(*o); };
  return c;
}

}  // namespace naru::cli
