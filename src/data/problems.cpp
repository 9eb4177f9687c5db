#include "data/problems.h"

#include <fmt/format.h>

#include "base/sha256.h"

namespace naru::data {

Result<ProblemSource> ProblemSource::open(const recipes::SourceRecipe& source, uint64_t seed, Split split,
                                          const std::filesystem::path&) {
  ProblemSource problems;
  problems.source_ = source;
  problems.seed_ = seed;
  problems.split_ = split;
  NARU_ASSIGN(problems.generator_, generator_options(source));
  problems.size_ = documents_of_generator(source, split);
  return problems;
}

Problem ProblemSource::at(int64_t number) const {
  return make_problem(generator_, seed_, number % size_, split_);
}

StreamRecord ProblemSource::record(int64_t n_first) const {
  StreamRecord record;
  const std::string said =
      fmt::format("{} {} {} {}\n", source_.generator, source_.documents, source_.language, source_.trace);
  record.sources_sha256 = sha256_hex(as_bytes(said));
  record.n_documents = size_;
  Sha256 hash;
  for (int64_t i = 0; i < n_first; ++i) {
    const Problem one = at(i);
    hash.update(as_bytes(fmt::format("{}\n{}\n{}\n", one.key, one.prompt, one.text_prompt)));
  }
  hash.update(as_bytes(said));
  record.documents_sha256 = hash.finish_hex();
  record.files_sha256 = Sha256().finish_hex();
  return record;
}

}  // namespace naru::data
