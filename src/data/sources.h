// Sources: the files and generators of a recipe as documents, read one line at a time. Nothing is lost silently: a text
// that does not become a document whole leaves a note, and everything that is no good is an error that names file and
// line.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/batches.h"
#include "data/generators.h"
#include "recipes/recipe.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace naru::data {

// A file or a generator that documents came from.
struct ReadFile {
  std::string name;
  bool is_array = false;  // a JSON array, whose documents are counted from 0
};

// What every source of a stream needs and adds to.
struct SourceContext {
  const recipes::Recipe& recipe;
  const text::Tokenizer& tokenizer;
  const text::ChatTemplate* chat_template;  // or nullptr
  std::filesystem::path recipe_folder;
  Split split = Split::kTrain;
  std::vector<DataNote> notes;  // the first kDataNotesMax
  int64_t n_notes = 0;
  std::vector<ReadFile> files;  // read so far, and generators
  int64_t n_documents = 0;
  int64_t n_tokens = 0;
  std::vector<DataFile> contents = {};  // of those that are files
  bool has_conversations = false;       // some were rendered by the template
  StreamOptions options = {};
  int64_t n_documents_wanted = 0;  // of all sources; 0: not known
  int64_t n_tokens_left_out = 0;   // about, by options.generated_max
};

// The documents of sources[index], in the order of their lines, and the counts of `statistics` that reading knows (rows
// and share are not among them). At least one document.
Result<std::vector<Document>> read_source(const recipes::SourceRecipe& source, int32_t index, SourceContext& context,
                                          SourceStatistics& statistics);

}  // namespace naru::data
