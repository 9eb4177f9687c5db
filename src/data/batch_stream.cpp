// The rows of a run: documents of all sources, the plan of their packing, and the order of one epoch at a time, which
// is made when a step of it is asked for and kept until another is.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <numeric>

#include "base/checked.h"
#include "base/sha256.h"
#include "data/batches.h"
#include "data/limits.h"
#include "data/packing.h"
#include "data/sources.h"

namespace naru::data {
namespace {

constexpr int64_t kEpochsMax = int64_t{1} << 32;
// For the largest micro-batch.
constexpr int64_t kStepsLookedAt = 2000;
constexpr int64_t kRowsLookedAt = int64_t{1} << 20;

// Streams of random numbers: a source's documents and its rows, in training and in validation.
uint32_t shuffle_stream(int64_t source, bool is_rows, Split split) {
  return static_cast<uint32_t>(source) << 2 | (is_rows ? 1u : 0u) | (split == Split::kValidation ? 2u : 0u);
}

// One epoch's order of one source.
struct Epoch {
  int64_t number = -1;
  std::vector<int32_t> by_rank;  // documents by falling length, equal ones shuffled
  std::vector<int32_t> rows;     // of the plan, shuffled
};

struct Source {
  std::vector<Document> documents;
  std::vector<int32_t> lengths;  // of documents, falling
  RowPlan plan;
  std::vector<int32_t> order;   // of epoch 0, for document()
  std::array<Epoch, 2> epochs;  // a step may lie across the border of two
};

Epoch make_epoch(const Source& source, int64_t index, Split split, uint64_t seed, int64_t number) {
  Epoch epoch;
  epoch.number = number;
  epoch.by_rank = shuffled(seed, shuffle_stream(index, false, split), number, std::ssize(source.documents));
  std::stable_sort(epoch.by_rank.begin(), epoch.by_rank.end(), [&](int32_t a, int32_t b) {
    return source.documents[static_cast<size_t>(a)].ids.size() > source.documents[static_cast<size_t>(b)].ids.size();
  });
  epoch.rows = shuffled(seed, shuffle_stream(index, true, split), number, source.plan.n_rows());
  return epoch;
}

void append_document(const Document& document, MicroBatch& batch, StepBatch& step) {
  const size_t n = document.ids.size();
  batch.documents.push_back({static_cast<int64_t>(batch.ids.size()), static_cast<int64_t>(n)});
  batch.ids.insert(batch.ids.end(), document.ids.begin(), document.ids.end());
  for (size_t i = 0; i < n; ++i) {
    const bool is_target = i + 1 < n && document.loss[i + 1] == 1;
    batch.positions.push_back(static_cast<int32_t>(i));
    batch.targets.push_back(i + 1 < n ? document.ids[i + 1] : 0);
    batch.weights.push_back(is_target ? 1.0f : 0.0f);
    step.divisor += is_target ? 1 : 0;
  }
  step.n_tokens += static_cast<int64_t>(n);
}

Status out_of_range(std::string_view key, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return Error{Code::kOutOfRange,
               fmt::format("reading the recipe: {} is {}, {} to {} was wanted; correct it", key, value, low, high)};
}

Status check_recipe(const recipes::Recipe& recipe, const std::vector<recipes::SourceRecipe>& sources) {
  const recipes::BatchRecipe& batch = recipe.batch;
  NARU_TRY(out_of_range("batch.context", batch.context, 2, kDataContextMax));
  NARU_TRY(out_of_range("batch.rows", batch.rows, 1, kDataStepTokensMax / batch.context));
  NARU_TRY(out_of_range("batch.micro_rows", batch.micro_rows, 1, batch.rows));
  NARU_TRY(out_of_range("the number of sources of data", std::ssize(sources), 1, kDataSourcesMax));
  if (batch.overlong != "cut" && batch.overlong != "drop") {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading the recipe: batch.overlong is '{}', cut or drop was wanted; "
                             "correct it",
                             batch.overlong)};
  }
  for (const recipes::SourceRecipe& source : sources) {
    if (std::isfinite(source.weight) && source.weight >= 1e-6 && source.weight <= 1e6) continue;
    return Error{Code::kOutOfRange, fmt::format("reading the recipe: the weight of '{}' is {}, 1e-6 to 1e6 was wanted; "
                                                "correct it, or take the source out",
                                                source.path.empty() ? source.generator : source.path, source.weight)};
  }
  return {};
}

}  // namespace

