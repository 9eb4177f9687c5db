// What the generators share: options, splits, series.
#include "data/generators.h"

#include <fmt/format.h>

#include <array>
#include <unordered_set>

#include "base/check.h"
#include "base/sha256.h"
#include "data/generators/kinds.h"
#include "data/limits.h"
#include "formats/utf8.h"

namespace naru::data {
namespace {

constexpr int64_t kDrawsMax = 100000;  // of one problem until its split fits; an eighth of all fits at least
constexpr int64_t kTrainDefault = 50000;
constexpr int64_t kValidationDefault = 500;

template <typename T, size_t n>
Result<T> word_of(const std::array<std::pair<std::string_view, T>, n>& words, std::string_view word,
                  std::string_view key) {
  std::string known;
  for (const auto& [name, value] : words) {
    if (name == word) return value;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  return Error{Code::kInvalidArgument, fmt::format("reading the recipe: {} is '{}', one of {} was wanted; correct it",
                                                   key, formats::printable(word), known)};
}

constexpr std::array<std::pair<std::string_view, Generator>, 3> kGenerators = {
    {{"digits", Generator::kDigits},
     {"countdown", Generator::kCountdown},
     {"word_problems", Generator::kWordProblems}}};
constexpr std::array<std::pair<std::string_view, Trace>, 4> kTraces = {
    {{"short", Trace::kShort}, {"long", Trace::kLong}, {"mixed", Trace::kMixed}, {"think", Trace::kThink}}};
constexpr std::array<std::pair<std::string_view, Language>, 4> kLanguages = {
    {{"en", Language::kEnglish}, {"ko", Language::kKorean}, {"zh", Language::kChinese}, {"all", Language::kAll}}};

Trace default_trace(Generator generator) {
  switch (generator) {
    case Generator::kDigits: return Trace::kMixed;
    case Generator::kCountdown: return Trace::kShort;
    case Generator::kWordProblems: return Trace::kLong;
  }
  return Trace::kMixed;
}

// 64 bits of the SHA-256 of a text.
uint64_t hash_of(std::string_view text) {
  const std::string hex = sha256_hex(as_bytes(text)).substr(0, 16);
  return std::stoull(hex, nullptr, 16);
}

Problem draw_problem(const GeneratorOptions& options, Draws& draws, bool has_steps) {
  switch (options.generator) {
    case Generator::kDigits: return draw_digits(draws, has_steps);
    case Generator::kCountdown: return draw_countdown(draws, options, has_steps);
    case Generator::kWordProblems: return draw_word_problem(draws, options, has_steps);
  }
  NARU_CHECK(false, static_cast<int>(options.generator));
  return {};
}

}  // namespace

std::string_view generator_name(Generator generator) {
  return kGenerators[static_cast<size_t>(generator)].first;
}

Result<GeneratorOptions> generator_options(const recipes::SourceRecipe& source) {
  GeneratorOptions options;
  NARU_ASSIGN(options.generator, word_of(kGenerators, source.generator, "generator"));
  options.trace = default_trace(options.generator);
  if (!source.trace.empty()) {
    NARU_ASSIGN(options.trace, word_of(kTraces, source.trace, "trace"));
  }
  if (options.trace == Trace::kThink && options.generator == Generator::kDigits) {
    return Error{Code::kInvalidArgument,
                 "reading the recipe: trace is 'think' and generator 'digits', whose answers have no words; one of "
                 "short, long, mixed was wanted; correct it"};
  }
  if (options.generator == Generator::kCountdown) options.language = Language::kEnglish;
  if (!source.language.empty()) {
    if (options.generator == Generator::kDigits) {
      return Error{Code::kInvalidArgument,
                   fmt::format("reading the recipe: generator '{}' has no language, and '{}' was given; take it out",
                               source.generator, formats::printable(source.language))};
    }
    NARU_ASSIGN(options.language, word_of(kLanguages, source.language, "language"));
  }
  if (source.numbers != 0) {
    if (options.generator != Generator::kCountdown || source.numbers < 3 || source.numbers > 4) {
      return Error{Code::kInvalidArgument,
                   fmt::format("reading the recipe: generator is '{}' and numbers is {}, 3 or 4 with countdown was "
                               "wanted; correct it",
                               source.generator, source.numbers)};
    }
    options.numbers = source.numbers;
  }
  if (source.documents < 0 || source.documents > kGeneratorDocumentsMax) {
    return Error{Code::kOutOfRange, fmt::format("reading the recipe: documents is {}, 0 to {} was wanted; correct it",
                                                source.documents, kGeneratorDocumentsMax)};
  }
  return options;
}

int64_t documents_of_generator(const recipes::SourceRecipe& source, Split split) {
  if (source.documents > 0) return source.documents;
  return split == Split::kTrain ? kTrainDefault : kValidationDefault;
}

Split split_of(std::string_view key) {
  return hash_of(key) % 8 == 0 ? Split::kValidation : Split::kTrain;
}

Problem make_problem(const GeneratorOptions& options, uint64_t seed, int64_t index, Split split) {
  NARU_CHECK(index >= 0 && index < int64_t{1} << 40, index);
  Draws draws(seed, static_cast<uint32_t>(options.generator) * 2 + static_cast<uint32_t>(split), index);
  const bool is_tenth = draws.between(0, 9) == 0;
  const bool has_steps =
      options.trace == Trace::kLong || options.trace == Trace::kThink || (options.trace == Trace::kMixed && is_tenth);
  for (int64_t n = 0; n < kDrawsMax; ++n) {
    Problem problem = draw_problem(options, draws, has_steps);
    if (split_of(problem.key) != split) continue;
    problem.answer_text = std::to_string(problem.answer);
    return problem;
  }
  NARU_CHECK(false, index, seed);  // a chance of (7/8)^100000
  return {};
}

Verdict verify(const Problem& problem, std::string_view answer) {
  NARU_CHECK(problem.generator.has_value(), problem.key);
  switch (*problem.generator) {
    case Generator::kDigits: return verify_digits(problem, answer);
    case Generator::kCountdown: return verify_countdown(problem, answer);
    case Generator::kWordProblems: return verify_word_problem(problem, answer);
  }
  return {};
}

Language drawn_language(Draws& draws, Language language) {
  if (language != Language::kAll) return language;
  return std::array{Language::kEnglish, Language::kKorean,
                    Language::kChinese}[static_cast<size_t>(draws.between(0, 2))];
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

std::optional<std::string_view> behind_mark(std::string_view answer) {
  constexpr std::string_view kMark = "####";
  const size_t found = answer.rfind(kMark);
  if (found == std::string_view::npos) return std::nullopt;
  return trimmed(answer.substr(found + kMark.size()));
}

struct ProblemSeries::State {
  GeneratorOptions options;
  uint64_t seed;
  Split split;
  int64_t n_problems;
  int64_t index = -1;
  std::unordered_set<uint64_t> texts;  // hashes of those given; only ever asked whether one is there
};

ProblemSeries::ProblemSeries(std::unique_ptr<State> state) : state_(std::move(state)) {}
ProblemSeries::ProblemSeries(ProblemSeries&&) noexcept = default;
ProblemSeries& ProblemSeries::operator=(ProblemSeries&&) noexcept = default;
ProblemSeries::~ProblemSeries() = default;

int64_t ProblemSeries::index() const {
  return state_->index;
}

Result<ProblemSeries> ProblemSeries::create(const GeneratorOptions& options, uint64_t seed, Split split,
                                            int64_t n_problems) {
  NARU_CHECK(n_problems >= 0 && n_problems <= kGeneratorDocumentsMax, n_problems);
  return ProblemSeries(std::make_unique<State>(State{options, seed, split, n_problems, -1, {}}));
}

Result<std::optional<Problem>> ProblemSeries::next() {
  State& s = *state_;
  const auto n_given = static_cast<int64_t>(s.texts.size());
  if (n_given == s.n_problems) return std::optional<Problem>();
  while (++s.index < 16 * s.n_problems + 1000) {
    Problem problem = make_problem(s.options, s.seed, s.index, s.split);
    if (s.texts.insert(hash_of(problem.text_prompt)).second) return std::optional<Problem>(std::move(problem));
  }
  return Error{Code::kOutOfRange,
               fmt::format("making problems: {} has about {} different ones for {}, {} were wanted; ask "
                           "for fewer documents",
                           generator_name(s.options.generator), n_given,
                           s.split == Split::kTrain ? "training" : "validation", s.n_problems)};
}

}  // namespace naru::data
