// The flags that say how tokens are chosen, and what becomes of them and of the makers' advice.
#include <fmt/format.h>

#include "cli/options.h"
#include "formats/generation_config.h"

namespace naru::cli {
namespace {

std::function<Status(const Given&)> set_number(std::optional<double>* target, double low, double high) {
  return [target, low, high](const Given& given) -> Status {
    NARU_ASSIGN(const double value, parse_number(given, low, high));
    *target = value;
    return {};
  };
}

std::function<Status(const Given&)> set_logit_bias(std::vector<std::pair<int32_t, float>>* target) {
  return [target](const Given& given) -> Status {
    const size_t equals = given.text.find('=');
    if (equals == std::string::npos) return bad_value(given, "ID=BIAS, as in 42=-5");
    NARU_ASSIGN(const int64_t id, parse_integer({given.source, given.text.substr(0, equals)}, 0, INT32_MAX));
    NARU_ASSIGN(const double bias, parse_number({given.source, given.text.substr(equals + 1)}, -1e4, 1e4));
    for (const auto& [other, _] : *target) {
      if (other == id) return bad_value(given, "every id once");
    }
    target->emplace_back(static_cast<int32_t>(id), static_cast<float>(bias));
    return {};
  };
}

}  // namespace

void add_sampling_flags(SamplingFlags& o, std::vector<Flag>& flags) {
  flags.push_back({"temperature", "X", kGroupSampling,
                   "0: always the likeliest token; default: the makers' advice, else 0.7",
                   set_number(&o.temperature, 0, 1000)});
  flags.push_back(
      {"top-k", "N", kGroupSampling, "only the N likeliest tokens; 0: off", [&o](const Given& given) -> Status {
         NARU_ASSIGN(o.top_k, parse_integer(given, 0, INT32_MAX));
         return {};
       }});
  flags.push_back(
      {"top-p", "X", kGroupSampling,
       "only the likeliest tokens that together have probability X; 1: off; default: the makers' advice, else 0.9",
       set_number(&o.top_p, 1e-9, 1)});
  flags.push_back({"min-p", "X", kGroupSampling, "only tokens at least X times as likely as the likeliest; 0: off",
                   set_number(&o.min_p, 0, 1)});
  flags.push_back({"repetition-penalty", "X", kGroupSampling, "makes tokens seen before less likely; 1: off",
                   set_number(&o.repetition_penalty, 0.01, 100)});
  flags.push_back({"presence-penalty", "X", kGroupSampling, "subtracted once for a token in the answer; 0: off",
                   set_number(&o.presence_penalty, -100, 100)});
  flags.push_back({"frequency-penalty", "X", kGroupSampling,
                   "subtracted for each time a token is in the answer; 0: off",
                   set_number(&o.frequency_penalty, -100, 100)});
  flags.push_back({"logit-bias", "ID=BIAS", kGroupSampling, "added to the logit of a token; may be repeated",
                   set_logit_bias(&o.logit_bias), 0, true});
  flags.push_back({"seed", "N", kGroupSampling, "the same seed gives the same answer, on every machine; default 0",
                   [&o](const Given& given) -> Status {
                     NARU_ASSIGN(o.seed, parse_seed(given));
                     return {};
                   },
                   's'});
}

Flag max_tokens_flag(int64_t* max_tokens) {
  return {"max-tokens",
          "N",
          kGroupAnswer,
          "the longest answer; default: until the context is full",
          [max_tokens](const Given& given) -> Status {
            NARU_ASSIGN(*max_tokens, parse_integer(given, 1, kTokensMax));
            return {};
          },
          'n'};
}

engine::SamplingOptions SamplingFlags::over(const formats::GenerationConfig& makers) const {
  engine::SamplingOptions o = engine::sampling_from(makers);
  if (!makers.advises_sampling()) o.temperature = kDefaultTemperature, o.top_p = kDefaultTopP;
  o.temperature = temperature.value_or(o.temperature);
  o.top_k = top_k.value_or(o.top_k);
  o.top_p = top_p.value_or(o.top_p);
  o.min_p = min_p.value_or(o.min_p);
  o.repetition_penalty = repetition_penalty.value_or(o.repetition_penalty);
  o.presence_penalty = presence_penalty.value_or(o.presence_penalty);
  o.frequency_penalty = frequency_penalty.value_or(o.frequency_penalty);
  o.logit_bias = logit_bias;
  o.seed = seed;
  return o;
}

std::string SamplingFlags::text(const formats::GenerationConfig& makers) const {
  const engine::SamplingOptions o = over(makers);
  if (o.temperature == 0) return temperature ? "temperature 0" : "temperature 0 (the makers' advice)";
  std::string text = fmt::format("temperature {}", o.temperature);
  if (o.top_k > 0) text += fmt::format(", top-k {}", o.top_k);
  if (o.top_p < 1) text += fmt::format(", top-p {}", o.top_p);
  if (o.min_p > 0) text += fmt::format(", min-p {}", o.min_p);
  if (temperature || top_k || top_p || min_p) return text;
  return text + (makers.advises_sampling() ? " (the makers' advice)" : " (the model advises nothing)");
}

}  // namespace naru::cli