struct BatchStream::State {
  uint64_t seed = 0;
  Split split = Split::kTrain;
  recipes::BatchRecipe batch;
  std::vector<Source> sources;
  std::vector<SourceStatistics> statistics;
  std::unique_ptr<Mixture> mixture;   // of steps, by weight
  std::unique_ptr<Mixture> all_rows;  // of validation: every row of every source once
  std::vector<DataNote> notes;
  std::vector<ReadFile> files;  // and generators, by Document::file
  std::vector<DataFile> contents;
  int64_t n_notes = 0;
  int64_t n_documents = 0;
  int64_t n_tokens = 0, n_tokens_left_out = 0;
  bool has_conversations = false;
  std::string sha256;
  std::mutex mutex;  // of the epochs kept

  const Epoch& epoch(int64_t source, int64_t number);
  void append_row(Mixture::Place place, MicroBatch& batch, StepBatch& step);
  StepBatch gather(const Mixture& dealt, int64_t row_begin, int64_t n_rows);
  Result<MicroSize> largest(const Mixture& dealt, int64_t n_rows, int64_t step_rows, int64_t page_tokens,
                            const std::function<bool()>& should_stop) const;
};

const Epoch& BatchStream::State::epoch(int64_t source, int64_t number) {
  Source& s = sources[static_cast<size_t>(source)];
  Epoch& kept = s.epochs[static_cast<size_t>(number % 2)];
  if (kept.number != number) kept = make_epoch(s, source, split, seed, number);
  return kept;
}

void BatchStream::State::append_row(Mixture::Place place, MicroBatch& batch_out, StepBatch& step) {
  const Source& source = sources[static_cast<size_t>(place.source)];
  const int64_t n_rows = source.plan.n_rows();
  const Epoch& order = epoch(place.source, place.row / n_rows);
  const auto row = static_cast<size_t>(order.rows[static_cast<size_t>(place.row % n_rows)]);
  for (int64_t i = source.plan.offsets[row]; i < source.plan.offsets[row + 1]; ++i) {
    const int32_t rank = source.plan.ranks[static_cast<size_t>(i)];
    append_document(source.documents[static_cast<size_t>(order.by_rank[static_cast<size_t>(rank)])], batch_out, step);
  }
}

StepBatch BatchStream::State::gather(const Mixture& dealt, int64_t row_begin, int64_t n_rows) {
  const std::lock_guard lock(mutex);
  StepBatch step;
  for (int64_t row = 0; row < n_rows; ++row) {
    if (row % batch.micro_rows == 0) step.micro_batches.emplace_back();
    append_row(dealt.place(row_begin + row), step.micro_batches.back(), step);
  }
  return step;
}

namespace {

// Which rows of a source come when, and what each of them takes; epoch after epoch.
class RowSizes {
 public:
  RowSizes(const Source& source, uint32_t stream, uint64_t seed, int64_t page_tokens) : stream_(stream), seed_(seed) {
    for (int64_t row = 0; row < source.plan.n_rows(); ++row) {
      MicroSize& size = sizes_.emplace_back();
      for (int64_t i = source.plan.offsets[row]; i < source.plan.offsets[row + 1]; ++i) {
        const int64_t length = source.lengths[static_cast<size_t>(source.plan.ranks[static_cast<size_t>(i)])];
        size.tokens += length;
        size.pages += ceil_div(length, page_tokens);
        size.documents += 1;
      }
    }
  }

  bool is_of_epoch(int64_t row) const { return row / std::ssize(sizes_) == epoch_; }
  void turn_to(int64_t row) {
    epoch_ = row / std::ssize(sizes_);
    order_ = shuffled(seed_, stream_, epoch_, std::ssize(sizes_));
  }
  const MicroSize& at(int64_t row) const {
    const int32_t place = order_[static_cast<size_t>(row % std::ssize(sizes_))];
    return sizes_[static_cast<size_t>(place)];
  }

 private:
  uint32_t stream_;
  uint64_t seed_;
  int64_t epoch_ = -1;
  std::vector<MicroSize> sizes_;  // by row of the plan
  std::vector<int32_t> order_;
};

}  // namespace

