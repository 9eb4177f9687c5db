// BatchStream: the rows of a run, step by step, as a function of (recipe, step) alone. Documents of every source are
// shuffled by counter (purpose kShuffle), packed best-fit into rows of `context` tokens, rows are drawn from sources by
// weight, and cut into micro-batches. A document never attends to another: positions restart at each.
//
// Nothing here is padded: a micro-batch has the tokens of its documents and no others.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/token_sets.h"
#include "recipes/recipe.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace naru::data {

// One text as the model sees it. Token i+1 is a target of position i where loss[i + 1] is 1.
struct Document {
  std::vector<int32_t> ids;
  std::vector<uint8_t> loss;  // as long as ids; loss[0] is never a target
  int32_t source = 0;
  int32_t file = 0;   // of all files of the stream; BatchStream::place says its name
  int64_t index = 0;  // in its file: line of a .jsonl, element of an array, number of a generated one; 1 of a .txt
};

struct DocumentRows {
  int64_t row_begin = 0;  // first row of the micro-batch
  int64_t n_rows = 0;
};

// What keeps routing gives: of each layer with experts, those that its tokens take, ascending, [T, n_chosen].
using KeptExperts = std::vector<std::vector<int32_t>>;

struct MicroBatch {
  std::vector<int32_t> ids;        // [T]
  std::vector<int32_t> positions;  // [T], from the start of each document
  std::vector<int32_t> targets;    // [T]: the next token of the document; 0 at its last row
  std::vector<float> weights;      // [T]: how much the loss of the target counts; 0: the row has none
  // [signals][T]: what an objective reads of each row beside its logits (train/objective.h): advantages, what an older
  // policy said. Documents of text have none.
  std::vector<std::vector<float>> signals;
  std::vector<DocumentRows> documents;
  KeptExperts experts;  // empty: the routers choose
  TokenSets kept;  // of targets that were drawn from some tokens: from which; no rows: all from the whole vocabulary
};

struct StepBatch {
  std::vector<MicroBatch> micro_batches;
  int64_t n_tokens = 0;
  // What the step's weighted losses together are divided by; 0 where nothing counts. Of documents the sum of the
  // weights, known before the first micro-batch.
  double divisor = 0;
};

// What happened to lines that did not become documents whole, for `naru data` and the log.
struct DataNote {
  std::string place;   // "chat.jsonl:17"
  std::string reason;  // "cut: 730 tokens, the context holds 512"
};

// A file that documents were made of: what was read of it.
struct DataFile {
  std::string name;  // as messages call it
  int64_t bytes = 0;
  std::string sha256;
  std::string form =
      {};  // as what it was read: "plain text", "messages with tools", "Alpaca in an array"; in no record
};

// What became of one source, for `naru data` and the log.
struct SourceStatistics {
  std::string name;  // the path or generator, as the recipe says it
  int64_t n_documents = 0;
  int64_t n_tokens = 0;
  int64_t n_targets = 0;
  int64_t n_rows = 0;     // of an epoch, the same in every epoch
  int64_t n_pieces = 0;   // documents that are parts of longer texts
  int64_t n_cut = 0;      // documents cut at their end
  int64_t n_dropped = 0;  // texts that became no document
  double share = 0;       // of the rows of a step
};

// How sources are read.
struct StreamOptions {
  std::function<bool()> should_stop = {};  // asked at every document; kCancelled where it says so
  // Documents made so far; `total` is 0 where it is not known, as of files.
  std::function<void(int64_t n_documents, int64_t total)> progress = {};
  // Of each generator only so many documents are made, to plan with; 0: all.
  int64_t generated_max = 0;
};

// Of the largest micro-batch, each by itself.
struct MicroSize {
  int64_t tokens = 0, pages = 0, documents = 0;
};

class BatchStream {
 public:
  // Reads and tokenizes every source. Errors name file and line. `sources` is recipe.data or recipe.validation itself:
  // which of the two says from which half of their problems generators draw (data/generators.h).
  static Result<BatchStream> open(const recipes::Recipe& recipe, const std::vector<recipes::SourceRecipe>& sources,
                                  const text::Tokenizer& tokenizer, const text::ChatTemplate* chat_template,
                                  const std::filesystem::path& recipe_folder, const StreamOptions& options = {});
  BatchStream(BatchStream&&) noexcept;
  BatchStream& operator=(BatchStream&&) noexcept;
  ~BatchStream();

  // The batch of a step, counted from 0. Any step may be asked for at any time: no state moves.
  Result<StepBatch> step(int64_t step) const;
  // For validation: all rows in order, at most rows_max, as micro-batches of micro_rows rows.
  Result<StepBatch> all_rows(int64_t rows_max) const;

  // The largest micro-batch of the first steps (kStepsLookedAt, and fewer of very many rows), by lengths alone; a
  // document takes whole pages of page_tokens. kCancelled where should_stop says so.
  Result<MicroSize> largest(int64_t n_steps, int64_t page_tokens, const std::function<bool()>& should_stop) const;
  // The same of all_rows().
  Result<MicroSize> largest_of_all(int64_t rows_max, int64_t page_tokens,
                                   const std::function<bool()>& should_stop) const;

  int64_t steps_per_epoch() const;  // until the smallest weight-adjusted source was seen once
  int64_t n_documents() const;
  int64_t n_tokens() const;
  int64_t n_tokens_left_out() const;  // about, of the documents that generated_max left out
  // Whether documents are conversations, by the chat template.
  bool has_conversations() const;
  const std::vector<DataNote>& notes() const;
  // At most kDataNotesMax of them are kept; the counts in statistics() are of all.
  int64_t n_notes() const;
  // Every document once, source by source, each in the shuffled order of epoch 0; index in [0, n_documents()).
  const Document& document(int64_t index) const;
  const std::vector<SourceStatistics>& statistics() const;
  std::string place(const Document& document) const;  // "chat.jsonl:17", "chat.json[16]" of an array
  // In reading order; generators have none.
  const std::vector<DataFile>& files() const;
  // SHA-256 of all documents (ids and masks) in reading order: changes when a file, the tokenizer or the template does.
  const std::string& sha256() const;

 private:
  struct State;
  explicit BatchStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace naru::data
