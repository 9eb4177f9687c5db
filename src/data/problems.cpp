#include "data/problems.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/sha256.h"
#include "data/packing.h"
#include "data/problem_lines.h"
#include "data/turn.h"
#include "text/chat_tokenizer.h"
#include "text/reasoning.h"

namespace naru::data {
namespace {

// Shuffles of problems, apart from those of a source's documents and rows.
constexpr uint32_t kProblemStream = uint32_t{1} << 31;

}  // namespace

Result<ProblemSource> ProblemSource::open(const recipes::SourceRecipe& source, uint64_t seed, Split split,
                                          const std::filesystem::path& recipe_folder, bool needs_answers) {
  ProblemSource problems;
  problems.source_ = source;
  problems.seed_ = seed;
  problems.split_ = split;
  if (source.generator.empty()) {
    NARU_ASSIGN(ProblemFile file,
                read_problems(recipes::source_place(source, recipe_folder), source.path, needs_answers));
    problems.lines_ = std::move(file.problems);
    problems.file_ = std::move(file.file);
    return problems;
  }
  NARU_ASSIGN(problems.generator_, generator_options(source));
  problems.n_generated_ = documents_of_generator(source, split);
  return problems;
}

int64_t ProblemSource::size() const {
  return lines_.empty() ? n_generated_ : std::ssize(lines_);
}

Problem ProblemSource::at(int64_t number) const {
  NARU_CHECK(number >= 0, number);
  if (lines_.empty()) return make_problem(generator_, seed_, number % n_generated_, split_);
  const int64_t pass = number / size();
  if (pass != pass_) {
    order_ = shuffled(seed_, kProblemStream | static_cast<uint32_t>(split_), pass, size());
    pass_ = pass;
  }
  return lines_[static_cast<size_t>(order_[static_cast<size_t>(number % size())])];
}

// Texts as they stand, and messages as values, which take some times their text.
int64_t ProblemSource::held_bytes() const {
  constexpr int64_t kTimes = 4;
  int64_t bytes = 0;
  for (const Problem& problem : lines_) {
    bytes += static_cast<int64_t>(sizeof(Problem)) + kTimes * std::ssize(problem.line);
  }
  return bytes;
}

StreamRecord ProblemSource::record(int64_t n_first) const {
  StreamRecord record;
  std::string said =
      fmt::format("{} {} {} {}\n", source_.generator, source_.documents, source_.language, source_.trace);
  if (source_.numbers > 0) said += fmt::format("{} numbers\n", source_.numbers);
  if (!source_.path.empty()) said = source_.path + "\n";
  record.sources_sha256 = sha256_hex(as_bytes(said));
  record.n_documents = size();
  Sha256 hash, files;
  if (lines_.empty()) {
    for (int64_t i = 0; i < n_first; ++i) {
      const Problem one = at(i);
      hash.update(as_bytes(fmt::format("{}\n{}\n{}\n", one.key, one.prompt, one.text_prompt)));
    }
    hash.update(as_bytes(said));
  } else {
    for (const Problem& one : lines_) hash.update(as_bytes(one.line + "\n"));
    record.files = {file_};
    record.n_files = 1;
    files.update(as_bytes(fmt::format("{}\n{}\n{}\n", file_.name, file_.bytes, file_.sha256)));
  }
  record.documents_sha256 = hash.finish_hex();
  record.files_sha256 = files.finish_hex();
  return record;
}

Result<ProblemMix> ProblemMix::open(const std::vector<recipes::SourceRecipe>& sources, uint64_t seed, Split split,
                                    const std::filesystem::path& recipe_folder, bool needs_answers) {
  NARU_CHECK(!sources.empty());
  std::vector<double> weights;
  std::vector<ProblemSource> opened;
  for (const recipes::SourceRecipe& source : sources) {
    NARU_ASSIGN(ProblemSource one, ProblemSource::open(source, seed, split, recipe_folder, needs_answers));
    opened.push_back(std::move(one));
    weights.push_back(source.weight);
  }
  return ProblemMix(std::move(opened), Mixture(mixture_parts(weights)));
}

bool ProblemMix::has_file() const {
  return std::ranges::any_of(sources_, &ProblemSource::is_file);
}

int64_t ProblemMix::size() const {
  int64_t n = 0;
  for (size_t i = 0; i < sources_.size(); ++i) {
    n = std::max(n, mixture_.rows_until(static_cast<int64_t>(i), sources_[i].size()));
  }
  return n;
}

Problem ProblemMix::at(int64_t number) const {
  const Mixture::Place place = mixture_.place(number);
  return sources_[static_cast<size_t>(place.source)].at(place.row);
}

int64_t ProblemMix::held_bytes() const {
  int64_t bytes = 0;
  for (const ProblemSource& source : sources_) bytes += source.held_bytes();
  return bytes;
}

StreamRecord ProblemMix::record(int64_t n_first) const {
  if (sources_.size() == 1) return sources_.front().record(n_first);
  StreamRecord record;
  Sha256 said, documents, files;
  for (size_t i = 0; i < sources_.size(); ++i) {
    StreamRecord one = sources_[i].record(mixture_.count(static_cast<int64_t>(i), n_first));
    said.update(as_bytes(one.sources_sha256));
    documents.update(as_bytes(one.documents_sha256));
    files.update(as_bytes(one.files_sha256));
    record.n_documents += one.n_documents;
    record.n_files += one.n_files;
    for (DataFile& file : one.files) record.files.push_back(std::move(file));
  }
  record.sources_sha256 = said.finish_hex();
  record.documents_sha256 = documents.finish_hex();
  record.files_sha256 = files.finish_hex();
  return record;
}

std::string asked_text(const Problem& problem) {
  if (!problem.generator) return problem.line + "\n";
  return fmt::format("{}\n{}\n{}\n{}\n", problem.key, problem.prompt, problem.text_prompt, problem.answer);
}

namespace {

Result<text::ChatPrompt> encoded_prompt(const Problem& problem, const text::Tokenizer& tokenizer,
                                        const text::ChatTemplate* chat_template) {
  if (chat_template == nullptr) {
    if (!problem.messages.empty()) {
      return Error{
          Code::kInvalidArgument,
          fmt::format("asking problem {}: it is a conversation, and the model has no chat template; give it as "
                      "\"prompt\", a text, or name a template's file in model.chat_template",
                      problem.key)};
    }
    return text::ChatPrompt{tokenizer.encode(problem.text_prompt, {.add_special = true, .parse_special = false})};
  }
  Sample sample;
  sample.is_chat = true;
  sample.messages = problem.messages;
  sample.tools = problem.tools;
  if (sample.messages.empty()) {
    sample.messages.emplace_back(text::Value::Object{{"role", std::string("user")}, {"content", problem.prompt}});
  }
  NARU_ASSIGN(const std::vector<text::Segment> segments,
              render_messages(sample, sample.messages.size(), true, *chat_template, problem.key));
  text::ChatPrompt prompt{tokenizer.encode_segments(segments)};
  prompt.opens_reasoning = text::prompt_opens_reasoning(segments, prompt.ids, tokenizer);
  return prompt;
}

}  // namespace

Result<text::ChatPrompt> problem_prompt(const Problem& problem, const text::Tokenizer& tokenizer,
                                        const text::ChatTemplate* chat_template) {
  NARU_ASSIGN(text::ChatPrompt prompt, encoded_prompt(problem, tokenizer, chat_template));
  if (!prompt.ids.empty()) return prompt;
  return Error{Code::kInvalidArgument,
               fmt::format("asking problem {}: the tokenizer makes no token of it, one at least was wanted; give it "
                           "some text",
                           problem.key)};
}

}  // namespace naru::data