Result<MicroSize> BatchStream::State::largest(const Mixture& dealt, int64_t n_rows, int64_t step_rows,
                                              int64_t page_tokens, const std::function<bool()>& should_stop) const {
  std::vector<RowSizes> sizes;
  for (size_t i = 0; i < sources.size(); ++i) {
    sizes.emplace_back(sources[i], shuffle_stream(static_cast<int64_t>(i), true, split), seed, page_tokens);
  }
  MicroSize most, micro;
  for (int64_t row = 0; row < n_rows; ++row) {
    if (row % step_rows % batch.micro_rows == 0) micro = {};
    const Mixture::Place place = dealt.place(row);
    RowSizes& source = sizes[static_cast<size_t>(place.source)];
    if (!source.is_of_epoch(place.row)) {
      if (should_stop && should_stop()) return Error{Code::kCancelled, "planning the batches: stopped by you"};
      source.turn_to(place.row);
    }
    const MicroSize& size = source.at(place.row);
    micro.tokens += size.tokens;
    micro.pages += size.pages;
    micro.documents += size.documents;
    most = {std::max(most.tokens, micro.tokens), std::max(most.pages, micro.pages),
            std::max(most.documents, micro.documents)};
  }
  return most;
}

BatchStream::BatchStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
BatchStream::BatchStream(BatchStream&&) noexcept = default;
BatchStream& BatchStream::operator=(BatchStream&&) noexcept = default;
BatchStream::~BatchStream() = default;

namespace {

Source plan_source(std::vector<Document> documents, int64_t index, Split split, uint64_t seed, int64_t context) {
  Source source;
  source.documents = std::move(documents);
  for (const Document& document : source.documents) source.lengths.push_back(static_cast<int32_t>(document.ids.size()));
  std::sort(source.lengths.rbegin(), source.lengths.rend());
  source.plan = plan_rows(source.lengths, context);
  source.order = shuffled(seed, shuffle_stream(index, false, split), 0, std::ssize(source.documents));
  return source;
}

// How many documents all sources together have; 0 where files say how many.
int64_t documents_wanted(const std::vector<recipes::SourceRecipe>& sources, Split split, const StreamOptions& options) {
  int64_t n = 0;
  for (const recipes::SourceRecipe& source : sources) {
    if (source.generator.empty()) return 0;
    const int64_t all = documents_of_generator(source, split);
    n += options.generated_max > 0 ? std::min(all, options.generated_max) : all;
  }
  return n;
}

void hash_documents(const std::vector<Document>& documents, Sha256& hash) {
  for (const Document& document : documents) {
    const auto n = static_cast<int64_t>(document.ids.size());
    hash.update(std::as_bytes(std::span(&n, 1)));
    hash.update(std::as_bytes(std::span(document.ids)));
    hash.update(std::as_bytes(std::span(document.loss)));
  }
}

}  // namespace

Result<BatchStream> BatchStream::open(const recipes::Recipe& recipe, const std::vector<recipes::SourceRecipe>& sources,
                                      const text::Tokenizer& tokenizer, const text::ChatTemplate* chat_template,
                                      const std::filesystem::path& recipe_folder, const StreamOptions& options) {
  NARU_CHECK(&sources == &recipe.data || &sources == &recipe.validation);
  NARU_TRY(check_recipe(recipe, sources));
  auto state = std::make_unique<State>();
  state->seed = recipe.seed;
  state->split = &sources == &recipe.data ? Split::kTrain : Split::kValidation;
  state->batch = recipe.batch;
  SourceContext context{recipe, tokenizer, chat_template, recipe_folder, state->split, {}, 0, {}, 0, 0};
  context.options = options;
  context.n_documents_wanted = documents_wanted(sources, state->split, options);
  if (!tokenizer.eos_id()) {
    context.notes.push_back({"the tokenizer", "it has no end of sequence: documents end without one"});
    context.n_notes = 1;
  }
  Sha256 hash;
  std::vector<double> weights;
  std::vector<int64_t> row_counts;
  for (size_t i = 0; i < sources.size(); ++i) {
    SourceStatistics statistics;
    NARU_ASSIGN(std::vector<Document> documents, read_source(sources[i], static_cast<int32_t>(i), context, statistics));
    hash_documents(documents, hash);
    state->sources.push_back(
        plan_source(std::move(documents), static_cast<int64_t>(i), state->split, recipe.seed, recipe.batch.context));
    statistics.n_rows = state->sources.back().plan.n_rows();
    state->statistics.push_back(std::move(statistics));
    weights.push_back(sources[i].weight);
    row_counts.push_back(state->sources.back().plan.n_rows());
  }
  const double weight_sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t i = 0; i < weights.size(); ++i) state->statistics[i].share = weights[i] / weight_sum;
  state->mixture = std::make_unique<Mixture>(mixture_parts(weights));
  state->all_rows = std::make_unique<Mixture>(std::move(row_counts));
  state->notes = std::move(context.notes);
  state->files = std::move(context.files);
  state->contents = std::move(context.contents);
  state->n_notes = context.n_notes;
  state->n_documents = context.n_documents;
  state->n_tokens = context.n_tokens;
  state->n_tokens_left_out = context.n_tokens_left_out;
  state->has_conversations = context.has_conversations;
  state->sha256 = hash.finish_hex();
  return BatchStream(std::move(state));
}

