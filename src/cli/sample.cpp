// naru sample: the command's table, and the recipe of kind rejection that its flags make.
#include "cli/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/builtin_file.h"
#include "base/nearest.h"
#include "cli/find_model.h"
#include "cli/open_model.h"
#include "cli/version.h"
#include "engine/memory_plan.h"
#include "runs/run_files.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

using SetFlag = std::function<Status(const Given&)>;
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

SetFlag key_word(const SharedSample& o, std::string key, std::string words) {
  return [o, key = std::move(key), words = std::move(words)](const Given& given) -> Status {
    const std::vector<std::string> list = value_words(words);
    const std::vector<std::string_view> views(list.begin(), list.end());
    NARU_ASSIGN(const size_t index, parse_word(given, views));
    o->overrides.push_back(fmt::format("{}={}", key, list[index]));
    return {};
  };
}

SetFlag key_switch(const SharedSample& o, std::string override_text) {
  return [o, text = std::move(override_text)](const Given&) -> Status {
    o->overrides.push_back(text);
    return {};
  };
}

SetFlag sample_text(std::string* target) {
  return [target](const Given& given) -> Status {
    if (given.text.empty()) return bad_value(given, "some text");
    *target = given.text;
    return {};
  };
}

SetFlag sample_switch(bool* target) {
  return [target](const Given&) -> Status {
    *target = true;
    return {};
  };
}

std::vector<Flag> asked_flags(const SharedSample& o) {
  return {
      {"problems", "PROBLEMS", kGroupProblems,
       "digits, countdown or word_problems (those of a built-in generator that training may see), or a .jsonl file "
       "with prompt or messages, and answer",
       sample_text(&o->problems)},
      {"count", "N", kGroupProblems, "problems asked; default 1000, of a file all",
       [o](const Given& given) -> Status {
         NARU_ASSIGN(o->count, parse_integer(given, 1, recipes::kRejectionProblemsMax));
         return {};
       }},
      {"language", "en|ko|zh", kGroupProblems, "of word_problems; default: all",
       key_word(o, "data.language", "en|ko|zh")},
      {"find", "whole|last_line|boxed|mark|number", kGroupProblems,
       "where an answer to a problem of a file must stand; default: the first there is of \\boxed{}, ####, and the "
       "last "
       "number or line",
       key_word(o, "reward.find", "whole|last_line|boxed|mark|number")},
      {"compare", "text|number", kGroupProblems, "how it is compared; default: as a number where the right one is one",
       key_word(o, "reward.compare", "text|number")},
      {"think", "TAG", kGroupProblems,
       "right is only what follows reasoning in <TAG> that is closed once, as in --think think",
       [o](const Given& given) -> Status {
         o->overrides.emplace_back("reward.strict=true");
         o->overrides.push_back("reward.tag=" + given.text);
         return {};
       }},
      {"raw", "", kGroupProblems, "ask in plain text, without the model's chat template",
       key_switch(o, "rejection.ask=text")},
      {"answers", "N", kGroupSampling, "drawn to each problem; default 8",
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
  if (o.problems.empty()) {
    return misused_sample("--problems is missing", "for example: naru sample ./model --problems digits --out samples");
  }
  if (o.out.empty() && !o.plan_only) {
    return misused_sample("--out is missing", "name a folder for the samples, as in --out samples");
  }
  const std::vector<std::string_view> names = {"digits", "countdown", "word_problems"};
  if (o.problems.ends_with(".jsonl") || std::ranges::find(names, o.problems) != names.end()) return {};
  const auto near = nearest(o.problems, names);
  return Error{
      Code::kInvalidArgument,
      fmt::format("reading the command line: --problems is {}, digits, countdown, word_problems or a .jsonl "
                  "file was wanted; {}",
                  json_string(o.problems), near ? fmt::format("did you mean {}?", *near) : "give one of them")};
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

}  // namespace

Result<recipes::Recipe> sample_recipe(const SampleOptions& o) {
  const auto absolute = [](const std::string& path) { return absolute_place(path).lexically_normal().string(); };
  const bool is_file = o.problems.ends_with(".jsonl");
  std::vector<std::string> all = {"model.path=" + absolute(o.model.path), "output=" + o.out};
  all.push_back(is_file ? "data.path=" + absolute(o.problems) : "data.generator=" + o.problems);
  if (is_file && o.count) all.push_back(fmt::format("rejection.problems={}", *o.count));
  if (!is_file) all.push_back(fmt::format("data.documents={}", o.count.value_or(kSampledDefault)));
  all.insert(all.end(), o.overrides.begin(), o.overrides.end());
  if (o.out.empty()) all[1] = "output=samples";  // a plan alone has no folder
  return recipes::parse_recipe("kind = \"rejection\"\nname = \"samples\"\n[[data]]\n[[reward]]\n", "of naru sample",
                               all);
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
  c.flags = asked_flags(o);
  for (Flag& flag : kept_flags(o)) c.flags.push_back(std::move(flag));
  c.flags.push_back({"compute", "f32|bf16", kGroupNumbers, "the arithmetic of products; default f32",
                     key_word(o, "compute", "f32|bf16")});
  c.flags.push_back({"out", "FOLDER", kGroupOutput, "the folder of the samples; one that is there is gone on with",
                     sample_text(&o->out)});
  c.flags.push_back({"start-over", "", kGroupOutput,
                     "begins anew; what is in the folder is set aside in a folder set-aside-N of it",
                     sample_switch(&o->start.starts_over)});
  c.flags.push_back(
      {"plan", "", kGroupOutput, "prints what it takes, and ends: nothing is written", sample_switch(&o->plan_only)});
  c.flags.push_back(json_flag(&o->json, "the summary as one JSON object on standard output"));
  // What is kept is what the command line says: nothing of it comes from elsewhere.
  for (Flag& flag : c.flags) flag.has_environment = false;
  c.flags.push_back(threads_flag(&o->model.threads));
  c.flags.push_back(chip_flag(&o->model.chip));
  c.flags.push_back({"at-once", "N", kGroupMachine, "answers written together at most; default 64",
                     key_count(o, "rejection.at_once", 1, engine::kSessionsMax), 0, false, false});
  c.flags.push_back(
      {"explain", "", kGroupMachine, "at the end, which kernels ran and how often", sample_switch(&o->model.explain)});
  c.examples = {{"naru sample runs/r1-minute/rl/model --problems digits --out samples",
                 "1000 problems, eight answers to each; the right ones are in samples/samples.jsonl."},
                {"naru sample ./model --problems train.jsonl --answers 16 --max-pass-rate 0.9 --keep 2 --out samples",
                 "Problems of your own: two answers to each that is not too easy."}};
  c.check = [o] { return check_sample(*o); };
  c.run = [o] { return sample_command(*o); };
  return c;
}

}  // namespace naru::cli
