// Built-in generators: endless supplies of small problems, each with a verifier that says whether an answer is right.
//
// A problem is a function of (generator options, seed, index, split) and nothing else. Train and validation never share
// a problem: each has a canonical key (what makes it that problem, without names, languages and the order of numbers),
// and the key's hash alone says which split it belongs to, whatever the seed. An eighth of all keys is held out.
//
// As plain text a problem is `text_prompt + " " + solution`; as a conversation `prompt` is the user's message and
// `solution` the assistant's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/problem.h"
#include "recipes/recipe.h"

namespace naru::data {

enum class Split : uint8_t { kTrain, kValidation };
// How solutions are written: the answer alone, with its steps, with steps in one of ten, or with <think> ... </think>
// before an answer as one would say it.
enum class Trace : uint8_t { kShort, kLong, kMixed, kThink };
enum class Language : uint8_t { kEnglish, kKorean, kChinese, kAll };

struct GeneratorOptions {
  Generator generator = Generator::kDigits;
  Trace trace = Trace::kMixed;
  Language language = Language::kAll;  // of word problems and countdown
  int64_t numbers = 0;                 // of countdown: 3 or 4; 0: either
};

struct Verdict {
  bool is_right = false;
  std::string reason;  // why not: "the expression gives 35, 36 was wanted"
};

std::string_view generator_name(Generator generator);

// Checks the words of a recipe's source. Without a trace: digits mixed, countdown short, word problems long;
// without a language countdown is in English.
Result<GeneratorOptions> generator_options(const recipes::SourceRecipe& source);
// How many problems the source wants; 50000, for validation 500, where it does not say.
int64_t documents_of_generator(const recipes::SourceRecipe& source, Split split);

// index >= 0, below 2^40.
Problem make_problem(const GeneratorOptions& options, uint64_t seed, int64_t index, Split split);

// Which split a problem belongs to.
Split split_of(std::string_view key);

// What a model wrote behind the prompt of a generator's problem, without special tokens. Any bytes; time linear in
// them. White space around it does not count.
//   digits: digits and spaces only, the last digit is looked at
//   countdown: an expression of + - * / ( ) that uses each number once (what is behind the last "####", if that is
//   there)
//   word problems: the number behind the last "####", or the last number where that is not there
Verdict verify(const Problem& problem, std::string_view answer);

// The problems 0, 1, 2, ... of a split, without those whose text came before.
class ProblemSeries {
 public:
  static Result<ProblemSeries> create(const GeneratorOptions& options, uint64_t seed, Split split, int64_t n_problems);
  ProblemSeries(ProblemSeries&&) noexcept;
  ProblemSeries& operator=(ProblemSeries&&) noexcept;
  ~ProblemSeries();

  // Nothing after n_problems; an error where so many different ones cannot be found.
  Result<std::optional<Problem>> next();
  int64_t index() const;  // of the problem given last

 private:
  struct State;
  explicit ProblemSeries(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace naru::data