Result<StepBatch> BatchStream::step(int64_t step) const {
  const auto row_begin = checked_mul(step, state_->batch.rows);
  const auto row_end = row_begin ? checked_add(*row_begin, state_->batch.rows) : std::nullopt;
  int64_t rows_least = INT64_MAX;
  for (const Source& source : state_->sources) rows_least = std::min(rows_least, source.plan.n_rows());
  if (step < 0 || !row_end || *row_end / rows_least >= kEpochsMax) {
    return Error{Code::kOutOfRange,
                 fmt::format("gathering the batch of step {}: the data is counted to {} epochs only; "
                             "train for fewer steps",
                             step, kEpochsMax)};
  }
  return state_->gather(*state_->mixture, *row_begin, state_->batch.rows);
}

Result<StepBatch> BatchStream::all_rows(int64_t rows_max) const {
  int64_t n_rows = 0;
  for (const Source& source : state_->sources) n_rows += source.plan.n_rows();
  if (rows_max < 1) {
    return Error{
        Code::kOutOfRange,
        fmt::format("gathering rows: {} were asked for, one at least was wanted; set validate.rows", rows_max)};
  }
  return state_->gather(*state_->all_rows, 0, std::min(n_rows, rows_max));
}

Result<MicroSize> BatchStream::largest(int64_t n_steps, int64_t page_tokens,
                                       const std::function<bool()>& should_stop) const {
  const int64_t rows = state_->batch.rows;
  const int64_t n_looked_at = std::min({n_steps, kStepsLookedAt, std::max<int64_t>(1, kRowsLookedAt / rows)});
  return state_->largest(*state_->mixture, n_looked_at * rows, rows, page_tokens, should_stop);
}

Result<MicroSize> BatchStream::largest_of_all(int64_t rows_max, int64_t page_tokens,
                                              const std::function<bool()>& should_stop) const {
  int64_t n_rows = 0;
  for (const Source& source : state_->sources) n_rows += source.plan.n_rows();
  n_rows = std::min(n_rows, rows_max);
  return state_->largest(*state_->all_rows, n_rows, n_rows, page_tokens, should_stop);
}

int64_t BatchStream::steps_per_epoch() const {
  int64_t rows = INT64_MAX;
  for (int64_t i = 0; i < std::ssize(state_->sources); ++i) {
    rows = std::min(rows, state_->mixture->rows_until(i, state_->sources[static_cast<size_t>(i)].plan.n_rows()));
  }
  return ceil_div(rows, state_->batch.rows);
}

int64_t BatchStream::n_documents() const {
  return state_->n_documents;
}

int64_t BatchStream::n_tokens() const {
  return state_->n_tokens;
}

int64_t BatchStream::n_tokens_left_out() const {
  return state_->n_tokens_left_out;
}

bool BatchStream::has_conversations() const {
  return state_->has_conversations;
}

const std::vector<DataNote>& BatchStream::notes() const {
  return state_->notes;
}

int64_t BatchStream::n_notes() const {
  return state_->n_notes;
}

const std::vector<SourceStatistics>& BatchStream::statistics() const {
  return state_->statistics;
}

std::string BatchStream::place(const Document& document) const {
  const ReadFile& file = state_->files[static_cast<size_t>(document.file)];
  return fmt::format(fmt::runtime(file.is_array ? "{}[{}]" : "{}:{}"), file.name, document.index);
}

const std::vector<DataFile>& BatchStream::files() const {
  return state_->contents;
}

const std::string& BatchStream::sha256() const {
  return state_->sha256;
}

const Document& BatchStream::document(int64_t index) const {
  NARU_CHECK(index >= 0 && index < state_->n_documents, index, state_->n_documents);
  for (const Source& source : state_->sources) {
    const int64_t n = std::ssize(source.documents);
    if (index < n) return source.documents[static_cast<size_t>(source.order[static_cast<size_t>(index)])];
    index -= n;
  }
  NARU_CHECK(false);
  return state_->sources.front().documents.front();
}

}  // namespace naru::data
