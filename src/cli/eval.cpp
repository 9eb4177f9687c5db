// naru eval: the command's table, and what of its flags fits together.
#include "cli/eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "cli/find_model.h"
#include "cli/flag_values.h"
#include "cli/interrupts.h"
#include "eval/asking.h"

namespace naru::cli {
namespace {

Error misused_eval(std::string_view what, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("reading the command line: naru eval: {}; {}", what, next)};
}

std::vector<Flag> eval_drawn_flags(const std::shared_ptr<EvalOptions>& o) {
  EvalProblemOptions& a = o->asked;
  return {
      {"samples", "N", kGroupProblems, "answers drawn to each problem, beside the likeliest one; default 4, 0: none",
       set_count(&a.samples, 0, eval::kSamplesMax)},
      {"pass-at", "LIST", kGroupProblems, "the k of pass@k, each at most --samples; default 1 and --samples",
       [&a](const Given& given) -> Status {
         NARU_ASSIGN(a.ks, parse_integers(given, 1, eval::kSamplesMax, 16));
         std::sort(a.ks.begin(), a.ks.end());
         a.ks.erase(std::unique(a.ks.begin(), a.ks.end()), a.ks.end());
         return {};
       }},
      {"max-tokens", "N", kGroupProblems, "the longest answer; default 256", set_count(&a.max_tokens, 1, kTokensMax),
       'n'},
      {"temperature", "X", kGroupSampling, "of the drawn answers; default 1",
       set_real(&a.sampling.temperature, 0, 1000)},
      {"top-k", "N", kGroupSampling, "only the N likeliest tokens; default 0: off",
       set_count(&a.sampling.top_k, 0, INT32_MAX)},
      {"top-p", "X", kGroupSampling, "only the likeliest tokens that together have probability X; default 1: off",
       set_real(&a.sampling.top_p, 1e-9, 1)},
      {"min-p", "X", kGroupSampling, "only tokens at least X times as likely as the likeliest; default 0: off",
       set_real(&a.sampling.min_p, 0, 1)},
      {"seed", "N", kGroupSampling, "of a generator's problems and of the drawn answers; default 1, as of recipes",
       [o](const Given& given) -> Status {
         NARU_ASSIGN(o->seed, parse_seed(given));
         return {};
       },
       's'}};
}

std::vector<Flag> eval_problem_flags(const std::shared_ptr<EvalOptions>& o) {
  EvalProblemOptions& a = o->asked;
  std::vector<Flag> flags =
      problem_flags(a, {.of_generator = "held-out ones of a built-in generator",
                        .count_default = "200",
                        .find_default = "where the right answers are written so, else in any usual place",
                        .count_max = eval::kProblemsMax});
  for (Flag& flag : eval_drawn_flags(o)) flags.push_back(std::move(flag));
  return flags;
}

std::vector<Flag> text_flags(const std::shared_ptr<EvalOptions>& o) {
  EvalTextOptions& t = o->text;
  return {{"text", "FILE", kGroupText, "a text (UTF-8) to predict", set_some_text(&t.path)},
          {"against", "MODEL", kGroupText, "a second model of the same vocabulary: how alike the two are",
           [&t](const Given& given) -> Status {
             std::string path;
             NARU_TRY(set_model_path(&path)(given));
             t.against = std::move(path);
             return {};
           }},
          {"window", "N", kGroupText, "tokens that run together; default 2048, or as many as the model was made for",
           set_count(&t.window, 2, kTokensMax)},
          {"stride", "N", kGroupText,
           "tokens from one window to the next; default half a window, so that the other half "
           "stands before what is scored",
           set_count(&t.stride, 1, kTokensMax)}};
}

bool is_given(const std::set<std::string>& given, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return given.contains(name); });
}

