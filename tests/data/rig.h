// A small tokenizer with ChatML's control tokens, chat templates, and a folder for the files of one test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/batches.h"
#include "formats/tokenizer_files.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace naru::data {

inline std::string read_test_file(const std::string& name) {
  return read_file(std::string(NARU_TEST_DATA "/text/") + name, 16 << 20).value();
}

inline constexpr int32_t kStart = 600, kEnd = 601, kBos = 605;  // <|im_start|>, <|im_end|>, <bos>

inline text::Tokenizer make_test_tokenizer(bool with_bos = false) {
  const std::string json = read_test_file("tokenizers/smollm.json");
  formats::TokenizerSources sources;
  sources.tokenizer_json = as_bytes(json);
  formats::TokenizerData data = formats::parse_tokenizer(sources, "smollm").value();
  data.eos_id = kEnd;
  if (with_bos) {
    data.bos_id = kBos;
    data.add_bos = true;
  }
  return text::Tokenizer::create(std::move(data)).value();
}

inline text::ChatTemplate make_test_template(const std::string& name = "chatml") {
  return text::ChatTemplate::create(read_test_file("templates/" + name + ".jinja"), {{"bos_token", "<bos>"}}).value();
}

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "naru-data-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path path_;
};

inline recipes::SourceRecipe path_source(std::string path, double weight = 1) {
  recipes::SourceRecipe source;
  source.path = std::move(path);
  source.weight = weight;
  return source;
}

inline recipes::SourceRecipe generator_source(std::string generator, int64_t documents, double weight = 1) {
  recipes::SourceRecipe source;
  source.generator = std::move(generator);
  source.documents = documents;
  source.weight = weight;
  return source;
}

inline recipes::Recipe make_recipe(std::vector<recipes::SourceRecipe> data, int64_t context = 64, int64_t rows = 4,
                                   int64_t micro_rows = 2) {
  recipes::Recipe recipe;
  recipe.data = std::move(data);
  recipe.batch.context = context;
  recipe.batch.rows = rows;
  recipe.batch.micro_rows = micro_rows;
  return recipe;
}

inline Result<BatchStream> open_stream(const recipes::Recipe& recipe, const Folder& folder,
                                       const char* chat_template = "chatml") {
  static const text::Tokenizer tokenizer = make_test_tokenizer();
  if (chat_template == nullptr) return BatchStream::open(recipe, recipe.data, tokenizer, nullptr, folder.path());
  const text::ChatTemplate chat = make_test_template(chat_template);
  return BatchStream::open(recipe, recipe.data, tokenizer, &chat, folder.path());
}

// Text of a document with what is learnt in brackets: "<|im_start|>user\nHi<|im_end|>[Hello<|im_end|>]".
inline std::string marked(const Document& document, const text::Tokenizer& tokenizer) {
  std::string out;
  for (size_t i = 0; i < document.ids.size(); ++i) {
    const bool was = i > 0 && document.loss[i - 1] == 1, is = document.loss[i] == 1;
    if (was && !is) out += "]";
    if (!was && is) out += "[";
    out += tokenizer.piece(document.ids[i]);
  }
  if (!document.loss.empty() && document.loss.back() == 1) out += "]";
  return out;
}

inline bool operator==(const MicroBatch& a, const MicroBatch& b) {
  if (a.documents.size() != b.documents.size()) return false;
  for (size_t i = 0; i < a.documents.size(); ++i) {
    if (a.documents[i].row_begin != b.documents[i].row_begin || a.documents[i].n_rows != b.documents[i].n_rows)
      return false;
  }
  return a.ids == b.ids && a.positions == b.positions && a.targets == b.targets && a.weights == b.weights &&
         a.signals == b.signals;
}

inline bool operator==(const StepBatch& a, const StepBatch& b) {
  return a.micro_batches == b.micro_batches && a.n_tokens == b.n_tokens && a.divisor == b.divisor;
}

}  // namespace naru::data
