// What is in a source: the files of a path in their order, their lines or blocks, or the problems of a generator, told
// one at a time to whoever listens. Knows nothing of tokens: documents are made of it (sources.h), and the texts that a
// new tokenizer is trained on (texts.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/generators.h"
#include "data/sample.h"
#include "recipes/recipe.h"

namespace naru::data {

class SourceEvents {
 public:
  virtual ~SourceEvents() = default;
  // The file or generator that what follows is of, as messages call it.
  virtual Status on_file(const std::string& name) = 0;
  // All of a file was read: its length, and the SHA-256 of the very bytes that were. Not for generators.
  virtual void on_file_end(int64_t /*bytes*/, std::string /*sha256*/) {}
  // What a file of JSON holds, before its first sample; `place` is that of the sample. An error ends the reading.
  virtual Status on_form(LineForm /*form*/, bool /*is_array*/, std::string_view /*place*/) { return {}; }
  // A line of a .jsonl file, counted from 1, and `place` is "FILE:LINE"; or an element of an array, counted from 0, and
  // `place` is "FILE[INDEX]". After an error that is the line's own (bad_lines.h) reading goes on, to find the others.
  virtual Status on_sample(const Sample& sample, std::string_view place, int64_t index) = 0;
  // A .txt file: its text in blocks, cut between lines, valid UTF-8, each only good during the call; then its end.
  virtual Status on_text(std::string_view block) = 0;
  virtual Status on_text_end(std::string_view place) = 0;
  virtual Status on_problem(const Problem& problem, std::string_view place, int64_t index) = 0;
  // Something left out.
  virtual void on_note(std::string_view place, std::string reason) = 0;
};

// How messages call a source.
std::string source_name(const recipes::SourceRecipe& source);

// Relative paths count from `folder`. Errors name file and line.
Status walk_source(const recipes::SourceRecipe& source, const std::filesystem::path& folder, uint64_t seed, Split split,
                   SourceEvents& events);

}  // namespace naru::data