// Every flag belongs to one of the two things that the command does.
Status check_eval(EvalOptions& o, const std::set<std::string>& given) {
  EvalProblemOptions& a = o.asked;
  const bool is_text = !o.text.path.empty();
  if (is_text != a.problems.empty()) {
    return misused_eval(is_text ? "both --problems and --text were given" : "neither --problems nor --text was given",
                        "give one of them, for example: naru eval model.gguf --problems word_problems");
  }
  if (is_text &&
      is_given(given, {"count", "language", "numbers", "find", "compare", "think", "raw", "samples", "pass-at",
                       "max-tokens", "temperature", "top-k", "top-p", "min-p", "seed", "answers", "force"})) {
    return misused_eval("--text asks nothing, and flags of problems, sampling or answers were given", "leave them out");
  }
  if (!is_text && is_given(given, {"against", "window", "stride"})) {
    return misused_eval("--against, --window and --stride are of a text, and --problems was given",
                        "give --text FILE in its place, or leave them out");
  }
  if (!is_text) NARU_TRY(check_problem_flags(a));
  if (a.samples == 0 && is_given(given, {"pass-at", "temperature", "top-k", "top-p", "min-p"})) {
    return misused_eval("--samples is 0, and flags of drawn answers were given", "leave them out, or draw some");
  }
  if (given.contains("force") && !a.answers_path) {
    return misused_eval("--force replaces the file of --answers, and none was given",
                        "add --answers FILE, or leave it out");
  }
  if (a.ks.empty() && a.samples > 0)
    a.ks = a.samples == 1 ? std::vector<int64_t>{1} : std::vector<int64_t>{1, a.samples};
  if (a.ks.empty() || a.ks.back() <= a.samples) return {};
  return misused_eval(fmt::format("--pass-at asks for pass@{} of {} answers to a problem", a.ks.back(), a.samples),
                      fmt::format("draw as many at least: --samples {}", a.ks.back()));
}

}  // namespace

Command make_eval() {
  auto o = std::make_shared<EvalOptions>();
  auto given = std::make_shared<std::set<std::string>>();
  Command c{.name = "eval",
            .summary = "how many problems a model solves, or how well it predicts a text",
            .description =
                "With --problems: asks problems and counts right answers, greedy and drawn, strictly where and as the "
                "problem wants them and leniently wherever they stand, each with a confidence interval. With --text: "
                "perplexity and bits per byte, and beside a second model the share of equal likeliest tokens and the "
                "mean KL divergence. The same model, problems and seed give the same answers on every machine."};
  c.arguments = {model_argument(&o->model.path)};
  c.flags = eval_problem_flags(o);
  for (Flag& flag : text_flags(o)) c.flags.push_back(std::move(flag));
  c.flags.push_back(adapter_flag(o->model));
  c.flags.push_back({"answers", "FILE", kGroupOutput, "every answer as a JSON line; it appears when it is whole",
                     [o](const Given& value) -> Status {
                       o->asked.answers_path = value.text;
                       return {};
                     }});
  c.flags.push_back(force_flag(&o->asked.existing));
  c.flags.push_back(json_flag(&o->json, "everything as one JSON object on standard output"));
  // An evaluation is what its command line says: nothing of it comes from elsewhere.
  for (Flag& flag : c.flags) {
    flag.has_environment = false;
    flag.set = [set = std::move(flag.set), name = flag.long_name, given](const Given& value) -> Status {
      given->insert(name);
      return set(value);
    };
  }
  add_model_flags(o->model, c.flags);
  c.flags.push_back({"at-once", "N", kGroupMachine, "answers written together at most; default 32",
                     set_count(&o->asked.at_once, 1, engine::kSessionsMax), 0, false, false});
  c.examples = {{"naru eval model.gguf --problems word_problems",
                 "200 held-out problems: one greedy answer each, and four drawn."},
                {"naru eval ./model --problems test.jsonl --samples 8 --pass-at 1,8 --answers answers.jsonl",
                 "Problems of your own, and all answers to read."},
                {"naru eval model.gguf --text book.txt --against ./model", "What quantising cost."}};
  c.check = [o, given] { return check_eval(*o, *given); };
  c.run = [o] { return o->text.path.empty() ? eval_problems(*o) : eval_text(*o); };
  return c;
}

}  // namespace naru::cli
