// Asking: a model's answers to problems, each prompt once with its likeliest tokens (where that is wanted) and some
// times drawn, all of them in one scheduler. An answer is a function of the model, its prompt, the sampling options
// with their seed, the number of the problem and the number of the draw: how many others are asked, and how many at
// once, changes none.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "eval/problem_set.h"

namespace naru::eval {

inline constexpr int64_t kSamplesMax = 1024;  // answers drawn to one problem

struct GivenAnswer {
  std::vector<int32_t> ids;  // without the token that ended it
  int64_t n_tokens = 0;      // with it
  bool is_cut = false;       // its length, or the context, ended it
  bool is_asked = true;      // false: the prompt leaves no room in the context, and there is no answer
};

struct Asking {
  int64_t samples = 0;               // drawn answers, after the greedy one
  bool has_greedy = true;            // there is one
  int64_t first = 0;                 // the problem to begin with; those before it are not asked
  int64_t max_tokens = 0;            // of one answer
  int64_t at_once = 1;               // answers written together
  engine::SamplingOptions sampling;  // of the drawn ones
  // Answers that are whole, and tokens written; false stops: kCancelled.
  std::function<bool(int64_t n_answers, int64_t n_tokens)> progress = {};
};

// The answers to problem `number`: the greedy one where it is wanted, then the drawn ones.
using TakeAnswers = std::function<Status(int64_t number, const std::vector<GivenAnswer>& answers)>;

// Asks prompts [n] and gives their answers to `take` in the order of the problems, as soon as all of a problem are
// whole. What `take` says ends the asking where it is an error.
Status ask(engine::Engine& engine, const std::vector<std::vector<int32_t>>& prompts, const Asking& asking,
           const TakeAnswers& take);

}  // namespace naru::eval
